"""Each operator of ONNX that is converted computes what onnxruntime computes, for batches of one and of three."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from mxspark.convert.operators import OPERATORS
from mxspark.errors import UsageError
from tests.convert.onnx_graphs import Weights, converted, ints, model

ONE = np.array(1.5, np.float32)
# Of each operator the forms that it has: nodes, weights and, where it matters, the opset.
CASES: list[tuple[str, Weights, int]] = [
    *((f"y = {op}(x)", {}, 21) for op in (
        "Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid",
        "HardSwish", "Identity", "LeakyRelu", "LogSoftmax", "LpNormalization", "Mish", "Neg", "Relu", "Selu", "Sigmoid",
        "Sin", "Softmax", "Softplus", "Softsign", "Tanh", "Flatten", "Dropout",
    )),
    *((f"a = Abs(x)\nb = Add(a, one)\ny = {op}(b)", {"one": ONE}, 17) for op in ("Log", "Sqrt", "Reciprocal")),
    *((f"a = Abs(x)\nb = Relu(x)\nc = Add(b, one)\ny = {op}(a, c)", {"one": ONE}, 17) for op in (
        "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum",
    )),
    *((f"y = {op}(x, w)", {"w": shape}, 17) for op in ("Add", "Sub", "Mul", "Div") for shape in (
        (), (1,), (10,), (3, 1, 1), (1, 3, 1, 1), (1, 1, 9, 10), (1, 1, 1, 1),
    )),
    *((f"y = {op}(w, x)", {"w": shape}, 17) for op in ("Sub", "Div") for shape in ((), (9, 1))),
    *(("a = Abs(x)\ny = Pow(a, w)", {"w": np.array(power, np.float32)}, 17) for power in (0.5, 2, 3, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5])),
    ("y = Sum(x, x, w)", {"w": (3, 1, 1)}, 17),
    ("y = Elu<alpha = 0.5>(x)", {}, 17),
    ("y = LeakyRelu<alpha = 0.3>(x)", {}, 17),
    ("y = HardSigmoid<alpha = 0.1666667, beta = 0.4>(x)", {}, 17),
    ('y = Gelu<approximate = "tanh">(x)', {}, 20),
    ("y = Clip<min = -0.5, max = 0.25>(x)", {}, 7),
    ("y = Clip(x, low, high)", {"low": np.array(-1.5, np.float32), "high": ONE}, 13),
    ("y = Clip(x, low)", {"low": np.array(0, np.float32)}, 13),
    ("y = Clip(x, , high)", {"high": np.array(0, np.float32)}, 13),
    ("y = Clip(x, high, low)", {"low": np.array(-1.5, np.float32), "high": ONE}, 13),
    ("y = Selu<alpha = 1.0, gamma = 2.0>(x)", {}, 17),
    *((f"r = Reshape(x, n)\ny = {op}(r)", {"n": ints(*shape)}, 17) for op in ("GlobalAveragePool", "GlobalMaxPool") for shape in ((0, 3, 90), (0, 3, 3, 3, 10))),
    *(("y = PRelu(x, w)", {"w": shape}, 17) for shape in ((1,), (3, 1, 1), (1, 3, 1, 1), (10,), (9, 1))),
    ("f = Flatten(x)\ny = PRelu(f, w)", {"w": (270,)}, 17),
    *(("f = Flatten<axis = 1>(x)\ny = " + node, {"w": (270, 7), "v": (7, 270), "b": (7,), "c": (1, 7), "d": ()}, 13) for node in (
        "Gemm(f, w, b)", "Gemm<transB = 1>(f, v, c)", "Gemm<transB = 1>(f, v)", "Gemm<alpha = 0.5, beta = 2.0>(f, w, d)", "MatMul(f, w)",
    )),
    ("y = MatMul(x, w)", {"w": (10, 4)}, 17),
    ("y = MatMul(x, w)", {"w": (3, 10, 4)}, 17),
    ("y = MatMul(w, x)", {"w": (5, 9)}, 17),
    ("t = Transpose<perm = [0, 1, 3, 2]>(x)\ny = MatMul(x, t)", {}, 17),
    ("y = BatchNormalization<epsilon = 0.01>(x, g, b, m, v)", {"g": (3,), "b": (3,), "m": (3,), "v": np.ones(3, np.float32)}, 15),
    ("y = BatchNormalization(x, v, b, b, v)", {"b": (3,), "v": np.ones(3, np.float32)}, 9),
    ("f = Flatten(x)\ny = BatchNormalization(f, v, b, b, v)", {"b": (270,), "v": np.ones(270, np.float32)}, 9),
    ("y = InstanceNormalization(x, g, b)", {"g": (3,), "b": (3,)}, 17),
    ("y = LayerNormalization(x, g, b)", {"g": (10,), "b": (10,)}, 17),
    ("y = LayerNormalization<axis = 3, epsilon = 0.01>(x, g)", {"g": (10,)}, 17),
    ("y = LayerNormalization(x, g, b)", {"g": (1,), "b": (10,)}, 17),
    ("y = LRN<size = 3, alpha = 0.5, beta = 0.6, bias = 2.0>(x)", {}, 17),
    ("y = LpNormalization<axis = 1, p = 1>(x)", {}, 17),
    *((f"a = Mul(x, w)\ny = LpNormalization<p = {p}>(a)", {"w": np.array([0, 1, 0], np.float32).reshape(3, 1, 1)}, 17) for p in (1, 2)),
    *((f"y = {op}<axis = {axis}>(x)", {}, opset) for op in ("Softmax", "LogSoftmax") for axis in (-1, 1, 2) for opset in (11, 13)),
    ("y = Softmax(x)", {}, 11),
    ("a = Conv(x, w)\nb = Relu(a)\nc = Softmax<axis = -1>(b)\ny = Mul(b, c)", {"w": (8, 3, 3, 3)}, 13),
    ("g = GlobalAveragePool(x)\ny = Softmax<axis = 1>(g)", {}, 11),
    *((f"y = {op}<axes = [{axes}], keepdims = {keep}>(x)", {}, 11) for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2") for axes in ("2, 3", "-1", "1, -1") for keep in (0, 1)),
    ("y = ReduceMean<keepdims = 0>(x, axes)", {"axes": ints(2, 3)}, 18),
    ("y = ReduceSum(x, axes)", {"axes": ints(1)}, 13),
    ("y = ReduceSum<noop_with_empty_axes = 1>(x)", {}, 13),
    ("t = Transpose(x)\ny = Transpose(t)", {}, 17),
    ("y = Transpose<perm = [0, 2, 3, 1]>(x)", {}, 17),
    ("a = Transpose<perm = [0, 2, 3, 1]>(x)\nb = Transpose<perm = [0, 3, 1, 2]>(a)\ny = Relu(b)", {}, 17),
    ("a = Transpose<perm = [0, 2, 3, 1]>(x)\nb = Relu(a)\nc = Transpose<perm = [0, 3, 1, 2]>(b)\ny = Relu(c)", {}, 17),
    ("y = Concat<axis = 1>(x, x)", {}, 17),
    ("y = Concat<axis = -1>(x, x, x)", {}, 17),
    ("s = Shape(x)\nz = ConstantOfShape(s)\ny = Concat<axis = 2>(x, z)", {}, 17),
    ("a, b = Split<axis = 1, split = [1, 2]>(x)\ny = Mul(a, b)", {}, 11),
    ("a, b = Split<axis = 3>(x)\ny = Sub(a, b)", {}, 11),
    ("a, b = Split<axis = 3>(x, n)\ny = Concat<axis = 3>(b, a)", {"n": ints(3, 7)}, 13),
    ("a, b, c = Split<axis = 3, num_outputs = 3>(x)\ny = Concat<axis = 3>(b, a, c)", {}, 18),
    ("y = Slice<starts = [1, 2], ends = [3, 1000], axes = [1, 3]>(x)", {}, 9),
    ("y = Slice<starts = [0, 1, 2, -4], ends = [1000, 2, 8, -1]>(x)", {}, 9),
    ("y = Slice(x, s, e, a, t)", {"s": ints(-1, 0), "e": ints(-1000, 9), "a": ints(3, 2), "t": ints(-1, 2)}, 13),
    ("y = Slice(x, s, e, a, t)", {"s": ints(7, 0), "e": ints(2, 9), "a": ints(3, 2), "t": ints(-2, 4)}, 13),
    ("y = Gather<axis = 1>(x, i)", {"i": np.array(1, np.int64)}, 17),
    ("y = Gather<axis = 3>(x, i)", {"i": np.array(-1, np.int64)}, 17),
    ("y = Gather<axis = 2>(x, i)", {"i": ints(3, 0, -1, 3)}, 17),
    ("y = Gather<axis = 2>(x, i)", {"i": ints(3, 4, 5)}, 17),
    ("y = Gather<axis = 2>(x, i)", {"i": np.array([[3, 0], [1, 1]], np.int64)}, 17),
    ("y = Squeeze<axes = [2, 3]>(g)", {}, 11),
    ("y = Squeeze(g, a)", {"a": ints(3)}, 13),
    ("a = Squeeze(g, i)\ny = Unsqueeze(a, j)", {"i": ints(2, 3), "j": ints(-1, 1)}, 13),
    ("u = Unsqueeze<axes = [0]>(x)\ny = Squeeze<axes = [0]>(u)", {}, 11),
    *(("y = Reshape(x, n)", {"n": ints(*shape)}, 17) for shape in ((0, -1), (-1, 270), (0, 3, 90), (0, 27, 2, 5), (0, 0, -1), (-1, 9, 3, 10))),
    ("f = Flatten<axis = 2>(x)\nn = Shape(x)\ny = Reshape(f, n)", {}, 17),
    ("s = Shape(x)\nb = Gather(s, zero)\nu = Unsqueeze(b, axes)\nn = Concat<axis = 0>(u, rest)\ny = Reshape(x, n)", {"zero": np.array(0, np.int64), "axes": ints(0), "rest": ints(3, -1)}, 13),
    ("s = Shape<start = 0, end = 1>(x)\nn = Concat<axis = 0>(s, rest)\ne = Expand(w, n)\ny = Concat<axis = 1>(e, x)", {"rest": ints(1, 9, 10), "w": (1, 1, 9, 10)}, 17),
    ("y = Expand(g, n)", {"n": ints(1, 3, 4, 5)}, 17),
    ("f = Flatten(g)\nu = Unsqueeze(f, a)\ny = Expand(u, n)", {"a": ints(1), "n": ints(1, 4, 1)}, 17),
    ("y = Pad<pads = [0, 0, 1, 2, 0, 0, 3, 4], value = 0.5>(x)", {}, 9),
    *((f'y = Pad<mode = "{mode}">(x, p)', {"p": ints(0, 0, 1, 2, 0, 0, 3, 4)}, 13) for mode in ("constant", "reflect", "edge")),
    ("y = Pad(x, p, c)", {"p": ints(0, 1, 0, 0, 0, 2, 0, 3), "c": ONE}, 13),
    ("y = Pad(x, p, c, a)", {"p": ints(1, 2), "c": ONE, "a": ints(1)}, 18),
    ("t = Transpose<perm = [0, 2, 3, 1]>(x)\np = Pad(t, n)\nu = Transpose<perm = [0, 3, 1, 2]>(p)\ny = Conv<strides = [2, 2]>(u, w)", {"n": ints(0, 0, 1, 0, 0, 1, 0, 0), "w": (4, 3, 3, 3)}, 13),
    ("f = Flatten(x)\ny = Pad(f, p)", {"p": ints(0, 2, 0, 1)}, 13),
    ("p = Pad(x, n)\ny = Conv<strides = [2, 2]>(p, w)", {"n": ints(0, 0, 0, 0, 0, 0, 1, 1), "w": (4, 3, 3, 3)}, 13),
    ("p = Pad(x, n)\na = Conv(p, w)\nb = Relu(p)\nc = MaxPool<kernel_shape = [3, 3]>(b)\ny = Add(a, c)", {"n": ints(0, 0, 1, 1, 0, 0, 1, 1), "w": (3, 3, 3, 3)}, 13),
    ("i = Cast<to = 1>(x)\ny = Relu(i)", {}, 13),
    ("d = Cast<to = 11>(x)\nr = Relu(d)\ny = Cast<to = 1>(r)", {}, 14),
    *((f'y = Resize<mode = "{mode}", coordinate_transformation_mode = "{where}">(x, , s)', {"s": np.array([1, 1, *factors], np.float32)}, 13) for mode, where, factors in (
        ("nearest", "asymmetric", (2, 2)), ("nearest", "half_pixel", (1.5, 0.5)), ("linear", "half_pixel", (2, 2)),
        ("linear", "pytorch_half_pixel", (0.5, 1.7)), ("linear", "align_corners", (2, 3)), ("cubic", "half_pixel", (2, 0.6)),
    )),
    ('y = Resize<mode = "linear", coordinate_transformation_mode = "align_corners">(x, , , n)', {"n": ints(1, 3, 1, 20)}, 13),
    ('y = Resize<mode = "nearest", nearest_mode = "floor", coordinate_transformation_mode = "asymmetric">(x, r, r, n)', {"n": ints(1, 3, 18, 5), "r": np.zeros(0, np.float32)}, 11),
    ('y = Resize<mode = "linear", antialias = 1, axes = [3, 2]>(x, , , n)', {"n": ints(4, 6)}, 18),
    ('s = Shape<start = 0, end = 2>(x)\nn = Concat<axis = 0>(s, z)\ny = Resize<mode = "linear">(x, , , n)', {"z": ints(5, 7)}, 17),
    *((f'y = {op}<mode = "{mode}">(x, s)', {"s": np.array([1, 1, *factors], np.float32)}, opset) for op, opset in (("Resize", 10), ("Upsample", 9)) for mode in ("nearest", "linear") for factors in ((2, 3),)),
    ('y = Resize<mode = "nearest">(x, s)', {"s": np.array([1, 1, 0.5, 0.3], np.float32)}, 10),
    ('y = Upsample<mode = "nearest", scales = [1.0, 1.0, 2.0, 2.0]>(x)', {}, 7),
    *(("y = ConvTranspose" + how + "(x, w" + (", b)" if number % 2 else ")"), {"w": (3, 4, 3, 2), "b": (4,)}, 17) for number, how in enumerate((
        "", "<strides = [2, 2]>", "<strides = [2, 3], pads = [1, 0, 1, 0], output_padding = [1, 1]>", "<pads = [1, 0, 0, 1], strides = [2, 2]>",
        "<dilations = [2, 2]>", "<strides = [2, 2], pads = [0, 0, 2, 1]>", '<auto_pad = "SAME_UPPER", strides = [2, 2]>', '<auto_pad = "SAME_LOWER", strides = [3, 2]>',
        "<strides = [2, 2], output_shape = [18, 20]>", '<auto_pad = "VALID", strides = [2, 2]>', "<strides = [3, 3], output_padding = [2, 1]>",
    ))),
    ("y = ConvTranspose<group = 3, strides = [2, 2], pads = [1, 1, 1, 1]>(x, w, b)", {"w": (3, 2, 4, 4), "b": (6,)}, 11),
    ("y = DepthToSpace<blocksize = 2>(c)", {"c": (4, 3, 1, 1)}, 13),
]  # fmt: skip


def whole(text: str, weights: Weights) -> tuple[str, Weights]:
    """A case with what its first lines take for granted: the pooled image `g`, and four channels `c`."""
    if "(g" in text and "g = " not in text and "g" not in weights:
        text = f"g = GlobalAveragePool(x)\n{text}"
    if "(c)" in text and "c" in weights:
        text = f"k = Conv(x, c)\n{text.replace('(c)', '(k)')}"
    return text, weights


@pytest.mark.parametrize(("text", "weights", "opset"), CASES)
def test_an_operator_computes_what_onnxruntime_computes(
    text: str, weights: Weights, opset: int, tmp_path: Path
) -> None:
    nodes, numbers = whole(text, weights)
    size = 1 if "(x, , , n)" in nodes or "(x, r, r, n)" in nodes else "N"  # the size of the batch is among their sizes

    converted(model(nodes, numbers, opset, (size, 3, 9, 10)), tmp_path)


def test_every_operator_has_a_case() -> None:
    told = {part.rpartition("=")[2].strip(" <") for text, _, _ in CASES for part in text.replace("(", "<").split("<")}

    assert set(OPERATORS) - told == {"AveragePool", "Conv", "MaxPool"} - told


# ---- windows ----

sides = st.integers(1, 3)
quick = settings(
    derandomize=True, max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """Strides, and padding in one of ONNX's ways."""
    found: dict[str, Any] = {"strides": [draw(sides), draw(sides)]}
    auto = draw(st.sampled_from(["", "", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto:
        found["auto_pad"] = auto
    else:
        found["pads"] = [draw(st.integers(0, 2)) for _ in range(4)]
    return found


def node(op: str, inputs: str, attributes: dict[str, Any]) -> str:
    shown = ", ".join(
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in attributes.items()
    )
    return f"y = {op}<{shown}>({inputs})"


@quick
@given(windows(), st.tuples(sides, sides), st.sampled_from([1, 3]), st.integers(1, 2), st.booleans())
def test_convolutions_of_any_window_are_the_same(
    tmp_path: Path, window: dict[str, Any], kernel: tuple[int, int], groups: int, dilation: int, has_bias: bool
) -> None:
    assume(dilation == 1 or "auto_pad" not in window)
    attributes = {**window, "group": groups, "dilations": [dilation, dilation]}
    weights: Weights = {"w": (6, 3 // groups, *kernel), "b": (6,)}

    converted(model(node("Conv", "x, w, b" if has_bias else "x, w", attributes), weights), tmp_path)


@quick
@given(
    windows(),
    st.tuples(st.integers(2, 4), st.integers(2, 4)),
    st.booleans(),
    st.sampled_from(["MaxPool", "AveragePool"]),
    st.booleans(),
)
def test_pools_of_any_window_are_the_same(
    tmp_path: Path, window: dict[str, Any], kernel: tuple[int, int], is_ceil: bool, op: str, counts_pads: bool
) -> None:
    pads = window.get("pads", [0] * 4)
    assume(all(pad < side for pad, side in zip(pads, (*kernel, *kernel), strict=True)))
    attributes = {**window, "kernel_shape": list(kernel)}
    if "auto_pad" not in window:
        attributes["ceil_mode"] = int(is_ceil)
    if op == "AveragePool":
        attributes["count_include_pad"] = int(counts_pads)

    converted(model(node(op, "x", attributes), opset=21), tmp_path)


@quick
@given(
    st.sampled_from(["nearest", "linear", "cubic"]),
    st.sampled_from(["align_corners", "asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"]),
    st.sampled_from(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
    # Exact ones: of others ONNX and onnxruntime don't agree on the lengths, and such files are refused.
    st.tuples(*[st.integers(4, 48).map(lambda sixteenths: sixteenths / 16)] * 2),
)
@example("nearest", "asymmetric", "round_prefer_floor", (2.0, 1.0625))  # 10 numbers of 10, but not the same
@example("nearest", "asymmetric", "round_prefer_floor", (1.0, 1.0625))  # the same, as no length changes
def test_images_resized_by_any_factor_are_the_same(
    tmp_path: Path, mode: str, coordinates: str, nearest: str, factors: tuple[float, float]
) -> None:
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        attributes["nearest_mode"] = nearest
    scales = np.array([1, 1, *factors], np.float32)

    converted(model(node("Resize", "x, , scales", attributes), {"scales": scales}, opset=19), tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("y = MaxPool<kernel_shape = [2, 2], dilations = [2, 2]>(x)", "dilations"),
        ("y = Cast<to = 7>(x)", "int64"),
        ('y = Resize<coordinate_transformation_mode = "tf_crop_and_resize">(x, t8, r4)', "'tf_crop_and_resize'"),
        ('y = Resize<keep_aspect_ratio_policy = "not_larger">(x, , , n4)', "keep_aspect_ratio_policy"),
        ("y = ConvTranspose(x, k)", "the kernel must be the same for every image"),
        ("y = Gemm<transA = 1>(f, w)", "transA"),
        ("y = Conv(x, k)", "the kernel must be the same for every image"),
        ("y = Dropout(x, r, t)", "as in training"),
        ("y = Slice(x, s, e)", "parts or mixes the images"),
        ("y = ReduceMean(x)", "parts or mixes the images"),
        ("y = Softmax<axis = 0>(x)", "parts or mixes the images"),
        ("y = LpNormalization<axis = 0>(x)", "parts or mixes the images"),
    ],
)
def test_what_an_operator_can_not_be_told_is_refused_with_its_node(text: str, reason: str, tmp_path: Path) -> None:
    weights: Weights = {"w": (270, 4), "r": np.array(0.5, np.float32), "t": np.array(True), "s": ints(0), "e": ints(1)}
    weights = {
        **weights,
        "t8": np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32),
        "r4": np.array([1, 1, 2, 2], np.float32),
        "n4": ints(2, 3, 20, 20),
    }
    before = "f = Flatten(x)\n" if "(f" in text else "n = Abs(x)\nk = Slice(n, a, b, c)\n" if "k)" in text else ""
    weights = {**weights, "a": ints(0), "b": ints(3), "c": ints(3)}

    with pytest.raises(UsageError) as refused:
        converted(model(before + text, weights, opset=18), tmp_path)

    assert reason in refused.value.problem
    assert text.split("= ", 1)[1].split("(")[0].split("<")[0] in refused.value.problem
    assert refused.value.hint
