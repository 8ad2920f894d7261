"""What the process of its own does: an ONNX file becomes a symbol, parameters and a spec, which are tried."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mxspark.convert import comparison, image_input, metadata, onnx_file, outputs
from mxspark.convert.conversion import Converted, Output, convert
from mxspark.convert.image_input import ImageInput
from mxspark.convert.onnx_file import OnnxFile
from mxspark.convert.pixels import Scaling
from mxspark.convert.request import Request, Result
from mxspark.decode.preprocess import BadImageError, ImageLimits, load_array
from mxspark.errors import UsageError
from mxspark.inference.bundle import Bundle, BundleSource
from mxspark.inference.meaning import shape_text
from mxspark.inference.mxnet import load_mxnet
from mxspark.settings import presets
from mxspark.settings.document import parse
from mxspark.settings.job import InputSettings
from mxspark.settings.model_spec import ModelOutput, ModelSpec, Preprocessing, PresetName
from mxspark.text.words import counted, listed, printable

_IMAGES = {name: field.get_default() for name, field in InputSettings.model_fields.items()}
_ASK = (
    "Say what it was trained with: --preset torchvision for most of PyTorch's networks, another (docs/models.md), or "
    "a file --spec with preprocess. Of the bundle that one of them makes, `mxspark model try --compare-presets` shows "
    "what each would predict."
)

_UNIT = "If it takes pixels of 0 to 1, give a file --spec with preprocess: {scale: 0.00392156862745098}."


def run(request: Request) -> Result:
    """Raises UsageError where the file can't be converted, or not so that it computes the same."""
    file = onnx_file.read(request.path)
    image = image_input.find(file, _size(request))
    names = outputs.asked_for(file, request)
    mx = load_mxnet()
    converted = _converted(mx, file, image, names)
    notes = ["The file has floats of 16 or 64 bits; the converted network computes with 32."] if file.is_changed else []
    output = outputs.described(file, request, image, converted, notes)
    spec = _spec(request, file, image, converted, output, notes)
    if image.dtype == "uint8":
        _check_whole(file, spec.preprocess)
    labels = _labels(file, _classes(converted, output), notes)
    comparison.check_memory(request.path, image, len(request.images))
    images = {"random images": comparison.random_images(image, spec.preprocess)} | _given_images(request, spec)
    values, written = _compared(converted), request.folder / "reference.onnx"
    probabilities = {output.name for output in converted.outputs if output.scores}
    onnx_file.write(file, list(values), written)
    file.weights.clear()
    paths = _save(mx, converted, request)
    del converted
    expected = comparison.reference(file, written, image, list(values), list(images.values()))
    if same := [name for name, groups in zip(values, expected, strict=True) if comparison.is_same_for_all(groups)]:
        notes.append(
            f"{listed(list(map(printable, same)))}: the same for all images that were compared, which proves little. "
            "Give others: --try."
        )
    bundle = _bundle(spec, paths, list(values.values()))
    found = comparison.computed(mx, request.path, bundle, list(images.values()))
    compared = []
    for number, what in enumerate(images):
        pairs = [(ours[number], theirs[number]) for ours, theirs in zip(found, expected, strict=True)]
        compared.append((what, str(comparison.compare(request.path, list(values), pairs, probabilities))))
    return Result(spec, paths["symbol"], paths["params"], labels, tuple(compared), tuple(notes))


def _converted(mx: Any, file: OnnxFile, image: ImageInput, names: Sequence[str]) -> Converted:
    try:
        return convert(mx, file, image, names)
    except UsageError as error:
        if not image.is_single:
            raise
        hint = f"{error.hint} The file takes one image at a time: one with dynamic_axes (docs/onnx.md) may do."
        raise UsageError(error.problem, hint) from None


def _compared(converted: Converted) -> dict[str, str]:
    """What is compared, by ONNX's names: MXNet's."""
    own = {output.name: output.symbol_name for output in converted.outputs}
    return own | dict(output.scores for output in converted.outputs if output.scores and output.scores[0] not in own)


def _bundle(spec: ModelSpec, paths: dict[str, Path], names: list[str]) -> Bundle:
    """The converted files, of which the outputs and layers of these names, MXNet's, are taken."""
    also = {f"value_{number}": name for number, name in enumerate(names[1:])}
    at = spec.model_copy(update={"output": spec.output.model_copy(update={"name": names[0], "also": also})})
    return Bundle(at, paths, (), BundleSource(at, {role: str(path) for role, path in paths.items()}, {}))


def _classes(converted: Converted, output: ModelOutput) -> Output:
    """The converted output that is classes, or the vector."""
    return next(found for found in converted.outputs if output.name in (None, found.symbol_name))


def _size(request: Request) -> tuple[int, int] | None:
    if request.size is None and request.spec is not None and {"height", "width"} & request.spec.input.model_fields_set:
        return request.spec.input.height, request.spec.input.width
    return request.size


def _spec(
    request: Request, file: OnnxFile, image: ImageInput, converted: Converted, output: ModelOutput, notes: list[str]
) -> ModelSpec:
    """What is known of the network, by --spec, the file's metadata and its graph, in this order.

    Raises UsageError where nothing tells what pixels it wants.
    """
    given = request.spec or ModelSpec()
    _check_input(given, file, image)
    if keys := metadata.unknown(file.metadata):
        notes.append(
            f"Of the file's metadata this can't be read, and isn't used: {listed(list(map(printable, keys)))}."
        )
    producer = file.model.producer_name
    found = given.model_copy(
        update={
            "name": given.name if "name" in given.model_fields_set else request.name,
            "source": given.source or f"{request.path.name} (ONNX{f' by {producer}' if producer else ''})",
            "input": image.model_input,
            "preprocess": _preprocessing(given, file, image, converted, notes),
            "output": output,
        }
    )
    # That its parts fit each other is checked only here: a crop, and the size that the file tells.
    return parse(ModelSpec, found.model_dump(), f"the preprocessing of {request.path.name}")


def _check_input(given: ModelSpec, file: OnnxFile, image: ImageInput) -> None:
    """Raises UsageError where --spec says of the input what the file, which knows it, says otherwise."""
    layout = "NHWC" if image.is_nhwc else "NCHW"
    known = {"name": (image.name, "data"), "channels": (image.channels, None), "layout": (layout,), "constants": ({},)}
    for field, values in known.items():
        said = getattr(given.input, field)
        if field in given.input.model_fields_set and said not in values:
            raise UsageError(
                f"--spec has input.{field}: {printable(str(said))}, but {file.path} has {printable(str(values[0]))}",
                f"Take input.{field} out of --spec: the file says it.",
            )


def _preprocessing(
    given: ModelSpec, file: OnnxFile, image: ImageInput, converted: Converted, notes: list[str]
) -> Preprocessing:
    if given.preset is not None:
        if presets.PRESETS[given.preset].channels == 1 != image.channels:
            raise UsageError(
                f"preset {given.preset} is for grey images, but {file.path} takes {image.channels} channels",
                "Take another preset, or --spec.",
            )
        steps = presets.resolved(given, image.model_input).preprocess
        _check_scaled_once(file, given.preset, steps, converted.scaling, notes)
        _note_others(file, steps, f"preset {given.preset}", notes)
        return steps
    if "preprocess" in given.model_fields_set:
        _note_others(file, given.preprocess, "--spec", notes)
        return given.preprocess
    said = metadata.preprocessing(file.metadata)
    if "scale" in said:
        if said.get("resize") == "shorter_and_crop":
            said["shorter_side"] = max(image.height, image.width)
        notes.append("Preprocessing is what the file's metadata say.")
        return Preprocessing(**said)
    scaling = converted.scaling
    if image.dtype == "uint8" or (scaling is not None and scaling.takes_pixels):
        why = "takes whole numbers" if image.dtype == "uint8" else f"begins with {scaling}"
        order = "" if said or image.channels == 1 else "they are RGB and "
        notes.append(
            f"The graph {why}, so it wants pixels as they are: 0 to 255. That {order}images are squashed to "
            f"{image.height} x {image.width} is assumed: check it, or give --preset or --spec."
        )
        return Preprocessing(**said)
    raise UsageError(
        f"{file.path}: doesn't say what pixels it wants"
        + (f": it begins with {_told(scaling)}, so 0 to 255 is not what it takes" if scaling is not None else ""),
        _UNIT if scaling is not None else _ASK,
    )


def _note_others(file: OnnxFile, steps: Preprocessing, source: str, notes: list[str]) -> None:
    """A note of what the file's metadata say otherwise of pixels than what was given."""
    said = metadata.preprocessing(file.metadata)
    for key, given in (("scale", steps.scale), ("channels", steps.channels)):
        if said.get(key, given) != given:
            notes.append(f"The file's metadata say {key}: {said[key]}. {source} says {given}, which counts.")


def _check_scaled_once(
    file: OnnxFile, preset: PresetName, steps: Preprocessing, scaling: Scaling | None, notes: list[str]
) -> None:
    """Raises UsageError where the graph scales again what a preset has scaled, so that nothing is left of an image."""
    if scaling is None or (scaling.takes_pixels and _is_raw(steps)):
        return
    black, white = scaling.of(steps)
    if scaling.is_twice(steps):
        raise UsageError(
            f"{file.path}: the graph scales its input itself ({scaling}), and would make {black:.3g} to {white:.3g} of "
            f"what preset {preset} gives",
            "It wants pixels of 0 to 255: take the preset raw.",
        )
    notes.append(
        f"The graph begins with {_told(scaling)}, and {black:.3g} to {white:.3g} of what preset {preset} gives. If "
        f"that scales pixels, {'--preset raw is right.' if scaling.takes_pixels else f'they are scaled twice. {_UNIT}'}"
    )


def _check_whole(file: OnnxFile, steps: Preprocessing) -> None:
    """Raises UsageError where a network that takes whole numbers would get others."""
    numbers = (np.arange(256)[:, np.newaxis] * steps.scale - steps.mean) / steps.std
    if not (numbers.clip(0, 255).astype(np.uint8) == numbers).all():
        raise UsageError(
            f"{file.path}: takes whole numbers (uint8), but its preprocessing gives {numbers.min():.3g} to "
            f"{numbers.max():.3g}",
            "Most likely it scales pixels itself: take the preset raw.",
        )


def _told(scaling: Scaling) -> str:
    return f"{scaling} by numbers of its own, which make {scaling.black:.3g} to {scaling.white:.3g} of 0 to 255"


def _is_raw(steps: Preprocessing) -> bool:
    return steps.scale == 1 and not any(steps.mean) and set(steps.std) == {1}


def _labels(file: OnnxFile, output: Output, notes: list[str]) -> tuple[str, ...]:
    """The classes' names in the file's metadata, if they are those of the output."""
    names = metadata.labels(file.metadata)
    if names and output.shape[1:2] != (len(names),):
        notes.append(
            f"The file's metadata have {counted(len(names), 'name')} of classes, which the output "
            f"{shape_text(output.shape)} doesn't fit: they are left out."
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
