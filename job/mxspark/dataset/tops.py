"""The most probable class of each row, some rows at a time: as arrays, for tables of millions of rows."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mxspark.dataset import parquet, predictions
from mxspark.dataset.predictions import PARTS
from mxspark.storage import MissingError, Store

AT_ONCE = 1024  # rows of a part that isn't Parquet


@dataclass(frozen=True)
class Tops:
    """n rows of a part. A row without a class has index -1 and probability NaN."""

    first: int  # place in the part of the first of them
    keys: NDArray[np.object_]  # (n,) of texts
    statuses: NDArray[np.object_]  # (n,) of texts
    errors: NDArray[np.object_]  # (n,) of texts, None where there is none
    indices: NDArray[np.int64]  # (n,)
    probabilities: NDArray[np.float32]  # (n,), 0 to 1
    labels: Mapping[int, str]  # of the classes among `indices`, as far as they have one

    def __len__(self) -> int:
        return len(self.keys)


def read(store: Store, shard: int, output_format: str) -> Iterator[Tops]:
    """Those of a shard's part, nothing where there is none. Raises PartError where it isn't whole."""
    name = PARTS[output_format].name(shard)
    try:
        if output_format == "parquet":
            first = 0
            for columns in parquet.read_tops(store.read(name, predictions.MAX_PART_BYTES), f"{store.name}/{name}"):
                found = Tops(first, *columns)
                first += len(found)
                yield found
            return
        rows = predictions.read_rows(store, shard, output_format)
        first = 0
        while some := list(islice(rows, AT_ONCE)):
            best = [row.predictions[0] if row.predictions else None for row in some]
            yield Tops(
                first,
                np.array([row.key for row in some], object),
                np.array([row.status for row in some], object),
                np.array([row.error for row in some], object),
                np.array([-1 if one is None else one.index for one in best], np.int64),
                np.array([np.nan if one is None else one.probability for one in best], np.float32),
                {one.index: one.label for one in best if one is not None and one.label is not None},
            )
            first += len(some)
    except MissingError:
        return


class TrueLabels:
    """The true label in a key, by the regular expression of input.true_label.

    In RE2, which takes linear time: the expression comes from the output, where others may be able to write. `works`
    says whether RE2 can do it: it has no look-ahead and no references.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = _with_names(pattern)
        self.works = parquet.extracted(np.array(["x"], object), self._pattern) is not None

    def of(self, keys: NDArray[np.object_]) -> tuple[NDArray[np.int64], list[str]]:
        """For each key (n,) the place of its label in a list of labels, -1 where it has none; and that list."""
        found = parquet.extracted(keys, self._pattern) if self.works else None
        return found or (np.full(len(keys), -1, np.int64), [])


def _with_names(pattern: str) -> str:
    """The expression with its first group called `label`, and the other ones as groups that aren't kept."""
    names = iter(["(?P<label>"])
    text = re.sub(
        r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?P<\w+>|(?!\?))",
        lambda match: next(names, "(?:") if match[0].startswith("(") else match[0],
        pattern,
        flags=re.DOTALL,
    )
    return re.sub(r"\\Z", r"\\z", text)
