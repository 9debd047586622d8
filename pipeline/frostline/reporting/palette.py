"""Colour and shape of each family of policies, the same in every figure and in print.

The palette is Okabe and Ito's (https://jfly.uni-koeln.de/color/), whose colours can be told apart
with the common kinds of colour blindness, and four of Paul Tol's beside it, so that each family
has a colour of its own. Shapes tell the families apart in grey print as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from frostline.analyse.placement import Place
from frostline.attribute.step_graph import Pass
from frostline.policies.family import family as family_name
from frostline.store.trial_row import TrialRow

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8A8A8A"
INDIGO, WINE, OLIVE, SAND = "#332288", "#882255", "#999933", "#B79F7E"
IDLE = "#E4E4E4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A kind of freeze policy as it appears in the figures.

    Attributes:
        name: in the legend.
        colour: as hex.
        shape: a Vega symbol.
    """

    name: str
    colour: str
    shape: str


CONTROL = Family(name="control", colour=BLACK, shape="cross")
OTHER = Family(name="other", colour=SAND, shape="square")
FAMILIES = (
    CONTROL,
    Family(name="prefix", colour=BLUE, shape="circle"),
    Family(name="suffix", colour=VERMILION, shape="square"),
    Family(name="layer", colour=GREEN, shape="triangle-up"),
    Family(name="random", colour=PURPLE, shape="diamond"),
    Family(name="all_but_head", colour=ORANGE, shape="triangle-right"),
    Family(name="norms", colour=SKY, shape="triangle-down"),
    Family(name="biases", colour=INDIGO, shape="triangle-left"),
    Family(name="regex", colour=WINE, shape="diamond"),
    Family(name="list", colour=OLIVE, shape="square"),
    Family(name="anchors", colour=GREY, shape="circle"),
    OTHER,
)
_BY_NAME = {family.name: family for family in FAMILIES}


def family_of(policy: str, *, is_control: bool) -> Family:
    """The family of an expanded policy (`prefix:8` is a `prefix`)."""
    if is_control:
        return CONTROL
    return _BY_NAME.get(family_name(policy), OTHER)


def family_of_row(row: TrialRow) -> Family:
    """The family of a trial."""
    return family_of(row.policy, is_control=row.is_control)


PLACE_FAMILIES: dict[Place, Family] = {
    "prefix": _BY_NAME["prefix"],
    "scattered": Family(name="scattered", colour=PURPLE, shape="diamond"),
    "suffix": _BY_NAME["suffix"],
}

PASS_COLOURS: dict[Pass, str] = {
    "forward": BLUE,
    "activation_gradient": ORANGE,
    "weight_gradient": GREEN,
    "optimizer": PURPLE,
    "input": SKY,
    "other": GREY,
}

PASS_LABELS: dict[Pass, str] = {
    "forward": "forward",
    "activation_gradient": "activation gradient (dX)",
    "weight_gradient": "weight gradient (dW)",
    "optimizer": "optimizer",
    "input": "input",
    "other": "other",
}
IDLE_LABEL = "no op runs"
