"""A few rows of a table, chosen by what they say."""

import heapq
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from mxspark.dataset import predictions, tops
from mxspark.dataset.predictions import Row
from mxspark.dataset.tops import Tops
from mxspark.errors import UsageError
from mxspark.report.finished_run import FinishedRun
from mxspark.row_status import RowStatus
from mxspark.storage import MissingError
from mxspark.text import globs
from mxspark.text.words import listed

FAILED = "failed"  # all statuses but ok


@dataclass(frozen=True, order=True)
class Spot:
    """A row: how probable its class is, and where it lies."""

    probability: float
    shard: int
    row: int


@dataclass(frozen=True)
class Choice:
    """Which rows: of these statuses, this most probable class and keys like this; any where empty."""

    status: str = ""
    label: str = ""
    key: str = ""  # a pattern with * and ?, or the key itself
    least_certain: bool = False

    @cached_property
    def key_pattern(self) -> re.Pattern[str] | None:
        """Raises UsageError where it is no pattern."""
        try:
            return re.compile(globs.regex(self.key)) if self.key else None
        except ValueError as error:
            raise UsageError(f"--key is {self.key!r}: {error}", "Correct the pattern.") from None

    def places(self, some: Tops) -> Iterator[int]:
        """Where the chosen rows are among these."""
        pattern = self.key_pattern
        # In linear time, for a table may have keys of others; Python's patterns take the square of a key's length.
        matched = tops.matching(some.key_texts, pattern.pattern) if pattern is not None else None
        for place, (key, status) in enumerate(zip(some.keys, some.statuses, strict=True)):
            if self.status and not (status == self.status or (self.status == FAILED and status != RowStatus.OK)):
                continue
            if self.label and not self._has_label(some, int(some.indices[place])):
                continue
            if pattern is None or key == self.key or (pattern.fullmatch(key) if matched is None else matched[place]):
                yield place

    def _has_label(self, some: Tops, index: int) -> bool:
        label = some.labels.get(index)
        wanted = self.label.casefold()
        return index >= 0 and (
            str(index) == self.label or (label is not None and (label == self.label or wanted in label.casefold()))
        )


@dataclass(frozen=True)
class Chosen:
    """The first rows of those that were chosen, and of how many rows of the table's parts."""

    rows: tuple[Row, ...]
    looked_at: int


def choose(run: FinishedRun, choice: Choice, number: int) -> Chosen:
    """The first `number` of the chosen rows, or the least certain of them.

    Raises UsageError where the choice can't be one.
    """
    if choice.status and choice.status not in {*RowStatus, FAILED}:
        names = listed([FAILED, *RowStatus], 20)
        raise UsageError(f"--status is {choice.status!r}, which no row has", f"Give one of {names}.")
    spots: list[Spot] = []
    looked_at = 0
    for shard in run.shards:
        for some in tops.read(run.store, shard, run.format):
            looked_at += len(some)
            found = [Spot(float(some.probabilities[place]), *some.origin(place)) for place in choice.places(some)]
            if choice.least_certain:
                certain = (spot for spot in found if spot.probability == spot.probability)  # not NaN
                spots = heapq.nsmallest(number, [*spots, *certain])
            else:
                spots += found[: number - len(spots)]
        if len(spots) >= number and not choice.least_certain:
            break
    return Chosen(tuple(read(run, spots)), looked_at)


def read(run: FinishedRun, spots: list[Spot]) -> Iterator[Row]:
    """The rows at these places, in this order; without those of parts that went away."""
    found: dict[tuple[int, int], Row] = {}
    for shard in sorted({spot.shard for spot in spots}):
        wanted = {spot.row for spot in spots if spot.shard == shard}
        with suppress(MissingError):
            rows = predictions.read_rows(run.store, shard, run.format)
            for place, row in enumerate(islice(rows, max(wanted) + 1)):
                if place in wanted:
                    found[shard, place] = row
    yield from (found[spot.shard, spot.row] for spot in spots if (spot.shard, spot.row) in found)
