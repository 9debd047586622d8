"""Freeze policies: from the words of a study file to sets of frozen variables.

    grammar       text -> terms; refuses what is not a policy, needs no model
    expressions   regular expressions, searched for within limits of time and memory
    search_names  such a search in a process of its own
    units         facts -> what is counted: layers or blocks, and their names
    expand        terms + facts -> configurations, each with a policy of its own
    misfits       policies + facts of several models -> which fit none of them
    modes         configuration -> the mode of every layer
    runnable      configuration -> whether the training step can run it
    anchors       facts -> the few configurations that show every layer in every mode
    family        policy -> its name without what it counts

Everything here is pure, but that a laborious search runs in a process of its own. `docs/studies.md`
is the reference for users.
"""

from frostline.policies.anchors import anchors
from frostline.policies.expand import ExpandedPolicy, PolicyMismatchError, expand
from frostline.policies.grammar import POLICY_NAMES, Granularity, Policy, parse, spelled
from frostline.policies.misfits import refuse_misfits
from frostline.policies.modes import earliest_trainable, frozen_layers, layer_modes
from frostline.policies.runnable import why_not

__all__ = [
    "POLICY_NAMES",
    "ExpandedPolicy",
    "Granularity",
    "Policy",
    "PolicyMismatchError",
    "anchors",
    "earliest_trainable",
    "expand",
    "frozen_layers",
    "layer_modes",
    "parse",
    "refuse_misfits",
    "spelled",
    "why_not",
]
