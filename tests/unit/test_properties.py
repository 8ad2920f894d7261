"""What holds whatever keys, order, sizes and settings are: a plan, a table that is resumed, a report's statistics,
padding, settings written down.
"""

import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mxspark.dataset import plan, predictions, tops
from mxspark.dataset.plan import KeySpool, Plan
from mxspark.dataset.predictions import PARTS, Counts, Prediction, Row
from mxspark.decode.preprocess import BadImageError
from mxspark.inference.bundle import Bundle, BundleSource
from mxspark.inference.network import Network
from mxspark.row_status import RowStatus
from mxspark.run import statistics, summary
from mxspark.settings.document import dump_yaml, read_yaml
from mxspark.settings.job import (
    SPARK_MEMORY,
    WORKER_MEMORY,
    DynamicAllocationSettings,
    FormatName,
    InputSettings,
    ModelSettings,
    OutputSettings,
    PipelineSettings,
    PlanSettings,
    Settings,
    SparkSettings,
    StorageSettings,
    memory_bytes,
    visible,
)
from mxspark.settings.kubernetes import KubernetesSettings, PodSettings
from mxspark.settings.model_spec import ModelInput, ModelOutput, ModelSpec
from mxspark.settings.sources import EffectiveSettings, effective, environment_layer, file_layer, flag_layer
from mxspark.storage import FolderStore
from mxspark.worker import pipeline
from mxspark.worker.pipeline import Stages, Timings

Floats = NDArray[np.float32]

keys = st.lists(st.text("ab/é \U0001f600", min_size=1, max_size=4), min_size=1, max_size=30)


def frozen(store: FolderStore, listed: list[str], shard_size: int, identity: Mapping[str, Any] | None = None) -> Plan:
    with closing(KeySpool()) as spool:
        spool.fill(listed)
        return plan.write(store, spool, shard_size, identity or {}, {})


def files(folder: str) -> dict[str, bytes]:
    """Everything below a folder but the plan's head, which says when it was made."""
    return {path.name: path.read_bytes() for path in Path(folder).rglob("*.*") if path.name != "plan.json"}


# ---- plan ----


@given(keys, st.integers(1, 5), st.data())
@hypothesis_settings(deadline=None, max_examples=25)
def test_a_plan_depends_on_the_keys_but_not_on_their_order_nor_on_doubles(
    listed: list[str], shard_size: int, data: st.DataObject
) -> None:
    doubles = data.draw(st.lists(st.sampled_from(listed), max_size=10))
    again = data.draw(st.permutations(listed + doubles))
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        first = frozen(FolderStore(Path(one)), listed, shard_size)
        second = frozen(FolderStore(Path(other)), list(again), shard_size)

        assert files(one) == files(other)
        assert replace(second, listed=first.listed, created=first.created, id=first.id) == first


identities = st.dictionaries(
    st.text("abc", max_size=3),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


@given(identities)
@hypothesis_settings(deadline=None, max_examples=25)
def test_what_a_plan_was_made_from_is_read_as_it_was_written_and_differs_from_nothing(identity: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))
        written = frozen(store, ["a.png"], 1, identity)
        read = plan.load(store)

    assert read == written
    assert read is not None
    assert plan.differences(written.identity, read.identity) == []


@given(old=identities, new=identities)
@hypothesis_settings(deadline=None, max_examples=100)
def test_identities_that_differ_in_a_value_are_never_taken_for_the_same(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    def given_values(
        identity: Mapping[str, Any], prefix: tuple[str, ...] = ()
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        """All that is said, path by path; what is null or has nothing in it is not said."""
        for key, value in identity.items():
            if isinstance(value, Mapping):
                yield from given_values(value, (*prefix, key))
            elif value is not None:
                yield (*prefix, key), repr(value)

    if dict(given_values(old)) != dict(given_values(new)) and not {True, False} & {*_plain(old), *_plain(new)}:
        assert plan.differences(old, new)


def _plain(value: Any) -> Iterator[Any]:
    """The numbers and truth values in a value, which Python compares alike."""
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _plain(inner)
    if isinstance(value, int):
        yield value


@given(keys=st.integers(1, 10**8), more=st.integers(0, 10**8), workers=st.integers(1, 500), batch=st.integers(1, 2000))
@hypothesis_settings(deadline=None, max_examples=200)
def test_more_images_never_make_smaller_shards_and_more_workers_never_larger_ones(
    keys: int, more: int, workers: int, batch: int
) -> None:
    size = plan.choose_shard_size(keys, workers, batch)

    assert plan.choose_shard_size(keys + more, workers, batch) >= size
    assert plan.choose_shard_size(keys, workers + 1, batch) <= size


# ---- a table that is resumed ----


def numbered(key: str) -> int:
    return int(key.partition(" ")[0])


def decoded(data: bytes) -> Floats:
    if b"broken" in data:
        raise BadImageError(RowStatus.TRUNCATED, "image file is truncated")
    return np.full((3, 2, 2), numbered(data.decode()), np.float32)


def predicted(images: Floats) -> Floats:
    levels = images[:, 0, 0, :1] / 100
    return np.concatenate([levels, 1 - levels], axis=1)


def run_shard(store: FolderStore, shard: int, output_format: str) -> None:
    """One shard of a table, as a worker does it."""
    stages = Stages(str.encode, decoded, predicted, batch_size=3, top_k=1, labels=("one", "two"))
    rows = list(pipeline.run(plan.shard_keys(store, shard), stages, PipelineSettings(fetch_threads=2), Timings()))
    store.write(PARTS[output_format].name(shard), predictions.encode(rows, None, output_format))


@given(
    kinds=st.lists(st.sampled_from(["ok", "broken"]), min_size=1, max_size=20),
    shard_size=st.integers(1, 6),
    output_format=st.sampled_from(sorted(PARTS)),
    data=st.data(),
)
@hypothesis_settings(deadline=None, max_examples=15)
def test_a_table_is_the_same_in_whatever_order_and_however_often_its_shards_are_run(
    kinds: list[str], shard_size: int, output_format: str, data: st.DataObject
) -> None:
    listed = [f"{number} {kind}" for number, kind in enumerate(kinds)]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        straight, interrupted = FolderStore(Path(one)), FolderStore(Path(other))
        frozen(straight, listed, shard_size)
        made = frozen(interrupted, listed, shard_size)
        for shard in range(made.shards):
            run_shard(straight, shard, output_format)

        # some of them, some twice; then it was killed
        for shard in data.draw(st.lists(st.integers(0, made.shards - 1), max_size=6)):
            run_shard(interrupted, shard, output_format)
        left = sorted(set(range(made.shards)) - predictions.finished_shards(interrupted, output_format))
        for shard in data.draw(st.permutations(left)):
            run_shard(interrupted, shard, output_format)

        assert files(other) == files(one)
        counts = sum(
            (part for _, part in summary.count_parts(interrupted, made, range(made.shards), output_format, None)),
            Counts(),
        )
        assert (counts.rows, counts.ok) == (len(listed), kinds.count("ok"))


# ---- a report's statistics ----

LABELS = ("cat", "dog", None, "2")
kept = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1, width=32)), max_size=3)
drawn_rows = st.lists(
    st.tuples(st.sampled_from(["cat", "dog", "0", "2", "02", ""]), kept | st.sampled_from(["missing", "denied"])),
    max_size=40,
)


def made_row(number: int, truth: str, what: list[tuple[int, float]] | str) -> Row:
    key = f"{truth}/{number:02}"
    if isinstance(what, str):
        return Row(key, what, f"error {number}")
    return Row(key, "ok", None, tuple(Prediction(index, LABELS[index], probability) for index, probability in what))


@given(drawn_rows, st.sampled_from(sorted(PARTS)), st.integers(1, 9), st.booleans())
@hypothesis_settings(deadline=None, max_examples=60)
@example([("cat", [(0, 0.5)])] * 40, "parquet", 7, True)
@example([("cat", [(0, float(np.float32(0.35)))])], "jsonl", 1, False)
def test_what_arrays_of_rows_add_up_to_is_what_the_rows_do_one_by_one(
    drawn: list[tuple[str, Any]], output_format: str, at_once: int, is_labelled: bool
) -> None:
    pattern = r"^(\w+)/" if is_labelled else None
    rows = [made_row(number, *each) for number, each in enumerate(drawn)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tops, "AT_ONCE", 2)
        patch.setattr(statistics, "AT_ONCE", at_once)
        patch.setattr(statistics, "LEAST_CERTAIN", 5)
        store = FolderStore(Path(folder))
        for shard, first in enumerate(range(0, len(rows), 5)):
            part = predictions.encode(rows[first : first + 5], pattern, output_format)
            store.write(PARTS[output_format].name(shard), part)
        found = statistics.gather(store, range((len(rows) + 4) // 5), output_format, pattern)

    examples: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        if row.error:
            examples.setdefault(row.status, []).append((row.key, row.error))
    having = [(row, row.predictions[0]) for row in rows if row.predictions]
    pairs = [(row.key.partition("/")[0], best) for row, best in having if is_labelled and row.key[0] != "/"]
    right = [truth in (best.label, str(best.index)) for truth, best in pairs]

    def by_bin(some: Iterable[Prediction]) -> list[int]:
        # In float32, as arrays are: of 0.35 float64 makes 6.9999998 bins.
        width = np.float32(statistics.BINS)
        bins = Counter(min(int(np.float32(best.probability) * width), statistics.BINS - 1) for best in some)
        return [bins[place] for place in range(statistics.BINS)]

    assert found.counts == Counts(Counter(row.status for row in rows), len(pairs), sum(right))
    assert found.examples == {status: some[: statistics.EXAMPLES] for status, some in examples.items()}
    assert found.classes == Counter(best.index for _, best in having)
    assert found.labels == {best.index: best.label for _, best in having if best.label}
    assert found.confidences.tolist() == by_bin(best for _, best in having)
    assert found.confident == pytest.approx(sum(best.probability for _, best in having))
    by_probability = sorted(having, key=lambda each: each[1].probability)
    assert found.least_certain == tuple(row for row, _ in by_probability[:5])
    assert {row.key for row in found.sample} <= {row.key for row, _ in having} - {
        row.key for row in found.least_certain
    }
    assert found.pairs == Counter((truth, best.index) for truth, best in pairs)
    assert found.labelled_of.tolist() == by_bin(best for _, best in pairs)
    assert found.right_of.tolist() == by_bin(best for (_, best), is_right in zip(pairs, right, strict=True) if is_right)
    assert (found.parts, found.broken) == ((len(rows) + 4) // 5, ())


# ---- padding ----

CLASSES = 12  # a picture's numbers are its logits


@cache
def network(batch_size: int) -> Network:
    """A network whose output is the softmax of its input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MXNet asks for old things
        vars(np).setdefault("bool", bool)
        import mxnet as mx
    with tempfile.TemporaryDirectory() as folder:
        paths = {"symbol": Path(folder, "net-symbol.json"), "params": Path(folder, "net-0000.params")}
        flat = mx.sym.flatten(mx.sym.var("data"))
        paths["symbol"].write_text(mx.sym.FullyConnected(flat, num_hidden=CLASSES, no_bias=True, name="same").tojson())
        mx.nd.save(str(paths["params"]), {"arg:same_weight": mx.nd.eye(CLASSES)})
        spec = ModelSpec(input=ModelInput(height=2, width=2), output=ModelOutput(kind="logits"))
        source = BundleSource(spec, {role: path.name for role, path in paths.items()}, {})
        return Network(Bundle(spec, paths, (), source), batch_size, "cpu")


def picture(key: str) -> Floats:
    """Numbers of which no two pictures have the same."""
    return np.random.default_rng(numbered(key)).uniform(-3, 3, (3, 2, 2)).astype(np.float32)


@given(kinds=st.lists(st.sampled_from(["ok", "ok", "broken"]), max_size=25), batch_size=st.integers(1, 7))
@hypothesis_settings(deadline=None, max_examples=25)
@example(["ok"] * 7, 7)
@example(["ok"] * 8, 7)
@example(["broken"] * 9, 4)
def test_every_image_has_its_own_probabilities_whatever_it_is_padded_with(kinds: list[str], batch_size: int) -> None:
    """The real network, whose batches are always whole; what failed leaves a gap in them."""

    def decode(data: bytes) -> Floats:
        if b"broken" in data:
            raise BadImageError(RowStatus.TRUNCATED, "image file is truncated")
        return picture(data.decode())

    listed = [f"{number} {kind}" for number, kind in enumerate(kinds)]
    stages = Stages(str.encode, decode, network(batch_size).predict, batch_size, top_k=CLASSES, labels=())
    rows = list(pipeline.run(listed, stages, PipelineSettings(fetch_threads=2), Timings()))

    assert [row.key for row in rows] == listed
    for row in rows:
        assert (row.predictions is not None) == row.key.endswith("ok")
        if row.predictions is not None:
            exponents = np.exp(picture(row.key).ravel().astype(np.float64))
            found = [prediction.probability for prediction in sorted(row.predictions, key=lambda p: p.index)]
            np.testing.assert_allclose(found, exponents / exponents.sum(), rtol=1e-4)


# ---- settings ----

# Control characters and halves of characters can't be in a file's name, nor in YAML as they are.
texts = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co")), min_size=1, max_size=8).filter(
    lambda text: text != "null"
)
plain_texts = st.text("aZ09-_.:/#'\"{}[]&*!|>%@`, =é日\U0001f600", min_size=1, max_size=8).filter(
    lambda text: text != "null"
)
counts = st.integers(1, 5000)
seconds = st.floats(1e-9, 86_400)
names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
memories = st.from_regex(r"[1-9][0-9]{0,3}[kmgt]b?", fullmatch=True)


def every_setting(text: st.SearchStrategy[str]) -> st.SearchStrategy[Settings]:
    """Valid settings of every kind, where texts are free made of `text`."""
    place = st.text("abc/ é#:[07", min_size=1, max_size=8)
    digest = st.from_regex("[0-9a-f]{64}", fullmatch=True)
    bundle = st.builds(ModelSettings, path=place)
    single = st.builds(
        ModelSettings,
        symbol=place,
        params=place,
        labels=st.none() | place,
        sha256=st.dictionaries(st.sampled_from(["symbol", "params", "labels"]), digest),
    )
    image_input = st.builds(
        InputSettings,
        path=text.map("s3://in/{}".format),
        base=st.none() | place,
        suffixes=st.lists(text, max_size=3),
        formats=st.lists(st.sampled_from(get_args(FormatName)), min_size=1, max_size=3),
        limit=st.none() | counts,
        max_bytes=counts,
        max_pixels=counts,
        true_label=st.sampled_from([None, r"/([^/]+)/[^/]+$", r"_(\d)\.png$", "(: #)", "([a-z]{2})"]),
    )
    output = st.builds(
        OutputSettings, path=text.map("s3://out/{}".format), format=st.sampled_from(["parquet", "jsonl"])
    )
    text_output = st.builds(
        OutputSettings, path=st.just("s3://out"), format=st.just("text"), text_object=st.none() | place
    )
    return st.builds(
        Settings,
        input=image_input,
        output=output | text_output,
        model=bundle | single,
        context=st.sampled_from(["cpu", "auto"]),
        batch_size=st.integers(1, 4096),
        top_k=counts,
        max_failed_fraction=st.floats(0, 1),
        cache_dir=st.none() | place,
        plan=st.builds(PlanSettings, shard_size=st.none() | counts),
        pipeline=st.builds(PipelineSettings, fetch_threads=st.integers(1, 256), batches_ahead=st.integers(1, 64)),
        storage=st.builds(
            StorageSettings,
            region=st.none() | text,
            anonymous=st.booleans(),
            connect_timeout=seconds,
            read_timeout=seconds,
        ),
        spark=st.builds(
            SparkSettings,
            master=st.sampled_from(["local", "local[*]", "local[8, 2]", "k8s://https://a:443", "yarn"]),
            app_name=text,
            driver_memory=memories.filter(lambda memory: memory_bytes(memory) >= SPARK_MEMORY),
            executor_memory_overhead=st.none() | memories.filter(lambda memory: memory_bytes(memory) >= WORKER_MEMORY),
            dynamic_allocation=st.builds(
                DynamicAllocationSettings, enabled=st.booleans(), max_executors=st.none() | counts
            ),
            conf=st.dictionaries(text, text, max_size=3),
        ),
        kubernetes=st.builds(
            KubernetesSettings,
            namespace=st.none() | names,
            image=st.none()
            | st.sampled_from(["mxspark", "registry:5000/team/mxspark:1.0", f"mxspark@sha256:{64 * '0'}"]),
            image_pull_secrets=st.lists(names, max_size=2),
            credentials_from=st.none() | names,
            executor=st.builds(
                PodSettings,
                node_selector=st.dictionaries(text, text, max_size=2),
                tolerations=st.lists(st.fixed_dictionaries({"key": text, "operator": st.just("Exists")}), max_size=2),
                template=st.just({})
                | st.fixed_dictionaries(
                    {"spec": st.fixed_dictionaries({"nodeSelector": st.dictionaries(text, text, max_size=2)})}
                ),
            ),
            deadline_seconds=st.none() | counts,
        ),
    )


@given(every_setting(texts))
@hypothesis_settings(deadline=None, max_examples=40)
def test_settings_that_are_written_as_a_file_are_read_as_the_same(written: Settings) -> None:
    read = effective([file_layer(read_yaml(dump_yaml(written), "job.yaml"), "job.yaml")])

    assert read.settings == written


def as_texts(written: Settings) -> dict[str, str]:
    """Every setting as a person writes it in a flag or a variable: a text as it is, anything else as YAML (JSON is
    YAML).
    """
    found = {}
    data = written.model_dump(mode="json")
    for path in Settings.leaves():
        value: Any = data
        for key in path:
            value = value[key]
        found[".".join(path)] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return found


@given(every_setting(plain_texts))
@hypothesis_settings(deadline=None, max_examples=40)
def test_settings_that_are_written_as_flags_are_read_as_the_same(written: Settings) -> None:
    read = effective([flag_layer({}, [f"{key}={text}" for key, text in as_texts(written).items()])])

    assert read.settings == written


@pytest.mark.parametrize("place", ["007", "photos #1", "[2024] photos"])
@pytest.mark.parametrize("key", ["input.base", "model.path", "cache_dir"])
def test_an_optional_place_is_taken_as_it_is_written(key: str, place: str) -> None:
    needed = {"input.path": "photos", "output.path": "table", "model.path": "resnet"}
    found = effective([flag_layer(needed, [f"{key}={place}"])])

    assert {name: value for name, value, _ in found.rows()}[key] == place


@given(every_setting(plain_texts))
@hypothesis_settings(deadline=None, max_examples=40)
def test_settings_that_are_shown_as_a_file_are_read_as_the_same(written: Settings) -> None:
    assume(visible(written.model_dump()) == written.model_dump())  # what is secret is a comment
    shown = EffectiveSettings(written, {}).to_yaml()

    assert effective([file_layer(read_yaml(shown, "job.yaml"), "job.yaml")]).settings == written


@given(every_setting(plain_texts))
@hypothesis_settings(deadline=None, max_examples=40)
def test_settings_that_are_written_as_environment_variables_are_read_as_the_same(written: Settings) -> None:
    environ = {"MXSPARK_" + key.upper().replace(".", "__"): text for key, text in as_texts(written).items()}

    assert effective([environment_layer(environ)]).settings == written
