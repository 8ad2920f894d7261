"""A network at another precision: compared with fp32 on images of the input, refused where it differs, and kept."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from tests.conftest import DIGITS, Here
from tests.documentation import filled, shown
from tests.unit.test_network import made

from mxspark.dataset import plan
from mxspark.dataset.plan import KeySpool
from mxspark.errors import MxsparkError, UsageError
from mxspark.inference import bundle, mxnet_process, network, optimize, quantize
from mxspark.inference.bundle import Bundle
from mxspark.inference.figures import Figures
from mxspark.inference.mxnet import load_mxnet
from mxspark.inference.mxnet_process import CrashError, KilledError
from mxspark.inference.net import Net
from mxspark.inference.optimize import Candidate, Precision, Trial
from mxspark.run import precision
from mxspark.run.identity import comparable, identity
from mxspark.run.precision import Optimized, Optimizer
from mxspark.run.progress import Silent
from mxspark.settings.job import ModelSettings, Settings
from mxspark.storage import Access, FolderStore

SIDE, CLASSES, IMAGES = 8, 10, 60
FIGURES = Figures(
    "int8",
    40,
    20,
    0.975,
    0.01,
    0.2,
    40,
    39,
    40,
    {"a": 1e-7},
    "minmax",
    cpu_milliseconds=4.0,
    cpu_milliseconds_fp32=12.0,
)
TRUE_LABEL = r"_(\d)\.png$"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


def settings_of(output: Path, model: Path = DIGITS / "bundle", of_model: Any = None, **more: Any) -> Settings:
    return Settings.model_validate(
        {
            "input": {"path": str(DIGITS / "images"), "true_label": TRUE_LABEL},
            "output": {"path": str(output)},
            "model": {"path": str(model), **(of_model or {})},
            "precision": "int8",
            "comparison_images": IMAGES,
            **more,
        }
    )


def fetched(settings: Settings) -> Bundle:
    return bundle.fetch(bundle.find(settings.model, Access()), Path(settings.output.path), Access())


@pytest.fixture
def keys() -> Iterator[KeySpool]:
    with closing(KeySpool()) as spool:
        spool.fill(path.name for path in (DIGITS / "images").glob("*.png"))
        yield spool


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, what: str) -> None:
        self.notes.append(what)


def test_digits_in_8_bits_stay_what_they_are_and_the_model_is_kept_for_those_who_resume(
    tmp_path: Path, keys: KeySpool, here: Here
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for key in keys.sample(IMAGES):
        shutil.copy(DIGITS / "images" / key, images)
    packed = tmp_path / "packed"
    (command,) = shown("docs/precision.md", "mxspark", "model", "optimize")
    words = filled(command[1:], {"bundle": DIGITS / "bundle", "photos": images, "bundle-int8": packed})
    # Of so few images each that is another class counts much.
    told = here(*words, "--true-label", TRUE_LABEL, "--min-agreement", "0.9").succeeded()
    figures = re.search(
        r"Precision: int8 agrees with fp32 on ([\d.]+)% of 40 held-out images.*\(40 labels\)", told.errors
    )
    assert figures is not None
    assert float(figures[1]) >= 95

    settings = settings_of(tmp_path / "out", min_agreement=0.95)
    store = FolderStore(tmp_path / "out")
    model = bundle.fetch(bundle.find(ModelSettings(path=str(packed)), Access()), tmp_path / "cache", Access())
    Optimized(model, FIGURES).keep(store)
    frozen = plan.write(store, keys, 100, {"optimized": model.digest}, settings.model_dump(mode="json"))
    kept = precision.kept(store, frozen, settings, tmp_path / "cache", Access())
    assert kept is not None
    assert (kept.digest, kept.figures) == (model.digest, FIGURES)
    assert precision.summary(FIGURES, "auto", kept.digest)["precision"] == "int8"
    with pytest.raises(UsageError, match=r"below min_agreement 0\.99"):
        precision.kept(store, frozen, settings_of(tmp_path / "out"), tmp_path / "cache", Access())

    (symbol,) = tmp_path.glob("out/_model/*/*-symbol.json")
    symbol.write_text(symbol.read_text() + " ")
    with pytest.raises(MxsparkError, match="damaged"):
        precision.kept(store, frozen, settings, tmp_path / "cache", Access())


def test_vectors_in_8_bits_keep_their_neighbours_and_those_beside_the_classes_are_left_at_fp32(
    tmp_path: Path, keys: KeySpool
) -> None:
    layer = "digits_pool0_fwd"
    taken = {"output_name": layer, "output_kind": "vector"}
    settings = settings_of(tmp_path / "out", of_model=taken, min_agreement=0.9)
    with precision.optimizer(settings, fetched(settings), Access(), Silent()) as maker:
        found = maker.choose(keys)
        assert found is not None
        assert (found.model.spec.output.kind, found.figures.has_classes, found.figures.labelled) == ("vector", False, 0)
        assert found.figures.agreement >= 0.9
        assert 0 < found.figures.mean_change < 0.01
        operators = network.inspect(found.model, None)[0].operators
        assert any(name.startswith("_sg_mkldnn") for name in operators)

    settings = settings_of(tmp_path / "out", of_model={"output_also": {"features": layer}})
    with (
        precision.optimizer(settings, fetched(settings), Access(), Silent()) as maker,
        pytest.raises(UsageError, match=r"beside its output \(output\.also\) are computed in fp32 only"),
    ):
        maker.choose(keys)


def test_a_network_whose_first_layer_8_bits_ruin_keeps_that_one_at_fp32(tmp_path: Path) -> None:
    """It tells which one of some pixels is brighter by 1 of 255 than the others, and 8 bits of numbers from -0.1 to 0.9
    have steps of nearly 2.
    """
    mx = load_mxnet()
    scores = mx.sym.Flatten(mx.sym.var("data"))
    first = np.zeros((CLASSES, 3 * SIDE * SIDE), np.float32)
    first[:, :CLASSES] = np.eye(CLASSES) - 1 / CLASSES
    parameters = {"arg:fc0_weight": first}
    for number in range(4):
        scores = mx.sym.FullyConnected(scores, num_hidden=CLASSES, no_bias=True, name=f"fc{number}")
        parameters.setdefault(f"arg:fc{number}_weight", np.eye(CLASSES, dtype=np.float32) * 7)
    folder, images = tmp_path / "net", tmp_path / "images"
    folder.mkdir()
    images.mkdir()
    made(folder, mx.sym.softmax(scores, name="p"), parameters)
    (folder / "model.yaml").write_text(
        "symbol: {file: net-symbol.json}\nparams: {file: net-0000.params}\n"
        f"input: {{height: {SIDE}, width: {SIDE}}}\npreprocess: {{scale: 0.00392156862745098, mean: [0.1, 0.1, 0.1]}}\n"
    )
    for number in range(IMAGES):
        pixels = np.full((SIDE, SIDE, 3), number * 254 // (IMAGES - 1), np.uint8)
        pixels.reshape(-1, 3)[number % CLASSES, 0] += 1
        Image.fromarray(pixels).save(images / f"{number:02}.png")
    settings = settings_of(tmp_path / "out", folder, input={"path": str(images)})
    with (
        closing(KeySpool()) as spool,
        precision.optimizer(settings, fetched(settings), Access(), Silent()) as maker,
    ):
        spool.fill(path.name for path in images.iterdir())
        found = maker.choose(spool)
    assert found is not None
    assert (found.figures.wide_layers, found.figures.layers, found.figures.agreement) == (1, 4, 1)
    assert "int8 (the first 1 of 4 layers at fp32) agrees with fp32 on 100.00%" in str(found.figures)


def convolved(data: Any, name: str, channels: int = 8) -> Any:
    return load_mxnet().sym.Convolution(data, kernel=(3, 3), pad=(1, 1), num_filter=channels, name=name)


def error_in_8_bits(symbol: Any, method: str) -> float:
    """How far its numbers in 8 bits are from those at fp32, as a share of these, with random parameters."""
    mx, shape = load_mxnet(), (16, 3, 12, 12)
    random: Any = np.random.default_rng(0)
    shapes = dict(zip(symbol.list_arguments(), symbol.infer_shape(data=shape)[0], strict=True))
    images = random.normal(size=shapes.pop("data")).astype(np.float32)
    parameters = {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}

    def numbers(symbol: Any, arrays: dict[str, Any]) -> Any:
        executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=shape)
        executor.copy_params_from(arrays, allow_extra_params=True)
        return executor.forward(is_train=False, data=mx.nd.array(images))[0].asnumpy()

    prepared = quantize.prepare(mx, Net.read(symbol.tojson(), parameters, {}).tidy(), "data", images)
    narrow, arrays = quantize.quantize(mx, prepared, method)
    expected = numbers(symbol, {name: mx.nd.array(array) for name, array in parameters.items()})
    found = numbers(narrow, {name.removeprefix("arg:"): array for name, array in arrays.items()})
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("method", ["minmax", "minmax7"])
@pytest.mark.parametrize("is_positive", [True, False])
@pytest.mark.parametrize("added", ["positive", "pooled", "joined", "signed", "joined with a signed one"])
def test_a_sum_in_8_bits_is_that_at_fp32(added: str, is_positive: bool, method: str) -> None:
    """Where one of layer and sum has a sign, MXNet by itself cuts off half of the numbers."""
    symbols = load_mxnet().sym
    first = symbols.Activation(convolved(symbols.var("data"), "first"), act_type="relu")
    before = {
        "positive": first,
        "pooled": symbols.Pooling(first, kernel=(3, 3), pad=(1, 1), pool_type="max"),
        "joined": symbols.Concat(first, symbols.Activation(convolved(first, "other"), act_type="relu")),
        "signed": convolved(first, "signed"),
        "joined with a signed one": symbols.Concat(first, convolved(first, "signed")),
    }[added]
    total = convolved(first, "last", 16 if "joined" in added else 8) + before
    symbol = symbols.Activation(total, act_type="relu") if is_positive else total
    assert error_in_8_bits(symbol, method) < 0.04  # 0.1 to 0.6 otherwise


def test_a_network_with_products_can_be_had_in_8_bits() -> None:
    """As those with swish have them: of numbers with a sign and numbers without one."""
    symbols = load_mxnet().sym
    layer = convolved(symbols.var("data"), "first")
    assert error_in_8_bits(convolved(layer * symbols.sigmoid(layer), "last"), "minmax") < 0.04


def test_a_network_that_8_bits_ruin_is_refused_with_the_figures(tmp_path: Path, keys: KeySpool) -> None:
    """Its classes differ by a hundredth of their weights, and 8 bits have steps of as much."""
    mx = load_mxnet()
    random = np.random.default_rng(0)
    weight = (1 + random.normal(0, 3e-3, (CLASSES, 3 * SIDE * SIDE))).astype(np.float32)
    scores = mx.sym.FullyConnected(mx.sym.var("data"), num_hidden=CLASSES, name="fc")
    parameters = {"arg:fc_weight": weight, "arg:fc_bias": -weight.sum(axis=1)}
    folder = tmp_path / "net"
    folder.mkdir()
    made(folder, mx.sym.softmax(scores, name="p"), parameters)
    (folder / "model.yaml").write_text(
        "symbol: {file: net-symbol.json}\nparams: {file: net-0000.params}\n"
        f"input: {{height: {SIDE}, width: {SIDE}}}\npreprocess: {{scale: 0.0039}}\n"
    )
    settings = settings_of(tmp_path / "out", folder)
    with (
        precision.optimizer(settings, fetched(settings), Access(), Silent()) as maker,
        pytest.raises(UsageError, match=r"agrees with fp32 on \d\d?\.\d+% of 40 held-out images") as refused,
    ):
        maker.choose(keys)
    assert "min_agreement" in refused.value.hint


@pytest.mark.parametrize(
    ("agreements", "times", "chosen", "said"),
    [
        ({"int8": 0.995, "bf16": 1.0}, [12.0, 4.0, 6.0], "int8", "bf16, which is slower here"),
        ({"int8": 0.98, "bf16": 1.0}, [12.0, 6.0], "bf16", "int8 agrees with fp32 on 98.00%"),
        ({"int8": 0.98, "bf16": 1.0}, [12.0, 13.0], None, "Precision auto: fp32"),
        ({"int8": 0.5}, [], None, "less than min_agreement 0.99"),
        ({"int8": None}, [], None, "not int8: it can't"),
    ],
)
def test_auto_takes_the_fastest_of_those_that_agree_with_fp32(
    tmp_path: Path,
    keys: KeySpool,
    monkeypatch: pytest.MonkeyPatch,
    agreements: dict[Precision, float | None],
    times: list[float],
    chosen: str | None,
    said: str,
) -> None:
    candidates = [
        Candidate(kind, DIGITS / "bundle", replace(FIGURES, precision=kind, agreement=agreement))
        if agreement is not None
        else Candidate(kind, tmp_path, trouble="it can't")
        for kind, agreement in agreements.items()
    ]
    monkeypatch.setattr(Optimizer, "candidates", lambda *_: tuple(candidates))
    monkeypatch.setattr(mxnet_process, "call_with", lambda *_: times)
    settings = settings_of(tmp_path / "out", precision="auto")
    heard = Notes()
    with precision.optimizer(settings, fetched(settings), Access(), heard) as maker:
        maker._measured = Trial(tmp_path, (1,), 1, [])
        found = maker.choose(keys)
    assert (found and found.figures.precision) == chosen
    assert any(said in note for note in heard.notes)
    if found is not None:
        assert heard.notes[-1] == f"Precision auto: {found.figures}"


@pytest.mark.parametrize(
    "error", [CrashError("killed by signal 11"), KilledError("was killed (signal 9)"), TimeoutError()]
)
def test_auto_goes_on_without_a_precision_whose_process_ends(
    tmp_path: Path, keys: KeySpool, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def call(_environment: object, _seconds: float, function: object, *arguments: Any) -> Any:
        if function is optimize.measure:
            return [12.0, 6.0]
        if "int8" in arguments[1]:
            raise error
        return tuple(Candidate(kind, DIGITS / "bundle", replace(FIGURES, precision=kind)) for kind in arguments[1])

    monkeypatch.setattr(mxnet_process, "call_with", call)
    monkeypatch.setattr("mxspark.host.has_avx512", lambda: True)
    monkeypatch.setattr(Optimizer, "_trial", lambda *_: Trial(tmp_path, (1,), 1, []))
    settings = settings_of(tmp_path / "out", precision="auto", min_agreement=0.9)
    heard = Notes()
    with precision.optimizer(settings, fetched(settings), Access(), heard) as maker:
        found = maker.choose(keys)
    assert (found and found.figures.precision) == (None if isinstance(error, TimeoutError) else "bf16")
    assert any("Precision auto: not int8: " in note for note in heard.notes)
    asked = settings.model_copy(update={"precision": "int8"})
    with precision.optimizer(asked, fetched(asked), Access(), heard) as maker, pytest.raises(MxsparkError):
        maker.choose(keys)


def test_auto_stays_at_fp32_where_the_others_crash_while_they_are_timed(
    tmp_path: Path, keys: KeySpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise CrashError("killed by signal 11")

    monkeypatch.setattr(Optimizer, "candidates", lambda *_: (Candidate("int8", DIGITS / "bundle", FIGURES),))
    monkeypatch.setattr(mxnet_process, "call_with", crash)
    settings = settings_of(tmp_path / "out", precision="auto", min_agreement=0.9)
    heard = Notes()
    with precision.optimizer(settings, fetched(settings), Access(), heard) as maker:
        maker._measured = Trial(tmp_path, (1,), 1, [])
        assert maker.choose(keys) is None
    assert heard.notes == ["Precision auto: fp32, as the others can't be timed: MXNet crashes (killed by signal 11)"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends children with their parents")
def test_the_process_of_a_comparison_ends_with_a_driver_that_is_killed() -> None:
    script = "import time; from mxspark.inference import mxnet_process; mxnet_process.call(300, time.sleep, 300)"
    with subprocess.Popen([sys.executable, "-c", script]) as driver:
        limit = time.monotonic() + 60
        while not (children := psutil.Process(driver.pid).children()) or "mxnet_process" not in str(
            children[0].cmdline()
        ):
            assert time.monotonic() < limit
            time.sleep(0.02)
        driver.kill()
    assert psutil.wait_procs(children, 60)[1] == []


def test_int8_made_with_vnni_is_refused_by_a_processor_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mx = load_mxnet()
    monkeypatch.setattr("mxspark.host.processor_flags", lambda *_: {"avx512_vnni"})
    quantized = mx.sym.contrib.quantize_v2(mx.sym.var("data"), out_type="int8", min_calib_range=-1, max_calib_range=1)
    scores = mx.sym.FullyConnected(
        mx.sym.contrib.dequantize(*quantized), num_hidden=CLASSES, no_bias=True, flatten=True, name="fc"
    )
    parameters = {"arg:fc_weight": np.ones((CLASSES, 3 * SIDE * SIDE), np.float32)}
    made(tmp_path, mx.sym.softmax(scores, name="p"), parameters)
    graph = tmp_path / "net-symbol.json"
    spec = (
        f"symbol: {{file: {graph.name}}}\nparams: {{file: net-0000.params}}\ninput: {{height: {SIDE}, width: {SIDE}}}\n"
    )
    (tmp_path / "model.yaml").write_text(spec)
    plain = graph.read_text()
    assert quantize.marked(plain, "minmax7") == plain
    graph.write_text(quantize.marked(plain, "minmax"))
    model = fetched(settings_of(tmp_path, tmp_path))
    assert network.inspect(model, None)[0].classes == CLASSES
    monkeypatch.setattr("mxspark.host.processor_flags", lambda *_: {"avx512f"})
    assert quantize.marked(plain, "minmax") == plain  # its numbers are those of such a processor
    with pytest.raises(UsageError, match="made for 8 bits on a processor with VNNI"):
        network.inspect(model, None)


def test_a_processor_without_avx512_is_told_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mxspark.host.has_avx512", lambda: False)
    with pytest.raises(UsageError, match="bf16 on processors with AVX-512 only"):
        precision.check_possible(settings_of(tmp_path, precision="bf16"))


def test_another_precision_is_another_job_and_the_made_models_digest_is_not_asked_for(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    model = fetched(settings)
    recorded = {**identity(settings, model), "optimized": "0" * 64}
    assert plan.differences(comparable(recorded), identity(settings, model)) == []
    other = settings.model_copy(update={"precision": "fp32"})
    assert plan.differences(comparable(recorded), identity(other, model)) == ["precision: int8 -> fp32"]


@pytest.mark.parametrize("digest", ["../../elsewhere", 7, "0" * 63])
def test_a_digest_that_none_is_in_a_plan_leads_nowhere(tmp_path: Path, keys: KeySpool, digest: object) -> None:
    settings = settings_of(tmp_path)
    frozen = plan.write(FolderStore(tmp_path), keys, 100, {"optimized": digest}, settings.model_dump(mode="json"))
    with pytest.raises(MxsparkError, match="damaged"):
        precision.kept_digest(FolderStore(tmp_path), frozen)


def test_figures_survive_json() -> None:
    assert Figures.from_json(json.loads(json.dumps(FIGURES.to_json()))) == FIGURES
    assert str(FIGURES) == (
        "int8 agrees with fp32 on 97.50% of 40 held-out images, probabilities change by 0.0100 on average and 0.2000 "
        "at most; accuracy 0.9750 instead of 1.0000 (40 labels); 4.0 CPU-ms an image instead of 12.0"
    )


def test_a_sample_of_keys_is_from_all_over_and_the_same_each_time(keys: KeySpool) -> None:
    sample = keys.sample(100)
    assert sample == keys.sample(100)
    assert len(set(sample)) == 100
    assert {key[:2] for key in sample} >= {"00", "08", "16"}
    assert keys.sample(10_000) == list(keys)
