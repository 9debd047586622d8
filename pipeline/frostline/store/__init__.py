"""The only part that writes Parquet: schemas, the commit protocol, and reading sweeps.

schema          the tables as literal data; `arrow` checks rows against it
address         where OUT lies, without showing its keys
outdir          OUT: what is published there, and entered into the `manifest`
lock            one driver at a time: on a disk; `claims` in a store; a `hold` by an `owner`
publication     what a trial's publication changes, in order
files           files below OUT: on a disk (`local`), or where a URI leads (`remote`, `open_uri`)
spool           trials on their way into a store
read            commits and rows; `duckdb_scan` where OUT is on this machine's disk
sweep           a sweep for notebooks and the program; `trial_row` a typed row of `trials`
storage_errors  what an error of the system means, and what to do
versions        refuses tables of a newer version
"""
