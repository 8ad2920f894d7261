"""Text in columns that a first line names: what they are delimited by."""

import csv

DELIMITERS = (",", "\t", ";")


def header(line: str, wanted: str) -> tuple[str, list[str]]:
    """The delimiter by which the first line has a column `wanted`, and the columns' names in small letters; by which it has most where it
    has none."""
    heads = {
        delimiter: [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
        for delimiter in DELIMITERS
    }
    return max(heads.items(), key=lambda head: (wanted in head[1], len(head[1])))
