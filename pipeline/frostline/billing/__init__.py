"""What a training run takes: hours, energy and money, from step times. Pure.

run     what is to be run, and at which price and power; refuses what cannot be meant
bill    steps, hours, kWh and cost of a run, each with its interval
trials  the bills of measured trials, and how well their energies repeat
words   bills as text, with the digits that their intervals support

The step time comes from a measured trial, or from a prediction: `frostline.prediction.bills`.
"""

from frostline.billing.bill import Amount, Bill, bill_document, bill_of
from frostline.billing.run import Run
from frostline.billing.trials import trial_bills

__all__ = ["Amount", "Bill", "Run", "bill_document", "bill_of", "trial_bills"]
