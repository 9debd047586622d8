"""Memory of a training step: what is alive when, and what a freeze configuration needs at most.

In: a traced step whose tensors were recorded, or an XLA program, and measured anchors. Out: the
peak of any configuration, with what holds it. Pure. The method is in `docs/memory.md`.
"""
