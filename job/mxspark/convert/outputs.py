"""Which of an ONNX file's outputs are converted, which of them is the classes' (or the vector), and what columns the
others become.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mxspark.convert.conversion import PASSING, Converted, Output
from mxspark.convert.image_input import ImageInput
from mxspark.convert.onnx_file import OnnxFile
from mxspark.convert.request import Request
from mxspark.errors import UsageError
from mxspark.inference.checkpoint import written
from mxspark.inference.graph import Graph, Outcome
from mxspark.inference.meaning import LONGEST_VECTOR, shape_text
from mxspark.settings.model_spec import COLUMNS, VECTOR, Kind, ModelOutput
from mxspark.text.words import counted, listed, printable

# How a graph ends whose output is classes, by what output.kind says.
_ENDINGS: Mapping[Kind | None, tuple[str, ...]] = {
    None: ("softmax", "log_softmax", "sigmoid"),
    "softmax": ("softmax",),
    "logits": ("log_softmax",),
    "sigmoid": ("sigmoid",),
    "vector": (),
}
# What scores are of which an operator makes probabilities.
_READERS: Mapping[str, Kind] = {"Softmax": "logits", "LogSoftmax": "logits", "Sigmoid": "sigmoid"}


def asked_for(file: OnnxFile, request: Request) -> tuple[str, ...]:
    """The outputs to convert, by their names in the file: --outputs, else --output-name, else all.

    Raises UsageError where the graph hasn't one of them.
    """
    there = [value.name for value in file.model.graph.output]
    within = {name for node in file.model.graph.node for name in node.output}
    main = _main(request)
    named = [*request.outputs] or ([main] if main is not None else there)
    names = dict.fromkeys([*([main] if main is not None else []), *named, *_given(request).also.values()])
    for name in names:
        if name not in within:
            raise UsageError(
                f"{file.path}: has no output {printable(name)!r}, only {listed(there)}"
                if name not in there
                else f"{file.path}: declares an output {printable(name)!r}, which no operator makes",
                f"Correct {'--outputs' if name in request.outputs else '--output-name, or output of --spec'}."
                if name not in there
                else "Fetch or export it again.",
            )
    return tuple(names)


def described(
    file: OnnxFile, request: Request, image: ImageInput, converted: Converted, notes: list[str]
) -> ModelOutput:
    """What model.yaml says of the outputs. Raises UsageError where the classes', or a column, isn't known."""
    given = _given(request)
    main = _main(request) or _found(file, request, image, converted, notes)
    chosen = next(output for output in converted.outputs if output.name == main)
    if _kind(request) is None:
        given = given.model_copy(update={"kind": _used_as(file, image, converted, chosen)})
    columns = _columns(file, given, main)
    if len(converted.outputs) == 1:
        return given.model_copy(update={"name": None})  # the graph has but this one
    also: dict[str, str] = {}
    for output in converted.outputs:
        if output.name != main:
            column = columns.get(output.name) or _column(file, output, [*also, *columns.values()], _kind(request))
            _check_vector(file, output)
            also[column] = output.symbol_name
    return given.model_copy(update={"name": chosen.symbol_name, "also": also})


def _given(request: Request) -> ModelOutput:
    return request.spec.output if request.spec is not None else ModelOutput()


def _main(request: Request) -> str | None:
    return request.output or _given(request).name


def _kind(request: Request) -> Kind | None:
    return request.kind or _given(request).kind


def _found(file: OnnxFile, request: Request, image: ImageInput, converted: Converted, notes: list[str]) -> str:
    """The only output, or the only one whose graph ends as a classifier's does."""
    others = set(_given(request).also.values())
    candidates = [output for output in converted.outputs if output.name not in others]
    if len(candidates) == 1:
        return candidates[0].name
    endings = {output.name: _ending(image, converted, output) for output in candidates}
    proved = [name for name, ending in endings.items() if ending.family in _ENDINGS[_kind(request)]]
    if len(proved) == 1:
        notes.append(
            f"Of its {len(candidates)} outputs, {printable(proved[0])} is taken for the classes: it alone ends in a "
            f"classifier's {endings[proved[0]].family}. The others are columns of vectors. --output-name names another."
        )
        return proved[0]
    shown = [
        f"{printable(output.name)} {shape_text(output.shape)}, which ends in {endings[output.name]}"
        for output in candidates
    ]
    what = "the vector" if _kind(request) == "vector" else "the classes"
    raise UsageError(
        f"{file.path}: has {counted(len(candidates), 'output')}: {'; '.join(shown)}. Nothing tells which one is {what}",
        f"Name it: --output-name. It alone is taken then; --outputs {','.join(output.name for output in candidates)} "
        "as well makes columns of the others.",
    )


def _ending(image: ImageInput, converted: Converted, output: Output) -> Outcome:
    symbol = converted.symbol[converted.symbol.list_outputs().index(f"{output.symbol_name}_output")]
    internals = symbol.get_internals()
    _, shapes, _ = internals.infer_shape(data=image.model_input.shape(2))
    ending = Graph.read(written(symbol)).ending(dict(zip(internals.list_outputs(), shapes, strict=True)))
    return replace(ending, operators=ending.operators[1:])  # the first only gives it its name


def _column(file: OnnxFile, output: Output, taken: Sequence[str], kind: Kind | None) -> str:
    """A column's name for an output: its own, as far as SQL has such names. Raises UsageError where that is taken."""
    plain = re.sub(r"\W+", "_", output.name, flags=re.ASCII).strip("_")[:80] or "output"
    column = f"output_{plain}" if plain[0].isdigit() else plain
    if column.lower() in {name.lower() for name in (*COLUMNS, *taken, *([VECTOR] if kind == "vector" else []))}:
        raise UsageError(
            f"{file.path}: its output {printable(output.name)} can't be the column {column}, for there is another of "
            "this name",
            f"Give it a name: a --spec with output: {{also: {{COLUMN: {printable(output.name)!r}}}}}.",
        )
    return column


def _columns(file: OnnxFile, given: ModelOutput, main: str) -> dict[str, str]:
    """The columns' names that --spec says, by the names of outputs. Raises UsageError where an output has two."""
    columns: dict[str, str] = {}
    for column, name in given.also.items():
        if name in (main, *columns):
            raise UsageError(
                f"{file.path}: its output {printable(name)} can't be the column {column}: it is "
                f"{columns.get(name, 'what the output is taken for')} already",
                "Name each output once in output of --spec.",
            )
        columns[name] = column
    return columns


def _used_as(file: OnnxFile, image: ImageInput, converted: Converted, output: Output) -> Kind | None:
    """What the file makes of scores, which says what they are where the graph doesn't end in them; None where it does,
    or they are no scores.

    Raises UsageError where it makes something of them that doesn't say it.
    """
    readers = list(dict.fromkeys(_readers(file, output.name)))
    ending = _ending(image, converted, output)
    if ending.family != "linear" or not readers:
        return None
    kinds = {_READERS.get(op) for op in readers}
    if len(kinds) == 1 and (kind := kinds.pop()) is not None:
        return kind
    raise UsageError(
        f"{file.path}: {printable(output.name)} ends in {ending}, of which the file makes {listed(readers)}: what its "
        "numbers mean is not known",
        "Say it: --kind logits (a softmax is added), sigmoid (independent probabilities) or vector.",
    )


def _readers(file: OnnxFile, name: str) -> Iterator[str]:
    """The operators that do something with a value, seen through those that pass it on."""
    names = {name}
    for node in file.model.graph.node:
        if not names & set(node.input):
            continue
        if node.op_type in PASSING:
            names |= set(node.output)
        else:
            yield str(node.op_type)


def _check_vector(file: OnnxFile, output: Output) -> None:
    lengths = [length for length in output.shape[1:] if length != 1]
    if len(lengths) > 1 or max(lengths, default=1) > LONGEST_VECTOR:
        raise UsageError(
            f"{file.path}: its output {printable(output.name)} has the shape {shape_text(output.shape)}: that is not "
            f"one vector an image of {LONGEST_VECTOR:,} numbers at most, which a column has",
            "Leave it out: --outputs names those to convert, --output-name the only one.",
        )
