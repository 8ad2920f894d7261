"""The network: its numbers are those that the layers' definitions give, and files that don't fit each other are told
apart in words.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mxspark.errors import UsageError
from mxspark.inference import cuda
from mxspark.inference.bundle import Bundle, BundleSource
from mxspark.inference.model_check import ask_build, ask_model
from mxspark.inference.mxnet import Context, build, choose, load_mxnet
from mxspark.inference.mxnet_process import CrashError
from mxspark.inference.network import Inspection, Network
from mxspark.inference.network import inspect as inspected
from mxspark.settings.model_spec import ModelInput, ModelOutput, ModelSpec
from tests.mx import mx

Floats = NDArray[np.float32]
HEIGHT, WIDTH, CLASSES, BATCH = 2, 4, 5, 4
SPEC = ModelSpec(input=ModelInput(height=HEIGHT, width=WIDTH))
RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(0, 0.02, (CLASSES, 3 * HEIGHT * WIDTH)).astype(np.float32)
BIAS = RANDOM.normal(0, 1, CLASSES).astype(np.float32)
DENSE = {"arg:fc_weight": WEIGHT, "arg:fc_bias": BIAS}


def logits_of(data: Any, name: str = "fc") -> Any:
    return mx.sym.FullyConnected(mx.sym.flatten(data), num_hidden=CLASSES, name=name)


LOGITS = logits_of(mx.sym.var("data"))
NAMES = [f"class {index}" for index in range(CLASSES)]


def images(number: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).uniform(0, 255, (number, 3, HEIGHT, WIDTH)).astype(np.float32)


def dense(pixels: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(pixels.reshape(len(pixels), -1).astype(np.float64) @ WEIGHT.T.astype(np.float64) + BIAS)


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    exponents = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def made(
    folder: Path,
    symbol: Any = LOGITS,
    parameters: Any = DENSE,
    spec: ModelSpec = SPEC,
    labels: Sequence[str] = NAMES,
) -> Bundle:
    """A bundle of a symbol (or the bytes of its file) and parameters (or the bytes of theirs)."""
    paths = {"symbol": folder / "net-symbol.json", "params": folder / "net-0000.params"}
    paths["symbol"].write_bytes(symbol if isinstance(symbol, bytes) else symbol.tojson().encode())
    if isinstance(parameters, bytes):
        paths["params"].write_bytes(parameters)
    elif isinstance(parameters, dict):
        mx.nd.save(
            str(paths["params"]), {name: mx.nd.array(value, dtype=value.dtype) for name, value in parameters.items()}
        )
    else:
        mx.nd.save(str(paths["params"]), [mx.nd.array(value) for value in parameters])
    locations = {role: path.name for role, path in paths.items()} | ({"labels": "synset.txt"} if labels else {})
    return Bundle(spec, paths, tuple(labels), BundleSource(spec, locations, {}))


def inspect(bundle: Bundle) -> Inspection:
    return inspected(bundle)[0]


def saying(**output: Any) -> ModelSpec:
    return SPEC.model_copy(update={"output": ModelOutput(**output)})


def refusal(bundle: Bundle) -> str:
    """The words in which a model is refused, by the look at it and by its use alike."""
    with pytest.raises(UsageError) as refused:
        inspect(bundle)
    with pytest.raises(UsageError) as refused_too:
        Network(bundle, BATCH, "cpu")
    assert str(refused.value) == str(refused_too.value)
    return str(refused.value)


# ---- numbers ----


def test_a_softmax_is_added_to_logits(tmp_path: Path) -> None:
    network = Network(made(tmp_path), BATCH, "cpu")
    pixels = images(BATCH)

    np.testing.assert_allclose(network.predict(pixels), softmax(dense(pixels)), rtol=1e-4, atol=1e-6)
    assert network.inspection.meaning.adds == "softmax"
    assert network.inspection.meaning.why == "the graph ends in FullyConnected, and has a label for each unit"


@pytest.mark.parametrize(
    "end",
    [
        lambda logits: mx.sym.softmax(logits),
        lambda logits: mx.sym.SoftmaxOutput(logits, name="softmax"),
        lambda logits: mx.sym.SoftmaxActivation(logits),
        lambda logits: mx.sym.flatten(mx.sym.reshape(mx.sym.softmax(logits), shape=(0, -1, 1, 1))),
        lambda logits: mx.sym.SoftmaxOutput(logits, mx.sym.var("truth"), name="softmax"),
        lambda logits: mx.sym.clip(mx.sym.softmax(logits), 0, 1),
        lambda logits: mx.sym.cast(mx.sym.cast(mx.sym.softmax(logits), dtype="float64"), dtype="float32"),
        lambda logits: mx.sym.squeeze(
            mx.sym.transpose(mx.sym.expand_dims(mx.sym.softmax(logits), axis=1), axes=(0, 2, 1)), axis=2
        ),
        lambda logits: mx.sym.softmax(mx.sym.reshape(logits, shape=(0, -1, 1, 1)), axis=1),
        lambda logits: mx.sym.BlockGrad(mx.sym.Dropout(mx.sym.softmax(logits))),
    ],
    ids=[
        "softmax",
        "SoftmaxOutput with its label",
        "SoftmaxActivation",
        "reshaped softmax",
        "SoftmaxOutput with a label of another name",
        "clipped softmax",
        "cast softmax",
        "transposed softmax",
        "softmax of maps of one pixel",
        "softmax with what only training needs",
    ],
)
def test_probabilities_stay_as_they_are(tmp_path: Path, end: Any) -> None:
    network = Network(made(tmp_path, end(LOGITS)), BATCH, "cpu")
    pixels = images(BATCH)

    np.testing.assert_allclose(network.predict(pixels), softmax(dense(pixels)), rtol=1e-4, atol=1e-6)
    assert (network.inspection.meaning.kind, network.inspection.meaning.adds) == ("softmax", None)


@pytest.mark.parametrize("fix_gamma", [True, False])
def test_batch_normalization_uses_its_trained_states(tmp_path: Path, fix_gamma: bool) -> None:
    gamma, beta, mean = (RANDOM.normal(0, 1, 3).astype(np.float32) for _ in range(3))
    variance = RANDOM.uniform(0.5, 2, 3).astype(np.float32)
    symbol = logits_of(mx.sym.BatchNorm(mx.sym.var("data"), name="bn", eps=1e-3, fix_gamma=fix_gamma))
    parameters = {
        **DENSE,
        "arg:bn_gamma": gamma,
        "arg:bn_beta": beta,
        "aux:bn_moving_mean": mean,
        "aux:bn_moving_var": variance,
    }
    pixels = images(BATCH)
    scale = (1 if fix_gamma else gamma) / np.sqrt(variance + 1e-3)
    normalized = (pixels - mean[:, None, None]) * np.broadcast_to(scale, 3)[:, None, None] + beta[:, None, None]

    found = Network(made(tmp_path, symbol, parameters), BATCH, "cpu").predict(pixels)

    np.testing.assert_allclose(found, softmax(dense(normalized)), rtol=1e-3, atol=1e-5)


def test_a_convolution_is_what_its_definition_says(tmp_path: Path) -> None:
    kernel = RANDOM.normal(0, 0.02, (CLASSES, 3, HEIGHT, WIDTH)).astype(np.float32)
    symbol = mx.sym.Convolution(
        mx.sym.var("data"), kernel=(HEIGHT, WIDTH), num_filter=CLASSES, no_bias=True, name="conv"
    )
    pixels = images(BATCH)
    expected = softmax(np.einsum("nchw,fchw->nf", pixels.astype(np.float64), kernel))

    network = Network(made(tmp_path, symbol, {"arg:conv_weight": kernel}), BATCH, "cpu")

    np.testing.assert_allclose(network.predict(pixels), expected, rtol=1e-4, atol=1e-6)
    assert network.classes == CLASSES


def test_a_network_may_take_the_colours_last(tmp_path: Path) -> None:
    spec = ModelSpec(input=ModelInput(height=HEIGHT, width=WIDTH, layout="NHWC"))
    pixels = images(BATCH).transpose(0, 2, 3, 1).copy()

    found = Network(made(tmp_path, spec=spec), BATCH, "cpu").predict(pixels)

    np.testing.assert_allclose(found, softmax(dense(pixels)), rtol=1e-4, atol=1e-6)


def test_parameters_in_half_precision_are_computed_in_single(tmp_path: Path) -> None:
    pixels = images(BATCH)
    parameters = {name: value.astype(np.float16) for name, value in DENSE.items()}

    found = Network(made(tmp_path, parameters=parameters), BATCH, "cpu").predict(pixels)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, softmax(dense(pixels)), atol=0.02)


@given(count=st.integers(1, 7), batch=st.integers(1, 7), seed=st.integers(0, 100))
@settings(deadline=None, max_examples=30)
def test_a_short_batch_gives_what_the_same_images_give_in_a_full_one(
    tmp_path_factory: pytest.TempPathFactory, count: int, batch: int, seed: int
) -> None:
    network = Network(made(tmp_path_factory.mktemp("net")), batch, "cpu")
    count = min(count, batch)
    pixels = images(batch, seed)
    full = network.predict(pixels)
    network.predict(images(batch, seed + 1))  # what a batch before left behind must not shine through

    short = network.predict(pixels[:count])

    assert short.shape == (count, CLASSES)
    np.testing.assert_array_equal(short, full[:count])


def test_results_stay_when_the_next_batch_is_computed(tmp_path: Path) -> None:
    network = Network(made(tmp_path), BATCH, "cpu")
    first = network.predict(images(BATCH))
    kept = first.copy()

    network.predict(images(BATCH, seed=9))

    np.testing.assert_array_equal(first, kept)


# ---- what a network is ----


def test_a_look_at_a_model_says_what_it_is(tmp_path: Path) -> None:
    found = inspect(made(tmp_path, parameters={**DENSE, "arg:old_weight": np.zeros(7, np.float32)}))

    assert (found.input_name, found.input_shape) == ("data", (1, 3, HEIGHT, WIDTH))
    assert (found.output_name, found.classes) == ("fc_output", CLASSES)
    assert found.operators == {"Flatten": 1, "FullyConnected": 1}
    assert found.unused == ("old_weight",)


def test_parameters_that_the_graph_does_not_use_change_nothing(tmp_path: Path) -> None:
    pixels = images(BATCH)

    found = Network(
        made(tmp_path, parameters={**DENSE, "arg:old_weight": np.zeros(7, np.float32)}), BATCH, "cpu"
    ).predict(pixels)

    np.testing.assert_allclose(found, softmax(dense(pixels)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("named", [None, "picture"])
def test_the_input_is_found_by_itself_or_by_name(tmp_path: Path, named: str | None) -> None:
    spec = ModelSpec(input=ModelInput(name=named, height=HEIGHT, width=WIDTH))

    assert inspect(made(tmp_path, logits_of(mx.sym.var("picture")), spec=spec)).input_name == "picture"


def test_an_input_of_another_name_is_refused_with_the_right_one(tmp_path: Path) -> None:
    refused = refusal(made(tmp_path, spec=ModelSpec(input=ModelInput(name="picture", height=HEIGHT, width=WIDTH))))

    assert "'picture'" in refused
    assert "data" in refused


def test_a_network_with_a_second_input_is_told_which_one_has_no_numbers(tmp_path: Path) -> None:
    symbol = logits_of(mx.sym.var("picture") + mx.sym.var("data"))

    refused = refusal(
        made(tmp_path, symbol, spec=ModelSpec(input=ModelInput(name="picture", height=HEIGHT, width=WIDTH)))
    )

    assert (
        refused.splitlines()[0] == "net-symbol.json: has further inputs, of which net-0000.params holds no values: data"
    )


TWO = mx.sym.Group([mx.sym.softmax(LOGITS, name="probability"), mx.sym.identity(LOGITS, name="raw")])


@pytest.mark.parametrize("name", ["probability_output", "probability"])
def test_of_several_outputs_the_named_one_is_taken(tmp_path: Path, name: str) -> None:
    pixels = images(BATCH)
    spec = SPEC.model_copy(update={"output": ModelOutput(name=name)})

    network = Network(made(tmp_path, TWO, spec=spec), BATCH, "cpu")

    np.testing.assert_allclose(network.predict(pixels), softmax(dense(pixels)), rtol=1e-4, atol=1e-6)
    assert network.inspection.outputs == ("probability_output", "raw_output")


def test_of_several_outputs_one_has_to_be_named(tmp_path: Path) -> None:
    refused = refusal(made(tmp_path, TWO))

    assert all(part in refused for part in ("probability_output", "raw_output", "output.name"))


def test_an_output_that_is_not_there_is_refused_with_those_there_are(tmp_path: Path) -> None:
    refused = refusal(made(tmp_path, TWO, spec=SPEC.model_copy(update={"output": ModelOutput(name="probabilities")})))

    assert "'probabilities'" in refused
    assert "probability_output" in refused


# ---- files that don't fit each other ----


@pytest.mark.parametrize("lost", sorted(DENSE))
def test_a_parameter_that_is_missing_is_named(tmp_path: Path, lost: str) -> None:
    refused = refusal(made(tmp_path, parameters={name: value for name, value in DENSE.items() if name != lost}))

    assert all(part in refused for part in (lost.removeprefix("arg:"), "net-0000.params", "net-symbol.json"))


def test_the_trained_states_of_batch_normalization_are_not_made_up(tmp_path: Path) -> None:
    symbol = logits_of(mx.sym.BatchNorm(mx.sym.var("data"), name="bn"))
    ones = {"arg:bn_gamma": np.ones(3, np.float32), "arg:bn_beta": np.ones(3, np.float32)}

    assert "bn_moving_mean, bn_moving_var" in refusal(made(tmp_path, symbol, {**DENSE, **ones}))


def test_parameters_of_another_shape_are_named_with_both_shapes(tmp_path: Path) -> None:
    refused = refusal(made(tmp_path, parameters={**DENSE, "arg:fc_weight": WEIGHT[:, :-1]}))

    assert all(part in refused for part in ("fc_weight", "(5, 23)", "(5, 24)", "net-0000.params"))


def test_parameters_of_another_network_are_refused(tmp_path: Path) -> None:
    assert "don't fit" in refusal(made(tmp_path, parameters={"arg:conv_weight": WEIGHT}))


def test_an_image_size_that_the_network_does_not_take_is_refused_with_where_to_mend_it(tmp_path: Path) -> None:
    symbol = mx.sym.Convolution(mx.sym.var("data"), kernel=(3, 3), num_filter=CLASSES, name="conv")
    parameters = {"arg:conv_weight": np.zeros((CLASSES, 3, 3, 3), np.float32), "arg:conv_bias": BIAS}

    refused = refusal(made(tmp_path, symbol, parameters))

    assert "input.height" in refused
    assert "(1, 3, 2, 4)" in refused


def test_a_network_for_one_image_at_a_time_is_refused_before_it_is_used(tmp_path: Path) -> None:
    for symbol in (
        mx.sym.reshape(LOGITS, shape=(1, CLASSES)),
        mx.sym.sum(LOGITS, axis=0, keepdims=True),
        mx.sym.sum(LOGITS),
    ):
        assert "net-symbol.json" in refusal(made(tmp_path, symbol))


@pytest.mark.filterwarnings("ignore:Cannot decide shape")
def test_a_second_input_whose_shape_nothing_tells_is_refused_in_words(tmp_path: Path) -> None:
    symbol = logits_of(mx.sym.concat(mx.sym.flatten(mx.sym.var("data")), mx.sym.var("side_label"), dim=1))

    assert "net-symbol.json" in refusal(made(tmp_path, symbol))


@pytest.mark.parametrize("number", [CLASSES - 1, CLASSES + 1])
def test_labels_of_another_number_than_the_classes_are_refused(tmp_path: Path, number: int) -> None:
    refused = refusal(made(tmp_path, labels=[f"class {index}" for index in range(number)]))

    assert f"{number} labels" in refused
    assert f"{CLASSES} classes" in refused
    assert "synset.txt" in refused


def test_labels_of_the_right_number_pass(tmp_path: Path) -> None:
    assert inspect(made(tmp_path, labels=[f"class {index}" for index in range(CLASSES)])).classes == CLASSES


# ---- files that are no model ----


@given(st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=40)
def test_parameters_that_are_cut_anywhere_are_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, where: float
) -> None:
    bundle = made(tmp_path_factory.mktemp("net"))
    whole = bundle.paths["params"].read_bytes()
    bundle.paths["params"].write_bytes(whole[: int(where * len(whole))])

    assert "net-0000.params" in refusal(bundle)


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=40)
def test_any_other_file_for_parameters_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    assert "net-0000.params" in refusal(made(tmp_path_factory.mktemp("net"), parameters=content))


def test_parameters_without_names_are_refused(tmp_path: Path) -> None:
    assert "names" in refusal(made(tmp_path, parameters=[WEIGHT, BIAS]))


@given(st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=40)
def test_a_symbol_that_is_cut_anywhere_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, where: float
) -> None:
    whole = LOGITS.tojson().encode().rstrip(b"}\n ")

    assert "net-symbol.json" in refusal(made(tmp_path_factory.mktemp("net"), whole[: int(where * len(whole))]))


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
@settings(deadline=None, max_examples=60)
def test_any_other_file_for_a_symbol_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    assert "net-symbol.json" in refusal(made(tmp_path_factory.mktemp("net"), content))


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b'{"nodes": []}', b'{"nodes": [], "arg_nodes": [], "heads": []}']
)
def test_json_that_is_no_symbol_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    assert "net-symbol.json" in refusal(made(tmp_path, content))


def test_an_operator_that_mxnet_does_not_know_is_named(tmp_path: Path) -> None:
    assert "FullyDisconnected" in refusal(
        made(tmp_path, LOGITS.tojson().replace('"FullyConnected"', '"FullyDisconnected"').encode())
    )


def test_the_two_files_swapped_are_refused(tmp_path: Path) -> None:
    bundle = made(tmp_path)
    swapped = {"symbol": bundle.paths["params"], "params": bundle.paths["symbol"]}

    refusal(Bundle(SPEC, swapped, (), bundle.source))


# ---- the context ----

A10, T4, H100 = ("NVIDIA A10", (8, 6)), ("Tesla T4", (7, 5)), ("NVIDIA H100", (9, 0))


def gpu_build(monkeypatch: pytest.MonkeyPatch, *cards: tuple[str, tuple[int, int]], wheel: bool = True) -> None:
    """MXNet as its GPU build is, on a machine with these cards: names and compute capabilities."""
    shown = tuple(cuda.Gpu(index, name, capability, 2**34) for index, (name, capability) in enumerate(cards))
    monkeypatch.setattr(mx.runtime, "Features", lambda: SimpleNamespace(is_enabled=lambda feature: feature == "CUDA"))
    monkeypatch.setattr(mx.context, "num_gpus", lambda: len(cards))
    monkeypatch.setattr(cuda, "look", lambda: cuda.Driver((12, 4), "550.54.15", shown))
    monkeypatch.setattr("mxspark.inference.mxnet._is_wheel", lambda: wheel)


def resolve(context: Context, device: int = 0) -> Any:
    return choose(context, device).context


def test_a_gpu_for_the_cpu_build_is_refused_with_which_build_to_take(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        Network(made(tmp_path), BATCH, "gpu")

    assert (
        refused.value.problem
        == "context gpu: the package mxnet that is installed is the CPU one, which can't use GPU 0"
    )
    assert "mxnet-cu112" in refused.value.hint
    assert "--context cpu" in refused.value.hint


def test_auto_is_the_cpu_where_there_is_no_gpu_and_says_why() -> None:
    assert resolve("auto") == mx.cpu()
    assert choose("auto").why == "the package mxnet that is installed is the CPU one, which can't use GPU 0"
    assert (resolve("cpu"), choose("cpu").why) == (mx.cpu(), "")


def test_auto_and_gpu_are_the_tasks_gpu_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_build(monkeypatch, A10, T4)

    assert resolve("auto", 1) == mx.gpu(1)
    assert resolve("gpu", 1) == mx.gpu(1)
    assert resolve("cpu", 1) == mx.cpu()
    assert choose("auto").why == ""


@pytest.mark.parametrize("context", ["gpu", "auto"])
def test_a_gpu_beyond_those_there_are_is_refused(monkeypatch: pytest.MonkeyPatch, context: Any) -> None:
    gpu_build(monkeypatch, A10, T4)

    with pytest.raises(UsageError, match="no GPU 2"):
        resolve(context, 2)


def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_build(monkeypatch)


def card_that_is_too_new(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_build(monkeypatch, H100)


def driver_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_build(monkeypatch, A10)
    monkeypatch.setattr(cuda, "look", lambda: raise_(cuda.DriverError.of("cuInit says error 999", 999)))


def mxnet_that_finds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_build(monkeypatch, A10)
    monkeypatch.setattr(mx.context, "num_gpus", lambda: 0)


def mxnet_that_can_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_build(monkeypatch, A10)
    words = (
        "Traceback\n  File x\nCUDA: Check failed: e == cudaSuccess (36 vs. 0) : API call is not supported in the "
        "installed CUDA driver"
    )
    monkeypatch.setattr(mx.context, "num_gpus", lambda: raise_(mx.MXNetError(words)))


def raise_(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (no_card, "the NVIDIA driver shows no GPU"),
        (
            card_that_is_too_new,
            "NVIDIA H100 (GPU 0) has compute capability 9.0, and mxnet-cu112 runs on 5.x, 6.x, 7.x and 8.x only",
        ),
        (driver_that_fails, "cuInit says error 999"),
        (mxnet_that_finds_none, "MXNet finds no GPU, though the NVIDIA driver 550.54.15 for CUDA 12.4 shows 1"),
        (mxnet_that_can_not_count, "MXNet can't count the GPUs: e == cudaSuccess (36 vs. 0)"),
    ],
)
def test_a_gpu_that_can_not_be_used_is_refused_and_auto_takes_the_cpu(
    monkeypatch: pytest.MonkeyPatch, machine: Any, words: str
) -> None:
    machine(monkeypatch)

    with pytest.raises(UsageError) as refused:
        resolve("gpu")
    assert words in refused.value.problem
    assert "--context cpu" in refused.value.hint

    chosen = choose("auto")
    assert chosen.context == mx.cpu()
    assert words in chosen.why


def test_each_task_looks_at_its_own_card(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_build(monkeypatch, A10, H100)

    assert resolve("gpu", 0) == mx.gpu(0)
    with pytest.raises(UsageError, match="GPU 1"):
        resolve("gpu", 1)


def test_of_an_mxnet_that_somebody_built_nobody_knows_the_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_build(monkeypatch, H100, wheel=False)

    assert resolve("gpu") == mx.gpu(0)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (
            "libcuda.so.1: cannot open shared object file: No such file or directory",
            ("NVIDIA driver", "docker run --gpus all", "CPU image"),
        ),
        (
            "libcudnn.so.8: cannot open shared object file: No such file or directory",
            ("libcudnn.so.8", "LD_LIBRARY_PATH"),
        ),
        ("libgomp.so.1: cannot open shared object file: No such file or directory", ("libgomp.so.1", "libgomp1")),
    ],
)
def test_a_library_that_mxnet_lacks_is_told_with_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, named: tuple[str, ...]
) -> None:
    (tmp_path / "mxnet.py").write_text(f"raise OSError({words!r})\n")
    monkeypatch.delitem(sys.modules, "mxnet")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UsageError) as refused:
        resolve("cpu")

    assert refused.value.problem.startswith("MXNet can't be loaded: ")
    assert all(part in str(refused.value) for part in named)


# ---- in a process of its own ----


def test_a_model_is_checked_in_a_process_of_its_own(tmp_path: Path) -> None:
    check = ask_model(made(tmp_path), "auto", 60)
    assert check.context == "cpu(0)"
    assert "the CPU one" in check.why
    assert check.inspection == inspect(made(tmp_path))

    with pytest.raises(UsageError, match="has 1 label, but the network has 5 classes") as refused:
        ask_model(made(tmp_path, labels=["one"]), "cpu", 60)
    assert refused.value.hint


def test_what_is_installed_is_told_by_a_process_of_its_own() -> None:
    assert ask_build(60) == build()
    assert (build().version, build().cuda, build().gpus) == (mx.__version__, False, 0)


def test_a_process_that_takes_too_long_or_crashes_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TimeoutError):
        ask_build(0.01)

    (tmp_path / "mxnet.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CrashError, match="killed by signal 6"):
        ask_build(60)


def test_a_numpy_that_mxnet_does_not_work_with_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "__version__", "2.4.6")
    with pytest.raises(
        UsageError, match=r"numpy 2\.4\.6 is installed, and MXNet 1\.9\.1 works with numpy 1 only"
    ) as refused:
        load_mxnet()
    assert "numpy<2" in refused.value.hint


@pytest.mark.parametrize(
    ("graph", "node"),
    [
        (lambda: logits_of(mx.sym.Dropout(mx.sym.var("data"), p=0.01, mode="always", name="drop")), "Dropout drop"),
        (lambda: LOGITS + 0 * mx.sym.random.normal_like(LOGITS, name="noise"), "_random_normal_like noise"),
        (lambda: mx.sym.random.uniform(LOGITS, LOGITS + 1, name="noise"), "_sample_uniform noise"),
        (lambda: mx.sym.random.shuffle(LOGITS, name="mix"), "_shuffle mix"),
        (lambda: LOGITS * mx.sym.np.random.uniform(size=(1,)).as_nd_ndarray(), "_npi_uniform "),
        (
            lambda: logits_of(mx.sym.image.random_brightness(mx.sym.var("data"), 0.9, 1.1, name="light")),
            "_image_random_brightness light",
        ),
        (
            lambda: mx.sym.contrib.cond(
                mx.sym.max(LOGITS),
                lambda: mx.sym.Dropout(LOGITS, mode="always"),
                lambda: LOGITS + 1,
            ),
            "_cond _cond",
        ),
    ],
)
def test_random_numbers_in_prediction_are_refused_by_name(tmp_path: Path, graph: Any, node: str) -> None:
    """By what the graph says: two predictions of one image may be the same by chance."""
    assert (
        f"draws random numbers when it predicts, so that the same image gets other predictions each time: {node}"
        in refusal(made(tmp_path, graph()))
    )


@pytest.mark.parametrize(
    "data",
    [
        mx.sym.Dropout(mx.sym.var("data"), p=0.9),
        mx.sym.Dropout(mx.sym.var("data"), p=0, mode="always"),
        mx.sym.LeakyReLU(mx.sym.var("data"), act_type="rrelu", lower_bound=1, upper_bound=1.00001)[0],
    ],
)
def test_random_numbers_in_training_alone_are_fine(tmp_path: Path, data: Any) -> None:
    pixels = images(BATCH)

    found = Network(made(tmp_path, logits_of(data)), BATCH, "cpu").predict(pixels)

    np.testing.assert_allclose(found, softmax(dense(pixels)), rtol=1e-3, atol=1e-5)


def test_what_no_input_would_mend_is_not_blamed_on_it(tmp_path: Path) -> None:
    problem, hint = refusal(
        made(tmp_path, mx.sym.Convolution(mx.sym.var("data"), kernel=(0, 0), num_filter=1, name="fc"))
    ).splitlines()

    assert "operator fc: " in problem
    assert problem.endswith("incorrect kernel size: [0,0]")
    assert hint == "Any input fails: correct the graph, or export it again."


def test_the_names_in_words_of_mxnet_stay_whole(tmp_path: Path) -> None:
    graph = LOGITS.tojson().replace('"Flatten"', '"Custom", "attrs": {"op_type": "own"}')

    assert "CustomOperator::Get()->Find(params.op_type) != nullptr: Cannot find custom operator own" in refusal(
        made(tmp_path, graph.encode())
    )
