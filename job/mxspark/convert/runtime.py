"""onnxruntime, which computes what an ONNX file means. The only place that imports it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from onnx import ModelProto, NodeProto, OperatorSetIdProto, helper

from mxspark import host
from mxspark.convert.onnx_file import WRITTEN_IR_VERSION, Array


class Session:
    """A graph as onnxruntime computes it, without optimizations: these copy the weights, and may change numbers."""

    def __init__(self, model: Path | bytes) -> None:
        """Takes a file or its content. Raises Exception where onnxruntime refuses it: its errors have no class."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = host.cores()
        options.log_severity_level = 4  # errors are raised as well
        options.enable_cpu_mem_arena = False
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")  # which copies the weights too
        source = model if isinstance(model, bytes) else str(model)
        self._session: Any = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])

    def run(self, outputs: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        """The values of these names. Raises Exception."""
        found: list[Array] = self._session.run(list(outputs), dict(inputs))
        return found


def model_of(node: NodeProto, inputs: Mapping[str, Array], opsets: Sequence[OperatorSetIdProto]) -> ModelProto:
    """A model of one node that takes these arrays."""
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "one", infos, outputs)
    return helper.make_model(graph, opset_imports=list(opsets), ir_version=WRITTEN_IR_VERSION)
