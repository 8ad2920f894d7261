"""`mxspark model try`, and what `mxspark model pack --try` ends with."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

import typer

from mxspark import storage
from mxspark.cli import console
from mxspark.cli.app import EXIT_CODES, model_app
from mxspark.cli.flags import (
    AlsoFlag,
    DebugFlag,
    EndpointFlag,
    KindFlag,
    LayerFlag,
    PresetFlag,
    TopKFlag,
    access_by,
    also_by,
    plain,
)
from mxspark.errors import UsageError
from mxspark.settings import document
from mxspark.settings.job import FORMATS, InputSettings, ModelSettings
from mxspark.storage import Access

if TYPE_CHECKING:
    from mxspark.dataset.predictions import Row
    from mxspark.inference.bundle import Bundle
    from mxspark.inference.trial import Outcome, Trial
    from mxspark.worker.reading import Reading

MOST_IMAGES = 64
MOST_COMPARED = 5  # images, each of which is a column

TryFlag = Annotated[
    list[str] | None,
    typer.Option("--try", metavar="IMAGE", help="Show what the bundle says of an image. Can be given many times."),
]


@model_app.command("try", short_help="Show what a model says of a few images.", epilog=EXIT_CODES)
def try_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The bundle: a folder, s3://, https:// or http://.")],
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Images: paths, or s3://bucket/key.")],
    compare_presets: Annotated[
        bool,
        typer.Option(
            "--compare-presets",
            help="Show the most probable class under each preset too: the preset under which they are right is the "
            "model's.",
        ),
    ] = False,
    preset: PresetFlag = None,
    kind: KindFlag = None,
    layer: LayerFlag = None,
    also: AlsoFlag = None,
    top_k: TopKFlag = None,
    endpoint_url: EndpointFlag = None,
    _debug: DebugFlag = False,
) -> None:
    """Show what a model says of a few images, in seconds and without Spark: predictions, or of vectors their norms
    and which of the other images is most similar.
    """
    from mxspark.inference import bundle

    access = access_by(endpoint_url)
    given = {"preset": plain(preset), "output_kind": plain(kind), "output_name": layer, "output_also": also_by(also)}
    settings = document.parse(ModelSettings, {"path": model, **given}, "the model")
    with storage.usage_errors("the model", "Check the name."):
        found = bundle.fetch(bundle.find(settings, access), bundle.default_cache_dir(), access)
    show_trial(found, read_images(images, access), compare_presets, top_k)


def read_images(places: Sequence[str], access: Access) -> dict[str, bytes]:
    """The images' bytes by the names that they are shown under. Raises UsageError where one can't be read."""
    if len(places) > MOST_IMAGES:
        raise UsageError(f"{len(places)} images are many to try", f"Give {MOST_IMAGES} at most, or `mxspark run`.")
    names = [place.rstrip("/").rpartition("/")[2] for place in places]
    images = {}
    for place, name in zip(places, names, strict=True):
        with storage.usage_errors(f"the image {place}", "Check its name."):
            data = storage.read_object(place, access, InputSettings.model_fields["max_bytes"].default)
        images[name if names.count(name) == 1 else place] = data
    return images


def show_trial(model: "Bundle", images: dict[str, bytes], compares: bool = False, top_k: int | None = None) -> None:
    """Tries the model and shows what it says: `top_k` classes, else as many as fit the width, three at most.

    Raises UsageError where it isn't one.
    """
    from mxspark.decode.preprocess import ImageLimits
    from mxspark.inference import trial

    if compares and len(images) > MOST_COMPARED:
        raise UsageError(f"--compare-presets shows {MOST_COMPARED} images at most", "Give fewer.")
    limits = InputSettings.model_fields
    image_limits = ImageLimits(limits["max_pixels"].default, limits["max_frames"].default, FORMATS)
    with ThreadPoolExecutor() as threads:
        trying = threads.submit(trial.try_model, model, list(images.values()), image_limits, compares)
        # Takes half a second, in which the process that tries the model starts.
        from mxspark.worker.reading import Reading, columns_of

        found = trying.result()
    columns = columns_of(found.inspection)
    if compares and not columns.has_predictions:
        raise UsageError("--compare-presets compares classes, but the model gives vectors", "Leave it out.")
    reading = Reading(
        top_k=top_k or 3,
        labels=model.labels,
        sums_to_one=found.inspection.meaning.sums_to_one,
        threshold=model.spec.output.threshold or 0.0,
        columns=columns,
    )
    rows = _rows(list(images), found.outcomes, reading)
    console.show_trial(
        rows, {column.name: _similar(rows, column.name) for column in columns.vectors}, top_k is not None
    )
    if compares:
        _show_presets(images, found, reading)


def _rows(keys: Sequence[str], outcomes: "Sequence[Outcome]", reading: "Reading") -> "list[Row]":
    from mxspark.dataset.predictions import Row

    return [
        Row(key, *outcome) if isinstance(outcome, tuple) else reading.row(key, outcome)
        for key, outcome in zip(keys, outcomes, strict=True)
    ]


def _similar(rows: "Sequence[Row]", column: str) -> list[tuple[float, float, str]]:
    """Of each row with a vector its norm, and the cosine and key of the nearest other one."""
    import numpy as np

    having = [row for row in rows if column in row.vectors]
    if not having:
        return []
    vectors = np.stack([row.vectors[column] for row in having]).astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1)
    units = vectors / np.maximum(norms, np.finfo(np.float64).tiny)[:, np.newaxis]
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = cosines.argmax(axis=1)
    return [
        (float(norm), float(cosines[place, other]), having[other].key if len(having) > 1 else "")
        for place, (norm, other) in enumerate(zip(norms, nearest, strict=True))
    ]


def _show_presets(images: dict[str, bytes], found: "Trial", reading: "Reading") -> None:
    names = list(images)

    def best(outcomes: "Sequence[Outcome]") -> list[str]:
        return [console.short_prediction(row) for row in _rows(names, outcomes, reading)]

    console.show_presets(
        names, {preset: best(outcomes) for preset, outcomes in found.by_preset.items()}, best(found.outcomes)
    )
