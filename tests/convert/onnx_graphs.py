"""ONNX graphs in few words, and how they are converted in this process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser

from mxspark.convert import converter
from mxspark.convert.request import Request, Result
from mxspark.settings.model_spec import ModelSpec, Preprocessing

Weights = Mapping[str, Sequence[int] | NDArray[Any]]  # shapes of random numbers, or the numbers

# Numbers around 0: what is cut off there must show.
SPEC = ModelSpec(preprocess=Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.25,)))


def model(
    text: str,
    weights: Weights | None = None,
    opset: int = 17,
    shape: Sequence[int | str] = ("N", 3, 9, 10),
    kind: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    """A network of the nodes in `text` (one a line, in the syntax of onnx.parser), from `x` to `y`; a bias is added to
    the images before, as a network without any parameters is none.
    """
    random = np.random.default_rng(1)
    weights = {"shift": (1, 3, 1, 1), **(weights or {})}
    text = f"x = Add(images, shift)\n{text.strip()}"
    given = {
        name: numbers if isinstance(numbers, np.ndarray) else random.normal(0, 0.5, numbers).astype(np.float32)
        for name, numbers in weights.items()
    }
    graph = helper.make_graph(
        [parser.parse_node(line.strip()) for line in text.splitlines()],
        "g",
        [helper.make_tensor_value_info("images", kind, shape)],
        [
            helper.make_tensor_value_info(name, kind if kind == TensorProto.FLOAT16 else TensorProto.FLOAT, None)
            for name in outputs
        ],
        [numpy_helper.from_array(array, name) for name, array in given.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def ints(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def converted(made: onnx.ModelProto, folder: Path, **request: Any) -> Result:
    """The network, converted and compared with onnxruntime."""
    path = folder / "net.onnx"
    onnx.save(made, str(path))
    return converter.run(Request(path, folder, "net", **{"spec": SPEC, **request}))
