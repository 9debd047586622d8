"""The report of a sweep: content (pure), figures, rendering to text, writing the files.

shown           which trials a page of bounded size shows
evidence        what is read beyond the trials: layers, predictions, ops without a pass
content         everything that the report says, as values
figures         Vega-Lite specifications with their data
page, render    HTML; SVG and PNG
write           the files below OUT/report

content = content_of(open_sweep("OUT"))         values
html = page(content)                            text
make_report(open_sweep("OUT"))                  files
"""
