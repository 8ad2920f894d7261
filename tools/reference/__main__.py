"""Writes the pages of docs/ that are generated."""

from tools.reference.pages import pages

for path, text in pages().items():
    path.write_text(text)
