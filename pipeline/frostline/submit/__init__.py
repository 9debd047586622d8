"""Sweeps as Ray jobs, through a cluster's Jobs API.

jobs_api  submit, look at, follow and stop a job
access    the cluster's address and the token that it asks for
bundle    what a job takes along
"""
