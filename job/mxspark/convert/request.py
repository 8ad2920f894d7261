"""What is asked of a conversion, and what it gives."""

from dataclasses import dataclass
from pathlib import Path

from mxspark.settings.model_spec import Kind, ModelSpec


@dataclass(frozen=True)
class Request:
    """What is to be converted, and how."""

    path: Path
    folder: Path  # where the files go
    name: str  # how their names begin
    spec: ModelSpec | None = None  # what is known of the network
    size: tuple[int, int] | None = None  # height and width, where the file leaves them open
    output: str | None = None  # the classes, or the vector
    outputs: tuple[str, ...] = ()  # all to take, where they are named
    kind: Kind | None = None  # what the numbers of `output` are, where that is said
    images: tuple[tuple[str, bytes], ...] = ()  # names and contents of images to compare on


@dataclass(frozen=True)
class Result:
    """Files of an MXNet network in the folder, and what is known of it."""

    spec: ModelSpec
    symbol: Path
    params: Path
    labels: tuple[str, ...]  # the classes' names in the file's metadata
    compared: tuple[tuple[str, str], ...]  # what was compared with onnxruntime, and how far they differ
    notes: tuple[str, ...]
