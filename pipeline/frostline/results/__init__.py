"""From a measured trial to what is stored of it.

profile          a trial's files -> its graph, its trace and what its ops cost
rows             one attempt at a trial -> rows of every table, and its row in `trials`
detail_rows      rows of the other tables
profile_columns  the columns of `trials` that a profile fills
memory_columns   the columns of `trials` with the measured peak
commit           rows and files -> OUT; the row in `trials` is the commit
outcome          the figures of a committed trial that a progress display shows
"""
