"""What the process of its own does: an ONNX file becomes a symbol, parameters and a spec, which are tried."""

from pathlib import Path
from typing import Any

import numpy as np

from mxspark.convert import comparison, image_input, metadata, onnx_file
from mxspark.convert.conversion import Converted, convert
from mxspark.convert.image_input import ImageInput
from mxspark.convert.onnx_file import OnnxFile
from mxspark.convert.request import Request, Result
from mxspark.decode.preprocess import BadImageError, ImageLimits, load_array
from mxspark.errors import UsageError
from mxspark.inference.bundle import Bundle, BundleSource
from mxspark.inference.mxnet import load_mxnet
from mxspark.settings import presets
from mxspark.settings.document import parse
from mxspark.settings.job import InputSettings
from mxspark.settings.model_spec import ModelSpec, Preprocessing
from mxspark.text.words import counted, listed, printable

_IMAGES = {name: field.get_default() for name, field in InputSettings.model_fields.items()}
_ASK = (
    "Say what it was trained with: --preset torchvision for most of PyTorch's networks, another (docs/models.md), or "
    "a file --spec with preprocess. `mxspark model try --compare-presets` shows what each preset would predict."
)


def run(request: Request) -> Result:
    """Raises UsageError where the file can't be converted, or not so that it computes the same."""
    file = onnx_file.read(request.path)
    image = image_input.find(file, _size(request))
    output = _output(file, request)
    mx = load_mxnet()
    converted = convert(mx, file, image, output)
    file.weights.clear()
    notes = ["The file's numbers are float16; the converted network computes with float32."] if file.is_half else []
    spec = _spec(request, file, image, converted, notes)
    labels = _labels(file, converted, notes)
    images = {"random images": comparison.random_images(image, spec.preprocess)} | _given_images(request, spec)
    paths = _save(mx, converted, request)
    values = [(output, None), *([converted.scores] if converted.scores else [])]
    del converted
    expected = comparison.reference(file, image, [value for value, _ in values], list(images.values()), request.folder)
    found = [comparison.computed(mx, _bundle(spec, paths, inner), list(images.values())) for _, inner in values]
    compared = []
    for number, what in enumerate(images):
        pairs = [(ours[number], theirs[number]) for ours, theirs in zip(found, expected, strict=True)]
        compared.append((what, str(comparison.compare(request.path, pairs))))
    return Result(spec, paths["symbol"], paths["params"], labels, tuple(compared), tuple(notes))


def _bundle(spec: ModelSpec, paths: dict[str, Path], output: str | None) -> Bundle:
    """The converted files, of which `output` is taken, by MXNet's name."""
    at = spec.model_copy(update={"output": spec.output.model_copy(update={"name": output, "also": {}})})
    return Bundle(at, paths, (), BundleSource(at, {role: str(path) for role, path in paths.items()}, {}))


def _size(request: Request) -> tuple[int, int] | None:
    if request.size is None and request.spec is not None and {"height", "width"} & request.spec.input.model_fields_set:
        return request.spec.input.height, request.spec.input.width
    return request.size


def _output(file: OnnxFile, request: Request) -> str:
    """The output to take, by its name in the file."""
    there = [value.name for value in file.model.graph.output]
    within = {name for node in file.model.graph.node for name in node.output}
    wanted = request.output or (request.spec.output.name if request.spec is not None else None)
    if wanted is None and len(there) > 1:
        raise UsageError(f"{file.path}: has {len(there)} outputs: {listed(there)}", "Name one: --output-name.")
    if wanted is not None and wanted not in within:
        raise UsageError(
            f"{file.path}: has no output {printable(wanted)!r}, only {listed(there)}", "Correct --output-name."
        )
    return wanted or str(there[0])


def _spec(request: Request, file: OnnxFile, image: ImageInput, converted: Converted, notes: list[str]) -> ModelSpec:
    """What is known of the network, by --spec, the file's metadata and its graph, in this order.

    Raises UsageError where nothing tells what pixels it wants.
    """
    given = request.spec or ModelSpec()
    producer = file.model.producer_name
    found = given.model_copy(
        update={
            "name": given.name if "name" in given.model_fields_set else request.name,
            "source": given.source or f"{request.path.name} (ONNX{f' by {producer}' if producer else ''})",
            "input": image.model_input,
            "preprocess": _preprocessing(given, file, image, converted, notes),
            "output": given.output.model_copy(update={"name": None}),  # the graph has but this one
        }
    )
    # That its parts fit each other is checked only here: a crop, and the size that the file tells.
    return parse(ModelSpec, found.model_dump(), f"the preprocessing of {request.path.name}")


def _preprocessing(
    given: ModelSpec, file: OnnxFile, image: ImageInput, converted: Converted, notes: list[str]
) -> Preprocessing:
    if given.preset is not None:
        if converted.normalizes:
            notes.append(
                f"The graph begins with {converted.normalizes} by numbers of its own: if that scales pixels, --preset "
                "raw is right."
            )
        return presets.resolved(given, image.model_input).preprocess
    if "preprocess" in given.model_fields_set:
        return given.preprocess
    if said := metadata.preprocessing(file.metadata):
        if said.get("resize") == "shorter_and_crop":
            said["shorter_side"] = max(image.height, image.width)
        notes.append("Preprocessing is what the file's metadata say.")
        return Preprocessing(**said)
    if converted.normalizes or image.dtype == "uint8":
        why = f"begins with {converted.normalizes}" if converted.normalizes else "takes whole numbers"
        notes.append(
            f"The graph {why}, so it wants pixels as they are: 0 to 255. That they are RGB, and images are squashed to "
            f"{image.height} x {image.width}, is assumed: check it, or give --preset or --spec."
        )
        return Preprocessing()
    raise UsageError(f"{file.path}: doesn't say what pixels it wants", _ASK)


def _labels(file: OnnxFile, converted: Converted, notes: list[str]) -> tuple[str, ...]:
    """The classes' names in the file's metadata, if they are those of the output."""
    names = metadata.labels(file.metadata)
    if names and converted.shape[1:2] != (len(names),):
        notes.append(
            f"The file's metadata have {counted(len(names), 'name')} of classes, which the output "
            f"({', '.join(['N', *map(str, converted.shape[1:])])}) doesn't fit: they are left out."
        )
        return ()
    return names


def _given_images(request: Request, spec: ModelSpec) -> dict[str, Any]:
    """The images of --try, as the network takes them."""
    limits = ImageLimits(_IMAGES["max_pixels"], _IMAGES["max_frames"], _IMAGES["formats"])
    arrays = []
    for name, data in request.images:
        try:
            arrays.append(load_array(data, limits, spec.input, spec.preprocess))
        except BadImageError as error:
            raise UsageError(f"--try {name}: {error.problem}", "Give images that can be decoded.") from None
    return {counted(len(arrays), "given image"): np.stack(arrays)} if arrays else {}


def _save(mx: Any, converted: Converted, request: Request) -> dict[str, Path]:
    """Writes the symbol and the parameters, which it takes out of memory on the way."""
    paths = {
        "symbol": request.folder / f"{request.name}-symbol.json",
        "params": request.folder / f"{request.name}-0000.params",
    }
    converted.symbol.save(str(paths["symbol"]))
    arrays = {}
    for name in list(converted.parameters):
        kind = "aux" if name in converted.states else "arg"
        arrays[f"{kind}:{name}"] = mx.nd.array(converted.parameters.pop(name))
    mx.nd.save(str(paths["params"]), arrays)
    return paths
