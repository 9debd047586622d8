"""The plan of a study: its trials, their labels, and what they take. Pure.

configurations  what policies and anchors freeze in one model
trials          every trial once, in the order in which they run
layers          the layers of a model, and what each policy freezes
labels          the labels of trials in the progress display
estimate        the time, the memory and the disk that a plan takes
pace            how fast a device compiles, steps and stores
"""
