"""A whole sweep on an output directory: run, resumed, attributed again.

run           a study in, a filled OUT out
resolution    GPUs of a trial and the stopping rule, decided once for an OUT
resume        what is left to do: the plan minus the commits
run_record    what a run enters into the manifest
workers       the executor of a run, started once something will run
unbuilt       rows of models that cannot be built
reattribute   attribution and predictions again, from the stored traces
"""
