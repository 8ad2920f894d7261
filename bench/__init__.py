"""Measurements of speed and memory. Run by hand: `make bench`, or `.venv/bin/python -m bench [NAME …]`."""
