"""The plan: every key in exactly one shard, once, in one order, whatever the keys are."""

import gzip
import json
import random
import tempfile
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from itertools import chain, pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mxspark.dataset import plan
from mxspark.dataset.plan import SAMPLES, KeySpool, Plan
from mxspark.errors import MxsparkError
from mxspark.storage import FolderStore

ODD_KEYS = [
    "a b.png",
    "100%.png",
    "a+b.png",
    "%2B.png",
    "a//b.png",
    "/a.png",
    "a\nb.png",
    "a\r\nb",
    '"quoted".png',
    "it's",
    "\\",
    "日本.png",
]
keys_of_any_kind = st.lists(st.text(min_size=1) | st.sampled_from(ODD_KEYS) | st.text("aé\U0001f600/ %+", min_size=1))


def by_bytes(key: str) -> bytes:
    return key.encode()


def frozen(store: FolderStore, keys: list[str], shard_size: int) -> Plan:
    with closing(KeySpool()) as spool:
        spool.fill(keys)
        return plan.write(store, spool, shard_size, {"model": "resnet"}, {}, {".heic": 12})


@given(keys_of_any_kind, st.integers(1, 7))
@settings(deadline=None, max_examples=100)
@example(ODD_KEYS, 5)
@example(["\U0001f600", "\uffff", "a", "B", ""], 2)
def test_every_key_is_in_exactly_one_shard_once_and_sorted_as_s3_sorts(keys: list[str], shard_size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))

        written = frozen(store, keys, shard_size)

        shards = [plan.shard_keys(store, shard) for shard in range(written.shards)]
        assert list(chain.from_iterable(shards)) == sorted(set(keys), key=by_bytes)
        assert [len(shard) for shard in shards] == [written.size(shard) for shard in range(written.shards)]
        assert all(len(shard) == shard_size for shard in shards[:-1])
        assert all(shards)
        assert (written.keys, written.listed) == (len(set(keys)), len(keys))
        assert plan.load(store) == written


def test_a_plan_of_many_segments_holds_every_key() -> None:
    keys = [f"{number:05d}.png" for number in range(1000)]
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))

        written = frozen(store, random.Random(0).sample(keys, len(keys)), shard_size=3)

        assert written.shards == 334
        assert len(list(Path(folder, "_plan").glob("*.jsonl.gz"))) > 1
        assert [key for shard in range(written.shards) for key in plan.shard_keys(store, shard)] == keys


def test_the_same_keys_are_the_same_plan_in_whatever_order_and_whenever_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"{number}.png" for number in range(500)]

    frozen(FolderStore(tmp_path / "one"), keys, 2)
    monkeypatch.setattr("time.time", lambda: 1e9)
    frozen(FolderStore(tmp_path / "two"), keys[::-1], 2)

    segments = sorted((tmp_path / "one" / "_plan").glob("*.gz"))
    assert segments
    for segment in segments:
        assert segment.read_bytes() == (tmp_path / "two" / "_plan" / segment.name).read_bytes()


def test_a_person_can_read_a_plan(tmp_path: Path) -> None:
    frozen(FolderStore(tmp_path), ["a.png", "日本.png", "c.png"], 2)

    lines = gzip.decompress((tmp_path / "_plan" / "000000.jsonl.gz").read_bytes()).decode().splitlines()
    assert [json.loads(line) for line in lines] == [["a.png", "c.png"], ["日本.png"]]
    assert "日本.png" in lines[1]
    assert json.loads((tmp_path / "_plan" / "plan.json").read_text())["keys"] == 3


def test_an_output_without_a_plan_has_none(tmp_path: Path) -> None:
    assert plan.load(FolderStore(tmp_path / "nowhere")) is None
    assert plan.load(FolderStore(tmp_path)) is None


def test_a_plan_that_was_interrupted_is_none(tmp_path: Path) -> None:
    class BreaksAtTheEnd(FolderStore):
        def write(self, key: str, data: bytes) -> None:
            raise MxsparkError("killed")

    with pytest.raises(MxsparkError, match="killed"):
        frozen(BreaksAtTheEnd(tmp_path), ["a.png"], 1)

    assert (tmp_path / "_plan" / "000000.jsonl.gz").exists()
    assert plan.load(FolderStore(tmp_path)) is None


def test_segments_that_an_interrupted_plan_left_are_no_part_of_the_next_one(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    frozen(store, [f"{number:04}.png" for number in range(500)], 2)
    store.delete(plan.PLAN)
    assert len(list((tmp_path / "_plan").iterdir())) == 4

    written = frozen(store, ["a.png", "b.png", "c.png"], 2)

    assert plan.load(store) == written
    assert [key for shard in range(written.shards) for key in plan.shard_keys(store, shard)] == [
        "a.png",
        "b.png",
        "c.png",
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"no gzip",
        lambda data: data[:-20],
        lambda data: data[:10],
        lambda data: gzip.compress(b"["),
    ],
    ids=["empty", "not gzip", "cut short", "header only", "not JSON"],
)
def test_a_damaged_segment_is_named_with_its_mend(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    store = FolderStore(tmp_path)
    frozen(store, [f"{number:04}.png" for number in range(200)], 2)
    name = "_plan/000001.jsonl.gz"
    store.write(name, spoil(store.read(name)))

    assert plan.shard_keys(store, 63) == ["0126.png", "0127.png"]
    with pytest.raises(MxsparkError) as damaged:
        plan.shard_keys(store, 99)
    assert f"{tmp_path}/{name}: damaged" in damaged.value.problem
    assert "--overwrite" in damaged.value.hint


def test_a_segment_that_is_not_there_is_named(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    frozen(store, ["a.png"], 1)
    store.delete("_plan/000000.jsonl.gz")

    with pytest.raises(MxsparkError, match=r"_plan/000000\.jsonl\.gz"):
        plan.shard_keys(store, 0)


def test_every_plan_has_an_id_of_its_own_though_its_keys_be_the_same(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)

    ids = {frozen(store, ["a.png", "b.png"], 1).id for _ in range(10)}

    assert len(ids) == 10


@pytest.mark.parametrize("shard_size", [1, 3, 10, 64, 1000])
@pytest.mark.parametrize("number", [1, 5, 8, 9, 63, 500, 3000])
def test_samples_are_a_few_keys_from_all_over_the_plan(tmp_path: Path, number: int, shard_size: int) -> None:
    keys = [f"{index:05}.png" for index in range(number)]

    samples = frozen(FolderStore(tmp_path), keys, shard_size).samples

    assert len(set(samples)) == len(samples)
    assert set(samples) <= set(keys)
    assert 1 <= len(samples) <= SAMPLES
    places = [keys.index(key) for key in samples]
    assert places == sorted(places)
    assert len(samples) >= min(SAMPLES // 2, number)
    gaps = [after - before for before, after in pairwise([0, *places, number])]
    assert max(gaps) <= max(shard_size, number / 3) + 1


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"version": 1}'])
def test_a_damaged_plan_is_named_with_its_mend(tmp_path: Path, content: str) -> None:
    store = FolderStore(tmp_path)
    store.write(plan.PLAN, content.encode())

    with pytest.raises(MxsparkError) as damaged:
        plan.load(store)

    assert f"{tmp_path}/_plan/plan.json" in damaged.value.problem
    assert "--overwrite" in damaged.value.hint


def test_a_plan_of_another_version_is_refused(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    frozen(store, ["a.png"], 1)
    content = json.loads(store.read(plan.PLAN))
    store.write(plan.PLAN, json.dumps({**content, "version": 99, "new": True}).encode())

    with pytest.raises(MxsparkError, match="99"):
        plan.load(store)


def test_the_memory_for_planning_does_not_grow_with_the_keys(tmp_path: Path) -> None:
    def peak(number: int) -> int:
        with closing(KeySpool()) as spool:
            tracemalloc.start()
            spool.fill(f"photos/{index:09d}.jpg" for index in range(number))
            plan.write(FolderStore(tmp_path / str(number)), spool, 100, {}, {})
            _, highest = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return highest

    assert peak(60_000) < peak(20_000) + 500_000


# ---- how many images a shard has ----


@given(keys=st.integers(0, 10**8), workers=st.integers(1, 1000), batch_size=st.integers(1, 4096))
@settings(deadline=None, max_examples=200)
def test_a_shard_has_from_one_to_a_thousand_and_some_images_and_no_more_than_there_are(
    keys: int, workers: int, batch_size: int
) -> None:
    size = plan.choose_shard_size(keys, workers, batch_size)

    assert 1 <= size <= min(1024, max(1, keys))


@given(keys=st.integers(1, 10**8), workers=st.integers(1, 1000), batch_size=st.integers(1, 512))
@settings(deadline=None, max_examples=200)
@example(keys=10**6, workers=4, batch_size=48)
@example(keys=14, workers=2, batch_size=16)
def test_a_shard_is_whole_batches_or_a_worker_has_only_one_that_is_smaller_than_a_batch(
    keys: int, workers: int, batch_size: int
) -> None:
    size = plan.choose_shard_size(keys, workers, batch_size)

    assert size % batch_size == 0 or (size < batch_size and (size - 1) * workers < keys <= size * workers)


@given(workers=st.integers(1, 100), batch_size=st.integers(1, 64), more=st.integers(0, 10**7))
@settings(deadline=None, max_examples=200)
def test_every_worker_gets_several_shards_where_there_are_images_enough(
    workers: int, batch_size: int, more: int
) -> None:
    keys = workers * batch_size * 16 + more

    assert -(-keys // plan.choose_shard_size(keys, workers, batch_size)) >= 4 * workers


@given(keys=st.integers(1, 10**8), workers=st.integers(1, 1000), batch_size=st.integers(1, 512))
@settings(deadline=None, max_examples=200)
@example(keys=14, workers=2, batch_size=16)
@example(keys=2000, workers=2, batch_size=16)
def test_shards_begin_small_and_get_smaller_at_the_end(keys: int, workers: int, batch_size: int) -> None:
    size = plan.choose_shard_size(keys, workers, batch_size)

    sizes = plan.tapered(keys, size, workers, batch_size)

    assert 0 <= sum(count * images for count, images in sizes) - keys < sizes[-1][1]
    assert max(images for _, images in sizes) == size
    assert all(images % batch_size == 0 for _, images in sizes) or size < batch_size
    if len(sizes) > 1:
        (first, smallest), *rest = sizes
        assert (first, smallest) == (workers, batch_size)
        assert [images for _, images in rest] == sorted({images for _, images in rest}, reverse=True)
        assert rest[-1][1] == batch_size
        assert all(count >= workers for count, _ in rest[1:])


@given(keys=st.integers(1, 300), workers=st.integers(1, 4), batch_size=st.integers(1, 5))
@settings(deadline=None, max_examples=50)
def test_a_plan_of_several_sizes_is_kept(keys: int, workers: int, batch_size: int) -> None:
    sizes = plan.tapered(keys, plan.choose_shard_size(keys, workers, batch_size), workers, batch_size)
    with tempfile.TemporaryDirectory() as folder, closing(KeySpool()) as spool:
        store = FolderStore(Path(folder))
        spool.fill(f"{number:04}" for number in range(keys))

        written = plan.write(store, spool, 1, {}, {}, sizes=sizes)

        assert plan.load(store) == written
        shards = [plan.shard_keys(store, shard) for shard in range(written.shards)]
        assert [len(shard) for shard in shards] == [written.size(shard) for shard in range(written.shards)]
        assert list(chain.from_iterable(shards)) == [f"{number:04}" for number in range(keys)]


# ---- what changed between two runs ----


def test_what_differs_is_named_with_both_values_however_deep() -> None:
    old = {"model": "a", "input": {"path": "photos", "limit": None}, "top_k": 5}
    new = {"model": "a", "input": {"path": "photos", "limit": 10}, "top_k": 5, "precision": "fp32"}

    assert plan.differences(old, new) == ["input.limit: None -> 10", "precision: None -> fp32"]
    assert plan.differences(old, old) == []
