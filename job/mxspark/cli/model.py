"""`mxspark model`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mxspark import storage
from mxspark.cli import console, flags
from mxspark.cli.app import EXIT_CODES, model_app
from mxspark.cli.flags import (
    AlsoFlag,
    ContextFlag,
    DebugFlag,
    EndpointFlag,
    KindFlag,
    LayerFlag,
    ModelPrecision,
    PresetFlag,
    YesFlag,
    access_by,
    also_by,
)
from mxspark.cli.trial import TryFlag, read_images, show_trial
from mxspark.errors import UsageError, without_secrets
from mxspark.inference import bundle
from mxspark.settings import document
from mxspark.settings.job import ModelSettings, Settings
from mxspark.settings.model_spec import ModelSpec
from mxspark.storage import Access
from mxspark.text.words import printable

_INT8 = ModelPrecision("int8")
ModelArgument = Annotated[
    str, typer.Argument(metavar="PLACE", help="The bundle: a folder, s3://, https:// or http://.")
]
AllowOutsideFlag = Annotated[
    bool,
    typer.Option("--allow-outside", help="Let its model.yaml name files outside its own folder (model.allow_outside)."),
]


@model_app.command(
    "inspect", short_help="Say what a model is, and whether its files fit each other.", epilog=EXIT_CODES
)
def inspect_model(
    model: ModelArgument,
    endpoint_url: EndpointFlag = None,
    context: ContextFlag = None,
    allow_outside: AllowOutsideFlag = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="List the layers that can be taken as vectors, with their lengths.")
    ] = False,
    _debug: DebugFlag = False,
) -> None:
    """Say what a model is: input, output and what its numbers mean, operators, parameters, preprocessing, digests.

    Whether its files fit each other is checked, and by forward passes that it computes.
    """
    from mxspark.inference import model_check

    access = access_by(endpoint_url)
    found = _fetch(document.parse(ModelSettings, {"path": model, "allow_outside": allow_outside}, "PLACE"), access)
    spec, source = found.spec, found.source
    sections = [
        ("model", spec.name),
        *[(name, printable(text)) for name in ("licence", "source") if (text := getattr(spec, name))],
    ]
    check = model_check.check_model(found, context.value if context is not None else "cpu")
    sections += console.model_sections(check.inspection)
    shown = ", ".join(found.labels[:3]) + (", …" if len(found.labels) > 3 else "")
    sections.append(
        (
            "labels",
            f"{len(found.labels)}: {printable(shown)}" if found.labels else "none: predictions have indices only",
        )
    )
    sections.append(("preprocessing", printable(_preprocessing(check.inspection.pinned(spec)))))
    sections += [
        (role, f"{printable(without_secrets(location))}\nsha256 {source.sha256[role]}")
        for role, location in source.locations.items()
    ]
    if context is not None:
        sections.append(("context", f"{check.context}: {check.why}" if check.why else check.context))
    if layers:
        lines = [f"{layer.name}: {layer.length:,} ({layer.operator})" for layer in check.inspection.layers]
        sections.append(("layers", "\n".join(map(printable, lines)) or "none gives one vector an image"))
    console.show_sections(sections)


@model_app.command("pack", short_help="Make a bundle of a model's files.", epilog=EXIT_CODES)
def pack_model(
    output: Annotated[
        Path, typer.Option("--output", metavar="FOLDER", help="The bundle's folder; made where it isn't there.")
    ],
    symbol: Annotated[
        str,
        typer.Option(
            "--symbol", metavar="PLACE", help="The graph (…-symbol.json): a path, s3://, https:// or http://."
        ),
    ],
    params: Annotated[str, typer.Option("--params", metavar="PLACE", help="The parameters (….params).")],
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="PLACE", help="The classes' names: one a line (synset.txt), CSV or JSON."),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            "--spec",
            metavar="FILE",
            help="A model.yaml with name, input, preprocess, output: it must say what the model was trained with, else "
            "predictions are wrong. What it leaves out is the preset's, else 224 x 224, RGB, 0 to 255, as the article "
            "has it.",
        ),
    ] = None,
    preset: PresetFlag = None,
    kind: KindFlag = None,
    layer: LayerFlag = None,
    also: AlsoFlag = None,
    tried: TryFlag = None,
    endpoint_url: EndpointFlag = None,
    yes: YesFlag = False,
    _debug: DebugFlag = False,
) -> None:
    """Make a bundle: symbol, params, labels, and a model.yaml that says what pixels the network wants and pins the
    files' digests.
    """
    from mxspark.inference import model_check

    check_folder(output)
    access = access_by(endpoint_url)
    images = read_images(tried or [], access)
    source = bundle.find(
        document.parse(ModelSettings, {"symbol": symbol, "params": params, "labels": labels}, "the model"), access
    )
    if spec is not None:
        with storage.usage_errors("--spec", "Check the name."):
            text = storage.read_object(str(spec), access, bundle.MAX_SPEC_BYTES).decode(errors="replace")
        source = bundle.BundleSource(
            document.parse(ModelSpec, document.read_yaml(text, str(spec)), str(spec)), source.locations, source.sha256
        )
    source = bundle.with_output(source, kind.value if kind is not None else None, layer, also_by(also))
    if preset is not None:
        source = bundle.with_preset(source, preset.value)
    with storage.usage_errors("the model", "Check the name."):
        check = model_check.check_model(bundle.fetch(source, bundle.default_cache_dir(), access), "cpu")
        source = replace(source, spec=check.inspection.pinned(source.spec))
        confirm_replacing(source, output, yes)
        packed = bundle.pack(source, bundle.default_cache_dir(), access, output)
    console.show(f"Packed {packed.name} into {output}")
    if spec is None:
        console.show_sections([("input", _input(packed)), ("preprocessing", _preprocessing(packed))])
    if spec is None and preset is None and not check.inspection.scaling:
        console.show_warning(
            f"without --preset or --spec, {output / bundle.SPEC_FILE} has this default preprocessing. If the model was "
            "trained with another, its predictions will be wrong: `mxspark model try --compare-presets` shows which "
            "preset is right."
        )
    if images:
        show_trial(_fetch(ModelSettings(path=str(output)), access), images)


@model_app.command(
    "optimize", short_help="Make a bundle of a model at another precision, and compare both.", epilog=EXIT_CODES
)
def optimize_model(
    model: ModelArgument,
    images: Annotated[
        list[str],
        typer.Option(
            "--images",
            metavar="PLACE",
            help="Images like those to predict: a folder, s3://bucket/prefix or a manifest.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="FOLDER", help="The new bundle's folder; made where it isn't there.")
    ],
    precision: Annotated[
        ModelPrecision,  # type: ignore[valid-type]
        typer.Option("--precision", help="What to make. fp32: only graph passes, which are exact."),
    ] = _INT8,
    min_agreement: Annotated[
        float | None, typer.Option("--min-agreement", metavar="F", help=flags.help_of("min_agreement"))
    ] = None,
    true_label: Annotated[
        str | None, typer.Option("--true-label", metavar="REGEX", help=flags.help_of("input", "true_label"))
    ] = None,
    endpoint_url: EndpointFlag = None,
    yes: YesFlag = False,
    _debug: DebugFlag = False,
) -> None:
    """Make a bundle of a model at another precision, calibrated on some images and compared with fp32 on others.

    Runs use it as it is, with precision fp32. `mxspark run --precision` does the same for one run.
    """
    from mxspark.run import precision as precisions

    chosen = document.parse(
        Settings,
        {
            "input": {"path": images, "true_label": true_label},
            "output": {"path": str(output)},
            "model": {"path": model},
            "storage": {"endpoint_url": endpoint_url},
            **({} if min_agreement is None else {"min_agreement": min_agreement}),
        },
        "the command line",
    )
    access = access_by(endpoint_url)
    check_folder(output)
    found = _fetch(chosen.model, access)
    confirm_replacing(found.source, output, yes)
    with console.ConsoleProgress(yes) as progress:
        made = precisions.make_bundle(chosen, found, access, progress, flags.plain(precision), output)
    console.show(f"Packed {made.model.spec.name} at {precision} into {output}")


def check_folder(output: Path) -> None:
    """Raises UsageError for a place that a bundle can't be packed into."""
    if ":/" in str(output):  # a Path has lost one of the slashes
        raise UsageError(
            f"--output is {str(output)!r}, but a bundle is packed into a folder",
            "Pack it here, and copy the folder there.",
        )
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file, not a folder", "Name a folder, which need not exist.")


def confirm_replacing(source: bundle.BundleSource, folder: Path, yes: bool) -> None:
    """Asks before files are replaced that aren't the model's own. Raises UsageError where the answer is no."""
    own = {Path(location).resolve() for location in source.locations.values()}
    names = [bundle.SPEC_FILE, *bundle.file_names(source).values()]
    there = [name for name in names if (folder / name).exists() and (folder / name).resolve() not in own]
    if there and not console.confirm(f"{folder} has {', '.join(there)} already, which this replaces. Continue?", yes):
        raise UsageError("nothing was packed", "")


def _input(spec: ModelSpec) -> str:
    return f"{spec.input.height} x {spec.input.width}" + (", grey" if spec.input.channels == 1 else "")


def _preprocessing(spec: ModelSpec) -> str:
    values = spec.preprocess.model_dump(exclude_none=True)
    # Values are shown as model.yaml has them.
    return ", ".join(f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items())


def _fetch(model: ModelSettings, access: Access) -> bundle.Bundle:
    with storage.usage_errors("the model", "Check the name."):
        return bundle.fetch(bundle.find(model, access), bundle.default_cache_dir(), access)
