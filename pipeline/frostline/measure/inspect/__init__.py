"""What planning needs to know of a model, found by building it once.

training      layers, variables and wiring, from one trace of the training step
model         the same from a trace of the model's call, where there is no such step
wiring        order, upstream and FLOPs of layers in a traced graph
answer        the answer to `InspectModel`
layer_access  how a user reaches a layer in Python
files_read    which files and libraries were read while the model was built
"""
