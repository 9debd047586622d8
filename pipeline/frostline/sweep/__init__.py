"""A whole sweep on an output directory: run, resumed, looked at, attributed again.

run           a study in, a filled OUT out
resolution    GPUs of a trial and the stopping rule, decided once for an OUT
resume        what is left to do: the plan minus the commits
run_record    what a run enters into the manifest
workers       the executor of a run, started once something will run
unbuilt       rows of models that cannot be built
result        what a run did: counts and times
status        what a sweep has done so far, from its OUT alone
reattribute   attribution and predictions again, from the stored traces
retrace       the steps traced again, to fill in what a sweep did not record
study_to_run  the study of an OUT, where its models are to be built again
"""
