"""What a bundle's model.yaml says: its files, the pixels that the network wants, and what its output means."""

import re
from typing import Annotated, Literal, Self

from mxspark.settings.document import Document, Field, field_validator, model_validator

Kind = Literal["softmax", "logits", "sigmoid", "vector"]
PresetName = Literal[
    "article", "gluon", "torchvision", "keras-caffe", "keras-tf", "caffe-squash", "insightface-112", "mnist", "raw"
]
Shrinking = Literal["squash", "shorter_and_crop", "squash_and_crop"]
# The columns that each table may have, and that of output.kind vector.
COLUMNS = ("key", "status", "error", "predictions")
VECTOR = "vector"
Finite = Annotated[float, Field(allow_inf_nan=False)]
# Three colours, or one number for all channels.
PerChannel = Annotated[tuple[Finite, ...], Field(min_length=1, max_length=3)]
Byte = Annotated[int, Field(ge=0, le=255)]
LONGEST_SIDE = 16384  # of an image that a network takes [pixels]
Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]


class FileSpec(Document):
    """One of the model's files."""

    file: str = Field(min_length=1, description="Name of the file, beside model.yaml.")
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="Digest that the file must have [sha256, hex]."
    )


class ModelInput(Document):
    """The network's input."""

    name: str | None = Field(None, description="Name of the input variable. Default: the one that has no parameters.")
    height: Side = Field(224, description="Height of the images that the network takes [pixels].")
    width: Side = Field(224, description="Width of the images that the network takes [pixels].")
    layout: Literal["NCHW", "NHWC"] = Field("NCHW", description="Order of the axes: images, channels, height, width.")
    channels: Literal[1, 3] | None = Field(
        None,
        description="Channels of the images that the network takes: 3, or 1 for grey. Default: what the parameters "
        "fit, 3 if both do.",
    )
    constants: dict[str, float] = Field(
        {},
        description="Values of further inputs, the same for every image, by the names of their variables: {stage_num0: "
        "0}.",
    )

    def shape(self, batch_size: int) -> tuple[int, int, int, int]:
        """The shape of a batch: (N, C, H, W), or (N, H, W, C), with 3 channels where nothing else is said."""
        channels = self.channels or 3
        if self.layout == "NCHW":
            return batch_size, channels, self.height, self.width
        return batch_size, self.height, self.width, channels


class Preprocessing(Document):
    """From a decoded image to the network's numbers: (pixel * scale - mean) / std, after resizing. The defaults are
    the article's.
    """

    resize: Shrinking = Field(
        "squash",
        description="squash: to height x width, whatever the shape; shorter_and_crop: shorter side to shorter_side, "
        "then the centre; squash_and_crop: both sides to shorter_side, then the centre.",
    )
    shorter_side: Side | None = Field(
        None, description="For shorter_and_crop and squash_and_crop: length of that side before cropping [pixels]."
    )
    filter: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = Field(
        "lanczos", description="Resampling filter, by Pillow's names."
    )
    channels: Literal["RGB", "BGR"] = Field("RGB", description="Order of the colours.")
    scale: Finite = Field(1.0, gt=0, description="Factor of the pixels, which are 0 to 255.")
    mean: PerChannel = Field(
        (0.0, 0.0, 0.0),
        description="Subtracted after scaling, in the order of `channels`: three numbers, or one for all channels.",
    )
    std: PerChannel = Field(
        (1.0, 1.0, 1.0),
        description="Divided by after that, in the order of `channels`: three numbers, or one for all channels.",
    )
    exif_orientation: bool = Field(False, description="Turn a photograph as its EXIF orientation says before resizing.")
    icc: Literal["ignore", "srgb"] = Field(
        "ignore",
        description="ignore: colours as they are stored, as torchvision takes them; srgb: converted from an image's "
        "ICC profile to sRGB.",
    )
    sample_range: tuple[Finite, Finite] | None = Field(
        None,
        description="The values of black and of white in grey images of more than 8 bits a sample, of floats or of "
        "signed numbers. Default: unsigned samples have the range of their depth, others become rows with status "
        "`unsupported_pixels`.",
    )
    background: tuple[Byte, Byte, Byte] = Field(
        (255, 255, 255), description="Background of transparent pixels [RGB, 0 to 255]."
    )

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _one_for_all(cls, numbers: object) -> object:
        return (numbers,) if isinstance(numbers, int | float) and not isinstance(numbers, bool) else numbers

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if self.resize != "squash" and self.shorter_side is None:
            raise ValueError(f"preprocess.shorter_side is missing: resize {self.resize} needs it")
        if self.sample_range is not None and not self.sample_range[0] < self.sample_range[1]:
            raise ValueError(
                "preprocess.sample_range is [black, white], the smaller value first; a WhiteIsZero TIFF is inverted by "
                "itself"
            )
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) == 2:
                raise ValueError(f"preprocess.{name} has two numbers: give three, or one for all channels")
        if 0.0 in self.std:
            raise ValueError("preprocess.std has a zero, which nothing can be divided by")
        return self


class ModelOutput(Document):
    """The network's output."""

    name: str | None = Field(
        None,
        description="Which output to take: of a graph that has several, or a layer within it (model inspect --layers "
        "lists them).",
    )
    kind: Kind | None = Field(
        None,
        description="What the numbers are. softmax: probabilities of classes that exclude each other; logits: a "
        "softmax makes them that; sigmoid: independent probabilities (of one unit: of the positive class); vector: "
        "an embedding or features, written as they are. Default: what the graph proves.",
    )
    also: dict[str, str] = Field(
        {},
        description="Further outputs or layers that are written as vectors, by the names of their columns: "
        "{features: pool}.",
    )
    threshold: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="For sigmoid: a row names only classes that are at least so probable [0 to 1]."
    )

    @property
    def vectors(self) -> tuple[str, ...]:
        """The columns of vectors that a table of it has."""
        return (*((VECTOR,) if self.kind == "vector" else ()), *self.also)

    @model_validator(mode="after")
    def _are_columns(self) -> Self:
        taken = {name: name for name in (*COLUMNS, *((VECTOR,) if self.kind == "vector" else ()))}
        for name in self.also:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
                raise ValueError(
                    f"output.also: {name[:100]!r} can't be a column's name: take letters, digits and _, no digit first"
                )
            if (other := taken.get(name.lower())) is not None:  # for SQL both are one
                both = name if name == other else f"{other} and {name}, which are one for SQL"
                raise ValueError(f"output.also: two columns would be called {both}")
            taken[name.lower()] = name
        return self

    @model_validator(mode="before")
    @classmethod
    def _softmax_was_its_name(cls, data: object) -> object:
        """Bundles that were packed before 0.2 say output.softmax: auto, add or none."""
        kinds = {"auto": None, "add": "logits", "none": "softmax"}
        if isinstance(data, dict) and data.get("softmax") in kinds and "kind" not in data:
            return {**{key: value for key, value in data.items() if key != "softmax"}, "kind": kinds[data["softmax"]]}
        return data


class ModelSpec(Document):
    """The content of model.yaml."""

    format: Literal[1] = Field(1, description="Version of this file's format.")
    name: str = Field("model", description="Name of the model.")
    licence: str | None = Field(None, description="Licence of the weights.")
    source: str | None = Field(None, description="Where the weights come from.")
    symbol: FileSpec | None = Field(None, description="The graph (.json).")
    params: FileSpec | None = Field(None, description="The parameters.")
    labels: FileSpec | None = Field(None, description="The names of the classes.")
    preset: PresetName | None = Field(
        None, description="Fills in what `input` and `preprocess` leave out, by the kind of network (docs/models.md)."
    )
    input: ModelInput = Field(ModelInput(), description="The network's input.")
    preprocess: Preprocessing = Field(Preprocessing(), description="From an image to the network's numbers.")
    output: ModelOutput = Field(ModelOutput(), description="The network's output.")

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        shorter = self.preprocess.shorter_side
        if shorter is not None and shorter < max(self.input.height, self.input.width):
            raise ValueError(
                f"preprocess.shorter_side is {shorter}, smaller than the network's {self.input.height} x "
                f"{self.input.width} input"
            )
        return self

    @model_validator(mode="after")
    def _numbers_fit_channels(self) -> Self:
        check_channels(self.preprocess, self.input.channels)
        return self


def check_channels(steps: Preprocessing, channels: int | None) -> None:
    """Raises ValueError where mean and std can't be those of so many channels."""
    for name, numbers in (("mean", steps.mean), ("std", steps.std)):
        if channels == 1 and len(set(numbers)) > 1:
            raise ValueError(
                f"preprocess.{name} is {list(numbers)}, but the network takes one channel: give one number"
            )
