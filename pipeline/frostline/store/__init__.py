"""The only part that writes Parquet: schemas, the commit protocol, and reading sweeps.

schema          the tables as literal data, from row classes (`columns`); `arrow` checks rows
address         where OUT lies, without showing its keys
outdir          OUT: what is published there, and entered into the `manifest`
amendments      what is computed later of committed trials, as changes of files
lock            one driver at a time: on a disk; `claims` in a store; a `hold` by an `owner`
table_files     where the rows of a trial lie
publication     what a trial's publication changes, in order
files           files below OUT: on a disk (`local`, which follows no link `beneath` OUT), or where
                a URI leads (`remote`, `open_uri`; `waiting` hears Ctrl-C meanwhile)
spool           trials on their way into a store
read            commits and rows; `duckdb_scan` where OUT is on this machine's disk
validate        whether rows that were read can be what a sweep wrote
sweep           a sweep for notebooks and the program; `trial_row` a typed row of `trials`
flat_files      a flat data set as files
storage_errors  what an error of the system means, and what to do
versions        refuses tables of a newer version
"""
