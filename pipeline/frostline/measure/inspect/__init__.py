"""What planning needs to know of a model, found by building it once.

model         layers, variables and wiring, from one trace of the forward pass
answer        the answer to `InspectModel`
layer_access  how a user reaches a layer in Python
files_read    which files and libraries were read while the model was built
"""
