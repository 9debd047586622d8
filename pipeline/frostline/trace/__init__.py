"""The only part that imports xprof: from an XSpace file to ops with their times."""
