"""One shard: every key has its row in order whatever fails, the stages really overlap, and they run ahead so far and
no further.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mxspark.dataset.predictions import Row
from mxspark.decode.preprocess import BadImageError
from mxspark.errors import MxsparkError
from mxspark.row_status import RowStatus
from mxspark.settings.job import PipelineSettings
from mxspark.storage import CredentialsError, FolderStore, MissingError, StorageError
from mxspark.worker import pipeline
from mxspark.worker.pipeline import Stages, Timings

Floats = NDArray[np.float32]
CLASSES = 7
PATIENCE = 20.0  # seconds until a test that waits for something that never happens fails


def fetched(key: str) -> bytes:
    """What is behind a key: its own number; keys that say so are missing or broken."""
    if "missing" in key:
        raise MissingError("there is no such object", place=f"s3://bucket/{key}")
    return key.encode()


def decoded(data: bytes) -> Floats:
    if b"broken" in data:
        raise BadImageError(RowStatus.TRUNCATED, "image file is truncated")
    return np.full((3, 2, 2), int(data.split()[0]), np.float32)


def predicted(images: Floats) -> Floats:
    """The class of an image is its number, modulo CLASSES."""
    return np.asarray(np.eye(CLASSES)[images[:, 0, 0, 0].astype(int) % CLASSES], np.float32)


def stages(batch_size: int = 4, **replaced: Any) -> Stages:
    made = Stages(fetch=fetched, decode=decoded, predict=predicted, batch_size=batch_size, top_k=1, labels=())
    return replace(made, **replaced)


def run(keys: list[str], made: Stages, **ahead: int) -> list[Row]:
    return list(pipeline.run(keys, made, PipelineSettings(**ahead), Timings()))


def numbered(count: int) -> list[str]:
    return [f"{number} ok" for number in range(count)]


# ---- every key, once, in order ----

keys_of_a_shard = st.lists(st.sampled_from(["ok", "missing", "broken"]), max_size=40).map(
    lambda kinds: [f"{number} {kind}" for number, kind in enumerate(kinds)]
)


@given(
    keys=keys_of_a_shard,
    batch_size=st.integers(1, 9),
    fetch_threads=st.integers(1, 8),
    decode_threads=st.integers(1, 4),
    batches_ahead=st.integers(1, 4),
)
@settings(deadline=None, max_examples=100)
def test_every_key_has_its_own_row_in_order_whatever_fails(
    keys: list[str], batch_size: int, fetch_threads: int, decode_threads: int, batches_ahead: int
) -> None:
    here, threads, sizes = threading.get_ident(), set(), []

    def predict(images: Floats) -> Floats:
        threads.add(threading.get_ident())
        sizes.append(len(images))
        return predicted(images)

    rows = run(
        keys,
        stages(batch_size, predict=predict),
        fetch_threads=fetch_threads,
        decode_threads=decode_threads,
        batches_ahead=batches_ahead,
    )

    assert [row.key for row in rows] == keys
    for number, row in enumerate(rows):
        kind = row.key.split()[1]
        assert row.status == {"ok": "ok", "missing": "missing", "broken": "truncated"}[kind]
        assert (row.predictions is None) == (kind != "ok")
        if row.predictions is not None:
            assert row.predictions[0].index == number % CLASSES
    assert threads <= {here}
    assert all(1 <= size <= batch_size for size in sizes)
    assert sum(sizes) == sum(key.endswith("ok") for key in keys)


def test_full_batches_are_filled_so_that_only_the_last_is_short() -> None:
    sizes = []

    def predict(images: Floats) -> Floats:
        sizes.append(len(images))
        return predicted(images)

    run(numbered(10), stages(4, predict=predict))

    assert sizes == [4, 4, 2]


def test_rows_carry_as_many_predictions_as_are_asked_for_with_their_labels() -> None:
    def predict(images: Floats) -> Floats:
        return np.asarray(0.9 * predicted(images) + 0.1 * (np.arange(CLASSES) == 0), np.float32)

    row = run(["3 ok"], stages(predict=predict, top_k=2, labels=[f"class {index}" for index in range(CLASSES)]))[0]

    assert row.predictions is not None
    assert [prediction.label for prediction in row.predictions] == ["class 3", "class 0"]


@pytest.mark.parametrize(
    ("values", "sums_to_one", "words"),
    [
        ([1, 0.5, 0], True, "sum to 1.5"),
        ([0.2, 0.2, 0.2], True, "sum to 0.6"),
        ([1.2, -0.2, 0], True, "from -0.2 to 1.2"),
        ([-3, 0.5, 8], False, "from -3 to 8"),
    ],
)
def test_numbers_that_are_no_probabilities_stop_the_run(values: list[float], sums_to_one: bool, words: str) -> None:
    with pytest.raises(MxsparkError, match=r"^3 ok: the network's output is not probabilities: ") as stopped:
        run(
            ["3 ok"],
            stages(predict=lambda images: np.array([values] * len(images), np.float32), sums_to_one=sums_to_one),
        )

    assert words in stopped.value.problem
    assert "output.kind" in stopped.value.hint


def test_independent_probabilities_need_not_sum_to_one_and_may_have_a_threshold() -> None:
    def predict(images: Floats) -> Floats:
        return np.array([[0.9, 0.2, 0.7, 1.0005]] * len(images), np.float32)

    def named(threshold: float) -> list[tuple[int, float]]:
        (row,) = run(["3 ok"], stages(predict=predict, top_k=3, sums_to_one=False, threshold=threshold))
        return [(prediction.index, round(prediction.probability, 4)) for prediction in row.predictions or ()]

    assert named(0) == [(3, 1.0), (0, 0.9), (2, 0.7)]
    assert named(0.8) == [(3, 1.0), (0, 0.9)]
    assert (
        run(["3 ok"], stages(predict=lambda images: np.array([[0.1]], np.float32), sums_to_one=False, threshold=0.5))[
            0
        ].predictions
        == ()
    )


def test_a_row_says_what_was_wrong_without_repeating_its_key() -> None:
    missing, broken = run(["1 missing", "2 broken"], stages())

    assert (missing.status, missing.error) == ("missing", "there is no such object")
    assert (broken.status, broken.error) == ("truncated", "image file is truncated")


def test_any_storage_error_is_a_row_even_one_that_does_not_name_the_key_with_its_hint() -> None:
    def fetch(key: str) -> bytes:
        raise StorageError("the network is down", "Wait.")

    assert run(["1 ok"], stages(fetch=fetch)) == [Row("1 ok", "fetch_error", "the network is down. Wait.")]


def test_missing_credentials_are_no_row() -> None:
    def fetch(key: str) -> bytes:
        raise CredentialsError("can't get credentials: STS throttled", "Wait.", cause="credentials")

    with pytest.raises(CredentialsError, match="STS throttled"):
        run(["1 ok"], stages(fetch=fetch))


@pytest.mark.parametrize(
    ("said", "row"),
    [
        ("can't read /home/me/photos/x.png", "can't read x.png"),
        ("invalid path: '/etc/ssl/my bundle.pem'", "invalid path: 'my bundle.pem'"),
        ("config=/root/.aws/config, line 3", "config=config, line 3"),
        ("denied on arn:aws:s3:::bucket/photos/x.png by https://host/a/b and/or 1/2", None),
    ],
)
def test_a_row_never_holds_a_path_of_the_machine_that_wrote_it(said: str, row: str | None) -> None:
    def fetch(key: str) -> bytes:
        raise StorageError(said)

    def decode(data: bytes) -> Floats:
        raise BadImageError(RowStatus.DECODE_ERROR, said)

    assert [found.error for found in run(["1 ok"], stages(fetch=fetch)) + run(["1 ok"], stages(decode=decode))] == 2 * [
        row or said
    ]


def test_what_a_folder_says_of_an_image_names_no_path(tmp_path: Path) -> None:
    """Whatever the key looks like: paths are written in more ways than one."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    keys = ["gone.png", "a//b.png", "./c.png", "folder", "file/d.png", "nul\0.png", "x" * 300, "../gone.png"]

    rows = run(keys, stages(fetch=FolderStore(tmp_path).read))

    assert {row.status for row in rows} <= {"missing", "fetch_error", "denied"}
    assert [row.error for row in rows if row.error is None or str(tmp_path) in row.error or "/" in row.error] == []


def test_an_output_that_is_not_a_number_is_a_failed_row() -> None:
    def predict(images: Floats) -> Floats:
        probabilities = predicted(images)
        probabilities[1, 3] = np.nan
        return probabilities

    rows = run(numbered(3), stages(predict=predict))

    assert [row.status for row in rows] == ["ok", "not_finite", "ok"]
    assert rows[1].predictions is None


@pytest.mark.parametrize("stage", ["fetch", "decode", "predict"])
def test_a_mistake_in_the_program_is_not_taken_for_a_bad_image(stage: str) -> None:
    def mistaken(_: Any) -> Any:
        raise RuntimeError("a mistake")

    changed: dict[str, Any] = {stage: mistaken}
    with pytest.raises(RuntimeError, match="a mistake"):
        run(numbered(100), replace(stages(), **changed))


def test_a_shard_without_keys_has_no_rows() -> None:
    assert run([], stages()) == []


# ---- overlap ----


def test_fetching_goes_on_while_the_network_computes() -> None:
    """The first forward pass ends only when an image of the next batch has been decoded."""
    next_is_decoded = threading.Event()

    def decode(data: bytes) -> Floats:
        if data == b"4 ok":
            next_is_decoded.set()
        return decoded(data)

    def predict(images: Floats) -> Floats:
        assert next_is_decoded.wait(PATIENCE)
        return predicted(images)

    assert len(run(numbered(12), stages(4, decode=decode, predict=predict))) == 12


def test_the_network_computes_while_later_images_are_still_on_their_way() -> None:
    """The images of the second batch arrive only after the first forward pass."""
    computed = threading.Event()

    def fetch(key: str) -> bytes:
        if int(key.split()[0]) >= 4:
            assert computed.wait(PATIENCE)
        return fetched(key)

    def predict(images: Floats) -> Floats:
        computed.set()
        return predicted(images)

    assert len(run(numbered(12), stages(4, fetch=fetch, predict=predict))) == 12


def test_rows_come_out_before_the_shard_is_read_to_its_end() -> None:
    may_end = threading.Event()

    def fetch(key: str) -> bytes:
        if key == "11 ok":
            assert may_end.wait(PATIENCE)
        return fetched(key)

    rows = pipeline.run(numbered(12), stages(4, fetch=fetch), PipelineSettings(), Timings())

    assert [next(rows).key for _ in range(8)] == numbered(8)
    may_end.set()
    assert len(list(rows)) == 4


class Crowd:
    """Counts how many threads are inside at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1


@pytest.mark.parametrize("threads", [1, 2, 5, 16])
def test_so_many_objects_are_fetched_at_a_time_as_are_asked_for_and_no_more(threads: int) -> None:
    crowd, together = Crowd(), threading.Barrier(threads)

    def fetch(key: str) -> bytes:
        with crowd:
            if int(key.split()[0]) < threads:
                together.wait(PATIENCE)
            time.sleep(0.001)  # so that one too many would be seen
            return fetched(key)

    assert (
        len(run(numbered(4 * threads), stages(4, fetch=fetch), fetch_threads=threads, batches_ahead=16)) == 4 * threads
    )
    assert crowd.most == threads


@pytest.mark.parametrize("threads", [1, 3])
def test_so_many_images_are_decoded_at_a_time_and_no_more(threads: int) -> None:
    crowd, together = Crowd(), threading.Barrier(threads)

    def decode(data: bytes) -> Floats:
        with crowd:
            if int(data.split()[0]) < threads:
                together.wait(PATIENCE)
            time.sleep(0.001)  # so that one too many would be seen
            return decoded(data)

    assert len(run(numbered(24), stages(4, decode=decode), decode_threads=threads, fetch_threads=8)) == 24
    assert crowd.most == threads


def test_waiting_for_a_slow_object_does_not_keep_others_from_being_decoded() -> None:
    """With one image decoded at a time, the first object arrives only after the second has been decoded."""
    second_is_decoded = threading.Event()

    def fetch(key: str) -> bytes:
        if key == "0 ok":
            assert second_is_decoded.wait(PATIENCE)
        return fetched(key)

    def decode(data: bytes) -> Floats:
        if data == b"1 ok":
            second_is_decoded.set()
        return decoded(data)

    assert [row.key for row in run(numbered(4), stages(4, fetch=fetch, decode=decode), decode_threads=1)] == numbered(4)


# ---- bounds ----


@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 6),
    fetch_threads=st.integers(1, 16),
    batches_ahead=st.integers(1, 4),
)
@settings(deadline=None, max_examples=60)
def test_fetching_never_runs_further_ahead_than_the_batches_that_it_may(
    count: int, batch_size: int, fetch_threads: int, batches_ahead: int
) -> None:
    computed = 0  # images whose forward pass has begun
    furthest = 0

    def fetch(key: str) -> bytes:
        nonlocal furthest
        furthest = max(furthest, int(key.split()[0]) + 1 - computed)
        return fetched(key)

    def predict(images: Floats) -> Floats:
        nonlocal computed
        probabilities = predicted(images)
        computed += len(images)
        return probabilities

    run(
        numbered(count),
        stages(batch_size, fetch=fetch, predict=predict),
        fetch_threads=fetch_threads,
        batches_ahead=batches_ahead,
    )

    # The batch that is gathered for the next forward pass, and `batches_ahead` behind it.
    assert furthest <= batch_size + batches_ahead * batch_size


@pytest.mark.parametrize(("batch_size", "batches_ahead"), [(1, 1), (4, 1), (4, 3)])
def test_while_the_network_computes_fetching_runs_just_so_far_ahead(batch_size: int, batches_ahead: int) -> None:
    started: list[str] = []
    bound = batch_size * (1 + batches_ahead)
    reached, lock = threading.Event(), threading.Lock()

    def fetch(key: str) -> bytes:
        with lock:
            started.append(key)
            if len(started) >= bound:
                reached.set()
        return fetched(key)

    def predict(images: Floats) -> Floats:
        if int(images[0, 0, 0, 0]) == 0:
            assert reached.wait(PATIENCE)
            time.sleep(0.02)  # so that one too many would be seen
            assert len(started) == bound
        return predicted(images)

    assert (
        len(run(numbered(5 * bound), stages(batch_size, fetch=fetch, predict=predict), batches_ahead=batches_ahead))
        == 5 * bound
    )


def test_keys_are_taken_only_as_they_are_needed() -> None:
    taken = 0

    def keys() -> Iterator[str]:
        nonlocal taken
        for key in numbered(1000):
            taken += 1
            yield key

    rows = pipeline.run(keys(), stages(4), PipelineSettings(batches_ahead=2), Timings())
    next(rows)
    rows_taken = taken
    rows.close()  # type: ignore[attr-defined]  # it is a generator

    assert rows_taken <= 4 + 2 * 4


def threads_of_pipelines() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]


@pytest.mark.parametrize("stop", ["close", "mistake"])
def test_a_shard_that_is_given_up_leaves_no_thread_and_fetches_no_more(stop: str) -> None:
    started = []

    def fetch(key: str) -> bytes:
        started.append(key)
        return fetched(key)

    def predict(images: Floats) -> Floats:
        if stop == "mistake":
            raise RuntimeError("a mistake")
        return predicted(images)

    rows = pipeline.run(
        numbered(1000), stages(4, fetch=fetch, predict=predict), PipelineSettings(batches_ahead=2), Timings()
    )
    if stop == "close":
        next(rows)
        rows.close()  # type: ignore[attr-defined]  # it is a generator
    else:
        with pytest.raises(RuntimeError):
            next(rows)

    assert len(started) <= 4 + 2 * 4
    assert threads_of_pipelines() == []


def test_what_waits_to_be_fetched_when_a_shard_is_given_up_is_not_fetched_any_more() -> None:
    started, given_up = [], threading.Event()

    def fetch(key: str) -> bytes:
        started.append(key)
        if key == "4 ok":
            assert given_up.wait(PATIENCE)
        return fetched(key)

    rows = pipeline.run(
        numbered(100), stages(4, fetch=fetch), PipelineSettings(fetch_threads=1, batches_ahead=2), Timings()
    )
    next(rows)
    threading.Timer(0.05, given_up.set).start()  # while closing waits for the one that is on its way
    rows.close()  # type: ignore[attr-defined]  # it is a generator

    assert started == numbered(5)


# ---- where the time went ----


def slowly(function: Callable[[Any], Any], seconds: float) -> Callable[[Any], Any]:
    def slow(argument: Any) -> Any:
        time.sleep(seconds)
        return function(argument)

    return slow


def test_the_times_say_which_stage_took_long() -> None:
    fetching, computing = Timings(), Timings()

    list(pipeline.run(numbered(8), stages(4, fetch=slowly(fetched, 0.02)), PipelineSettings(fetch_threads=2), fetching))
    list(
        pipeline.run(
            numbered(8), stages(4, predict=slowly(predicted, 0.1)), PipelineSettings(fetch_threads=2), computing
        )
    )

    assert fetching.fetch >= 8 * 0.02  # summed over the threads
    assert fetching.starved >= 3 * 0.02
    assert fetching.forward < fetching.starved
    assert computing.forward >= 2 * 0.1
    assert computing.starved < computing.forward


def test_times_add_up() -> None:
    total = Timings(fetch=1, forward=2)
    total.add(Timings(fetch=0.5, write=3))

    assert total == Timings(fetch=1.5, forward=2, write=3)


# ---- the ordered map by itself ----


@given(st.lists(st.integers()), st.integers(1, 5), st.integers(1, 10))
@settings(deadline=None, max_examples=50)
def test_the_ordered_map_is_a_map(items: list[int], threads: int, ahead: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        assert list(pipeline.ordered_map(pool, lambda item: 2 * item, items, ahead)) == [2 * item for item in items]
