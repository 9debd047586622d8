"""What a study comes to: its trials, how to call them, and what they take. Pure.

configurations  what policies and anchors freeze in one model
trials          every trial once, in the order in which they run
labels          what trials are called while they run
estimate        the time and the disk that a plan takes
"""
