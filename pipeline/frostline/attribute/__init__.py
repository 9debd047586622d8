"""Attributes profiled ops to layers and passes: by the traced graph, else by the ops' names.

step_graph  the traced step as plain values: each op with its pass, layer and who needs it
step_ops    a traced step's data flow -> those ops
walk        which ops are forward, backward, the optimizer's; which variables need an op
uses        where a layer's variables meet the data
credit      which layer a backward op belongs to
attribute   a `Trace` and a `StepGraph` -> `OpCost` rows
rules       the rules that place a profiled op, in their order
index       look-up of the graph's ops by names as profiled
names       names of ops before and after TensorFlow's rewriting
name_rules  names alone, for traces without a graph
costs       what an op costs per step, and the check that no time is lost
dispatch    whose the idle time of a CPU's executor is
frozen      the check that no frozen variable is credited with a gradient
"""
