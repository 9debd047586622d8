"""The differences between the ops of two trials, by layer and pass, exact to the nanosecond.

difference   the values
match        two lists of ops -> changes that add up
diff         a sweep and two trials -> Difference
terminal     Difference -> what Rich prints
document     Difference -> JSON
"""

from frostline.difference.diff import diff
from frostline.difference.difference import Difference, GroupChange, Op, OpChange

__all__ = ["Difference", "GroupChange", "Op", "OpChange", "diff"]
