"""What a network's output means: proved by the graph, said by model.yaml, or refused; and models as people have
them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mxspark.errors import UsageError
from mxspark.inference.mxnet import load_mxnet
from mxspark.inference.network import Network
from mxspark.settings.document import read_yaml
from mxspark.settings.model_spec import Kind, ModelInput, ModelOutput, ModelSpec, Preprocessing
from tests.unit.test_network import (
    BATCH,
    BIAS,
    CLASSES,
    DENSE,
    HEIGHT,
    LOGITS,
    SPEC,
    WEIGHT,
    WIDTH,
    dense,
    images,
    inspect,
    logits_of,
    made,
    refusal,
    saying,
    softmax,
)

mx: Any = load_mxnet()
ONE = {"arg:fc_weight": WEIGHT[:1], "arg:fc_bias": BIAS[:1]}
ONE_UNIT = mx.sym.FullyConnected(mx.sym.flatten(mx.sym.var("data")), num_hidden=1, name="fc")


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


# ---- proved by the graph ----


@pytest.mark.parametrize(
    "end",
    [
        lambda logits: mx.sym.sigmoid(logits),
        lambda logits: mx.sym.npx.sigmoid(logits.as_np_ndarray()).as_nd_ndarray(),
        lambda logits: mx.sym.Activation(logits, act_type="sigmoid"),
        lambda logits: mx.sym.LogisticRegressionOutput(logits, name="out"),
        lambda logits: mx.sym.LogisticRegressionOutput(logits, mx.sym.var("truth"), name="out"),
        lambda logits: mx.sym.reshape(mx.sym.clip(mx.sym.sigmoid(logits), 1e-7, 1 - 1e-7), shape=(0, -1, 1, 1)),
    ],
)
def test_independent_probabilities_stay_as_they_are(tmp_path: Path, end: Any) -> None:
    pixels = images(BATCH)
    network = Network(made(tmp_path, end(LOGITS), labels=()), BATCH, "cpu")
    one = Network(made(tmp_path, end(ONE_UNIT), ONE, labels=["cat"]), BATCH, "cpu")

    np.testing.assert_allclose(network.predict(pixels), sigmoid(dense(pixels)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.predict(pixels), sigmoid(dense(pixels)[:, :1]), rtol=1e-4, atol=1e-6)
    assert (network.inspection.meaning.kind, one.inspection.meaning.kind) == ("sigmoid", "sigmoid")


@pytest.mark.parametrize("end", [lambda x: x, lambda x: mx.sym.log_softmax(x), lambda x: mx.sym.identity(x)])
def test_logits_and_logarithms_of_probabilities_get_a_softmax(tmp_path: Path, end: Any) -> None:
    pixels = images(BATCH)
    network = Network(made(tmp_path, end(LOGITS)), BATCH, "cpu")

    np.testing.assert_allclose(network.predict(pixels), softmax(dense(pixels)), rtol=1e-4, atol=1e-6)
    assert network.inspection.meaning.kind == "logits"


def test_a_bias_that_is_added_by_itself_belongs_to_the_last_layer(tmp_path: Path) -> None:
    layer = mx.sym.FullyConnected(mx.sym.flatten(mx.sym.var("data")), num_hidden=CLASSES, no_bias=True, name="fc")
    symbol = mx.sym.broadcast_add(layer, mx.sym.var("fc_bias", shape=(1, CLASSES)))
    pixels = images(BATCH)

    found = Network(made(tmp_path, symbol, {**DENSE, "arg:fc_bias": BIAS[None]}), BATCH, "cpu").predict(pixels)

    np.testing.assert_allclose(found, softmax(dense(pixels)), rtol=1e-4, atol=1e-6)


EXPONENTS, PARTS = mx.sym.exp(LOGITS), LOGITS.get_internals()
UNKNOWN = {
    "a regression": mx.sym.LinearRegressionOutput(LOGITS, name="out"),
    "a normalised vector": mx.sym.L2Normalization(LOGITS),
    "exp/sum": mx.sym.broadcast_div(EXPONENTS, mx.sym.sum(EXPONENTS, axis=1, keepdims=True)),
    "clipped logits": mx.sym.clip(LOGITS, 0, 1),
    "a softmax cut at both ends": mx.sym.clip(mx.sym.softmax(LOGITS), 0.1, 0.9),
    "a softmax over the images": mx.sym.softmax(LOGITS, axis=0),
    "a softmax over an axis of one": mx.sym.softmax(mx.sym.reshape(LOGITS, shape=(0, -1, 1, 1)), axis=-1),
    "rectified numbers": mx.sym.relu(LOGITS),
    "two networks summed": LOGITS
    + mx.sym.FullyConnected(
        mx.sym.flatten(PARTS["data"]), PARTS["fc_weight"], PARTS["fc_bias"], num_hidden=CLASSES, name="fc2"
    ),
    "log_softmax over the images": mx.sym.log_softmax(LOGITS, axis=0),
    "clipped logarithms": mx.sym.clip(mx.sym.log_softmax(LOGITS), 0, 1),
    "cosines of classes": mx.sym.FullyConnected(
        mx.sym.flatten(mx.sym.var("data")),
        mx.sym.L2Normalization(mx.sym.var("fc_weight", shape=WEIGHT.shape)),
        mx.sym.var("fc_bias"),
        num_hidden=CLASSES,
    ),
    "whole numbers": mx.sym.cast(mx.sym.cast(mx.sym.softmax(LOGITS), dtype="int32"), dtype="float32"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_the_graph_does_not_prove_is_asked_for(tmp_path: Path, what: str) -> None:
    refused = refusal(made(tmp_path, UNKNOWN[what]))

    assert all(
        part in refused for part in ("net-symbol.json", f"(N, {CLASSES}", "output.kind", "softmax", "logits", "sigmoid")
    )


@pytest.mark.parametrize("end", [mx.sym.softmax(LOGITS), mx.sym.sigmoid(LOGITS)])
def test_probabilities_to_which_something_is_added_are_asked_for(tmp_path: Path, end: Any) -> None:
    parameters = {**DENSE, "arg:shift": np.zeros((1, CLASSES), np.float32)}

    assert "output.kind" in refusal(made(tmp_path, mx.sym.broadcast_add(end, mx.sym.var("shift")), parameters))


def test_a_linear_layer_without_labels_may_be_anything(tmp_path: Path) -> None:
    assert "no labels" in refusal(made(tmp_path, labels=()))
    assert inspect(made(tmp_path, labels=(), spec=saying(kind="logits"))).meaning.adds == "softmax"


SIGMOID, SOFTMAX = mx.sym.sigmoid(LOGITS, name="end"), mx.sym.softmax(LOGITS, name="end")


@pytest.mark.parametrize(
    ("graph", "function"),
    [
        (SIGMOID, sigmoid),
        (mx.sym.LogisticRegressionOutput(mx.sym.Flatten(mx.sym.identity(LOGITS)), name="end"), sigmoid),
        (mx.sym.Group([SIGMOID, mx.sym.Activation(LOGITS, act_type="sigmoid")]), sigmoid),
        (mx.sym.Group([LOGITS, SIGMOID]), sigmoid),
        (SOFTMAX, softmax),
        (mx.sym.SoftmaxOutput(mx.sym.reshape(LOGITS, shape=(0, -1)), name="end"), softmax),
        (mx.sym.Group([LOGITS, mx.sym.log_softmax(LOGITS)]), softmax),
        (mx.sym.Group([SOFTMAX, mx.sym.MakeLoss(mx.sym.softmax_cross_entropy(LOGITS, mx.sym.var("truth")))]), softmax),
        (mx.sym.Group([LOGITS, mx.sym.BlockGrad(LOGITS)]), softmax),  # for it has labels
    ],
)
def test_an_inner_layer_means_what_the_graph_makes_of_it(tmp_path: Path, graph: Any, function: Any) -> None:
    pixels = images(BATCH)
    network = Network(made(tmp_path, graph, spec=saying(name="fc")), BATCH, "cpu")

    np.testing.assert_allclose(network.predict(pixels), function(dense(pixels)), rtol=1e-4, atol=1e-6)
    assert network.inspection.meaning.adds == function.__name__


@pytest.mark.parametrize(
    "graph",
    [
        mx.sym.FullyConnected(mx.sym.relu(LOGITS), num_hidden=CLASSES, name="last"),
        mx.sym.LinearRegressionOutput(LOGITS, name="last"),
        mx.sym.SVMOutput(LOGITS, name="last"),
        mx.sym.Group([SIGMOID, mx.sym.softmax(LOGITS)]),
        mx.sym.softmax(LOGITS, axis=0),
        mx.sym.sigmoid(mx.sym.broadcast_add(LOGITS, mx.sym.var("fc_bias"))),
        mx.sym.softmax(mx.sym.reshape(LOGITS, shape=(0, 1, -1)), axis=1),
    ],
)
def test_an_inner_layer_of_which_the_graph_makes_something_else_is_asked_for(tmp_path: Path, graph: Any) -> None:
    refused = refusal(made(tmp_path, graph, spec=saying(name="fc")))

    assert "which the graph passes on to" in refused
    assert "output.kind" in refused
    stated = inspect(made(tmp_path, graph, spec=saying(name="fc", kind="sigmoid")))
    assert (stated.meaning.kind, stated.meaning.adds) == ("sigmoid", "sigmoid")


def test_a_layer_that_mixes_probabilities_gives_no_logits(tmp_path: Path) -> None:
    weight = softmax(np.random.default_rng(1).normal(0, 1, (CLASSES, CLASSES))).T.astype(np.float32)
    mixed = mx.sym.FullyConnected(mx.sym.softmax(LOGITS), num_hidden=CLASSES, no_bias=True, name="mix")
    parameters, pixels = {**DENSE, "arg:mix_weight": weight}, images(BATCH)

    assert "output.kind" in refusal(made(tmp_path, mixed, parameters))
    found = Network(made(tmp_path, mixed, parameters, spec=saying(kind="softmax")), BATCH, "cpu").predict(pixels)
    np.testing.assert_allclose(found, softmax(dense(pixels)) @ weight.T, rtol=1e-4, atol=1e-6)


def test_a_map_that_the_graph_flattens_has_no_classes(tmp_path: Path) -> None:
    maps = mx.sym.flatten(
        mx.sym.sigmoid(mx.sym.Convolution(mx.sym.var("data"), kernel=(1, 1), num_filter=1, no_bias=True, name="conv"))
    )

    assert "output.kind" in refusal(
        made(tmp_path, maps, {"arg:conv_weight": np.ones((1, 3, 1, 1), np.float32)}, labels=())
    )


@pytest.mark.parametrize("kind", [None, "softmax", "logits", "sigmoid"])
@pytest.mark.parametrize("shape", [(0, 1, CLASSES), (0, CLASSES, 1, 1, 1), (0, 1, 1, CLASSES)])
def test_an_output_of_another_shape_is_no_classifiers(tmp_path: Path, shape: tuple[int, ...], kind: Any) -> None:
    refused = refusal(made(tmp_path, mx.sym.reshape(LOGITS, shape=shape), spec=saying(kind=kind)))

    assert f"(N, {', '.join(map(str, shape[1:]))})" in refused
    assert "output.name" in refused


# ---- said by model.yaml ----


def test_model_yaml_says_what_the_graph_does_not_prove(tmp_path: Path) -> None:
    pixels = images(BATCH)
    stated = {
        "softmax": (UNKNOWN["exp/sum"], softmax(dense(pixels))),
        "logits": (mx.sym.relu(LOGITS), softmax(np.maximum(dense(pixels), 0))),
        "sigmoid": (LOGITS, sigmoid(dense(pixels))),
    }
    for kind, (symbol, expected) in stated.items():
        network = Network(made(tmp_path, symbol, spec=saying(kind=kind), labels=()), BATCH, "cpu")
        np.testing.assert_allclose(network.predict(pixels), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "end", "words"),
    [
        ("logits", mx.sym.softmax(LOGITS), "the graph ends in softmax"),
        ("sigmoid", mx.sym.softmax(LOGITS), "the graph ends in softmax"),
        ("logits", mx.sym.sigmoid(LOGITS), "the graph ends in sigmoid"),
        ("softmax", mx.sym.sigmoid(LOGITS), "the graph ends in sigmoid"),
        ("softmax", LOGITS, "the graph ends in FullyConnected"),
        ("sigmoid", mx.sym.log_softmax(LOGITS), "the graph ends in log_softmax"),
        ("softmax", mx.sym.relu(LOGITS), "sum to"),
        ("sigmoid", mx.sym.relu(LOGITS), "probabilities are 0 to 1"),
        ("logits", mx.sym.softmax(LOGITS) * 1.0, "its numbers are probabilities already"),
    ],
)
def test_what_is_said_must_not_contradict_what_the_graph_does(tmp_path: Path, kind: Any, end: Any, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        inspect(made(tmp_path, end, spec=saying(kind=kind)))
    assert words in refused.value.problem or "probabilities are 0 to 1" in refused.value.problem
    assert "output.kind" in str(refused.value)


def test_a_softmax_over_one_class_would_be_1_for_every_image(tmp_path: Path) -> None:
    for symbol, kind in ((ONE_UNIT, "logits"), (mx.sym.softmax(ONE_UNIT), None)):
        refused = refusal(made(tmp_path, symbol, ONE, labels=["cat"], spec=saying(kind=kind)))
        assert "1.0 for every image" in refused
        assert "sigmoid" in refused


def test_a_threshold_is_for_independent_probabilities(tmp_path: Path) -> None:
    assert "output.threshold" in refusal(made(tmp_path, spec=saying(threshold=0.5)))
    assert inspect(made(tmp_path, mx.sym.sigmoid(LOGITS), spec=saying(threshold=0.5))).meaning.kind == "sigmoid"


def test_what_was_found_is_what_a_bundle_says_from_then_on(tmp_path: Path) -> None:
    found = inspect(made(tmp_path))

    assert (found.pinned(SPEC).output.kind, found.pinned(SPEC).input.channels) == ("logits", 3)
    assert inspect(made(tmp_path, spec=found.pinned(SPEC), labels=())).meaning.kind == "logits"


# ---- networks that can't run ----


def test_a_float16_graph_is_refused_in_mxnets_words(tmp_path: Path) -> None:
    symbol = mx.sym.softmax(mx.sym.cast(logits_of(mx.sym.cast(mx.sym.var("data"), dtype="float16")), dtype="float32"))
    half = {name: value.astype(np.float16) for name, value in DENSE.items()}

    with pytest.raises(UsageError) as refused:
        inspect(made(tmp_path, symbol, half))

    assert "net-symbol.json: can't be computed on cpu(0): float16 fully connected layer is" in refused.value.problem
    assert "Traceback" not in refused.value.problem
    assert "float32" in refused.value.hint


def test_a_convolution_with_the_colours_last_is_refused_in_mxnets_words(tmp_path: Path) -> None:
    symbol = mx.sym.Convolution(
        mx.sym.var("data"), kernel=(HEIGHT, WIDTH), num_filter=CLASSES, layout="NHWC", no_bias=True, name="conv"
    )
    symbol = mx.sym.softmax(mx.sym.flatten(symbol))
    spec = ModelSpec(input=ModelInput(height=HEIGHT, width=WIDTH, layout="NHWC"))
    weight = {"arg:conv_weight": np.zeros((CLASSES, HEIGHT, WIDTH, 3), np.float32)}

    with pytest.raises(UsageError) as refused:
        inspect(made(tmp_path, symbol, weight, spec=spec))

    assert "can't be computed on cpu(0)" in refused.value.problem
    assert "NCHW" in refused.value.hint


def test_parameters_that_are_no_numbers_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        inspect(made(tmp_path, parameters={**DENSE, "arg:fc_bias": BIAS * np.float32("nan")}))
    assert "NaN" in refused.value.hint


# by the second, all probabilities are about 1 / 5, as those of many classes are small
@pytest.mark.parametrize("scale", [1, 0.01])
def test_an_image_whose_numbers_depend_on_others_in_the_batch_is_noticed(tmp_path: Path, scale: float) -> None:
    centred = mx.sym.broadcast_sub(LOGITS, mx.sym.mean(LOGITS, axis=0, keepdims=True))

    with pytest.raises(UsageError, match="change with the rest of the batch"):
        inspect(made(tmp_path, mx.sym.softmax(centred * scale)))


# ---- parameters and inputs as people have them ----


def test_parameters_need_not_say_which_kind_they_are(tmp_path: Path) -> None:
    symbol = logits_of(mx.sym.BatchNorm(mx.sym.var("data"), name="bn", fix_gamma=False))
    states = {
        "bn_gamma": np.ones(3),
        "bn_beta": np.zeros(3),
        "bn_moving_mean": np.full(3, 7.0),
        "bn_moving_var": np.ones(3),
    }
    bare = {name.removeprefix("arg:"): value for name, value in DENSE.items()} | {
        n: v.astype(np.float32) for n, v in states.items()
    }
    pixels = images(BATCH)

    found = Network(made(tmp_path, symbol, bare), BATCH, "cpu").predict(pixels)

    np.testing.assert_allclose(found, softmax(dense((pixels - 7) / np.sqrt(1 + 1e-3))), rtol=1e-3, atol=1e-5)


def test_arrays_of_the_input_and_of_the_labels_among_the_parameters_are_left_out(tmp_path: Path) -> None:
    symbol = mx.sym.SoftmaxOutput(LOGITS, name="softmax")
    more = {"arg:data": np.zeros((9, 9), np.float32), "arg:softmax_label": np.zeros(7, np.float32)}
    pixels = images(BATCH)

    network = Network(made(tmp_path, symbol, {**DENSE, **more}), BATCH, "cpu")

    np.testing.assert_allclose(network.predict(pixels), softmax(dense(pixels)), rtol=1e-4, atol=1e-6)
    assert set(network.inspection.unused) == {"data", "softmax_label"}


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_quantized_parameters_are_none_of_a_graph_of_floats(tmp_path: Path, kind: Any) -> None:
    refused = refusal(made(tmp_path, parameters={**DENSE, "arg:fc_weight": (WEIGHT * 1000).astype(kind)}))

    assert all(part in refused for part in ("fc_weight", f"8 bits ({np.dtype(kind)})", "float32"))


def test_two_variables_of_one_name_are_refused(tmp_path: Path) -> None:
    joined = mx.sym.softmax(LOGITS + logits_of(mx.sym.var("data")))

    assert "several variables of the same name: data, fc_weight, fc_bias" in refusal(made(tmp_path, joined))


def test_a_parameter_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    refused = refusal(made(tmp_path, parameters={**DENSE, "fc_weight": WEIGHT}))

    assert "arg:fc_weight and fc_weight" in refused


def test_parameters_of_save_parameters_are_told_apart_from_those_of_another_network(tmp_path: Path) -> None:
    refused = refusal(made(tmp_path, parameters={"0.weight": WEIGHT, "0.bias": BIAS}))
    assert "save_parameters()" in refused
    assert "export()" in refused

    assert "Give the two files of one model" in refusal(made(tmp_path, parameters={"arg:conv_weight": WEIGHT}))
    assert "Give the two files of one model" not in refusal(made(tmp_path, parameters={"arg:fc_weight": WEIGHT}))


@pytest.mark.parametrize("numpy_semantics", [False, True])
@pytest.mark.parametrize("half", [False, True])
def test_what_gluon_exports_is_what_gluon_computes(tmp_path: Path, numpy_semantics: bool, half: bool) -> None:
    pixels = images(2)
    with mx.util.np_shape(numpy_semantics), mx.util.np_array(numpy_semantics):
        block = mx.gluon.nn.HybridSequential()
        block.add(
            mx.gluon.nn.Conv2D(4, 1), mx.gluon.nn.BatchNorm(), mx.gluon.nn.GlobalAvgPool2D(), mx.gluon.nn.Dense(CLASSES)
        )
        block.initialize(mx.init.Normal(0.02), force_reinit=True)
        block.hybridize()
        expected = block(mx.np.array(pixels) if numpy_semantics else mx.nd.array(pixels)).asnumpy()
        block.export(str(tmp_path / "net"))
    if half:  # as net.cast("float16") leaves them, which a CPU could not run first
        symbol = json.loads((tmp_path / "net-symbol.json").read_text())
        for node in symbol["nodes"]:
            if "__dtype__" in node.get("attrs", {}):
                node["attrs"]["__dtype__"] = "2"
        (tmp_path / "net-symbol.json").write_text(json.dumps(symbol))
        with mx.util.np_shape(numpy_semantics):
            saved = mx.nd.load(str(tmp_path / "net-0000.params"))
            mx.nd.save(
                str(tmp_path / "net-0000.params"), {name: array.astype("float16") for name, array in saved.items()}
            )
    content = (tmp_path / "net-symbol.json").read_bytes(), (tmp_path / "net-0000.params").read_bytes()

    network = Network(made(tmp_path, *content), BATCH, "cpu")

    np.testing.assert_allclose(
        network.predict(pixels), softmax(expected.astype(np.float64)), atol=0.02 if half else 1e-5
    )
    assert bool(network.inspection.notes) == half


@pytest.mark.parametrize("stated", [None, 1])
def test_an_input_of_one_channel_is_found(tmp_path: Path, stated: Any) -> None:
    spec = ModelSpec(
        input=ModelInput(height=HEIGHT, width=WIDTH, channels=stated), preprocess=Preprocessing(mean=(127.5,))
    )
    weight = WEIGHT[:, : HEIGHT * WIDTH]
    pixels = images(BATCH)[:, :1]

    network = Network(made(tmp_path, parameters={**DENSE, "arg:fc_weight": weight}, spec=spec), BATCH, "cpu")

    assert network.inspection.input.channels == 1
    expected = softmax(pixels.reshape(BATCH, -1).astype(np.float64) @ weight.T.astype(np.float64) + BIAS)
    np.testing.assert_allclose(network.predict(pixels), expected, rtol=1e-4, atol=1e-6)


def test_three_means_do_not_fit_one_channel(tmp_path: Path) -> None:
    spec = ModelSpec(input=ModelInput(height=HEIGHT, width=WIDTH), preprocess=Preprocessing(mean=(1, 2, 3)))

    assert "preprocess.mean" in refusal(
        made(tmp_path, parameters={**DENSE, "arg:fc_weight": WEIGHT[:, : HEIGHT * WIDTH]}, spec=spec)
    )


def test_a_channel_that_is_stated_is_not_looked_for(tmp_path: Path) -> None:
    spec = ModelSpec(input=ModelInput(height=HEIGHT, width=WIDTH, channels=1))

    assert f"(1, 1, {HEIGHT}, {WIDTH})" in refusal(made(tmp_path, spec=spec))


def test_a_further_input_may_have_the_same_value_for_every_image(tmp_path: Path) -> None:
    symbol = mx.sym.broadcast_mul(LOGITS, mx.sym.var("stage_num0"))
    pixels = images(BATCH)

    def with_constants(**constants: float) -> ModelSpec:
        return ModelSpec(
            input=ModelInput(height=HEIGHT, width=WIDTH, constants=constants), output=ModelOutput(kind="logits")
        )

    found = Network(made(tmp_path, symbol, spec=with_constants(stage_num0=2.0)), BATCH, "cpu").predict(pixels)

    np.testing.assert_allclose(found, softmax(2 * dense(pixels)), rtol=1e-4, atol=1e-6)
    assert "input.constants: {stage_num0: 0}" in refusal(made(tmp_path, symbol, spec=with_constants()))
    assert "'stage'" in refusal(made(tmp_path, symbol, spec=with_constants(stage_num0=2.0, stage=1.0)))
    assert "a parameter" in refusal(made(tmp_path, symbol, spec=with_constants(stage_num0=2.0, fc_weight=1.0)))


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        (LOGITS + mx.sym.var("shift"), lambda pixels: dense(pixels) + 2),
        (mx.sym.broadcast_mul(LOGITS, mx.sym.var("shift", shape=(0, 1))), lambda pixels: dense(pixels) * 2),
        (
            LOGITS
            + mx.sym.slice_axis(
                mx.sym.concat(LOGITS, mx.sym.var("shift", shape=(0, CLASSES))), axis=1, begin=CLASSES, end=None
            ),
            lambda pixels: dense(pixels) + 2,
        ),
        (
            mx.sym.reshape(mx.sym.reshape(LOGITS, shape=(-1,)) + mx.sym.var("shift"), shape=(-1, CLASSES)),
            lambda pixels: dense(pixels) + 2,
        ),
    ],
)
def test_a_further_input_may_have_an_axis_of_images(tmp_path: Path, symbol: Any, expected: Any) -> None:
    spec = ModelSpec(
        input=ModelInput(height=HEIGHT, width=WIDTH, constants={"shift": 2.0}), output=ModelOutput(kind="logits")
    )
    bundle, pixels = made(tmp_path, symbol, spec=spec), images(BATCH)

    inspect(bundle)
    np.testing.assert_allclose(
        Network(bundle, BATCH, "cpu").predict(pixels), softmax(expected(pixels)), rtol=1e-4, atol=1e-6
    )


def test_a_further_input_whose_shape_the_graph_does_not_tell_is_told(tmp_path: Path) -> None:
    symbol = mx.sym.FullyConnected(
        mx.sym.concat(mx.sym.flatten(mx.sym.var("data")), mx.sym.var("age")), num_hidden=CLASSES, name="fc"
    )
    spec = ModelSpec(
        input=ModelInput(height=HEIGHT, width=WIDTH, constants={"age": 2.0}), output=ModelOutput(kind="logits")
    )

    assert "mx.sym.var('age', shape=(0, 5))" in refusal(made(tmp_path, symbol, spec=spec))


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        (
            mx.sym.broadcast_div(mx.sym.exp(LOGITS), mx.sym.sum(mx.sym.exp(LOGITS), axis=1, keepdims=True)),
            lambda z: softmax(z),
        ),
        (
            mx.sym.softmax(mx.sym.tanh(LOGITS) + mx.sym.Activation(LOGITS, act_type="sigmoid")),
            lambda z: softmax(np.tanh(z) + sigmoid(z)),
        ),
        (
            mx.sym.softmax(mx.sym.abs(LOGITS) + mx.sym.square(mx.sym.identity(LOGITS))),
            lambda z: softmax(np.abs(z) + z**2),
        ),
        (
            mx.sym.softmax(mx.sym.broadcast_add(mx.sym.sin(LOGITS), mx.sym.exp(mx.sym.Dropout(LOGITS)))),
            lambda z: softmax(np.sin(z) + np.exp(z)),
        ),
    ],
)
def test_a_layer_that_two_operators_read_is_computed_right(tmp_path: Path, symbol: Any, expected: Any) -> None:
    """MXNet itself fuses the second one into the layer and then leaves it out."""
    pixels = images(BATCH)

    found = Network(made(tmp_path, symbol, spec=saying(kind="softmax")), BATCH, "cpu").predict(pixels)

    np.testing.assert_allclose(found, expected(dense(pixels)), rtol=1e-4, atol=1e-6)


def _convolved(data: Any, name: str) -> Any:
    return mx.sym.Convolution(data, kernel=(1, 1), num_filter=3, no_bias=True, name=name)


_CONVOLVED = _convolved(mx.sym.var("data"), "a")
_NORMALISED = mx.sym.BatchNorm(_CONVOLVED, name="bn")


@pytest.mark.parametrize(
    "features",
    [
        _convolved(mx.sym.relu(_CONVOLVED), "b") + _CONVOLVED,
        _CONVOLVED + _convolved(_NORMALISED, "b"),
        _CONVOLVED + mx.sym.relu(mx.sym.identity(_CONVOLVED)),
        mx.sym.relu(_NORMALISED) + _NORMALISED,
        _CONVOLVED + _CONVOLVED,
    ],
)
def test_a_convolution_that_two_operators_read_is_computed_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: Any
) -> None:
    """MXNet itself fuses one of them with it, which gives other numbers, or an error."""
    generator = np.random.default_rng(0)
    names = (*features.list_arguments(), *features.list_auxiliary_states())
    shapes = {name: (3, 3, 1, 1) if name.endswith("weight") else (3,) for name in names if name != "data"}
    parameters = {name: generator.uniform(0.1, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    bundle, pixels = made(tmp_path, logits_of(mx.sym.tanh(features * 0.01)), {**DENSE, **parameters}), images(BATCH)

    found = Network(bundle, BATCH, "cpu").predict(pixels)
    monkeypatch.setenv("MXNET_SUBGRAPH_BACKEND", "NONE")

    np.testing.assert_allclose(found, Network(bundle, BATCH, "cpu").predict(pixels), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("end", [lambda logits: logits, lambda logits: mx.sym.softmax(logits, axis=1)])
def test_a_graph_may_leave_away_the_axis_of_a_single_image(tmp_path: Path, end: Any) -> None:
    bundle, pixels = made(tmp_path, mx.sym.squeeze(end(mx.sym.reshape(LOGITS, shape=(0, 0, 1, 1))))), images(1)

    inspect(bundle)
    np.testing.assert_allclose(Network(bundle, 1, "cpu").predict(pixels), softmax(dense(pixels)), rtol=1e-4, atol=1e-6)


def test_an_input_of_whole_numbers_takes_no_fractions(tmp_path: Path) -> None:
    symbol = mx.sym.softmax(logits_of(mx.sym.cast(mx.sym.var("data", dtype="uint8"), dtype="float32")))
    pixels = images(BATCH).round()
    bundle = made(tmp_path, symbol)

    assert "takes uint8" in refusal(
        made(tmp_path, symbol, spec=SPEC.model_copy(update={"preprocess": Preprocessing(scale=1 / 255)}))
    )
    np.testing.assert_allclose(
        Network(bundle, BATCH, "cpu").predict(pixels), softmax(dense(pixels)), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("prefix", ["module.", "arg:module.", "arg:net.module.", "net_"])
def test_a_beginning_that_all_names_of_parameters_have_is_taken_away(tmp_path: Path, prefix: str) -> None:
    parameters = {name.replace("arg:", prefix): value for name, value in DENSE.items()}
    bundle, pixels = made(tmp_path, parameters=parameters), images(BATCH)

    np.testing.assert_allclose(
        Network(bundle, BATCH, "cpu").predict(pixels), softmax(dense(pixels)), rtol=1e-4, atol=1e-6
    )
    assert f"begin with '{prefix.removeprefix('arg:')}'" in inspect(bundle).notes[0]


@pytest.mark.parametrize(
    "parameters",
    [
        {"module.fc_weight": WEIGHT, "net.fc_bias": BIAS},
        {"module.fc_weight": WEIGHT, "module.fc_bias": BIAS, "module.step": BIAS},
        {"module.fc_weight": WEIGHT},
    ],
)
def test_names_with_other_beginnings_than_the_graphs_are_told(tmp_path: Path, parameters: Any) -> None:
    refused = refusal(made(tmp_path, parameters=parameters))

    assert "module.fc_weight instead of fc_weight" in refused
    assert "save_parameters" not in refused


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull"),
        (b"PK\x03\x04archive/data.pkl", "PyTorch"),
        (b"<!DOCTYPE html>", "page of the web"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"", "it is empty"),
    ],
)
def test_another_kind_of_file_in_a_model_s_place_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    assert what in refusal(made(tmp_path, parameters=content))
    assert what in refusal(made(tmp_path, content))


def test_a_symbol_of_an_old_mxnet_loads(tmp_path: Path) -> None:
    symbol = json.loads(mx.sym.SoftmaxOutput(LOGITS, name="prob").tojson())
    for node in symbol["nodes"]:
        node["param"] = node.pop("attrs", {}) if node["op"] != "null" else {}
        node.pop("attrs", None)
        node["inputs"] = [source[:2] for source in node["inputs"]]
        node["backward_source_id"] = -1
    old = {name: symbol[name] for name in ("nodes", "arg_nodes")} | {"heads": [symbol["heads"][0][:2]]}
    pixels = images(BATCH)

    found = Network(made(tmp_path, json.dumps(old).encode()), BATCH, "cpu").predict(pixels)

    np.testing.assert_allclose(found, softmax(dense(pixels)), rtol=1e-4, atol=1e-6)


def test_the_forms_of_a_model_yaml_are_read() -> None:
    spec = ModelSpec.model_validate(
        read_yaml(
            "input: {channels: 1, constants: {stage_num0: 0}}\npreprocess: {mean: [127.5], std: [64]}\noutput: {kind: "
            "sigmoid}",
            "x",
        )
    )

    assert ModelSpec.model_validate(read_yaml("preprocess: {mean: 0.13}", "x")).preprocess.mean == (0.13,)
    assert (spec.input.constants, spec.preprocess.mean, spec.preprocess.std) == ({"stage_num0": 0.0}, (127.5,), (64.0,))


@pytest.mark.parametrize("kind", ["vector", "logits"])
def test_no_numbers_are_neither_classes_nor_a_vector(tmp_path: Path, kind: Kind) -> None:
    empty = mx.sym.slice(LOGITS, begin=(None, CLASSES), end=(None, CLASSES))

    assert "(N, 0)" in refusal(made(tmp_path, empty, labels=(), spec=saying(kind=kind)))
