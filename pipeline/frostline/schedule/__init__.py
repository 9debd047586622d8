"""Trials to workers: leases hold a device and its cores, executors run leases, one driver decides.

chunks         groups of trials -> chunks, one a lease
lease_spec     what a lease is given: trials, what it holds of a node, when to give up
driver         which chunk next, what to do when a lease is lost, when to stop
lease          a chunk of trials, committed one by one
lease_on_node  a lease as it runs at a node: OUT opened, what is kept there stored
warm_process   the measuring process of a lease, replaced when it has to be
cores          disjoint CPU cores for the leases of a node
scratch        local folders of leases, removed however a lease ends
spooled        what earlier runs measured and could not store, before anything is measured
events         what a lease tells the driver
listener       who hears what happens during a sweep
interrupts     SIGTERM as Ctrl-C, and waits that end soon after one
local          an executor: leases in child processes
ray            an executor: leases as Ray tasks, embedded or on a cluster
"""
