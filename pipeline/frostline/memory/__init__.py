"""Memory of a training step: what is alive when, and what a freeze configuration needs at most.

In: a traced step whose tensors were recorded, or an XLA program, and measured anchors. Out: the
peak of any configuration, with what holds it. Pure. The method is in `docs/memory.md`.

model           the peak of any configuration; `peak_prediction` is the answer
liveness        what is alive while the ops of a step run one after the other
running         which ops of the traced step run in a configuration
program         which instructions of an XLA program are left in one
frozen_norms    the ops that a frozen normalisation leaves out
allocated       sizes that the graph leaves open, from a profile's allocations
lines           straight lines through what anchors measured
least           lower bounds on what is alive, as a sum over conditions
largest_batch   how many examples fit
activations     what each layer keeps for the backward pass
expected        a lower bound and an estimate before anything is measured
held_out        errors of predicted peaks
"""
