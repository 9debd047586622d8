"""Why a trial is or is not faster: its step in parts that add up, and the named reasons.

    ledger       profile + step time -> the step split exactly
    case         everything about one trial, and the parts of its step
    worth        the rules for what the speedup is worth
    variants     the same for a variant of the model
    saved        the rules for what freezing changed
    remains      the rules for what is left and why
    waiting      of both, the rules about the time in which no op runs
    memory       what holds the memory at the peak, and what freezing released
    explain      a sweep and a trial -> Explanation
    explanation  the values
    terminal     Explanation -> what Rich prints
    document     Explanation -> JSON

docs/explain.md states every rule and formula for users.
"""

from frostline.explanation.explain import explain
from frostline.explanation.explanation import Explanation, ForwardAlone, Part, Quantity, Reason

__all__ = ["Explanation", "ForwardAlone", "Part", "Quantity", "Reason", "explain"]
