"""Trials to workers: leases hold a device and its cores, executors hand leases out, retries end.

chunks          groups of trials -> chunks, one a lease
cores           disjoint CPU cores for the leases of a node
lease           a chunk of trials in measuring processes of its own, committed one by one
driver          which chunk next, what to do when a lease is lost, when to stop
local           leases in threads of this process
ray_cluster     starting or joining Ray
ray_executor    leases as Ray tasks
"""
