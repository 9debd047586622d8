"""From a few profiled anchors to the step time of every freeze configuration. Pure.

anchor    an anchor's profiled ops -> ops with prices, in baseline steps
waits     what of an unprofiled step is waiting, and whose
units     which layer decides about the ops of a layer without weights
terms     a price and the condition under which it is paid
rest      what a step takes beside what its layers' modes decide about
model     the cost model: prices of anchors -> the step time of a configuration
naive     the simple predictors that it is compared with
held_out  errors on configurations that took no part
"""
