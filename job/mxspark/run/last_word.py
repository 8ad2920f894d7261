"""How a run ended, as data: what a driver leaves for whoever follows it from elsewhere.

In a pod it is the container's termination message, which Kubernetes hands to all who may see pods. Under spark-submit,
whose log may be all that there is, a run that failed also prints it as its last line.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mxspark.errors import MxsparkError, TooManyFailedError
from mxspark.text.words import counted

if TYPE_CHECKING:  # they import numpy and Arrow, which following a job does without until it has ended
    from mxspark.dataset.predictions import Counts, Row
    from mxspark.run.summary import Performance

TERMINATION_LOG = Path("/dev/termination-log")
LONGEST = 4096  # bytes that Kubernetes keeps of a termination message
SHOWN_NUMBERS = 3  # of a vector
LONGEST_CAUSE = 1000  # characters
LINE = "mxspark ended: "  # and the word itself, as JSON
EVENT = "ended"  # of a line that is JSON, which has the word as `word`


@dataclass(frozen=True)
class Results:
    """What a run that came to its end has to show."""

    counts: "Counts"
    skipped: Mapping[str, int]
    performance: "Performance | None"  # None where nothing was left to do
    first_rows: "tuple[Row, ...]"
    table: str  # where the predictions are
    precision: str = ""  # how the network's precision compares with fp32, in words

    def __str__(self) -> str:
        counts = self.counts
        by_status = f" ({counts.failures})" if counts.failed else ""
        return f"{counted(counts.rows, 'image')}: {counts.ok:,} ok, {counts.failed:,} failed{by_status}"

    def to_json(self) -> dict[str, Any]:
        from mxspark.dataset.columns import Columns, VectorColumn
        from mxspark.dataset.predictions import row_to_json

        return {
            "counts": self.counts.to_json(),
            "skipped": dict(self.skipped),
            "performance": self.performance.to_json() if self.performance else None,
            "first_rows": [
                row_to_json(
                    row, Columns(tuple(VectorColumn(name, len(vector)) for name, vector in row.vectors.items()))
                )
                for row in self.first_rows
            ],
            "table": self.table,
            "precision": self.precision,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError where `data` isn't what `to_json` gives."""
        from mxspark.dataset.predictions import Counts, row_from_json
        from mxspark.run.summary import Performance

        return cls(
            Counts.from_json(data["counts"]),
            {str(name): int(number) for name, number in data["skipped"].items()},
            Performance.from_json(data["performance"]) if data["performance"] else None,
            tuple(map(row_from_json, data["first_rows"])),
            str(data["table"]),
            str(data.get("precision", "")),
        )

    def within(self, rows: int) -> Self:
        """With so many of the first rows, each with one prediction."""
        first = (
            replace(
                row,
                predictions=row.predictions[:1] if row.predictions else None,
                vectors={name: vector[:SHOWN_NUMBERS] for name, vector in row.vectors.items()},
            )
            for row in self.first_rows[:rows]
        )
        return replace(self, first_rows=tuple(first))


@dataclass(frozen=True)
class LastWord:
    """How a run ended: its exit code, what was wrong where it is not 0, and its results where it has some."""

    exit_code: int
    cause: str = ""
    hint: str = ""
    results: Results | None = None

    @classmethod
    def of(cls, error: MxsparkError) -> Self:
        """Of a run that failed."""
        results = (
            error.results if isinstance(error, TooManyFailedError) and isinstance(error.results, Results) else None
        )
        return cls(error.exit_code, error.problem[:LONGEST_CAUSE], error.hint[:LONGEST_CAUSE], results)

    def to_json(self, limit: int = LONGEST) -> str:
        """At most `limit` bytes: with fewer first rows where need be, and without results where these are too long
        all the same.
        """
        text = ""
        for rows in (10, 6, 3, 0):
            data = {"exit_code": self.exit_code, "cause": self.cause, "hint": self.hint}
            if self.results is not None:
                data["results"] = self.results.within(rows).to_json()
            text = json.dumps(
                {key: value for key, value in data.items() if value != ""}, ensure_ascii=False, separators=(",", ":")
            )
            if len(text.encode()) <= limit:
                return text
        if self.results is not None:
            return replace(self, results=None).to_json(limit)
        return replace(self, cause=self.cause[: len(self.cause) // 2], hint=self.hint[: len(self.hint) // 2]).to_json(
            limit
        )

    @classmethod
    def read(cls, text: str) -> Self | None:
        """From JSON; None for a text that is something else."""
        try:
            data = json.loads(text)
            results = Results.from_json(data["results"]) if data.get("results") else None
            return cls(int(data["exit_code"]), str(data.get("cause", "")), str(data.get("hint", "")), results)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            return None

    def leave(self, place: Path | None = None) -> None:
        """Writes the termination message, where this process is a pod's."""
        place = place or TERMINATION_LOG
        with suppress(OSError):
            if place.exists():
                place.write_text(self.to_json())

    def line(self) -> str:
        """For a log."""
        return LINE + self.to_json()


def find(lines: list[str]) -> LastWord | None:
    """The last word in a log."""
    words = (LastWord.read(text) for text in map(_word, reversed(lines)) if text)
    return next((word for word in words if word is not None), None)


def _word(line: str) -> str:
    """The word in a line of a log, empty where there is none."""
    line = line.strip()
    if line.startswith(LINE):
        return line.removeprefix(LINE)
    if not (line.startswith("{") and f'"{EVENT}"' in line):
        return ""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    return json.dumps(data.get("word")) if data.get("event") == EVENT else ""
