"""Frostline: what freezing layers does to a training step, measured, attributed and predicted."""

__version__ = "0.1.0"
