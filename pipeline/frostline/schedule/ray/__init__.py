"""Leases on Ray, and the only part of a sweep that imports it: embedded here or on a cluster.

executor       leases as Ray tasks
cluster        starting an embedded Ray or joining a cluster, and the room that there is
autoscaler     whether a cluster can grow to make room
event_batches  events of a lease that travel together
metrics        progress and failures for Prometheus
probe          whether Ray works on this machine
"""
