"""The only part that imports xprof: from an XSpace file to ops with their times.

converter    the parent's side: a process without TensorFlow, asked for one profile at a time
process      that process
convert      one XSpace file -> a `Trace`
xspace       the planes and compiled programs of a file
events       exported events -> ops with their self times and waits; `queries` holds the SQL
allocations  what steps and ops allocate, from the allocator's events
hlo          which TensorFlow ops an XLA instruction computes
program      the buffers of an XLA program
ops          what a profile says, as plain values
"""
