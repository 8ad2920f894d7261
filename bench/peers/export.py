"""A bundle's network as an ONNX file for the peers: uint8 RGB pixels (N, height, width, 3) in, probabilities out.

Scaling is part of the graph, so that no peer has to do it in Python. MXNet 1.9.1's own exporter does the network.

Run:  python -m bench.peers.export BUNDLE FILE
"""

import json
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import onnx
import onnx.defs
from examples.mxnet_import import mx
from onnx import TensorProto, helper, numpy_helper

from mxspark.inference import bundle
from mxspark.inference.bundle import Bundle
from mxspark.settings.job import ModelSettings
from mxspark.storage import Access

OPSET = 13  # the last that MXNet's exporter knows
INPUT, OUTPUT = "pixels", "probabilities"


def main() -> None:
    source, target = sys.argv[1:]
    access = Access()
    model = bundle.fetch(bundle.find(ModelSettings(path=source), access), Path(source), access)
    network = _exported(model)
    _shrink_kernels(network)
    _take_pixels(network, model)
    if model.spec.output.kind == "logits":
        _end_in_softmax(network)
    network.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "N"
    onnx.checker.check_model(network)
    onnx.save(network, target)


def _exported(model: Bundle) -> onnx.ModelProto:
    # MXNet's exporter asks for two names of onnx as they were in 2022.
    types_of = {np.dtype(kind): helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for kind in ("f4", "i4", "i8")}
    vars(onnx)["mapping"] = types.SimpleNamespace(
        NP_TYPE_TO_TENSOR_TYPE=types_of, TENSOR_TYPE_TO_NP_TYPE={number: kind for kind, number in types_of.items()}
    )
    vars(onnx.defs)["onnx_opset_version"] = lambda: OPSET
    size = model.spec.input
    graph = json.loads(model.paths["symbol"].read_bytes())
    for node in graph["nodes"]:
        if node["op"] == "FullyConnected":  # the exporter takes MXNet's default for False
            node["attrs"].setdefault("flatten", "True")
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/network.onnx"
        mx.onnx.export_model(
            mx.sym.load_json(json.dumps(graph)),
            {name.partition(":")[2]: array for name, array in mx.nd.load(str(model.paths["params"])).items()},
            [(1, 3, size.height, size.width)],
            np.float32,
            file,
            dynamic=True,
            dynamic_input_shapes=[("N", 3, size.height, size.width)],
        )
        return onnx.load(file)


def _shrink_kernels(network: onnx.ModelProto) -> None:
    """Takes away leading rows and columns of zeros, which MXNet needs for padding that differs from side to side."""
    weights = {tensor.name: tensor for tensor in network.graph.initializer}
    for node in network.graph.node:
        if node.op_type != "Conv":
            continue
        kernel = numpy_helper.to_array(weights[node.input[1]])
        if kernel.shape[2] < 2 or kernel[:, :, 0].any() or kernel[:, :, :, 0].any():
            continue
        weights[node.input[1]].CopyFrom(numpy_helper.from_array(kernel[:, :, 1:, 1:].copy(), node.input[1]))
        for attribute in node.attribute:
            if attribute.name == "pads":
                attribute.ints[0] -= 1
                attribute.ints[1] -= 1
            if attribute.name == "kernel_shape":
                attribute.ints[:] = [length - 1 for length in attribute.ints]


def _take_pixels(network: onnx.ModelProto, model: Bundle) -> None:
    """uint8 (N, height, width, 3) takes the place of the scaled float32 (N, 3, height, width)."""
    graph, steps, size = network.graph, model.spec.preprocess, model.spec.input
    mean = np.array(steps.mean, np.float32).reshape(1, 3, 1, 1) / np.float32(steps.scale)
    factor = np.float32(steps.scale) / np.array(steps.std, np.float32).reshape(1, 3, 1, 1)
    scaled = graph.input[0].name
    constants = {"pixel_mean": mean.astype(np.float32), "pixel_factor": factor.astype(np.float32)}
    nodes = [
        helper.make_node("Transpose", [INPUT], ["planes"], "pixel_planes", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["numbers"], "pixel_numbers", to=TensorProto.FLOAT),
        helper.make_node("Sub", ["numbers", "pixel_mean"], ["centred"], "pixel_centred"),
        helper.make_node("Mul", ["centred", "pixel_factor"], [scaled], "pixel_scaled"),
    ]
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", size.height, size.width, 3]))


def _end_in_softmax(network: onnx.ModelProto) -> None:
    graph = network.graph
    logits = graph.output[0].name
    graph.node.append(helper.make_node("Softmax", [logits], [OUTPUT], OUTPUT, axis=1))
    graph.output[0].name = OUTPUT


if __name__ == "__main__":
    main()
