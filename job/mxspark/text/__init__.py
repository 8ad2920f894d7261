"""How words, durations, patterns and delimited files are written and read."""
