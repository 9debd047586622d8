"""The traced training step: recorded, flattened, and turned into a `StepGraph`.

recorder            what Keras does while a step is traced: who creates each op, which gradients
                    return
wrapped_methods     methods of Keras and TensorFlow, replaced inside of a block
flatten             a traced function and all that it calls -> one flat graph
called_functions    which functions an op calls
captured_variables  variables in a flat graph, and the ops that update them
cycles              after how many steps the work of a step repeats
flops               FLOPs of forward ops
repeated            ops that compute again what another one did
tensors             which tensors each op reads and makes, and their bytes
landmarks           losses, gradients, updates and results in a step's flat graph
step_facts          what a step does to variables, for the freeze check
step                all of that -> `StepGraph` and `StepFacts`
"""
