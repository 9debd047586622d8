"""Two sweeps side by side: what became of each configuration's speedup, and a gate.

matching        groups of both sweeps -> pairs, and what tells them apart
ratio           two speedups and the controls -> their ratio with intervals
verdict         a ratio and a margin -> same, faster, slower, cannot tell; the gate
configurations  the trials of a pair -> configurations with judgements
order           whether configurations stand in the same order
carried         what of A's order holds on B, predicted from B's anchors
comparison      the values
contents        what is read of a sweep
compare         two sweeps -> Comparison
sentences       what a comparison comes to, in words
terminal        Comparison -> what Rich prints
document        Comparison -> what JSON holds
markdown        Comparison -> Markdown, for the summary of a workflow on GitHub
"""

from frostline.comparison.compare import compare
from frostline.comparison.comparison import Comparison

__all__ = ["Comparison", "compare"]
