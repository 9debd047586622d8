"""Runs trials on workers: leases hold a device and its cores, executors run leases for one driver.

chunks         groups of trials -> chunks, one per lease
lease_spec     what a lease is given: trials, what it holds of a node, when to give up
available_gpus GPUs of this machine, or of a cluster
driver         which chunk is next, what to do when a lease is lost, when to stop
slow_anchors   which anchors run once more, because the machine was slow while they did
lease          a chunk of trials, committed one by one
lease_on_node  a lease as it runs on a node: opens OUT and stores the trials that are kept there
warm_process   the measuring process of a lease, replaced when necessary
room           whether trials have room on this machine
cores          disjoint CPU cores for the leases of a node
spooled        stores trials that earlier runs measured and could not store
events         what a lease tells the driver
listener       what the driver tells a progress display
interrupts     SIGTERM as an interruption like Ctrl-C, and waits that end soon after one
ray            an executor: leases as Ray tasks, embedded or on a cluster
"""
