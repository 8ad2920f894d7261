"""Writes what is generated from the chart's values."""

from tools.chart.documents import documents

for path, text in documents().items():
    path.write_text(text)
