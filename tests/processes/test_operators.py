"""MXNet imported without its operators' functions: they are all there, and compute the same."""

import subprocess
import sys
from typing import Any

import pytest

from mxspark.inference.mxnet import load_mxnet

# By a plain import, in a process of its own: names of operators in each module, and what some of them give.
LOOK = """
import json, sys
import numpy as np
np.bool = bool
{imports}
modules = ["nd", "nd.op", "nd._internal", "nd.contrib", "nd.linalg", "nd.random", "nd.sparse", "nd.image", "sym",
    "sym.op", "sym._internal", "sym.contrib", "np", "npx", "np.random", "np.linalg"]
def module(path):
    found = mx
    for name in path.split("."):
        found = getattr(found, name)
    return found
def functions(of):
    return sorted(name for name in dir(of) if callable(getattr(of, name)))
names = {{path: functions(module(path)) for path in modules}}
array = mx.nd.array([[1.0, -2.0], [3.0, 4.0]])
data = mx.sym.var("data")
graph = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(data * 2 + 1, num_hidden=3, name="full"), name="softmax")
values = [
    mx.nd.relu(array).asnumpy().tolist(), (array + 1).asnumpy().tolist(),
    array.reshape((4,)).softmax().asnumpy().tolist(), mx.nd.concat(array, array, dim=0).shape,
    mx.nd.contrib.box_iou(mx.nd.ones((1, 4)), mx.nd.ones((1, 4))).asnumpy().tolist(),
    mx.np.add(mx.np.ones((2,)), 1).asnumpy().tolist(), mx.nd.cast(array, dtype="int32").dtype.__name__,
    graph.tojson(), str(graph.infer_shape(data=(2, 5))),
]
print(json.dumps([names, values]))
"""
PLAIN, LATER = "import mxnet as mx", "from mxspark.inference.mxnet import load_mxnet; mx = load_mxnet()"


def test_all_operators_are_there_and_compute_the_same() -> None:
    looks = [
        subprocess.Popen([sys.executable, "-c", LOOK.format(imports=imports)], stdout=subprocess.PIPE)
        for imports in (PLAIN, LATER)
    ]
    plain, later = [look.communicate()[0] for look in looks]
    assert plain == later
    assert len(plain) > 10_000


def test_what_an_operator_refuses_it_refuses_in_the_same_words() -> None:
    mx: Any = load_mxnet()
    with pytest.raises(AssertionError, match="Argument data must have NDArray type"):
        mx.nd.relu("text")
    with pytest.raises(mx.MXNetError, match="Invalid Input: 'no'"):
        mx.nd.Activation(mx.nd.ones(1), act_type="no")


def test_a_second_import_is_the_same_module() -> None:
    assert load_mxnet() is load_mxnet() is sys.modules["mxnet"]
