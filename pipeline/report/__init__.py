"""The report of a sweep: content (pure), rendering to text, writing the files.

summary = summarise(sweep.trial_rows())
content = report_content(summary, sweep.manifest)      values
report = render(content)                               HTML, SVG and PNG in memory
page = write_report(report, sweep.out)                 files below OUT/report
"""
