"""The peers' int8 networks, made from the same images: ONNX Runtime's QDQ, OpenVINO's by NNCF.

Run:  python -m bench.peers.programs.quantize NETWORK PIXELS QDQ OPENVINO VNNI

NETWORK takes uint8 pixels; PIXELS is an array of them, (N, 224, 224, 3), as numpy keeps it. VNNI is yes or no: without
it products are added in 16 bits, and both have an option for ranges that don't overflow there.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnx
import openvino
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

BATCH = 8
INPUT = "pixels"


class Reader(CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """The images, a batch at a time."""

    def __init__(self, pixels: Any) -> None:
        self._batches: Iterator[Any] = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def main() -> None:
    network, images, qdq, target, vnni = sys.argv[1:]
    pixels = np.load(images)
    prepared = f"{qdq}.prepared"
    quant_pre_process(network, prepared, skip_symbolic_shape=True)
    scaling = [node.name for node in onnx.load(prepared).graph.node if node.name.startswith("pixel")]
    quantize_static(
        prepared,
        qdq,
        Reader(pixels),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        reduce_range=vnni == "no",
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        nodes_to_exclude=scaling,
    )
    Path(prepared).unlink()
    overflow = nncf.OverflowFix.ENABLE if vnni == "no" else nncf.OverflowFix.FIRST_LAYER
    quantized = nncf.quantize(
        openvino.Core().read_model(network),
        nncf.Dataset([pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]),
        subset_size=len(pixels) // BATCH,
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=overflow),
    )
    openvino.save_model(quantized, target)


main()
