"""ONNX files as people have them become networks of MXNet's, and what can't is refused in words."""

import os
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mxspark import host
from mxspark.convert import converter, metadata, onnx_file, operators, process
from mxspark.convert.layer import Network
from mxspark.convert.request import Request, Result
from mxspark.errors import MxsparkError, UsageError
from mxspark.inference.bundle import Bundle, BundleSource
from mxspark.inference.network import inspect
from mxspark.settings.model_spec import ModelOutput, ModelSpec, Preprocessing, PresetName
from tests.command import REPOSITORY
from tests.convert.onnx_graphs import SPEC, Weights, converted, ints, model

# A vision transformer's block, as torch.onnx.export writes it: patches, a class token for each image of the batch,
# attention of two heads, and a classifier of the class token.
VIT = """
p = Conv<strides = [4, 4]>(x, patch, bias)
s = Shape(p)
n = Slice(s, zero, two)
m = Concat<axis = 0>(n, minus)
r = Reshape(p, m)
t = Transpose<perm = [0, 2, 1]>(r)
b = Shape<start = 0, end = 1>(x)
e = Concat<axis = 0>(b, one, eight)
c = Expand(token, e)
j = Concat<axis = 1>(c, t)
a = Add(j, places)
l = LayerNormalization<axis = -1>(a, gamma, beta)
q = MatMul(l, qkv)
k = Add(q, qkvb)
h = Reshape(k, heads)
w = Transpose<perm = [2, 0, 3, 1, 4]>(h)
u, v, z = Split<axis = 0, num_outputs = 3>(w)
u1 = Squeeze(u, zero)
v1 = Squeeze(v, zero)
z1 = Gather<axis = 0>(z, first)
v2 = Transpose<perm = [0, 1, 3, 2]>(v1)
d = MatMul(u1, v2)
d1 = Mul(d, scale)
d2 = Softmax<axis = -1>(d1)
o = MatMul(d2, z1)
o1 = Transpose<perm = [0, 2, 1, 3]>(o)
o2 = Reshape(o1, joined)
o3 = MatMul(o2, project)
f = Add(a, o3)
g = MatMul(f, wide)
g1 = Gelu(g)
g2 = MatMul(g1, narrow)
f1 = Add(f, g2)
i = Gather<axis = 1>(f1, first)
y = Gemm<transB = 1>(i, classes, names)
"""
VIT_WEIGHTS: Weights = {
    "patch": (8, 3, 4, 4), "bias": (8,), "zero": ints(0), "two": ints(2), "minus": ints(-1), "one": ints(1),
    "eight": ints(8), "token": (1, 1, 8), "places": (1, 13, 8), "gamma": (8,), "beta": (8,), "qkv": (8, 24),
    "qkvb": (24,), "heads": ints(0, -1, 3, 2, 4), "first": np.array(0, np.int64), "scale": np.array(0.5, np.float32),
    "joined": ints(0, -1, 8), "project": (8, 8), "wide": (8, 16), "narrow": (16, 8), "classes": (5, 8), "names": (5,),
}  # fmt: skip
CONVNEXT = """
s = Conv<strides = [2, 2]>(x, stem)
d = Conv<group = 6, pads = [3, 3, 3, 3]>(s, depth, bias)
t = Transpose<perm = [0, 2, 3, 1]>(d)
m = ReduceMean<axes = [-1]>(t)
c = Sub(t, m)
q = Pow(c, two)
v = ReduceMean<axes = [-1]>(q)
e = Add(v, epsilon)
r = Sqrt(e)
n = Div(c, r)
g = Mul(n, gamma)
b = Add(g, beta)
w = MatMul(b, wide)
h = Div(w, root)
i = Erf(h)
j = Add(i, one)
k = Mul(w, j)
l = Mul(k, half)
o = MatMul(l, narrow)
p = Mul(layer, o)
u = Transpose<perm = [0, 3, 1, 2]>(p)
a = Add(s, u)
z = GlobalAveragePool(a)
f = Flatten(z)
y = Gemm(f, classes)
"""
CONVNEXT_WEIGHTS: Weights = {
    "stem": (6, 3, 2, 2), "depth": (6, 1, 7, 7), "bias": (6,), "two": np.array(2, np.float32),
    "epsilon": np.array(1e-6, np.float32), "gamma": (6,), "beta": (6,), "wide": (6, 24),
    "root": np.array(2**0.5, np.float32), "one": np.array(1, np.float32), "half": np.array(0.5, np.float32),
    "narrow": (24, 6), "layer": (6,), "classes": (6, 4),
}  # fmt: skip
SQUEEZE_AND_EXCITE = """
c = Conv<strides = [2, 2], auto_pad = "SAME_UPPER">(x, stem)
s = Sigmoid(c)
a = Mul(c, s)
d = Conv<group = 8, auto_pad = "SAME_UPPER">(a, depth)
g = GlobalAveragePool(d)
r = Conv(g, reduce, rb)
t = Relu(r)
e = Conv(t, expand, eb)
h = HardSigmoid<alpha = 0.1666667>(e)
m = Mul(d, h)
b = Add(m, a)
p = ReduceMean<axes = [2, 3], keepdims = 0>(b)
l = MatMul(p, classes)
y = Softmax(l)
"""
SQUEEZE_WEIGHTS: Weights = {
    "stem": (8, 3, 3, 3), "depth": (8, 1, 3, 3), "reduce": (2, 8, 1, 1), "rb": (2,), "expand": (8, 2, 1, 1),
    "eb": (8,), "classes": (8, 4),
}  # fmt: skip
# What MobileNets are made of: depthwise convolutions, ReLU6 and hard swish, a shortcut; grouped ones as RegNets have.
MOBILENET = """
c = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, stem)
s = HardSwish(c)
e = Conv(s, wide)
b = BatchNormalization(e, gamma, bias, bias, gamma)
r = Clip(b, zero, six)
d = Conv<group = 16, pads = [1, 1, 1, 1]>(r, depth)
i = Clip(d, zero, six)
n = Conv(i, narrow)
a = Add(n, s)
g = Conv<group = 2, pads = [1, 1, 1, 1]>(a, groups)
p = PRelu(g, slope)
z = GlobalAveragePool(p)
f = Flatten(z)
y = Gemm<transB = 1>(f, classes)
"""
MOBILENET_WEIGHTS: Weights = {
    "stem": (8, 3, 3, 3), "wide": (16, 8, 1, 1), "gamma": np.ones(16, np.float32), "bias": (16,),
    "zero": np.array(0, np.float32), "six": np.array(6, np.float32), "depth": (16, 1, 3, 3), "narrow": (8, 16, 1, 1),
    "groups": (8, 4, 3, 3), "slope": (8, 1, 1), "classes": (4, 8),
}  # fmt: skip
# And VGG and Inception: branches of different kernels that are joined, and dropout before the classifier.
INCEPTION = """
a = Conv<pads = [1, 1, 1, 1]>(x, first)
b = Relu(a)
m = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(b)
c = Conv(m, one)
d = Conv<pads = [0, 3, 0, 3]>(m, row)
e = Conv<pads = [3, 0, 3, 0]>(d, column)
p = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(m)
j = Concat<axis = 1>(c, e, p)
l = LRN<size = 5>(j)
f = Flatten(l)
o = Dropout(f)
g = Gemm<transB = 1>(o, hidden)
r = Relu(g)
k = Gemm<transB = 1>(r, classes)
y = Softmax(k)
"""
INCEPTION_WEIGHTS: Weights = {
    "first": (6, 3, 3, 3), "one": (4, 6, 1, 1), "row": (5, 6, 1, 7), "column": (5, 5, 7, 1), "hidden": (20, 720),
    "classes": (4, 20),
}  # fmt: skip
SHUFFLE = """
c = Conv(x, stem)
r = Reshape(c, groups)
t = Transpose<perm = [0, 2, 1, 3, 4]>(r)
s = Reshape(t, back)
a, b = Split<axis = 1>(s)
k = Concat<axis = 1>(b, a)
g = GlobalAveragePool(k)
y = Reshape(g, flat)
"""


# Windows of an image as images of their own, as Swin has them; the batch is in what is reshaped to, or found.
WINDOWS = """
a = Reshape(x, tiles)
b = Transpose<perm = [0, 2, 4, 1, 3, 5]>(a)
c = Reshape(b, windows)
d = Conv<pads = [1, 1, 1, 1]>(c, w)
e = Reshape(d, rows)
f = Transpose<perm = [0, 3, 1, 4, 2, 5]>(e)
g = Reshape(f, image)
h = Slice(g, one, end, axis)
i = Slice(g, zero, one, axis)
y = Concat<axis = 3>(h, i)
"""


def windows(size: int) -> Weights:
    return {
        "tiles": ints(size, 3, 2, 4, 3, 4), "windows": ints(6 if size == 1 else -1, 3, 4, 4), "w": (2, 3, 3, 3),
        "rows": ints(size, 2, 3, 2, 4, 4), "image": ints(size, 2, 8, 12), "zero": ints(0), "one": ints(1),
        "end": ints(2**62), "axis": ints(3),
    }  # fmt: skip


@pytest.mark.parametrize("size", ["N", 1])
def test_windows_of_an_image_stay_with_their_image(size: int | str, tmp_path: Path) -> None:
    made = model(WINDOWS, windows(1 if size == 1 else -1), 13, (size, 3, 8, 12))

    assert converted(made, tmp_path).compared


@pytest.mark.parametrize("size", ["N", 1])
@pytest.mark.parametrize(
    ("text", "weights", "opset", "shape"),
    [
        (VIT, VIT_WEIGHTS, 20, (3, 12, 16)),
        (CONVNEXT, CONVNEXT_WEIGHTS, 13, (3, 16, 12)),
        (SQUEEZE_AND_EXCITE, SQUEEZE_WEIGHTS, 13, (3, 15, 16)),
        (MOBILENET, MOBILENET_WEIGHTS, 14, (3, 15, 16)),
        (INCEPTION, INCEPTION_WEIGHTS, 13, (3, 12, 16)),
    ],
)
def test_blocks_of_today_s_networks_compute_the_same(
    text: str, weights: Weights, opset: int, shape: tuple[int, ...], size: int | str, tmp_path: Path
) -> None:
    done = converted(model(text, weights, opset, (size, *shape)), tmp_path)

    assert float(done.compared[0][1].split(", ")[1].split()[0]) < 1e-4  # of the largest number


def test_a_file_for_single_images_with_its_batch_written_into_it_takes_batches(tmp_path: Path) -> None:
    weights: Weights = {
        "stem": (8, 3, 1, 1),
        "groups": ints(1, 2, 4, 9, 10),
        "back": ints(1, 8, 9, 10),
        "flat": ints(1, -1),
    }
    assert converted(model(SHUFFLE, weights, 11, (1, 3, 9, 10)), tmp_path).compared

    text = "r = Reshape(x, rows)\nt = Transpose<perm = [0, 2, 1]>(r)\nc = Concat<axis = 1>(token, t)\ny = Gather<axis = 1>(c, i)"
    weights = {"rows": ints(1, 3, 90), "token": (1, 1, 3), "i": np.array(0, np.int64)}
    assert converted(model(text, weights, 13, (1, 3, 9, 10)), tmp_path).compared


@pytest.mark.parametrize("opset", range(9, 22))
def test_a_network_of_every_opset_computes_the_same(opset: int, tmp_path: Path) -> None:
    text = (
        "c = Conv<pads = [1, 1, 1, 1]>(x, w)\nb = BatchNormalization(c, one, bias, bias, one)\nr = Relu(b)\n"
        "p = MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 0, 0]>(r)\ng = GlobalAveragePool(p)\n"
        "f = Flatten(g)\nl = Gemm(f, classes, bias)\ny = Softmax<axis = 1>(l)"
    )
    weights: Weights = {"w": (4, 3, 3, 3), "one": np.ones(4, np.float32), "bias": (4,), "classes": (4, 4)}

    converted(model(text, weights, opset), tmp_path)


def test_the_operators_that_are_documented_are_those_that_are_converted() -> None:
    page = (REPOSITORY / "docs" / "onnx.md").read_text()
    told = page.partition("Abs, Add")[1] + page.partition("Abs, Add")[2].partition("\n\n")[0]

    assert re.findall(r"\b[A-Z]\w+", told) == sorted(operators.OPERATORS)


def test_a_network_that_takes_its_channels_last_gets_them_first(tmp_path: Path) -> None:
    made = model("t = Transpose<perm = [0, 3, 1, 2]>(images)\ny = Conv(t, w)", {"w": (2, 3, 3, 3)}, 13, ("N", 9, 10, 3))
    del made.graph.node[0]

    done = converted(made, tmp_path)

    assert (done.spec.input.layout, done.spec.input.height, done.spec.input.width) == ("NCHW", 9, 10)
    assert '"transpose"' not in done.symbol.read_text(), "two that undo each other are none"


def test_a_network_that_takes_whole_numbers_gets_pixels_as_they_are(tmp_path: Path) -> None:
    made = model("f = Cast<to = 1>(images)\ny = Conv(f, w)", {"w": (2, 3, 3, 3)}, kind=TensorProto.UINT8)
    del made.graph.node[0]

    done = converted(made, tmp_path, spec=None)

    assert done.spec.preprocess.scale == 1
    assert "whole numbers" in done.notes[0]


@pytest.mark.parametrize(
    ("name", "whole", "message"),
    [
        ("mnist", False, "preset mnist is for grey images"),
        ("torchvision", True, "takes whole numbers (uint8), but its preprocessing gives -2.12 to 2.64"),
    ],
)
def test_a_preset_that_the_input_does_not_fit_is_refused(
    name: PresetName, whole: bool, message: str, tmp_path: Path
) -> None:
    kind = TensorProto.UINT8 if whole else TensorProto.FLOAT
    made = model("f = Cast<to = 1>(images)\ny = Conv(f, w)", {"w": (2, 3, 3, 3)}, kind=kind)
    del made.graph.node[0]

    with pytest.raises(UsageError) as refused:
        converted(made, tmp_path, spec=ModelSpec(preset=name))

    assert message in refused.value.problem


def scaling(text: str, **numbers: float) -> onnx.ModelProto:
    """A network that begins with these nodes, from `images` to `a`."""
    weights = {name: np.full(3 if name in "gbmv" else (1, 3, 1, 1), number) for name, number in numbers.items()}
    floats = {name: array.astype(np.float32) for name, array in weights.items()}
    made = model(f"{text}\ny = Conv(a, k)", {**floats, "k": (2, 3, 3, 3)})
    del made.graph.node[0]
    return made


NORM = "BatchNormalization(images, g, b, m, v)"
OF_UNIT = scaling("s = Sub(images, mean)\na = Div(s, std)", mean=0.45, std=0.25)


@pytest.mark.parametrize(
    "made",
    [
        scaling("a = Sub(images, w)", w=120),
        scaling("a = Div(images, w)", w=127.5),
        scaling("s = Mul(images, w)\na = Add(one, s)", w=1 / 127.5, one=-1),
        scaling(f"a = {NORM}", g=1, b=0, m=120, v=3600),
    ],
)
def test_a_graph_that_normalizes_its_pixels_wants_them_as_they_are(made: onnx.ModelProto, tmp_path: Path) -> None:
    done = converted(made, tmp_path, spec=None)

    assert (done.spec.preprocess.scale, done.spec.preprocess.channels) == (1, "RGB")
    assert "is assumed" in done.notes[0]


@pytest.mark.parametrize(
    "made",
    [
        OF_UNIT,
        scaling("s = Mul(images, w)\na = Sub(s, one)", w=2, one=1),
        scaling("a = Sub(images, w)", w=0.5),
        scaling("a = Sub(w, images)", w=1),
        scaling("a = Mul(images, w)", w=255),
        scaling(f"a = {NORM}", g=1, b=0, m=0.45, v=0.07),
    ],
)
def test_a_graph_whose_numbers_do_not_fit_0_to_255_does_not_get_such_pixels_unasked(
    made: onnx.ModelProto, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        converted(made, tmp_path, spec=None)

    assert "so 0 to 255 is not what it takes" in refused.value.problem
    assert "--spec with preprocess: {scale: 0.00392156862745098}" in refused.value.hint


def test_pixels_that_a_preset_and_the_graph_scale_are_told_or_refused(tmp_path: Path) -> None:
    torchvision = ModelSpec(preset="torchvision")
    of_bytes = scaling("s = Sub(images, mean)\na = Div(s, std)", mean=120, std=60)

    assert "they are scaled twice" in converted(OF_UNIT, tmp_path, spec=torchvision).notes[0]
    with pytest.raises(UsageError, match="take the preset raw"):
        converted(of_bytes, tmp_path, spec=torchvision)
    assert converted(of_bytes, tmp_path, spec=ModelSpec(preset="raw")).notes == ()


def test_a_grey_network_is_one_of_one_channel(tmp_path: Path) -> None:
    done = converted(model("y = Conv(x, w)", {"shift": (1,), "w": (2, 1, 3, 3)}, shape=("N", 1, 9, 10)), tmp_path)

    assert done.spec.input.channels == 1


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16", "DOUBLE"])
def test_other_floats_become_float32_and_that_is_told(kind: str, tmp_path: Path) -> None:
    number = TensorProto.DataType.Value(kind)
    narrow, random = helper.tensor_dtype_to_np_dtype(number), np.random.default_rng(0)
    weights = {
        name: random.normal(size=shape).astype(narrow) for name, shape in (("w", (2, 3, 3, 3)), ("shift", (1, 3, 1, 1)))
    }
    made = model(f"c = Conv(x, w)\nh = Cast<to = {number}>(c)\ny = Softmax<axis = 1>(h)", weights, kind=number)

    done = converted(made, tmp_path)

    assert "floats of 16 or 64 bits" in done.notes[0]


def test_numbers_of_float64_that_float32_lacks_stay_finite(tmp_path: Path) -> None:
    """As a mask's least number: times 0 an infinite one would be none (NaN)."""
    numbers = {"mask": np.finfo(np.float64).min, "zero": 0, "w": np.ones((2, 3, 3, 3)), "shift": np.ones(1)}
    weights = {name: np.asarray(number, np.float64) for name, number in numbers.items()}
    text = "c = Conv(x, w)\nm = Mul(mask, zero)\ny = Add(c, m)"

    assert converted(model(text, weights, kind=TensorProto.DOUBLE), tmp_path).compared


def test_weights_in_a_file_beside_it_are_read(tmp_path: Path) -> None:
    made = model("c = Conv(x, w)\ny = Softmax<axis = 1>(c)", {"w": (2, 3, 30, 3)}, shape=("N", 3, 40, 9))
    path = tmp_path / "kept" / "net.onnx"
    path.parent.mkdir()
    onnx.save(made, str(path), save_as_external_data=True, location="net.data", size_threshold=0)
    assert (path.parent / "net.data").stat().st_size > 2000

    assert converter.run(Request(path, tmp_path, "net", SPEC)).compared

    (path.parent / "net.data").rename(tmp_path / "blob")
    (path.parent / "net.data").symlink_to(tmp_path / "blob")
    with pytest.raises(UsageError) as refused:
        converter.run(Request(path, tmp_path, "net", SPEC))
    assert "symbolic links" in refused.value.problem
    assert "cp -L" in refused.value.hint

    (path.parent / "net.data").unlink()
    with pytest.raises(UsageError) as refused:
        converter.run(Request(path, tmp_path, "net", SPEC))
    assert "net.data" in refused.value.problem
    assert str(path.parent) in refused.value.hint


def as_often_as_wanted(made: onnx.ModelProto, folder: Path) -> None:
    """Has the same 256 KiB of a file in the weights, and a hundred times in a graph within a node."""
    (folder / "net.data").write_bytes(bytes(2**18))
    there = TensorProto(name="w", dims=[2**16], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    there.external_data.add(key="location", value="net.data")
    many = helper.make_node("ScanOnes", ["x"], ["z"], tensors=[there] * 100)
    inner = helper.make_graph([many], "inner", [], [])
    made.graph.node.append(helper.make_node("If", ["x"], ["u"], then_branch=inner))


def test_memory_is_bounded_whatever_a_file_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file can name the same weights often, let much be computed before, and want large images."""
    monkeypatch.setattr(host, "memory", lambda: 2**25)  # 32 MiB
    often = model("y = Relu(x)")
    as_often_as_wanted(often, tmp_path)
    grows = "\n".join(f"z{n} = ConstantOfShape(n)\ny{n + 1} = Add(y{n}, z{n})" for n in range(30))
    before = model(f"y0 = Relu(x)\n{grows}", {"n": ints(1, 1, 2**9, 2**8)}, outputs=("y30",), shape=("N", 3, 1, 1))
    for made, words in (
        (often, "takes about 0.1 GiB of memory"),
        (before, "what is computed before takes"),
        (model("y = Relu(x)", shape=("N", 3, 1000, 1000)), "images of 1000 x 1000 takes 0.3 GiB"),
        (model("y = Pad(x, n)", {"n": ints(0, 0, 0, 0, 0, 0, 10**6, 10**6)}), "for 3 images takes 33528.2 GiB"),
    ):
        with pytest.raises(UsageError) as refused:
            converted(made, tmp_path)
        assert words in refused.value.problem


def test_where_memory_runs_out_the_file_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def runs_out(_: Request) -> None:
        raise MemoryError

    monkeypatch.setattr(converter, "run", runs_out)

    with pytest.raises(MxsparkError) as ended:
        process._convert(Request(tmp_path / "net.onnx", tmp_path, "net"))

    assert "needs more memory" in ended.value.problem


def test_a_disk_that_is_full_is_not_called_a_damaged_file(tmp_path: Path) -> None:
    made = model(*PLAIN)
    onnx.save(made, str(tmp_path / "net.onnx"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # no file gets longer, as on a full disk
    try:
        with pytest.raises(MxsparkError) as ended:
            converter.run(Request(tmp_path / "net.onnx", tmp_path, "net", SPEC))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert f"{tmp_path}: the network can't be written there" in ended.value.problem


def test_a_size_that_the_file_leaves_open_is_given(tmp_path: Path) -> None:
    made = model(
        "c = Conv(x, w)\ng = GlobalAveragePool(c)\ny = Flatten(g)", {"w": (2, 3, 3, 3)}, shape=("N", 3, "h", "w")
    )

    done = converted(made, tmp_path, size=(20, 30))

    assert (done.spec.input.height, done.spec.input.width) == (20, 30)


@pytest.mark.parametrize(
    ("field", "said"), [("channels", 1), ("layout", "NHWC"), ("name", "pixels"), ("constants", {"stage": 0})]
)
def test_a_spec_that_says_otherwise_of_the_input_than_the_file_is_refused(
    field: str, said: object, tmp_path: Path
) -> None:
    made = model("y = Conv(x, w)", {"w": (2, 3, 3, 3)})
    spec = ModelSpec.model_validate({"input": {field: said}, "preset": "torchvision"})

    with pytest.raises(UsageError, match=f"--spec has input.{field}"):
        converted(made, tmp_path, spec=spec)


@pytest.mark.parametrize("group", [-1, 0, 4])
def test_a_kernel_that_does_not_fit_its_groups_is_refused(group: int, tmp_path: Path) -> None:
    made = model(f"a = Conv<group = {group}>(x, w)\ny = GlobalAveragePool(a)", {"w": (6, 3, 3, 3)})

    with pytest.raises(UsageError, match=rf"doesn't fit 3 channels, group {group}: Conv 'a'"):
        converted(made, tmp_path)


def test_one_of_several_outputs_is_taken_by_name_and_the_others_need_not_be_convertible(tmp_path: Path) -> None:
    made = model("y = Conv(x, w)\na = NonZero(y)\nz = Cast<to = 1>(a)", {"w": (2, 3, 3, 3)}, outputs=("y", "z"))
    made.graph.node.append(helper.make_node("EfficientNMS_TRT", ["z"], ["boxes"], domain="nvidia"))  # a plugin's
    made.opset_import.append(helper.make_opsetid("nvidia", 1))

    assert converted(made, tmp_path, output="y").compared


# ---- several outputs ----

# Probabilities, the vector of which they are made, and a number, whose name is that of a tensor as PyTorch counts them.
FACES = """
c = Conv(x, w)
g = GlobalAveragePool(c)
features = Flatten(g)
l = MatMul(features, classes)
gender = Softmax<axis = 1>(l)
n495 = MatMul(features, one)
map = Relu(c)
"""
FACES_WEIGHTS: Weights = {"w": (6, 3, 3, 3), "classes": (6, 2), "one": (6, 1)}


def faces(*outputs: str) -> onnx.ModelProto:
    made = model(FACES, FACES_WEIGHTS, outputs=[name.removeprefix("n") for name in outputs])
    next(node for node in made.graph.node if node.output[0] == "n495").output[0] = "495"
    return made


def bundle_of(done: Result) -> Bundle:
    paths = {"symbol": done.symbol, "params": done.params}
    return Bundle(done.spec, paths, (), BundleSource(done.spec, {role: str(path) for role, path in paths.items()}, {}))


def test_all_outputs_are_taken_and_the_one_that_is_classes_is_known_by_its_end(tmp_path: Path) -> None:
    done = converted(faces("features", "gender", "n495"), tmp_path)

    output = done.spec.output
    assert (output.name, output.also) == ("gender", {"features": "features", "output_495": "495"})
    assert "gender is taken for the classes" in done.notes[0]
    found = inspect(bundle_of(done))[0]
    assert (found.classes, found.vectors) == (2, (("features", 6), ("output_495", 1)))


def test_outputs_are_chosen_and_may_be_vectors(tmp_path: Path) -> None:
    done = converted(
        faces("features", "gender", "map"), tmp_path, outputs=("gender", "l"), output="features", kind="vector"
    )

    assert (done.spec.output.name, done.spec.output.also) == ("features", {"gender": "gender", "l": "l"})


def test_columns_may_have_other_names_than_their_outputs(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"output": ModelOutput(also={"embedding": "features", "ages": "495"})})

    done = converted(faces("gender", "n495"), tmp_path, spec=spec)

    assert (done.spec.output.name, done.spec.output.also) == ("gender", {"embedding": "features", "ages": "495"})


@pytest.mark.parametrize(
    ("outputs", "request_", "words"),
    [
        (("features", "n495"), {}, ["2 outputs: features (N, 6), which ends in", "is the classes", "--output-name"]),
        (("features", "gender"), {"kind": "vector"}, ["Nothing tells which one is the vector"]),
        (("features", "gender"), {"kind": "logits"}, ["Nothing tells which one is the classes"]),
        (("gender", "map"), {}, ["map has the shape (N, 6, 7, 8)", "Leave it out: --outputs"]),
        (("gender",), {"outputs": ("gender", "sex")}, ["no output 'sex', only gender", "Correct --outputs"]),
        (("gender",), {"outputs": ("gender", "features", "Features")}, ["no output 'Features'"]),
    ],
)  # fmt: skip
def test_what_several_outputs_mean_is_asked_for(
    outputs: tuple[str, ...], request_: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        converted(faces(*outputs), tmp_path, **request_)

    for word in words:
        assert word in f"{refused.value.problem} {refused.value.hint}"
    assert [found.name for found in tmp_path.iterdir()] == ["net.onnx"]


SCORES = "c = Conv(x, w)\ng = GlobalAveragePool(c)\nf = Flatten(g)\ns = Gemm(f, v)\n"


@pytest.mark.parametrize(
    ("then", "kind"),
    [
        ("y = Softmax(s)", "logits"),
        ("y = Sigmoid(s)", "sigmoid"),
        ("r = Reshape(s, n)\ny = Sigmoid(r)", "sigmoid"),
        ("y = ArgMax(s)", None),
        ("m = Sigmoid(s)\ny = Mul(m, s)", None),
    ],
)
@pytest.mark.parametrize("outputs", [(), ("s", "f")])
def test_scores_are_what_the_file_makes_of_them(
    then: str, kind: str | None, outputs: tuple[str, ...], tmp_path: Path
) -> None:
    made = model(SCORES + then, {"w": (4, 3, 3, 3), "v": (4, 5), "n": ints(-1, 5)})
    request = {"output": "s", "outputs": outputs}

    if kind is not None:
        assert converted(made, tmp_path, **request).spec.output.kind == kind
        return
    with pytest.raises(UsageError) as refused:
        converted(made, tmp_path, **request)
    assert "what its numbers mean is not known" in refused.value.problem
    assert converted(made, tmp_path, kind="sigmoid", **request).compared


def test_an_output_that_is_to_be_two_columns_is_refused(tmp_path: Path) -> None:
    for also in ({"a": "features", "b": "features"}, {"a": "gender"}):
        spec = SPEC.model_copy(update={"output": ModelOutput(name="gender", also=also)})

        with pytest.raises(UsageError, match="already"):
            converted(faces("gender", "features"), tmp_path, spec=spec)


def test_an_output_that_is_called_like_a_column_is_refused_until_it_gets_another_name(tmp_path: Path) -> None:
    made = model(FACES.replace("features", "status"), FACES_WEIGHTS, outputs=("gender", "status"))

    with pytest.raises(UsageError) as refused:
        converted(made, tmp_path)
    assert "can't be the column status" in refused.value.problem

    spec = SPEC.model_copy(update={"output": ModelOutput(also={"features": "status"})})
    assert converted(made, tmp_path, spec=spec).spec.output.also == {"features": "status"}


def test_each_output_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "mxspark.convert.conversion.OPERATORS", {**operators.OPERATORS, "Exp": operators.OPERATORS["Abs"]}
    )
    made = model(FACES + "aside = Exp(n495)", FACES_WEIGHTS, outputs=("gender", "aside"))

    with pytest.raises(UsageError) as refused:
        converted(made, tmp_path)

    assert "other numbers than onnxruntime: of aside, its numbers differ" in refused.value.problem


# ---- metadata ----


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", "{0: 'cat', 1: 'dog'}"),
        ("id2label", '{"0": "cat", "1": "dog"}'),
        ("classes", '["cat", "dog"]'),
        ("character", "cat\ndog"),
        ("labels", "('cat', 'dog')"),
    ],
)
def test_names_of_classes_are_found_in_the_metadata(key: str, text: str) -> None:
    found = metadata.labels({key: text, "date": "2026"})

    assert found == ("cat", "dog")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{1e999: 'cat', 0: 'dog'}", id="infinite"),
        pytest.param(str(dict.fromkeys(range(14_000), "cat" * 100)), id="costly"),
    ],
)
def test_names_that_are_none_or_cost_too_much_to_read_are_left_out(text: str) -> None:
    assert metadata.labels({"names": text}) == ()


def test_metadata_tell_what_pixels_are_wanted(tmp_path: Path) -> None:
    made = model("c = Conv(x, w)\ng = GlobalAveragePool(c)\ny = Flatten(g)", {"w": (2, 3, 3, 3)})
    helper.set_model_props(
        made,
        {"Image.NominalPixelRange": "Normalized_0_1", "Image.BitmapPixelFormat": "Bgr8", "names": "['a', 'b', 'c']"},
    )

    done = converted(made, tmp_path, spec=None)

    assert (done.spec.preprocess.scale, done.spec.preprocess.channels) == (1 / 255, "BGR")
    assert done.labels == ()
    assert "3 names" in done.notes[1], "which two classes can't have"


@pytest.mark.parametrize("preset", ["raw", "keras-caffe"])
def test_what_metadata_say_otherwise_than_what_is_given_is_told(preset: PresetName, tmp_path: Path) -> None:
    made = model("c = Conv(x, w)\ny = Flatten(c)", {"w": (2, 3, 3, 3)})
    helper.set_model_props(made, {"Image.BitmapPixelFormat": "Bgr8", "classes": "many", "labels": ""})

    done = converted(made, tmp_path, spec=ModelSpec(preset=preset))

    assert any("isn't used: classes." in note for note in done.notes)
    is_told = any("metadata say channels: BGR. preset raw says RGB, which counts" in note for note in done.notes)
    assert is_told == (preset == "raw")


def test_metadata_tell_the_order_of_colours_where_the_graph_scales_pixels(tmp_path: Path) -> None:
    made = model(
        "s = Mul(images, f)\nc = Conv(s, w)\ny = Flatten(c)", {"f": np.array(1 / 255, np.float32), "w": (2, 3, 3, 3)}
    )
    helper.set_model_props(made, {"Image.BitmapPixelFormat": "Bgr8"})

    done = converted(made, tmp_path, spec=None)

    assert (done.spec.preprocess.scale, done.spec.preprocess.channels) == (1, "BGR")


def test_metadata_tell_pixels_of_minus_one_to_one() -> None:
    found = Preprocessing(**metadata.preprocessing({"Image.NominalPixelRange": "Normalized_1_1"}))

    assert [pixel * found.scale - found.mean[0] for pixel in (0, 255)] == [-1, 1]


@pytest.mark.parametrize("preset", ["raw", "article"])
def test_grey_networks_take_presets_of_any_channels(preset: PresetName, tmp_path: Path) -> None:
    assert converted(
        model("c = Conv(x, w)\ny = Flatten(c)", {"w": (2, 1, 3, 3), "shift": (1,)}, shape=("N", 1, 9, 10)),
        tmp_path,
        spec=ModelSpec(preset=preset),
    ).compared


@pytest.mark.parametrize(("first", "last"), [(0, 4), (4, 12), (8, 16), (15, 16)])
def test_any_part_of_the_channels_can_be_taken(first: int, last: int, tmp_path: Path) -> None:
    """oneDNN keeps channels in blocks, of which MXNet's `slice` crashes on parts."""
    text = "c = Conv(x, w)\np = MaxPool<kernel_shape = [2, 2]>(c)\ns = Slice(p, b, e, a)\ny = Flatten(s)"
    numbers: Weights = {"w": (16, 3, 3, 3), "b": ints(first), "e": ints(last), "a": ints(1)}

    assert converted(model(text, numbers), tmp_path).compared


def test_results_that_are_left_out_are_none(tmp_path: Path) -> None:
    made = model(
        "c = Conv(x, w)\nb = BatchNormalization(c, one, one, one, one)\ny = Flatten(b)",
        {"w": (2, 3, 3, 3), "one": np.ones(2, np.float32)},
        opset=12,
    )
    made.graph.node[-2].output.extend(["", "", "", ""])

    assert converted(made, tmp_path).compared


# ---- refused ----

BFLOAT16 = helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)
PLAIN = ("y = Conv(x, w)", {"w": (2, 3, 3, 3)})


def saved(made: onnx.ModelProto, change: Callable[[onnx.ModelProto], object] | None = None) -> bytes:
    if change is not None:
        change(made)
    data: bytes = made.SerializeToString()
    return data


def with_if() -> onnx.ModelProto:
    made = model(*PLAIN)
    inner = helper.make_graph([], "b", [], [helper.make_empty_tensor_value_info("y")])
    made.graph.node.append(helper.make_node("If", ["y"], ["z"], "choice", then_branch=inner, else_branch=inner))
    made.graph.output[0].name = "z"
    return made


def elsewhere(made: onnx.ModelProto) -> None:
    """Has the weights in a file that is the system's."""
    tensor = made.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def functions_that_call(made: onnx.ModelProto, calls: list[list[str]]) -> None:
    """Has functions F0, F1, …, which call those of these names, one after the other; the last one makes the output."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for number, names in enumerate(calls):
        values = ["a", *(f"v{place}" for place in range(len(names) - 1)), "b"]
        nodes = [
            helper.make_node(name, [values[place]], [values[place + 1]], domain="own" if name[0] == "F" else "")
            for place, name in enumerate(names)
        ]
        made.functions.append(helper.make_function("own", f"F{number}", ["a"], ["b"], nodes, opsets))
    made.opset_import.append(opsets[1])
    made.graph.node.append(helper.make_node(f"F{len(calls) - 1}", ["y"], ["z"], domain="own"))
    made.graph.output[0].name = "z"


REFUSED: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "empty": (lambda: b"", ["is empty"]),
    "truncated": (lambda: saved(model(*PLAIN))[:-20], ["not whole"]),
    "text": (lambda: b"a text of no meaning", ["not an ONNX file"]),
    "zip": (lambda: b"PK\3\4" + b"x" * 90, ["PyTorch", "torch.onnx.export"]),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n", [".h5", "tf2onnx"]),
    "tflite": (lambda: b"\x1c\0\0\0TFL3", ["TensorFlow Lite"]),
    "lfs": (lambda: b"version https://git-lfs.github.com/spec/v1", ["git lfs pull"]),
    "opset 22": (lambda: saved(model(*PLAIN, opset=22)), ["opset 22", "opset_version=17"]),
    "whole numbers that are computed with": (lambda: saved(model("f = Cast<to = 1>(x)\ny = Conv(f, w)", {**PLAIN[1], "shift": np.ones((1, 3, 1, 1), np.uint8)}, kind=TensorProto.UINT8)), ["it computes with whole numbers", "Add 'x'"]),
    "no weights": (lambda: saved(model("y = Relu(images)")), ["nothing on the way to its output has weights"]),
    "no opset": (lambda: saved(model(*PLAIN), lambda m: m.ClearField("opset_import")), ["doesn't say which opset"]),
    "opset 0": (lambda: saved(model(*PLAIN, opset=0)), ["doesn't say which opset"]),
    "opset 6": (lambda: saved(model(*PLAIN, opset=6)), ["opset 6"]),
    "control flow": (lambda: saved(with_if()), ["If 'choice'", "1 such node", "tracing"]),
    "no output": (lambda: saved(model(*PLAIN), lambda m: m.graph.ClearField("output")), ["has no output"]),
    "an output that nothing makes": (lambda: saved(model(*PLAIN), lambda m: setattr(m.graph.output[0], "name", "z")), ["output 'z', which no operator makes"]),
    "an operator before what it takes": (lambda: saved(model("y = Relu(z)\nz = Conv(x, w)", PLAIN[1])), ["Relu 'y'", "takes z, which nothing before it makes"]),
    "safetensors": (lambda: b"\x20" + bytes(7) + b'{"a":{"dtype":"F32"}}', ["safetensors", "torch.onnx.export"]),
    "MXNet's parameters": (lambda: b"\x12\1" + bytes(60), ["MXNet's parameters", "model pack"]),
    "two channels": (lambda: saved(model("y = Relu(x)", {"shift": (1,)}, shape=("N", 2, 8, 8))), ["(N, 2, 8, 8)", "3 channels"]),
    "open size": (lambda: saved(model(*PLAIN, shape=("N", 3, "h", "w"))), ["any size", "--size"]),
    "a vector": (lambda: saved(model("y = Relu(x)", {"shift": (1,)}, shape=("N", 100))), ["four axes"]),
    "eight at a time": (lambda: saved(model(*PLAIN, shape=(8, 3, 9, 9))), ["8 images at a time", "dynamic_axes"]),
    "two outputs": (lambda: saved(model("y = Conv(x, w)\nz = Relu(y)", PLAIN[1], outputs=("y", "z"))), ["2 outputs: y (N, 2, 7, 8), which ends in Convolution", "; z (N, 2, 7, 8), which ends in Activation", "--output-name", "--outputs y,z"]),
    "two inputs": (lambda: saved(model(*PLAIN), lambda m: m.graph.input.append(helper.make_tensor_value_info("size", TensorProto.INT64, [2]))), ["2 inputs: images, size"]),
    "unknown operators": (
        lambda: saved(model("a = Conv(x, w)\nb = Celu<alpha = 0.5>(a)\nc = Celu(b)\nd = Trilu(c)\ny = Relu(d)", PLAIN[1])),
        ["Celu 'b' (alpha=0.5) (2 such nodes)", "also Trilu 1"],
    ),
    "foreign operator": (lambda: saved(model(*PLAIN), lambda m: setattr(m.graph.node[1], "domain", "com.microsoft")), ["com.microsoft.Conv 'y' (1 such node)"]),
    "random": (lambda: saved(model("r = RandomUniformLike(x)\ny = Conv(r, w)", PLAIN[1])), ["random"]),
    "statistics of a batch": (
        lambda: saved(model("b, m, v, sm, sv = BatchNormalization(x, g, g, g, g)\ny = Conv(b, w)", {**PLAIN[1], "g": (3,)}, opset=8)),
        ["as in training", "BatchNormalization 'b'", "model.eval()"],
    ),
    "steps through more axes than MXNet slices": (
        lambda: saved(model("c = Conv(x, w)\nr = Reshape(c, n)\ns = Slice(r, b, e, a, t)\ny = Flatten(s)", {"w": (3, 3, 1, 1), "n": ints(0, 3, 3, 3, 2, 5), "b": ints(0), "e": ints(5), "a": ints(5), "t": ints(2)})),
        ["takes every 2th of more than 5 axes: Slice 's'"],
    ),
    "more axes than MXNet transposes": (
        lambda: saved(model("c = Conv(x, w)\nr = Reshape(c, n)\ns = Transpose<perm = [0, 2, 1, 3, 4, 5, 6]>(r)\ny = Flatten(s)", {"w": (3, 3, 1, 1), "n": ints(-1, 3, 3, 3, 2, 5, 1)})),
        ["MXNet can't compute the converted network: operator s_transpose", "at most 6 dimensions", "docs/onnx.md"],
    ),
    "one image at a time that becomes none": (
        lambda: saved(model("c = Conv(x, w)\ny = Flatten<axis = 0>(c)", PLAIN[1], shape=(1, 3, 9, 10))),
        ["its output y has no row for each image", "dynamic_axes"],
    ),
    "constant": (lambda: saved(model("y = Relu(w)", PLAIN[1])), ["the same for every image"]),
    "no row for each image": (lambda: saved(model("y = Transpose<perm = [1, 0, 2, 3]>(x)")), ["no row for each image"]),
    "as many numbers as there are images": (lambda: saved(model("f = Flatten(x)\nt = Transpose(f)\ny = MatMul(f, t)")), ["the shape (2, 2) for 2 images and (3, 3) for 3"]),
    "weights of an unknown type": (lambda: saved(model(*PLAIN), lambda m: setattr(m.graph.initializer[1], "data_type", 98)), ["aren't whole"]),
    "too large to fold": (lambda: saved(model("z = ConstantOfShape(n)\ny = Add(x, z)", {"n": ints(1, 2**20, 2**20)})), ["too large"]),
    "a pattern without end": (
        lambda: saved(model('z = RegexFullMatch<pattern = "(a+)+$">(s)\nf = Cast<to = 1>(z)\ny = Add(x, f)', {"s": np.array(["a" * 40 + "b"], object)}, opset=20)),
        ["RegexFullMatch", "computes with texts"],
    ),
    "functions in a circle": (lambda: saved(model(*PLAIN), lambda m: functions_that_call(m, [["F1"], ["F0"]])), ["call themselves"]),
    "functions that make a billion nodes": (
        lambda: saved(model(*PLAIN), lambda m: functions_that_call(m, [["Relu"], *[[f"F{n}"] * 2 for n in range(30)]])),
        ["becomes 1,073,741,826 nodes"],
    ),
    "size in the weights": (lambda: saved(model("r = Reshape(x, n)\ny = Relu(r)", {"n": ints(-1, 271)})), ["Reshape"]),
    "an unknown version of the format": (lambda: saved(model(*PLAIN), lambda m: setattr(m, "ir_version", 99)), ["(ir_version)", "older exporter"]),
    "no version": (lambda: saved(model(*PLAIN), lambda m: m.ClearField("ir_version")), ["the version 0 of the format"]),
    "NaN weights": (lambda: saved(model("y = Conv(x, w)", {"w": np.full((2, 3, 3, 3), np.nan, np.float32)})), ["the weights w", "NaN", "diverged"]),
    "NaN weights of 16 bits": (lambda: saved(model("y = Conv(x, w)", {"w": np.full((2, 3, 3, 3), np.nan, BFLOAT16)})), ["the weights w", "NaN"]),
    "two values of one name": (lambda: saved(model("y = Conv(x, w)\ny = Relu(x)", PLAIN[1])), ["same name: y", "onnx.compose"]),
    "a circle": (lambda: saved(model("a = Add(x, b)\nb = Conv(a, w)\ny = Relu(b)", {"w": (3, 3, 1, 1)})), ["Add 'a'", "takes b, which nothing before it makes"]),
    "weights outside its folder": (lambda: saved(model(*PLAIN), elsewhere), ["outside its own folder", "../../etc/passwd"]),
    "a sequence": (lambda: saved(model(*PLAIN), lambda m: m.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("images", TensorProto.FLOAT, None))), ["no tensor", "a sequence"]),
    "a text": (lambda: saved(model(*PLAIN, kind=TensorProto.STRING)), ["takes string"]),
    "a type that isn't known": (lambda: saved(model(*PLAIN, kind=99)), ["takes the type 99, which ONNX doesn't have"]),
    "a convolution without a kernel": (lambda: saved(model("y = Conv(images)", shape=("N", "c", 8, 8))), ["(N, c, 8, 8)", "3 channels"]),
    "huge images": (lambda: saved(model(*PLAIN, shape=("N", 3, 2**20, 2**20))), ["1048576 x 1048576", "16,384 are the most"]),
    "a constant of nothing": (lambda: saved(model("z = Constant()\nc = Conv(x, w)\ny = Add(c, z)", PLAIN[1])), ["Constant"]),
    "images that are too small": (lambda: saved(model(*PLAIN, shape=("N", 3, 1, 1))), ["Conv 'y'", "images are too small"]),
    "half a tensor": (lambda: saved(model(*PLAIN), lambda m: setattr(m.graph.initializer[1], "raw_data", b"1234")), ["aren't whole"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_converted_is_refused_with_its_cause_and_a_hint(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    path = tmp_path / "net.onnx"
    path.write_bytes(make())

    with pytest.raises(UsageError) as refused:
        converter.run(Request(path, tmp_path, "net", SPEC))

    for word in words:
        assert word in str(refused.value)
    assert str(path) in refused.value.problem
    assert refused.value.hint
    assert [found.name for found in tmp_path.iterdir()] == ["net.onnx"]


def test_what_pixels_are_wanted_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        converted(model("y = Conv(images, w)", {"w": (2, 3, 3, 3)}), tmp_path, spec=ModelSpec())

    assert "doesn't say what pixels it wants" in refused.value.problem
    assert "--spec" in refused.value.hint


def test_a_crop_that_is_larger_than_what_it_is_cut_from_is_refused(tmp_path: Path) -> None:
    small = ModelSpec.model_validate({"preprocess": {"resize": "shorter_and_crop", "shorter_side": 256}})

    with pytest.raises(UsageError) as refused:
        converted(model("y = Conv(x, w)", {"w": (2, 3, 3, 3)}, shape=("N", 3, 299, 299)), tmp_path, spec=small)

    assert "shorter_side is 256, smaller than the network's 299 x 299" in refused.value.problem


def test_a_saved_model_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")

    with pytest.raises(UsageError) as refused:
        onnx_file.read(tmp_path)

    assert "SavedModel" in refused.value.problem
    assert "tf2onnx" in refused.value.hint


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.onnx")

    with pytest.raises(UsageError, match="a device or a pipe"):
        onnx_file.read(tmp_path / "net.onnx")


def test_a_network_that_computes_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {**operators.OPERATORS, "Relu": operators.OPERATORS["Abs"]}
    monkeypatch.setattr("mxspark.convert.conversion.OPERATORS", wrong)

    with pytest.raises(UsageError) as refused:
        converted(model("c = Conv(x, w)\ny = Relu(c)", {"w": (2, 3, 3, 3)}), tmp_path)

    assert "other numbers than onnxruntime" in refused.value.problem
    assert "0.001" in refused.value.problem


def test_a_network_that_mixes_the_images_of_a_batch_is_refused(tmp_path: Path) -> None:
    mixing = "c = Conv(x, w)\nr = Reshape(c, n)\nt = Transpose(r)\ny = Reshape(t, k)"

    with pytest.raises(UsageError, match=r"mixes the images of a batch: .* numbers of y"):
        converted(model(mixing, {"w": (3, 3, 1, 1), "n": ints(3, -1), "k": ints(-1, 270)}), tmp_path)


def test_what_probabilities_are_made_of_is_compared_behind_a_reshape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mxspark.convert.conversion.OPERATORS", {**operators.OPERATORS, "Relu": operators.OPERATORS["Abs"]}
    )
    weights: Weights = {"w": (2, 3, 3, 3), "far": np.array(30, np.float32)}  # all probabilities are 1

    with pytest.raises(UsageError) as refused:
        converted(
            model("c = Conv(x, w)\nr = Relu(c)\nd = Add(r, far)\ns = Sigmoid(d)\ny = Flatten(s)", weights), tmp_path
        )

    assert "other numbers than onnxruntime: of d" in refused.value.problem


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("y = Conv(x, w)", {"w": np.full((2, 3, 3, 3), np.inf, np.float32)}),
        ("a = Abs(x)\nb = Neg(a)\ny = Sqrt(b)", {}),  # no numbers (NaN) in both
    ],
)
def test_a_network_that_computes_no_numbers_is_refused(text: str, weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        converted(model(text, weights), tmp_path)

    assert "numbers of y that are infinite, or none at all (NaN)" in refused.value.problem


def test_numbers_that_no_image_changes_are_told(tmp_path: Path) -> None:
    weights: Weights = {"w": (2, 3, 3, 3), "low": np.array(-1e6, np.float32)}

    done = converted(model("c = Conv(x, w)\nd = Add(c, low)\ny = Relu(d)", weights), tmp_path)

    assert done.notes == ("y: the same for all images that were compared, which proves little. Give others: --try.",)


def test_probabilities_near_0_are_the_same_to_what_onnxruntime_rounds_them(tmp_path: Path) -> None:
    weights: Weights = {"w": (2, 3, 3, 3), "far": np.array(-15, np.float32)}

    assert converted(model("c = Conv(x, w)\nd = Add(c, far)\ny = Sigmoid(d)", weights), tmp_path).compared


def test_weights_that_are_quantized_alone_are_computed_before(tmp_path: Path) -> None:
    text = "d = DequantizeLinear(q, scale, zero)\nc = Conv(x, d)\ng = GlobalAveragePool(c)\ny = Flatten(g)"
    random = np.random.default_rng(0)
    weights: Weights = {
        "q": random.integers(-9, 9, (2, 3, 3, 3), np.int8), "scale": np.array(0.1, np.float32), "zero": np.array(3, np.int8),
    }  # fmt: skip

    assert converted(model(text, weights), tmp_path).compared


def test_a_file_for_single_images_may_leave_their_axis_away(tmp_path: Path) -> None:
    text = "c = Conv(x, w)\ng = GlobalAveragePool(c)\ny = Squeeze(g)"

    assert converted(model(text, {"w": (2, 3, 3, 3)}, shape=(1, 3, 9, 10)), tmp_path).compared


def test_weights_may_be_called_what_the_input_is_called_in_mxnet(tmp_path: Path) -> None:
    assert converted(model("y = Conv(x, data)", {"data": (2, 3, 3, 3)}), tmp_path).compared


def test_names_that_are_all_the_same_are_told_apart_in_their_time() -> None:
    """By counting from 1 each time twenty thousand took minutes."""
    network = Network(None, None)
    start = time.process_time()
    names = [network.unique("/" * (number % 9 + 1)) for number in range(20_000)]
    assert names[:3] == ["value", "value_1", "value_2"]
    assert len({*names}) == 20_000
    assert time.process_time() - start < 10
    assert [network.unique(name) for name in ("data", "value_5", "value")] == ["data_1", "value_5_1", "value_20000"]


def test_names_may_be_in_any_script(tmp_path: Path) -> None:
    made = model(*PLAIN)
    for node in made.graph.node:
        node.name = "卷积" + node.op_type
        node.input[:] = [name.replace("w", "權重") for name in node.input]
        node.output[:] = [name.replace("y", "類別") for name in node.output]
    made.graph.initializer[1].name, made.graph.output[0].name = "權重", "類別"

    assert converted(made, tmp_path).compared
