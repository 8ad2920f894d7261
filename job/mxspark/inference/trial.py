"""A model tried on a few images, without Spark: its numbers for them, and those of other preprocessing."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mxspark.decode import preprocess
from mxspark.decode.preprocess import BadImageError, ImageLimits
from mxspark.errors import UsageError
from mxspark.inference import model_check
from mxspark.inference.bundle import Bundle
from mxspark.inference.network import Inspection, Network
from mxspark.settings import presets
from mxspark.settings.model_spec import ModelSpec, Preprocessing, PresetName, check_channels

BATCH = 16  # images in one forward pass
# What became of an image: the numbers of each output, one after the other, or the status and words of its row.
Outcome = NDArray[np.float32] | tuple[str, str]


@dataclass(frozen=True)
class Trial:
    """What a model says of images; `by_preset` what it would, with another preprocessing."""

    inspection: Inspection
    outcomes: tuple[Outcome, ...]
    by_preset: dict[PresetName, tuple[Outcome, ...]]


def try_model(bundle: Bundle, images: Sequence[bytes], limits: ImageLimits, compares: bool) -> Trial:
    """The model tried in a process of its own, on the CPU. Raises UsageError, MxsparkError."""
    return model_check.checked(_try, bundle, tuple(images), limits, compares)


def _try(bundle: Bundle, images: Sequence[bytes], limits: ImageLimits, compares: bool) -> Trial:
    network = Network(bundle, min(len(images), BATCH), "cpu")
    found = network.inspection
    own = bundle.spec.model_copy(update={"input": found.input, "preprocess": found.preprocess})
    by_preset = {}
    fitting = [name for name, one in presets.PRESETS.items() if one.channels in (None, found.input.channels or 3)]
    for preset in fitting if compares else ():
        bare = own.model_copy(update={"preset": preset, "preprocess": Preprocessing()})
        with suppress(UsageError, ValueError):  # for other channels than the network takes
            spec = presets.resolved(bare, found.input)
            check_channels(spec.preprocess, found.input.channels)
            by_preset[preset] = _outcomes(network, images, limits, spec)
    return Trial(found, _outcomes(network, images, limits, own), by_preset)


def _outcomes(network: Network, images: Sequence[bytes], limits: ImageLimits, spec: ModelSpec) -> tuple[Outcome, ...]:
    arrays: list[Outcome] = []
    for data in images:
        try:
            arrays.append(preprocess.load_array(data, limits, spec.input, spec.preprocess))
        except BadImageError as error:
            arrays.append((str(error.status), error.problem))
    good = [array for array in arrays if isinstance(array, np.ndarray)]
    batches = (good[start : start + BATCH] for start in range(0, len(good), BATCH))
    numbers = (each for batch in batches for each in network.predict_all(np.stack(batch)))
    return tuple(next(numbers) if isinstance(array, np.ndarray) else array for array in arrays)
