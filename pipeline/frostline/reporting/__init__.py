"""The report of a sweep: content (pure), figures, rendering to text, writing the files.

page_limits      which trials a page of bounded size shows
evidence         what is read beyond the trials: layers, predictions, ops without a pass
evidence_tables  what explains the speedup: associations, placement, held-out errors
trial_table      every trial, as text and with the values that it is sorted by
bill_table       what a training run takes in every trial
method_facts     how the sweep was measured, in words
content          everything that the report says, as values
figures          Vega-Lite specifications with their data
section_figures  which figures a section gets
page, render     HTML; SVG and PNG
write            the files below OUT/report
make             a sweep -> its content, or its report in one call
comparison       two sweeps, compared -> their page
up_to_date       whether a report still shows its sweep
"""
