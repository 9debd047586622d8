"""Leases on Ray, and the only part of a sweep that imports it: embedded here or on a cluster.

executor       starts or joins Ray, hands out leases, hears of them, ends it all
tasks          leases as Ray tasks
calls          calls into Ray on a thread of their own, so that whoever waits has a limit
embedded       a Ray of this process's own, in a private folder
processes      the processes of an embedded Ray: whether they live, and their end
health         whether the Ray that a sweep runs on is still there
cluster        joining a cluster, and the room that there is
cluster_gpus   how many GPUs a cluster has or may start
autoscaler     whether a cluster can grow to make room
event_batches  events of a lease that travel together
metrics        progress and failures for Prometheus
probe          whether Ray works on this machine
"""
