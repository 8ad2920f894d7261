"""Text in columns that a first line names: what they are delimited by."""

import csv

DELIMITERS = (",", "\t", ";")


def header(line: str, wanted: str) -> tuple[str, list[str]]:
    """The delimiter by which the first line has a column `wanted`, and the columns' names in small letters; by which it
    has most where it has none. What no CSV reader takes for a line has none either."""
    heads = {delimiter: _names(line, delimiter) for delimiter in DELIMITERS}
    return max(heads.items(), key=lambda head: (wanted in head[1], len(head[1])))


def _names(line: str, delimiter: str) -> list[str]:
    try:
        return [
            name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
        ]
    except csv.Error:  # such as a field of more than 128 KiB
        return []
