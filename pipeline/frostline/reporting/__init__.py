"""The report of a sweep: content (pure), figures, rendering to text, writing the files.

page_limits      which trials a page of bounded size shows
evidence         what is read beyond the trials: layers, predictions, ops without a pass
evidence_tables  what explains the speedup: associations, placement, held-out errors
first_screen     tiles, what to freeze, a pick for each budget
trial_table      every trial, as text and with the values that it is sorted by
bill_table       what a training run takes in every trial
compared_tables  variants, published speedups, schedules
method_facts     how the sweep was measured, in words
content          everything that the report says, as values
section_names    names of sections, for addresses and file names
palette          colours and shapes of the families of policies
figures          Vega-Lite specifications with their data
section_figures  which figures a section gets
page             HTML
render           SVG and PNG, drawn by several processes
rasterise        one of these processes
write            the files below OUT/report
make             a sweep -> its content, or its report in one call
comparison       two sweeps, compared -> their page
up_to_date       whether a report still shows its sweep
"""
