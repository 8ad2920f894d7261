"""Writes what is generated of the chart."""

from tools.chart.documents import documents

for path, text in documents().items():
    path.write_text(text)
