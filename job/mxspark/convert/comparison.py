"""The converted network beside onnxruntime, on the same images: batches of one and of three."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxspark import host
from mxspark.convert.errors import not_computed
from mxspark.convert.image_input import ImageInput
from mxspark.convert.onnx_file import OnnxFile
from mxspark.convert.runtime import Session
from mxspark.errors import UsageError, one_line
from mxspark.inference import checkpoint
from mxspark.inference.bundle import Bundle
from mxspark.inference.checkpoint import Checkpoint
from mxspark.inference.mxnet import said
from mxspark.settings.model_spec import Preprocessing
from mxspark.text.words import printable

Floats = NDArray[np.float32]

LIMIT = 1e-3  # of the largest number of an output, by how much two numbers of it may differ
BATCHES = (1, 3)
_COPIES = 8  # of the images that are there at once, counted as float32
_BUG = "This is a bug in mxspark: report it, with the file if you can. Perhaps a file of another opset helps."


@dataclass(frozen=True)
class Difference:
    """How far two computations are from each other, at most."""

    absolute: float
    relative: float  # to the largest number of the same output

    def __str__(self) -> str:
        return f"{self.absolute:.2g}, {self.relative:.1g} of the largest number"


def check_memory(path: Path, image: ImageInput, given: int) -> None:
    """Raises UsageError where the random images and `given` others are too large to be compared on."""
    size = (max(BATCHES) + given) * image.channels * image.height * image.width * _COPIES * np.float32().nbytes
    if size > host.memory():
        raise UsageError(
            f"{path}: to compare it on images of {image.height} x {image.width} takes {size / 2**30:.1f} GiB of "
            f"memory, and there are {host.memory() / 2**30:.1f} GiB",
            "Convert it for smaller images, or on a machine with more.",
        )


def random_images(image: ImageInput, steps: Preprocessing) -> Floats:
    """Images (3, C, H, W): coarse patterns and noise, of which a network makes more than of noise alone."""
    random, count, channels = np.random.default_rng(0), max(BATCHES), image.channels
    coarse = random.uniform(0, 255, (count, channels, 4, 4)).astype(np.float32)
    rows, columns = (np.arange(side) * 4 // side for side in (image.height, image.width))
    pixels = random.random((count, channels, image.height, image.width), np.float32)
    pixels *= 80
    pixels += coarse[:, :, rows][:, :, :, columns] - 40
    np.rint(pixels.clip(0, 255, out=pixels), out=pixels)
    mean, std = (np.resize(given, channels).astype(np.float32).reshape(-1, 1, 1) for given in (steps.mean, steps.std))
    images: Floats = (pixels * np.float32(steps.scale) - mean) / std
    return images


def reference(
    file: OnnxFile, written: Path, image: ImageInput, values: Sequence[str], groups: Sequence[Floats]
) -> list[list[Floats]]:
    """What onnxruntime computes of groups of images (n, C, H, W): (n, …) for each value of the graph and each group.

    `written` is the file with these values as outputs. Raises UsageError where it can't.
    """
    try:
        session = Session(written)
        found = [_of_session(session, image, values, images) for images in groups]
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  # onnxruntime has no class that all of its errors are
        raise UsageError(
            f"{file.path}: onnxruntime can't compute it, so that the conversion can't be checked: {one_line(error)}",
            "Check the file with onnx.checker; export it again.",
        ) from None
    if not image.is_single:
        _check_rows(file.path, values, _of_session(session, image, values, groups[0][:1]), found[0])
    return [[outputs[number] for outputs in found] for number in range(len(values))]


def _check_rows(path: Path, values: Sequence[str], alone: Sequence[Floats], together: Sequence[Floats]) -> None:
    """Raises UsageError where the file makes something else of its first image when others are beside it."""
    for name, one, rows in zip(values, alone, together, strict=True):
        with np.errstate(invalid="ignore"):  # of infinite numbers, which `compare` tells of
            differs = (np.abs(one - rows[:1]) > LIMIT * np.abs(rows).max(initial=0)).any()
        if differs:
            raise UsageError(
                f"{path}: mixes the images of a batch: of the same image, onnxruntime computes other numbers of "
                f"{printable(name)} where others are beside it",
                "Export it for one image at a time (a batch of 1), or so that each image is computed by itself.",
            )


def _of_session(session: Session, image: ImageInput, values: Sequence[str], images: Floats) -> list[Floats]:
    given = images.transpose(0, 2, 3, 1) if image.is_nhwc else images
    size = 1 if image.is_single else len(given)
    found = [
        session.run(values, {image.name: given[start : start + size].astype(image.dtype)})
        for start in range(0, len(given), size)
    ]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def computed(mx: Any, path: Path, bundle: Bundle, groups: Sequence[Floats]) -> list[list[Floats]]:
    """What MXNet computes of groups of images (n, C, H, W), alone and three at a time: (2, n, …) for each output (the
    bundle's, and those of output.also after it) and each group.

    Raises UsageError where the network doesn't take both.
    """
    loaded = checkpoint.load(mx, bundle)
    images = np.concatenate(groups)
    try:
        found = [np.stack(both) for both in zip(*_in_batches(mx, loaded, images), strict=True)]
    except (mx.MXNetError, RuntimeError) as error:
        raise not_computed(path, said(error)) from None
    ends = np.cumsum([len(group) for group in groups])[:-1]
    return [np.split(numbers, ends, axis=1) for numbers in found]


def _in_batches(mx: Any, loaded: Checkpoint, images: Floats) -> list[list[Floats]]:
    """The outputs for all images, for each size of batch; the last batch is padded."""
    name, found = loaded.input_name, []
    for size in BATCHES:
        whole = np.concatenate([images, np.zeros((-len(images) % size, *images.shape[1:]), np.float32)])
        arguments = {**loaded.arguments, name: mx.nd.zeros((size, *images.shape[1:]))}
        # Computes as mx.mod.Module does, which makes two more copies of the parameters.
        executor = loaded.symbol.bind(mx.cpu(), arguments, aux_states=dict(loaded.states), grad_req="null")
        parts = []
        for start in range(0, len(whole), size):
            outputs = executor.forward(is_train=False, **{name: mx.nd.array(whole[start : start + size])})
            parts.append([output.asnumpy() for output in outputs])
        found.append([np.concatenate(numbers)[: len(images)] for numbers in zip(*parts, strict=True)])
        del executor, arguments, outputs  # before the next ones are made
    return found


def is_same_for_all(groups: Sequence[Floats]) -> bool:
    """Whether all images in groups of them give the same numbers."""
    return all((numbers == groups[0][:1]).all() for numbers in groups)


def compare(
    path: Path, names: Sequence[str], pairs: Sequence[tuple[Floats, Floats]], probabilities: Container[str] = ()
) -> Difference:
    """How far MXNet's numbers (2, n, …) are from onnxruntime's (n, …), at most: pairs of both, of values called so in
    the file; of `probabilities` what they are made of is among the values too.

    Raises UsageError where that is more than rounding does.
    """
    found = [
        # onnxruntime rounds a sigmoid to 1e-7, which is much of one that is near 0.
        _difference(path, name, *pair, 1.0 if name in probabilities else 1e-30)
        for name, pair in zip(names, pairs, strict=True)
    ]
    return max(found, key=lambda difference: difference.relative)


def _difference(path: Path, name: str, ours: Floats, theirs: Floats, least: float) -> Difference:
    """How far they differ, in relation to their largest number, or to `least` where that is larger."""
    if ours[0].size == theirs.size:  # a file for single images may leave their axis away
        theirs = theirs.reshape(ours.shape[1:])
    if ours.shape[1:] != theirs.shape:
        raise _differs(path, name, f"it has the shape {ours.shape[1:]}, not {theirs.shape}")
    if not np.isfinite(theirs).all():
        raise UsageError(
            f"{path}: onnxruntime computes numbers of {printable(name)} that are infinite, or none at all (NaN)",
            "Check its weights, and that the preprocessing is what it was trained with.",
        )
    if not np.isfinite(ours).all():
        raise _differs(path, name, "some of its numbers are infinite, or none at all (NaN)")
    absolute = float(np.abs(ours - theirs).max(initial=0))
    difference = Difference(absolute, absolute / max(float(np.abs(theirs).max(initial=0)), least))
    if difference.relative > LIMIT:
        raise _differs(path, name, f"its numbers differ by {difference}; the limit is {LIMIT:g}")
    return difference


def _differs(path: Path, name: str, what: str) -> UsageError:
    return UsageError(
        f"{path}: the converted network computes other numbers than onnxruntime: of {printable(name)}, {what}", _BUG
    )
