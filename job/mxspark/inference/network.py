"""A bundle as a bound mx.mod.Module on mx.cpu() or mx.gpu(i): what it is, whether its files fit each other, and
forward passes.
"""

import logging
import re
from collections import namedtuple
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mxspark.errors import MxsparkError, UsageError
from mxspark.inference import checkpoint, meaning, quantize, scaling
from mxspark.inference.bundle import Bundle
from mxspark.inference.checkpoint import Checkpoint
from mxspark.inference.graph import Graph, Shape
from mxspark.inference.meaning import Meaning, MeaningError
from mxspark.inference.mxnet import Choice, Context, check_bfloat16, check_vnni, choose, load_mxnet, said, words
from mxspark.inference.net import Net, float32
from mxspark.settings import presets
from mxspark.settings.model_spec import VECTOR, ModelInput, ModelSpec, Preprocessing, check_channels
from mxspark.text.words import counted, listed

Floats = NDArray[np.float32]

# Module's constructor wants a logger; what it warns of is checked here, with better messages.
_QUIET = logging.Logger("mxnet", logging.CRITICAL)
_Batch = namedtuple("_Batch", ["data"])
# By how much of the highest probability, or of a small one, one may depend on the other images of its batch: more than
# rounding does.
_BATCH_TOLERANCE, _SMALL = 1e-2, 1e-2
# MXNet's numbers of types, in the attribute __dtype__ of an input.
_WHOLE_NUMBERS: Mapping[str, Any] = {"3": np.uint8, "4": np.int32, "5": np.int8, "6": np.int64}
# What MXNet says of a graph that takes no input, whatever its shape.
_WITH_ANY_INPUT = re.compile(r"incorrect (kernel|stride|dilate) size")


@dataclass(frozen=True)
class Layer:
    """A layer with one vector an image."""

    name: str
    operator: str
    length: int


@dataclass(frozen=True)
class Inspection:
    """What a network is."""

    input_name: str
    input: ModelInput  # with the channels that were found
    output_name: str
    classes: int  # or numbers of the vector
    outputs: tuple[str, ...]
    meaning: Meaning
    operators: Mapping[str, int]  # operator to how often it occurs
    parameters: int  # numbers in all parameters
    unused: tuple[str, ...]  # parameters that the graph doesn't use
    half: int  # parameters that are float16 in the file, and computed as float32
    prefix: str  # of the parameters' names in the file, which is left away
    preprocess: Preprocessing = field(default_factory=Preprocessing)  # with what a preset fills in
    vectors: tuple[tuple[str, int], ...] = ()  # columns and the lengths of their vectors, in the order of the numbers
    layers: tuple[Layer, ...] = ()  # that could be taken as vectors
    scaling: tuple[str, ...] = ()  # operators by which the graph scales its input itself

    @property
    def input_shape(self) -> Shape:
        """With 1 as the batch size."""
        return self.input.shape(1)

    def pinned(self, spec: ModelSpec) -> ModelSpec:
        """`spec`, saying what was found here too."""
        output = spec.output.model_copy(update={"kind": self.meaning.kind})
        return spec.model_copy(update={"input": self.input, "preprocess": self.preprocess, "output": output})

    @property
    def has_classes(self) -> bool:
        """Whether the output is probabilities, and not a vector."""
        return self.meaning.kind != "vector"

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for whoever uses it."""
        notes = []
        if self.half:
            notes.append(f"{self.half} of the parameters are float16 in the file, and cast to float32.")
        if self.prefix:
            notes.append(
                f"The names of the parameters begin with {self.prefix!r} in the file, and are taken without it."
            )
        return tuple(notes)


class Network:
    """Forward passes of a fixed batch size, for one thread: a Module shared by two returns wrong batches."""

    def __init__(self, bundle: Bundle, batch_size: int, context: Context, device: int = 0) -> None:
        """Loads and binds; raises UsageError where the files don't fit each other or there is no such device."""
        mx = load_mxnet()
        model = _Model(mx, bundle)
        self.inspection = model.inspection
        self.choice = choose(context, device)
        self._module = _Module(mx, model.symbol, model, batch_size, self.choice)

    @property
    def batch_size(self) -> int:
        return self._module.batch_size

    @property
    def classes(self) -> int:
        return self.inspection.classes

    def predict(self, images: Floats) -> Floats:
        """Probabilities (n, classes), or vectors (n, length), of `images` (n, …) with n ≤ batch size; a shorter batch
        is padded and the padding dropped.

        Raises MxsparkError where MXNet can't compute them.
        """
        return self.predict_all(images)[:, : self.classes]

    def predict_all(self, images: Floats) -> Floats:
        """As `predict`, with the vectors of output.also behind the first numbers: (n, all numbers of an image)."""
        return self._module.predict(images)


def inspect(bundle: Bundle, context: Context | None = "cpu") -> tuple[Inspection, Choice | None]:
    """What the network is, and what it ran on: forward passes of one and of three images, none where there is no
    `context`.

    Raises UsageError where the files don't fit each other, the labels included, or the network doesn't compute what it
    should.
    """
    mx = load_mxnet()
    model = _Model(mx, bundle)
    if context is None:
        return model.inspection, None
    choice = choose(context)
    _try(mx, model, bundle, choice)
    return model.inspection, choice


def as_net(mx: Any, bundle: Bundle) -> tuple[Net, Inspection]:
    """The network as data, ending in probabilities, and what it is. Raises UsageError as `inspect`."""
    model = _Model(mx, bundle)
    arguments, states = (
        {
            name: array.asnumpy() if array.dtype in (np.int8, np.uint8) else float32(array.asnumpy())
            for name, array in kind.items()
        }
        for kind in (model.checkpoint.arguments, model.checkpoint.states)
    )
    return Net.read(checkpoint.written(model.symbol), arguments, states).tidy(), model.inspection


def _try(mx: Any, model: "_Model", bundle: Bundle, choice: Choice) -> None:
    """Raises UsageError where a forward pass fails, gives no probabilities, or depends on the rest of the batch."""
    steps, shape = model.inspection.preprocess, model.inspection.input.shape(3)
    pixels = np.random.default_rng(0).uniform(0, 255, shape)  # noise, and images as different from it as can be
    pixels[1], pixels[2] = 0, 255
    images = ((pixels * steps.scale - np.mean(steps.mean)) / np.mean(steps.std)).astype(np.float32)
    found = model.inspection.meaning
    alone = _Module(mx, model.symbol, model, 1, choice).predict(images[:1])[0]
    together = _Module(mx, model.symbol, model, 3, choice).predict(images)
    finite = together[np.isfinite(together).all(axis=1)]
    symbol = bundle.source.locations["symbol"]
    if not len(finite):
        raise UsageError(
            f"{symbol}: gives no number for noise, black or white images", "Are there NaNs among the parameters?"
        )
    classes = model.inspection.classes if model.inspection.has_classes else 0
    if classes and (
        trouble := next(filter(None, (meaning.trouble(row, found.sums_to_one) for row in finite[:, :classes])), "")
    ):
        raise UsageError(
            f"{symbol}: output.kind is {found.kind}, but for test images (noise, black, white) {trouble}",
            "Correct output.kind.",
        )
    if found.adds == "softmax":
        raw = _Module(mx, model.checkpoint.symbol, model, 3, choice).predict(images)[:, :classes]
        if (
            raw.shape[1] > 1
            and np.isfinite(raw).all()
            and not any(meaning.trouble(row, sums_to_one=True) for row in raw)
        ):
            raise UsageError(
                f"{symbol}: output.kind is logits, but its numbers are probabilities already",
                "Say output.kind: softmax.",
            )
    ends = np.cumsum([classes, *(length for _, length in model.inspection.vectors)])
    parts = list(zip(np.split(alone, ends[:-1]), np.split(together[0], ends[:-1]), strict=True))
    if np.isfinite(alone).all() and any(_differ(one, other) for one, other in parts if len(one)):
        raise UsageError(
            f"{symbol}: predictions for the same image change with the rest of the batch, or from one pass to the next",
            "Give a network of which each output depends on its image alone, without dropout in prediction.",
        )


def _differ(one: Floats, other: Floats) -> bool:
    """Whether the numbers for the same image, alone and with others in its batch, are not the same but for rounding."""
    return bool(not np.abs(one - other).max() <= _BATCH_TOLERANCE * max(np.abs(one).max(), _SMALL))


class _Module:
    """A network bound for batches of one size."""

    def __init__(self, mx: Any, symbol: Any, model: "_Model", batch_size: int, choice: Choice) -> None:
        self._mx = mx
        self._graph = model.checkpoint.graph
        self._name = model.names["symbol"]
        self._context = choice.context
        name = model.inspection.input_name
        self._shape = model.inspection.input.shape(batch_size)
        self._module = mx.mod.Module(symbol, data_names=[name], label_names=None, context=self._context, logger=_QUIET)
        with self._errors():
            self._module.bind(data_shapes=[(name, self._shape)], for_training=False)
            # The labels of training are arguments without parameters; everything else was checked when it was loaded.
            arguments = {**model.checkpoint.arguments, **self._constants(symbol, model.checkpoint)}
            self._module.set_params(arguments, dict(model.checkpoint.states), allow_missing=True, allow_extra=True)
            # Filled anew for each batch: one of its own would be memory that the system clears each time.
            self._input = mx.nd.empty(self._shape, ctx=self._context, dtype=np.float32)
        # Copies beside those that it computes with, for training and saving.
        self._module._arg_params = self._module._aux_params = None

    def _constants(self, symbol: Any, checkpoint: Checkpoint) -> dict[str, Any]:
        """The constants' arrays for batches of this size."""
        if not checkpoint.constants:
            return {}
        shapes = dict(
            zip(symbol.list_arguments(), symbol.infer_shape(**{checkpoint.input_name: self._shape})[0], strict=True)
        )
        return {name: self._mx.nd.full(shapes[name], value) for name, value in checkpoint.constants.items()}

    @property
    def batch_size(self) -> int:
        return self._shape[0]

    def predict(self, images: Floats) -> Floats:
        count = len(images)
        if count < self.batch_size:
            images = np.concatenate([images, np.zeros((self.batch_size - count, *self._shape[1:]), np.float32)])
        with self._errors():
            self._input[:] = images
            self._module.forward(_Batch([self._input]), is_train=False)
            outputs = [
                output.asnumpy().astype(np.float32, copy=False).reshape(self.batch_size, -1)
                for output in self._module.get_outputs()
            ]
        numbers: Floats = outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1)
        return numbers[:count]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """MXNet's errors in its own words. What another machine or a fresh start may hint is no UsageError."""
        try:
            yield
        except (self._mx.MXNetError, RuntimeError) as error:  # bind raises the second
            hint = self._hint(words(error))
            kind = UsageError if hint else MxsparkError
            raise kind(
                f"{self._name}: can't be computed on {self._context}: {said(error)}",
                hint or "Try the same network in MXNet itself.",
            ) from None

    def _hint(self, text: str) -> str:
        if re.search("out of memory|cudaMalloc|Memory allocation failed|bad_alloc", text):
            return "Give it fewer images at a time (batch_size), or more memory."
        if self._context.device_type != "cpu":
            return ""
        if re.search("float16|fp16", text, re.IGNORECASE):
            return (
                "On a CPU MXNet computes float32: export the network without its casts to float16, or use a GPU "
                "(--context gpu)."
            )
        if self._graph.has_attribute("layout", "NHWC"):
            return (
                "On a CPU MXNet's convolutions take the layout NCHW: export the network in it, or use a GPU (--context "
                "gpu)."
            )
        return (
            ""
            if "std::" in text
            else "Try it in MXNet itself. Some operators run on GPUs only (--context gpu); a constant has one shape "
            "for all batches."
        )


class _Model:
    """A checkpoint whose shapes and labels fit, with a symbol that ends in probabilities."""

    def __init__(self, mx: Any, bundle: Bundle) -> None:
        self._mx = mx
        self.names = bundle.source.locations
        self._spec = bundle.spec
        self.checkpoint: Checkpoint = checkpoint.load(mx, bundle)
        self._check_random()
        if self._graph.is_bfloat16:
            check_bfloat16()
        if self._graph.has_attribute(*quantize.NEEDS_VNNI):
            check_vnni()
        spec = self._fitting_spec(bundle)
        model_input = spec.input
        shape, *others = self._batch_shapes(model_input)
        self._check_type(spec.preprocess)
        self._check_quantized()
        found = self._meaning(bundle, model_input, shape)
        lengths = dict(zip(spec.output.also, map(self._vector_length, spec.output.also, others), strict=True))
        symbol = self.checkpoint.symbol
        first = symbol if len(symbol.list_outputs()) == 1 else symbol[0]
        length = int(np.prod(shape[1:]))
        if found.adds:
            added = getattr(mx.sym, found.adds)(mx.sym.reshape(first, shape=(-1, length)), name=f"mxspark_{found.adds}")
            self.symbol = mx.sym.Group([added, *(symbol[1 + number] for number in range(len(lengths)))])
        else:
            self.symbol = symbol
        self.inspection = Inspection(
            input_name=self.checkpoint.input_name,
            input=model_input,
            output_name=symbol.list_outputs()[0],
            classes=length,
            outputs=self.checkpoint.outputs,
            meaning=found,
            operators=self.checkpoint.graph.operators,
            parameters=sum(
                int(np.prod(v.shape)) for v in (*self.checkpoint.arguments.values(), *self.checkpoint.states.values())
            ),
            unused=self.checkpoint.unused,
            half=self.checkpoint.half,
            prefix=self.checkpoint.prefix,
            preprocess=spec.preprocess,
            vectors=(((VECTOR, length),) if found.kind == "vector" else ()) + tuple(lengths.items()),
            layers=self._layers(model_input),
            scaling=scaling.check(self.checkpoint, spec, self.names["symbol"]),
        )

    def _check_random(self) -> None:
        """Raises UsageError where the graph draws random numbers: one comparison of two predictions may not show it."""
        if found := self._graph.random:
            raise UsageError(
                f"{self.names['symbol']}: draws random numbers when it predicts, so that the same image gets other "
                f"predictions each time: {listed([f'{node.op} {node.name}' for node in found])}",
                "Export the network without that, and Dropout with the mode `training`, its default, rather than "
                "`always`.",
            )

    def _fitting_spec(self, bundle: Bundle) -> ModelSpec:
        """The bundle's model.yaml with the size and channels that the parameters fit, and preprocessing for them."""
        errors = []
        for stated in presets.inputs(bundle.spec, self._declared_size(bundle.spec.input)):
            for channels in (stated.channels,) if stated.channels else (3, 1):
                model_input = stated.model_copy(update={"channels": channels})
                try:
                    self._check_shapes(model_input)
                    spec = presets.resolved(bundle.spec, model_input)
                    check_channels(spec.preprocess, channels)
                    return spec
                except UsageError as error:
                    errors.append(error)
                except ValueError as error:
                    errors.append(UsageError(str(error), "Correct model.yaml."))
        # Where three channels don't fit and one does but for something else, that is what has to be mended.
        raise next((error for error in errors if "preprocess" in error.problem), errors[0])

    def _declared_size(self, stated: ModelInput) -> tuple[int, int] | None:
        """The height and width that the graph declares for its input, if it does."""
        declared = self.checkpoint.symbol.attr_dict().get(self.checkpoint.input_name, {}).get("__shape__", "()")
        shape = [int(number) for number in re.findall(r"-?\d+", declared)]  # Python 2 wrote (0L, 3L, 224L, 224L)
        if len(shape) != 4:
            return None
        height, width = shape[2:] if stated.layout == "NCHW" else shape[1:3]
        return (height, width) if height > 0 and width > 0 else None

    def _layers(self, model_input: ModelInput) -> tuple[Layer, ...]:
        """The layers with one vector an image, in the graph's order."""
        shapes = self._shapes(self.checkpoint.whole, model_input)
        operators = {node.name: node.op for node in Graph.read(self.checkpoint.whole.tojson()).nodes}
        found = []
        for output, shape in shapes.items():
            name = output.removesuffix("_output")
            lengths = [length for length in shape[1:] if length != 1]
            is_vector = len(shape) > 1 and shape[0] == 2 and len(lengths) == 1
            if is_vector and 0 < lengths[0] <= meaning.LONGEST_VECTOR and operators.get(name, "null") != "null":
                found.append(Layer(name, operators[name], lengths[0]))
        return tuple(found)

    def _vector_length(self, column: str, shape: Shape) -> int:
        layer = self._spec.output.also[column]
        try:
            meaning.check_vector(shape, f"{layer}, which output.also.{column} names,")
        except MeaningError as error:
            raise UsageError(f"{self.names['symbol']}: {error.problem}", error.hint) from None
        return int(np.prod(shape[1:]))

    def _check_shapes(self, model_input: ModelInput) -> None:
        symbol, name, shape = self.checkpoint.symbol, self.checkpoint.input_name, model_input.shape(1)
        try:
            arguments, outputs, states = symbol.infer_shape(**{name: shape})
            if outputs is None:
                self._check_lengths(model_input)
                raise self._mx.MXNetError("the shapes of its other inputs don't follow from that")
        except self._mx.MXNetError as error:
            if _WITH_ANY_INPUT.search(words(error)):
                hint = "Any input fails: correct the graph, or export it again."
                raise UsageError(f"{self.names['symbol']}: {said(error)}", hint) from None
            raise UsageError(
                f"{self.names['symbol']}: does not take an input {name} of shape {shape}: {said(error)}",
                f"{f'Take another preset than {self._spec.preset}, or give' if self._spec.preset else 'Correct'} "
                f"input.height, input.width, input.channels and input.layout in model.yaml.{self._about_constants}",
            ) from None
        variables, auxiliary = symbol.list_arguments(), symbol.list_auxiliary_states()
        expected = dict(zip([*variables, *auxiliary], [*arguments, *states], strict=True))
        for parameter, array in {**self.checkpoint.arguments, **self.checkpoint.states}.items():
            if tuple(array.shape) != tuple(expected[parameter]):
                raise UsageError(
                    f"symbol and params don't fit each other: {parameter} has shape {tuple(array.shape)} in "
                    f"{self.names['params']}, but {self.names['symbol']} needs {tuple(expected[parameter])} for an "
                    f"input of shape {shape}",
                    "Give the input that the network was made for (input.height, width, channels and layout), and "
                    "files of one model." + self._about_constants,
                )

    def _check_lengths(self, model_input: ModelInput) -> None:
        """Raises UsageError where an output's shape is not known although all inputs' are."""
        symbol = self.checkpoint.symbol
        inputs, outputs, _ = symbol.infer_shape_partial(**{self.checkpoint.input_name: model_input.shape(1)})
        unknown = [
            name
            for name, shape in zip(symbol.list_outputs(), outputs or (), strict=False)
            if not (shape and all(shape))
        ]
        if unknown and inputs and all(shape and all(shape) for shape in inputs):
            raise UsageError(
                f"{self.names['symbol']}: the shape of {listed(unknown)} depends on what is in the images",
                "Take an output or a layer that has one length for all images: `mxspark model inspect --layers`.",
            )

    def _batch_shapes(self, model_input: ModelInput) -> list[Shape]:
        """The outputs' shapes for two images: where there is but one, a graph may leave that axis away."""
        shape = model_input.shape(2)
        names, problem = self.checkpoint.symbol.list_outputs(), ""
        try:
            found = self.checkpoint.symbol.infer_shape(**{self.checkpoint.input_name: shape})[1] or ()
        except self._mx.MXNetError as error:
            found, problem = (), said(error)
        shapes = [tuple(each) for each in found]
        wrong = [name for name, each in zip(names, shapes, strict=False) if len(each) < 2 or each[0] != shape[0]]
        if wrong or len(shapes) != len(names):
            at = names.index(wrong[0]) if wrong else 0
            problem = problem or (
                f"{'its output' if at == 0 else wrong[0]} then has the shape {shapes[at]}"
                if wrong
                else "its shape depends on the image"
            )
            raise UsageError(
                f"{self.names['symbol']}: does not give {shape[0]} rows of numbers for {shape[0]} images: {problem}",
                f"Give a network that takes batches of any size.{self._about_constants}",
            )
        return shapes

    def _check_type(self, steps: Preprocessing) -> None:
        """Raises UsageError where the input takes whole numbers only, to which MXNet would cut all others."""
        name = self.checkpoint.input_name
        kind = _WHOLE_NUMBERS.get(self.checkpoint.symbol.attr_dict().get(name, {}).get("__dtype__", ""))
        numbers = (np.arange(256)[:, np.newaxis] * steps.scale - steps.mean) / steps.std
        if (
            kind is not None
            and not (numbers.clip(np.iinfo(kind).min, np.iinfo(kind).max).astype(kind) == numbers).all()
        ):
            raise UsageError(
                f"{self.names['symbol']}: its input {name} takes {kind.__name__}, but preprocess gives numbers from "
                f"{numbers.min():g} to {numbers.max():g}, which don't fit",
                "Correct scale, mean and std of preprocess in model.yaml: most likely the network does that itself, "
                "and wants 0 to 255.",
            )

    def _check_quantized(self) -> None:
        """Raises UsageError for parameters of 8 bits where the graph takes floats, which are other numbers."""
        symbol, bytes_only = self.checkpoint.symbol, (np.int8, np.uint8)
        try:
            types = symbol.infer_type(**{self.checkpoint.input_name: np.float32})[0] or ()
        except self._mx.MXNetError:
            return
        for name, wanted in zip(symbol.list_arguments(), types, strict=False):
            array = self.checkpoint.arguments.get(name)
            if array is not None and array.dtype in bytes_only and wanted not in bytes_only:
                raise UsageError(
                    f"{self.names['params']}: {name} has numbers of 8 bits ({np.dtype(array.dtype)}), but "
                    f"{self.names['symbol']} computes with {np.dtype(wanted)}",
                    "Give the graph of the quantized network, or the parameters that were not quantized.",
                )

    @property
    def _about_constants(self) -> str:
        """What may be wrong with the shapes of input.constants, if there are any."""
        name = next(iter(self.checkpoint.constants), None)
        if name is None:
            return ""
        shape = f"mx.sym.var({name!r}, shape=(0, 5))"
        return (
            " A value in input.constants takes the shape declared in the graph, or (1,) if none is. Declare it in the "
            f"graph, with 0 for the batch axis: {shape}."
        )

    def _meaning(self, bundle: Bundle, model_input: ModelInput, shape: Shape) -> Meaning:
        shapes = self._shapes(self.checkpoint.symbol, model_input)
        ending = self._graph.ending(shapes)
        if bundle.spec.output.name is not None:  # the graph may go on behind that
            last, whole = self._graph.nodes[self._graph.head], self.checkpoint.whole
            for head in whole:  # of which one may be of training alone, with unknown shapes
                shapes = shapes | self._shapes(head, model_input)
            use, readers = Graph.read(whole.tojson()).use(last.name, shapes)
            ending = replace(ending, use=use, readers=readers)
        try:
            found = meaning.find(bundle.spec.output, shape, ending, len(bundle.labels))
        except MeaningError as error:
            raise UsageError(f"{self.names['symbol']}: {error.problem}", error.hint) from None
        # The labels of a network whose features are taken are of its last layer.
        if bundle.labels and found.kind != "vector" and len(bundle.labels) != shape[1]:
            raise UsageError(
                f"{self.names['labels']}: has {counted(len(bundle.labels), 'label')}, "
                f"but the network has {counted(shape[1], 'class', 'classes')}",
                "Give the labels of this very network, one for each class.",
            )
        return found

    def _shapes(self, symbol: Any, model_input: ModelInput) -> dict[str, Shape]:
        """The shapes of all outputs within a graph, by name, for two images; unknown ones are left out."""
        internals = symbol.get_internals()
        try:
            _, shapes, _ = internals.infer_shape_partial(**{self.checkpoint.input_name: model_input.shape(2)})
        except self._mx.MXNetError:
            return {}
        return {
            name: tuple(shape) for name, shape in zip(internals.list_outputs(), shapes or (), strict=False) if shape
        }

    @property
    def _graph(self) -> Graph:
        return self.checkpoint.graph
