"""What every peer's job is given on its command line, and what it makes of a batch of pixels."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 224  # of the network's images [pixels]
TOP = 5  # classes of an image that a job writes


@dataclass(frozen=True)
class Task:
    """All images under s3://bucket/prefix/ through a network, into Parquet files in a folder.

    Rows have `key`; `classes` and `probabilities`, the best five first; `time`, when they were predicted [seconds since
    1970]. The credentials come by the environment.
    """

    endpoint: str
    bucket: str
    prefix: str
    output: str
    network: str  # a file: ONNX, OpenVINO's, or for the article's job a bundle
    engine: str  # onnxruntime or openvino
    hint: str  # the precision that OpenVINO is told to compute in; empty: its own choice
    workers: int  # with one thread each
    batch_size: int

    @property
    def address(self) -> str:
        """Host and port of the endpoint."""
        return self.endpoint.partition("://")[2]


def from_arguments() -> Task:
    """The task that the program was started with, as JSON."""
    return Task(**json.loads(sys.argv[1]))


class Engine:
    """A network on one thread: uint8 pixels (N, 224, 224, 3) in, probabilities (N, classes) out."""

    def __init__(self, task: Task) -> None:
        self._run: Callable[[NDArray[np.uint8]], Any]
        if task.engine == "onnxruntime":
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            session = onnxruntime.InferenceSession(task.network, options, providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name
            self._run = lambda pixels: session.run(None, {name: pixels})[0]
        else:
            import openvino

            options = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
            if task.hint:
                options["INFERENCE_PRECISION_HINT"] = task.hint
            request = openvino.Core().compile_model(task.network, "CPU", options).create_infer_request()
            self._run = lambda pixels: request.infer([pixels], share_inputs=True)[0].copy()

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = self._run(pixels)
        return result


def decode(data: bytes) -> NDArray[np.uint8]:
    """(224, 224, 3), squashed with Pillow's bilinear filter."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def best(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Classes and probabilities of the best five, (N, 5) each, the best first."""
    found: NDArray[Any] = np.argpartition(-probabilities, TOP, axis=1)[:, :TOP]
    values = np.take_along_axis(probabilities, found, 1)
    order = np.argsort(-values, axis=1)
    return np.take_along_axis(found, order, 1).astype(np.int32), np.take_along_axis(values, order, 1)
