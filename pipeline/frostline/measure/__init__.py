"""The only part that imports TensorFlow and Keras: it builds, freezes, steps and profiles models.

The rest of the program uses `messages`, `client` and `inspect_client`, which import neither.

process         the measuring process: requests in, replies out
baseline        a warm baseline, and the trials measured against it
build           a study's model entry -> a compiled Keras model
user_modules    a builder and its module: loaded, and made anew where models would share layers
called_with     what a builder called its model with
batches         what feeds it: a dataset of the user's, or `synthetic` batches
synthetic       batches that suit a model: `id_ranges` of its inputs, `targets` of its losses
fresh_state     names and random numbers as in a new process, while compiled steps stay
compilations    how often a step was compiled
layers          which layers own what trains, and how to freeze it
variants        LoRA, quantised kernels, recomputed activations
arm, trial_arm  one side of the comparison: model, train function, batches
first_state     the variables of a model, its optimizer and its metrics, by its first step
fed_arm         a model's entry -> an arm, built and fed
fresh_step      a training function made anew, with no trace of an earlier one
freeze_check    whether the freeze took effect
interleave      blocks of both arms in turn; `pairing` decides when to stop
profiler        a profiled window of steps, separate from every sample
gradient_norms  how large each layer's gradient is
graph           the traced step -> a `StepGraph`
inspect         what planning needs to know of a model
eager           whether a step runs eagerly, and which line to change
learning_rate   a smaller one where synthetic batches make a model diverge
precision       the dtype policy that a builder sets itself
backend         which backend Keras was told to use
short_error     what an error of TensorFlow says, in a line or two
out_of_memory   whether an error means that memory ran out
device          the device of the process: its kind, memory, energy, threads
held_bytes      what a model holds before a step runs
alone           a few steps of a configuration with no baseline beside it, for their memory
retrace         a measured trial's step, traced again and not run
device_state    clock, temperature, power and throttling of its GPUs
memory_release  frees what a trial held
phase_times     wall time by phase
probe           what TensorFlow sees on this machine
"""
