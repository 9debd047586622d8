"""Whether a prediction puts two configurations into the order in which they were measured. Pure."""

from __future__ import annotations


def in_order(measured: tuple[float, float], predicted: tuple[float, float]) -> bool:
    """Whether both pairs ascend, or both descend; what is predicted to be equal has no order."""
    return (measured[0] < measured[1] and predicted[0] < predicted[1]) or (
        measured[0] > measured[1] and predicted[0] > predicted[1]
    )
