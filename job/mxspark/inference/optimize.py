"""A model at another precision: made, and compared with itself at fp32 on images of its own input.

What is here runs in a process that loads MXNet (mxnet_process.py).
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxspark.errors import MxsparkError
from mxspark.inference import bundle, network, passes, quantize
from mxspark.inference.bundle import Bundle, BundleSource
from mxspark.inference.figures import Figures, compared, vector_changes
from mxspark.inference.mxnet import check_bfloat16, load_mxnet, said
from mxspark.inference.net import Net
from mxspark.inference.network import Inspection, Network
from mxspark.settings.job import ModelSettings
from mxspark.settings.job import Precision as Precision  # for those who ask for one
from mxspark.settings.model_spec import ModelSpec
from mxspark.storage import Access

Floats = NDArray[np.float32]

BATCH = 16  # images of a forward pass in comparisons
# By how much a pass may change a probability, or a vector's numbers as a share of the largest: more than rounding does
# means that it isn't exact, and it is left out.
_TOLERANCE = 1e-3
_SMALLEST = 1e-30  # a vector's numbers may all be zero
_PASS_IMAGES = 16  # that each pass is checked on
_ROUNDS = 5  # of timing


@dataclass(frozen=True)
class Trial:
    """Images on which a model is calibrated and compared.

    The first `calibration` of them are calibrated on, the rest are held out for the comparison.
    """

    file: Path  # of float32, as the network takes them, one image after the other
    shape: tuple[int, ...]  # of one
    calibration: int
    true_labels: Sequence[str | None]  # of each image, where it is known

    def read(self) -> Floats:
        """All images (n, …), as far as they are looked at."""
        images: Floats = np.memmap(self.file, np.float32, "r").reshape(-1, *self.shape)
        return images


@dataclass(frozen=True)
class Candidate:
    """A model at some precision, in a folder as a bundle; or why there is none."""

    precision: Precision
    folder: Path
    figures: Figures | None = None
    trouble: str = ""


def make(
    model: Bundle, precisions: Sequence[Precision], trial: Trial, min_agreement: float, folder: Path
) -> tuple[Candidate, ...]:
    """The model at these precisions, each as a bundle in a folder of its own below `folder`, and compared with it.

    int8 has no more layers at fp32 than `min_agreement` takes. Raises UsageError where the model itself can't be used.
    """
    mx = load_mxnet()
    net, found = network.as_net(mx, model)
    maker = _Maker(mx, model, found, trial, min_agreement, folder)
    if maker.obstacle(net):
        return tuple(Candidate(precision, folder, trouble=maker.obstacle(net)) for precision in precisions)
    exact, changes = maker.optimized(net)
    return tuple(maker.candidate(precision, exact, changes) for precision in precisions)


def measure(models: Sequence[Bundle], trial: Trial, batch_size: int) -> list[float]:
    """The time that a forward pass takes for each of some models [CPU-ms an image], from interleaved rounds."""
    batch = trial.read()[:batch_size]
    networks = [Network(model, batch_size, "cpu") for model in models]
    seconds: list[list[float]] = [[] for _ in networks]
    for number in range(_ROUNDS + 1):
        for one, its in zip(networks, seconds, strict=True):
            start = time.process_time()
            one.predict(np.ascontiguousarray(batch))
            if number > 0:  # the first pass prepares
                its.append(time.process_time() - start)
    return [1000 * sorted(its)[_ROUNDS // 2] / batch_size for its in seconds]


class _Maker:
    def __init__(
        self, mx: Any, model: Bundle, found: Inspection, trial: Trial, min_agreement: float, folder: Path
    ) -> None:
        self._mx = mx
        self._model = model
        self._found = found
        self._trial = trial
        self._min_agreement = min_agreement
        self._folder = folder
        images = trial.read()
        self._calibration, self._held_out = images[: trial.calibration], images[trial.calibration :]
        fp32 = Network(model, BATCH, "cpu")
        self._expected = _predicted(fp32, self._calibration)
        self._expected_held_out = _predicted(fp32, self._held_out)

    def obstacle(self, net: Net) -> str:
        """Why this network has no other precision, in words; empty where it may have one."""
        if any(node.op.startswith(("_sg_mkldnn", "_contrib_quantize")) for node in net.nodes):
            return "the model is quantized already"
        if len(self._found.vectors) > (not self._found.has_classes):
            return "vectors beside its output (output.also) are computed in fp32 only"
        return "model.yaml has input.constants" if self._model.spec.input.constants else ""

    def optimized(self, net: Net) -> tuple[Net, dict[str, float]]:
        """After the passes that are exact, and by how much each changes a probability, or a vector's numbers as a share
        of the largest: one that does more than rounding is left out.
        """
        changes: dict[str, float] = {}
        images = self._calibration[:_PASS_IMAGES]
        largest = 1.0 if self._found.has_classes else max(float(np.abs(self._expected).max()), _SMALLEST)
        for name, rewrite in passes.EXACT.items():
            changed = rewrite(net)
            if changed.nodes == net.nodes:
                continue
            try:
                difference = np.abs(self._predict(changed, images) - self._expected[: len(images)]).max() / largest
            except MxsparkError:  # the rewritten graph can't be computed
                continue
            if difference <= _TOLERANCE:
                net = changed
                changes[name] = float(difference)
        return net, changes

    def candidate(self, precision: Precision, net: Net, changes: Mapping[str, float]) -> Candidate:
        try:
            if precision == "int8":
                return self._in_8_bits(net, changes)
            if precision == "bf16":
                check_bfloat16()
            rewritten = passes.in_bfloat16(net) if precision == "bf16" else net
            folder = self._saved(rewritten.to_json(), _parameters(self._mx, rewritten), precision)
            return Candidate(precision, folder, self._figures(precision, folder, changes))
        except MxsparkError as error:
            return Candidate(precision, self._folder, trouble=error.problem)
        except RuntimeError as error:  # of MXNet: a build without oneDNN, such as that for ARM, or an operator it lacks
            return Candidate(precision, self._folder, trouble=said(error))

    def _in_8_bits(self, net: Net, changes: Mapping[str, float]) -> Candidate:
        """With the ranges that stay nearest to fp32 on the calibration images, and with as few layers at fp32 as give
        `min_agreement`; the one that agrees most where none does.
        """
        prepared = quantize.prepare(self._mx, net, self._found.input_name, self._calibration)
        all_narrow = {method: self._quantized(prepared, method, 0) for method in quantize.methods()}
        distance, method = min((self._distance(folder), method) for method, folder in all_narrow.items())
        if not np.isfinite(distance):
            raise MxsparkError("its numbers are no numbers any more")
        layers = len(prepared.layers)
        found = list[tuple[float, Candidate]]()
        for wide in sorted({int(share * layers) for share in quantize.WIDE_SHARES}):
            folder = self._quantized(prepared, method, wide) if wide else all_narrow[method]
            figures = replace(self._figures("int8", folder, changes), method=method, wide_layers=wide, layers=layers)
            found.append((figures.agreement, Candidate("int8", folder, figures)))
            if figures.agreement >= self._min_agreement:
                break
        return max(found, key=lambda one: one[0])[1]

    def _distance(self, folder: Path) -> float:
        """How far the numbers of the network there are from fp32's."""
        numbers = _predicted(Network(_bundle(folder), BATCH, "cpu"), self._calibration)
        distance = float(
            np.abs(numbers - self._expected).sum(axis=1).mean()
            if self._found.has_classes
            else vector_changes(numbers, self._expected).mean()
        )
        return distance if np.isfinite(distance) else np.inf

    def _quantized(self, prepared: quantize.Quantizable, method: str, wide: int) -> Path:
        """The bundle's folder."""
        symbol, parameters = quantize.quantize(self._mx, prepared, method, wide)
        return self._saved(quantize.marked(symbol.tojson(), method), parameters, f"int8-{method}-{wide}")

    def _saved(self, symbol: str, parameters: Mapping[str, Any], name: str) -> Path:
        """The bundle's folder."""
        files = self._folder / f"{name}-files"
        files.mkdir()
        places = {"symbol": files / "model-symbol.json", "params": files / "model-0000.params"}
        places["symbol"].write_text(symbol)
        self._mx.nd.save(str(places["params"]), dict(parameters))
        if self._model.labels:
            places["labels"] = files / "labels.json"
            places["labels"].write_text(json.dumps(self._model.labels))
        spec = self._found.pinned(self._model.spec)
        kind = spec.output.kind if spec.output.kind in ("sigmoid", "vector") else "softmax"  # the graph ends in it
        output = spec.output.model_copy(update={"kind": kind, "name": None})
        spec = ModelSpec.model_validate(spec.model_copy(update={"output": output}))
        source = BundleSource(spec, {role: str(place) for role, place in places.items()}, {})
        bundle.pack(source, files, Access(), self._folder / name)
        shutil.rmtree(files)  # the bundle has copies
        return self._folder / name

    def _predict(self, net: Net, images: Floats) -> Floats:
        folder = self._saved(net.to_json(), _parameters(self._mx, net), f"pass-{time.monotonic_ns()}")
        try:
            return _predicted(Network(_bundle(folder), BATCH, "cpu"), images)
        finally:
            shutil.rmtree(folder)

    def _figures(self, precision: Precision, folder: Path, changes: Mapping[str, float]) -> Figures:
        """Of the model in `folder`, on the held-out images."""
        numbers = _predicted(Network(_bundle(folder), BATCH, "cpu"), self._held_out)
        figures = Figures(
            precision,
            images=len(numbers),
            calibration_images=len(self._calibration),
            **compared(numbers, self._expected_held_out, self._found.meaning, self._model.spec.output.threshold),
            passes=changes,
        )
        if not self._found.has_classes:
            return figures
        labels = list(self._trial.true_labels[self._trial.calibration :])
        return replace(
            figures,
            labelled=sum(label is not None for label in labels),
            correct=self._correct(numbers.argmax(axis=1), labels),
            correct_fp32=self._correct(self._expected_held_out.argmax(axis=1), labels),
        )

    def _correct(self, classes: NDArray[Any], labels: Sequence[str | None]) -> int:
        """How many classes are the true ones, by name or index."""
        names = self._model.labels
        return sum(
            label is not None and label in (names[number] if names else None, str(number))
            for number, label in zip(classes, labels, strict=True)
        )


def _predicted(one: Network, images: Floats) -> Floats:
    """The probabilities (n, classes), or vectors (n, length), of all images (n, …)."""
    return np.concatenate([one.predict(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])


def _parameters(mx: Any, net: Net) -> dict[str, Any]:
    return {
        **{f"arg:{name}": mx.nd.array(array) for name, array in net.arguments.items()},
        **{f"aux:{name}": mx.nd.array(array) for name, array in net.states.items()},
    }


def _bundle(folder: Path) -> Bundle:
    access = Access()
    return bundle.fetch(bundle.find(ModelSettings(path=str(folder)), access), folder, access)
