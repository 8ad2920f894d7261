"""Neighbours: those that comparing with all vectors at once finds; in words where there are none."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxspark.dataset import plan
from mxspark.dataset.columns import Columns, VectorColumn
from mxspark.dataset.plan import KeySpool
from mxspark.dataset.predictions import PARTS, Row, encode
from mxspark.errors import MxsparkError, UsageError
from mxspark.run import neighbours
from mxspark.storage import Access, FolderStore
from tests.conftest import Here

LENGTH = 4


def table(folder: Path, vectors: Any, output_format: str = "parquet", parts: int | None = None, size: int = 3) -> Path:
    """A run's output with a vector for each key, None where the image failed; of so many parts."""
    store = FolderStore(folder)
    columns = Columns((VectorColumn("vector", LENGTH),), has_predictions=False)
    with closing(KeySpool()) as spool:
        spool.fill(vectors)
        frozen = plan.write(store, spool, size, {}, {"output": {"format": output_format}})
    for shard in range(frozen.shards if parts is None else parts):
        rows = [
            Row(key, "missing", "gone")
            if vectors[key] is None
            else Row(key, "ok", vectors={"vector": np.array(vectors[key], np.float32)})
            for key in plan.shard_keys(store, shard)
        ]
        store.write(PARTS[output_format].name(shard), encode(rows, None, output_format, columns))
    return folder


def find(folder: Path, key: str, number: int = 3, column: str = "vector") -> neighbours.Neighbours:
    return neighbours.find(str(folder), Access(), key, number, column)


@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
@given(data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_they_are_those_that_comparing_with_all_at_once_finds(
    tmp_path_factory: pytest.TempPathFactory, output_format: str, data: st.DataObject
) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    keys = [f"{place:03}.png" for place in range(data.draw(st.integers(2, 30)))]
    vectors = {key: random.normal(0, 1, LENGTH) for key in keys}
    wanted, number = data.draw(st.sampled_from(keys)), data.draw(st.integers(1, 40))
    folder = table(tmp_path_factory.mktemp("table"), vectors, output_format, size=data.draw(st.integers(1, 9)))

    found = find(folder, wanted, number)

    def cosine(key: str) -> float:
        one, other = vectors[wanted], vectors[key]
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    expected = sorted((key for key in keys if key != wanted), key=cosine, reverse=True)[:number]
    assert [key for _, key in found.nearest] == expected
    np.testing.assert_allclose([value for value, _ in found.nearest], [cosine(key) for key in expected], atol=1e-5)
    assert str(found) == f"Compared with {len(keys) - 1} other image{'' if len(keys) == 2 else 's'}"


VECTORS = {"a": [1, 0, 0, 0], "b": None, "c": [2, 0.1, 0, 0], "d": [0, 1, 0, 0], "e": [0, 0, 0, 0], "f": [1, 1, 0, 0]}


def test_a_person_sees_them(here: Here, tmp_path: Path) -> None:
    told = here("neighbours", table(tmp_path, VECTORS), "--key", "a", "-n", "2").succeeded().output
    assert [line.split() for line in told.splitlines() if line.startswith("  0") or line.startswith("  1")] == [
        ["0.9988", "c"],
        ["0.7071", "f"],
    ]
    assert "Compared with 4 other images; 1 more have no vector (yet)" in told


def test_a_run_that_is_not_done_is_compared_as_far_as_it_is(tmp_path: Path) -> None:
    found = find(table(tmp_path, VECTORS, parts=1), "a")
    assert [key for _, key in found.nearest] == ["c"]
    assert "4 more have no vector" in str(found)


@pytest.mark.parametrize(
    ("key", "column", "words"),
    [
        ("x", "vector", "x: is not a key of"),
        ("aa", "vector", "aa: is not a key of"),
        ("b", "vector", "b: has no vector in"),
        ("e", "vector", "its vector is all 0"),
        ("a", "features", "has no column 'features' of vectors; it has vector"),
    ],
)
@pytest.mark.parametrize("output_format", ["parquet", "jsonl"])
def test_what_has_no_neighbours_is_told(tmp_path: Path, output_format: str, key: str, column: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        find(table(tmp_path, VECTORS, output_format), key, column=column)
    assert refused.value.hint


def test_a_place_without_vectors_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run has written here"):
        find(tmp_path / "nothing", "a")
    with pytest.raises(UsageError, match="has no vectors: its format is text"):
        find(table(tmp_path / "text", {}, "text"), "a")


def test_parts_that_somebody_else_wrote_are_told(tmp_path: Path) -> None:
    folder = table(tmp_path, VECTORS)
    columns = Columns((VectorColumn("vector", 2),), has_predictions=False)
    rows = [Row(key, "ok", vectors={"vector": np.ones(2, np.float32)}) for key in ("d", "e", "f")]
    FolderStore(folder).write(PARTS["parquet"].name(1), encode(rows, None, "parquet", columns))
    with pytest.raises(MxsparkError, match="its vectors have different lengths"):
        find(folder, "a")

    numbered = pa.table({"key": pa.array([1, 2]), "vector": pa.array([[1.0, 2], [3, 4]], pa.list_(pa.float32(), 2))})
    pq.write_table(numbered, folder / PARTS["parquet"].name(1))
    with pytest.raises(MxsparkError, match="not a part of this run"):
        find(folder, "a")
