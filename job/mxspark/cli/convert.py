"""`mxspark model convert`."""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxspark import storage
from mxspark.cli import console
from mxspark.cli.app import EXIT_CODES, model_app
from mxspark.cli.flags import DebugFlag, EndpointFlag, KindFlag, Preset, YesFlag, access_by
from mxspark.cli.model import check_folder, confirm_replacing
from mxspark.cli.trial import read_images, show_trial
from mxspark.errors import UsageError
from mxspark.inference import bundle
from mxspark.settings import document
from mxspark.settings.job import ModelSettings
from mxspark.settings.model_spec import ModelSpec, PresetName
from mxspark.storage import Access
from mxspark.text.words import printable

if TYPE_CHECKING:
    from mxspark.convert.request import Result
    from mxspark.inference.network import Inspection


@model_app.command("convert", short_help="Make a bundle of an ONNX file.", epilog=EXIT_CODES)
def convert_model(
    model: Annotated[Path, typer.Argument(metavar="FILE", help="The network, as ONNX (….onnx).")],
    output: Annotated[
        Path, typer.Option("--output", metavar="FOLDER", help="The bundle's folder; made where it isn't there.")
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="PLACE",
            help="The classes' names: one a line (synset.txt), CSV or JSON. Default: those in the file's metadata.",
        ),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            "--spec",
            metavar="FILE",
            help="A model.yaml with preprocess, and perhaps name and output: what the network was trained with, which "
            "an ONNX file rarely says.",
        ),
    ] = None,
    preset: Annotated[
        Preset | None,  # type: ignore[valid-type]
        typer.Option(
            "--preset",
            metavar="PRESET",
            help="What pixels the network wants, by its kind, e.g. torchvision (docs/models.md lists them). Needed, or "
            "a --spec, unless the file shows it.",
        ),
    ] = None,
    kind: KindFlag = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size", metavar="HEIGHTxWIDTH", help="Size of the images, for a file that takes any [pixels]: 224x224."
        ),
    ] = None,
    output_name: Annotated[
        str | None,
        typer.Option(
            "--output-name",
            metavar="NAME",
            help="Which output is the classes, or the vector; or which value within the graph. Default: the only one "
            "that the graph shows to be classes.",
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option(
            "--outputs",
            metavar="NAME,NAME",
            help="Which outputs to take, of several: the others are columns of vectors. Default: all, or that of "
            "--output-name alone.",
        ),
    ] = None,
    try_: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="IMAGE",
            help="An image to compare the converted network on, beside random ones, and to show what the bundle says "
            "of it. Can be given many times.",
        ),
    ] = None,
    endpoint_url: EndpointFlag = None,
    yes: YesFlag = False,
    _debug: DebugFlag = False,
) -> None:
    """Make a bundle of an ONNX file: its graph as an MXNet symbol, its weights as MXNet parameters, and a model.yaml.

    Nothing is written unless the converted network computes what onnxruntime computes of the file, on random images and
    on those of --try, alone and in a batch. Needs the packages onnx and onnxruntime (the extra `onnx`).
    """
    from mxspark.convert.process import convert
    from mxspark.convert.request import Request
    from mxspark.inference import model_check

    check_folder(output)
    access = access_by(endpoint_url)
    images = read_images(try_ or [], access)
    name = re.sub(r"[^\w.-]+", "_", model.stem).strip("._-") or "model"
    with tempfile.TemporaryDirectory(prefix="mxspark-convert-") as scratch:
        found = convert(
            Request(
                model.absolute(),
                Path(scratch),
                name,
                _spec(spec, preset.value if preset is not None else None, access),
                _size(size) if size is not None else None,
                output_name,
                tuple(part for name in (outputs or "").split(",") if (part := name.strip())),
                kind.value if kind is not None else None,
                tuple(images.items()),
            )
        )
        source = bundle.with_output(_source(found, labels, access), kind.value if kind is not None else None)
        with storage.usage_errors("the model", "Check the name."), _named_by(model, found):
            check = model_check.check_model(bundle.fetch(source, bundle.default_cache_dir(), access), "cpu")
            source = replace(source, spec=check.inspection.pinned(source.spec))
            _pack(source, output, access, yes)
    console.show(f"Converted {model} into {output}")
    console.show_sections(_sections(found, check.inspection, source))
    for note in found.notes:
        console.show_warning(note)
    if images:
        packed = bundle.find(ModelSettings(path=str(output)), access)
        show_trial(bundle.fetch(packed, bundle.default_cache_dir(), access), images)


@contextmanager
def _named_by(model: Path, found: "Result") -> Iterator[None]:
    """Errors name the file that is converted, and not those that were made of it."""
    try:
        yield
    except UsageError as error:
        raise UsageError(error.problem.replace(str(found.symbol), str(model)), error.hint) from None


def _spec(spec: Path | None, preset: PresetName | None, access: Access) -> ModelSpec | None:
    """What is known of the network, by --spec and --preset."""
    if spec is None:
        return None if preset is None else ModelSpec(preset=preset)
    with storage.usage_errors("--spec", "Check the name."):
        text = storage.read_object(str(spec), access, bundle.MAX_SPEC_BYTES).decode(errors="replace")
    known = document.parse(ModelSpec, document.read_yaml(text, str(spec)), str(spec))
    return known if preset is None else known.model_copy(update={"preset": preset})


def _size(text: str) -> tuple[int, int]:
    if not (match := re.fullmatch(r"([1-9]\d{0,4})(?:[xX×]([1-9]\d{0,4}))?", text)):
        raise UsageError(f"--size is {text!r}, and not HEIGHTxWIDTH", "Write --size 224x224.")
    return int(match[1]), int(match[2] or match[1])


def _source(found: "Result", labels: str | None, access: Access) -> bundle.BundleSource:
    """The files that the bundle will have, where they are now."""
    if labels is None and found.labels:
        names = found.symbol.with_name("labels.json")  # lines would be read as numbered, or quoted, or cut at the end
        names.write_text(json.dumps(found.labels, indent=0), encoding="utf-8")
        labels = str(names)
    files = {"symbol": str(found.symbol), "params": str(found.params), "labels": labels}
    return replace(bundle.find(document.parse(ModelSettings, files, "the model"), access), spec=found.spec)


def _pack(source: bundle.BundleSource, output: Path, access: Access, yes: bool) -> None:
    """Writes the bundle into a folder within `output`, and moves it from there: a write that fails leaves no file.

    Raises UsageError where files are there that nobody wants to have replaced.
    """
    names = [*bundle.file_names(source).values(), bundle.SPEC_FILE]
    confirm_replacing(source, output, yes)
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=output) as unfinished:
            bundle.pack(source, bundle.default_cache_dir(), access, Path(unfinished))
            for name in names:  # model.yaml last: without it there is no bundle
                (Path(unfinished) / name).replace(output / name)
    except OSError as error:
        raise UsageError(
            f"--output {output}: {error.strerror or error}", "Choose a folder that can be written."
        ) from None


def _sections(found: "Result", inspection: "Inspection", source: bundle.BundleSource) -> list[tuple[str, str]]:
    wanted = {"input", "output", "kind"}
    steps = source.spec.preprocess.model_dump(exclude_defaults=True)
    return [
        *((name, text) for name, text in console.model_sections(inspection) if name in wanted),
        (
            "preprocessing",
            printable(", ".join(f"{key} {value}" for key, value in steps.items()) or "none but a resize"),
        ),
        *((f"difference on {what}", text) for what, text in found.compared),
    ]
