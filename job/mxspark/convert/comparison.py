"""The converted network beside onnxruntime, on the same images: batches of one and of three."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mxspark import host
from mxspark.convert.image_input import ImageInput
from mxspark.convert.onnx_file import OnnxFile, as_bytes
from mxspark.errors import UsageError, one_line
from mxspark.inference import checkpoint
from mxspark.inference.bundle import Bundle
from mxspark.inference.mxnet import said
from mxspark.settings.model_spec import Preprocessing

Floats = NDArray[np.float32]

LIMIT = 1e-3  # of the largest number of an output, by how much two numbers of it may differ
BATCHES = (1, 3)


@dataclass(frozen=True)
class Difference:
    """How far the two computations of some images are from each other, at most."""

    images: int
    absolute: float
    relative: float  # to the largest number of the same output

    def __str__(self) -> str:
        return f"{self.absolute:.2g}, {self.relative:.1g} of the largest number"


def random_images(image: ImageInput, steps: Preprocessing) -> Floats:
    """Images (3, C, H, W): coarse patterns and noise, of which a network makes more than of noise alone."""
    random, count, channels = np.random.default_rng(0), max(BATCHES), image.channels
    coarse = random.uniform(0, 255, (count, channels, 4, 4))
    rows, columns = (np.arange(side) * 4 // side for side in (image.height, image.width))
    noise = random.uniform(-40, 40, (count, channels, image.height, image.width))
    pixels = np.rint((coarse[:, :, rows][:, :, :, columns] + noise).clip(0, 255))
    mean, std = (np.broadcast_to(numbers, channels).reshape(-1, 1, 1) for numbers in (steps.mean, steps.std))
    return ((pixels * steps.scale - mean) / std).astype(np.float32)


def reference(file: OnnxFile, image: ImageInput, output: str, images: Floats) -> Floats:
    """What onnxruntime computes of `images` (n, C, H, W): (n, …). Raises UsageError where it can't."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = host.cores()
    options.log_severity_level = 4  # errors are raised as well
    options.enable_cpu_mem_arena = False
    is_changed = file.is_half or output not in {value.name for value in file.model.graph.output}
    source = as_bytes(file, output) if is_changed else str(file.path)
    given = images.transpose(0, 2, 3, 1) if image.is_nhwc else images
    size = 1 if image.is_single else len(given)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        found = [
            session.run([output], {image.name: given[start : start + size].astype(image.dtype)})[0]
            for start in range(0, len(given), size)
        ]
    except Exception as error:  # noqa: BLE001  # onnxruntime has no class that all of its errors are
        raise UsageError(
            f"{file.path}: onnxruntime can't compute it, so that the conversion can't be checked: {one_line(error)}",
            "Check the file with onnx.checker; export it again.",
        ) from None
    return np.concatenate(found)


def compare(mx: Any, bundle: Bundle, images: Floats, expected: Floats) -> Difference:
    """How far a converted network is from what is `expected` of images (n, C, H, W), alone and three at a time.

    Raises UsageError where that is more than rounding does, or the network doesn't take both.
    """
    loaded = checkpoint.load(mx, bundle)
    found = np.stack([_computed(mx, loaded, images, size) for size in BATCHES])
    if found.shape[1:] != expected.shape:
        raise _differs(bundle, f"its output has the shape {found.shape[1:]}, not {expected.shape}")
    if not np.array_equal(*np.broadcast_arrays(np.isfinite(found), np.isfinite(expected))):
        raise _differs(bundle, "others of its numbers are infinite, or none at all (NaN)")
    absolute = float(np.abs(np.nan_to_num(found - expected)).max(initial=0))
    largest = float(np.abs(np.nan_to_num(expected, posinf=0, neginf=0)).max(initial=0))
    difference = Difference(len(images), absolute, absolute / max(largest, 1e-30))
    if difference.relative > LIMIT:
        raise _differs(bundle, f"they differ by {difference}; the limit is {LIMIT:g}")
    return difference


def _differs(bundle: Bundle, what: str) -> UsageError:
    return UsageError(
        f"{bundle.spec.source}: the converted network computes other numbers than onnxruntime: {what}",
        "This is a bug in mxspark: report it, with the file if you can. Perhaps another opset helps.",
    )


def _computed(mx: Any, loaded: Any, images: Floats, size: int) -> Floats:
    """MXNet's output for all images, `size` at a time; the last ones are padded."""
    name, shape = loaded.input_name, (size, *images.shape[1:])
    whole = np.concatenate([images, np.zeros((-len(images) % size, *images.shape[1:]), np.float32)])
    try:
        module = mx.mod.Module(loaded.symbol, data_names=[name], label_names=None, context=mx.cpu())
        module.bind(data_shapes=[(name, shape)], for_training=False)
        module.set_params(dict(loaded.arguments), dict(loaded.states), allow_missing=True, allow_extra=True)
        parts = []
        for start in range(0, len(whole), size):
            batch = mx.io.DataBatch([mx.nd.array(whole[start : start + size])])
            module.forward(batch, is_train=False)
            parts.append(module.get_outputs()[0].asnumpy())
    except (mx.MXNetError, RuntimeError) as error:
        raise UsageError(
            f"the converted network can't be computed for {size} images at a time: {said(error)}",
            "Export it with an open batch: torch.onnx.export(…, dynamic_axes={'input': {0: 'batch'}}).",
        ) from None
    return np.concatenate(parts)[: len(images)]
