"""Trials to workers: leases hold a device and its cores, executors run leases, one driver decides.

chunks         groups of trials -> chunks, one a lease
spec           what a lease is given
cores          disjoint CPU cores for the leases of a node
lease          a chunk of trials, committed one by one
at_node        a lease as it runs at a node: OUT opened, what is kept there stored
kept           what earlier runs measured and could not store, before anything is measured
scratch        local folders of leases, removed however a lease ends
served         the measuring process of a lease, replaced when it has to be
profile        a trial's files -> its graph, trace and costs
driver         which chunk next, what to do when a lease is lost, when to stop
local          an executor: leases in child processes
ray_executor   an executor: leases as Ray tasks, on what ray_cluster starts or joins
unbuilt        rows of models that cannot be built
ray_growth     whether a cluster's autoscaler can make room
ray_metrics    progress and failures for Prometheus
submit         sweeps as Ray jobs, through a cluster's Jobs API
submit_access  reaching a Jobs API, and the token it asks for
submit_bundle  what a submitted job takes along
"""
