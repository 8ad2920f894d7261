"""The names of a network's classes, by index, from the forms in which people keep them: lines, CSV, JSON."""

import ast
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mxspark.errors import UsageError
from mxspark.text import delimited
from mxspark.text.words import listed, shortened

# Files of labels in a folder without model.yaml, by how their names end.
_NAMES = (
    *("synset", "labels", "label", "classes", "class_names", "classnames"),
    *("categories", "names", "class_index", "id2label"),
)
ENDINGS = (*(f"{name}.{suffix}" for name in _NAMES for suffix in ("txt", "csv", "json")), ".names")
# What begins so is no list of names, one a line, whatever the file is called.
_JSON = re.compile(r"""\s*[\[{]\s*(["'\d\[{\]}]|$)""")
# Keys of configurations that hold the labels, as Hugging Face's config.json.
_WRAPPERS = ("id2label", "labels", "classes", "names", "label2id")
# What begins so is a web page, XML, a pointer of Git LFS, or YAML.
_OTHER = re.compile(
    r"\s*(<(!doctype|html|\?xml)|version https://git-lfs|---\s*$|(names|labels|classes):\s*$)",
    re.IGNORECASE | re.MULTILINE,
)
# Numbers at the beginning of lines, or at their end; `1.5 l` and `0-2 years` begin with none.
_NUMBERED = (
    re.compile(r"\s*+[(\[#]?\s*+(?P<number>\d+)(?P<by>[\s:;,=|)\]]|[-_.](?!\d))(?P<name>.*)"),
    re.compile(r"(?P<name>.*)(?P<by>[\s:;,=|(\[#])(?P<number>\d+)\s*[)\]]?"),
)
_QUOTED = re.compile(r'"[^"\\]+"')
LONGEST_NUMBER = 18  # digits of an index
LONGEST_LITERAL = 4 * 2**20  # characters of a Python dictionary; one of ImageNet's classes has 30,000
LONGEST_LABEL = 10_000  # characters
_FORMS = "Give one name a line (synset.txt), CSV with a column `label`, or JSON: a list, or {index: name}."


def read(text: str, location: str) -> tuple[str, ...]:
    """The labels in a file's text; `location` says what it is called. Raises UsageError."""
    name = location.partition("?")[0].lower()
    if name.endswith((".csv", ".tsv")):
        labels = _from_csv(text, location)
    elif name.endswith(".json") or _JSON.match(text):
        labels = _from_json(text, location)
    elif _OTHER.match(text):
        raise UsageError(
            f"{location}: begins with {shortened(text.split(maxsplit=1)[0])}, so it is no list of names, one a line",
            _FORMS,
        )
    else:
        labels = _lines(text)
        _check_lines(labels, location)
    if not labels:
        hint = "Give one name a line, or leave the labels file out: predictions then have indices only."
        raise UsageError(f"{location}: holds no labels", hint)
    if any(len(label) > LONGEST_LABEL for label in labels):
        raise UsageError(f"{location}: a label has more than {LONGEST_LABEL:,} characters", _FORMS)
    if any(re.search("[\ud800-\udfff]", label) for label in labels):
        raise UsageError(f"{location}: a label holds half a character (a lone surrogate)", "Correct the label.")
    return tuple(labels)


def _check_lines(lines: list[str], location: str) -> None:
    """`_check_order` of the numbers that all lines begin with, or else end with."""
    for pattern in _NUMBERED:
        found = [match for line in lines if (match := pattern.fullmatch(line))]
        # Where but for the numbers all are the same (5-star, 4-star), these are the names.
        if len(found) == len(lines) and (
            len({match["name"] for match in found}) > 1 or any(match["by"] in " \t:;,=" for match in found)
        ):
            numbers = [_number(match["number"]) for match in found]
            _check_order(numbers, location)
            if _is_count(numbers):
                return


def _is_count(numbers: list[int]) -> bool:
    """Whether they are 0, 1, 2, … or 1, 2, 3, …, in any order."""
    first = min(numbers, default=0)
    return first in (0, 1) and sorted(numbers) == list(range(first, first + len(numbers)))


def _check_order(numbers: list[int], location: str) -> None:
    """Raises UsageError where lines or rows are numbered by class, but stand in another order."""
    if _is_count(numbers) and numbers != sorted(numbers):
        first = min(numbers)
        raise UsageError(
            f"{location}: the lines are numbered from {first} on, but not in order",
            "Sort them by number, or give CSV with columns index and label.",
        )


def _lines(text: str) -> list[str]:
    # splitlines would end a line at other characters too.
    lines = [line.rstrip(" \t") for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if all(_QUOTED.fullmatch(line) for line in lines):  # as a program writes each as JSON
        return [line[1:-1] for line in lines]
    return lines


def _from_json(text: str, location: str) -> list[str]:
    """A list of names, {index: name}, or {name: index}, also below a key of _WRAPPERS; a name may be a list, as in
    imagenet_class_index.json: [wnid, name]."""
    try:
        data = _parsed(text, location)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise UsageError(
            f"{location}: looks like JSON, but is invalid or cut off", f"Correct the file. {_FORMS}"
        ) from None
    if isinstance(data, Mapping):
        data = next((data[key] for key in _WRAPPERS if isinstance(data.get(key), list | Mapping)), data)
    if isinstance(data, Mapping):
        data = _in_order(data, location)
    if not isinstance(data, list) or not all(isinstance(item, str) or _is_names(item) for item in data):
        raise UsageError(f"{location}: this JSON is neither a list of names nor {{index: name}}", _FORMS)
    return [item if isinstance(item, str) else " ".join(item) for item in data]


def _parsed(text: str, location: str) -> Any:
    """Raises UsageError where a key stands twice, of which readers take the last one."""

    def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _check_once([key for key, _ in pairs], location)
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=each_once)
    except ValueError:
        if len(text) > LONGEST_LITERAL:  # Python's own compiler takes a hundred times its memory, and time
            raise
        tree = ast.parse(text.strip(), mode="eval")  # a Python dictionary, as many lists of ImageNet's classes are
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                _check_once([str(key.value) for key in node.keys if isinstance(key, ast.Constant)], location)
        return ast.literal_eval(tree)


def _check_once(keys: list[str], location: str) -> None:
    if len(set(keys)) < len(keys):
        twice, _ = Counter(keys).most_common(1)[0]
        raise UsageError(
            f"{location}: duplicate key {shortened(twice)}", f"Correct the file: it is ambiguous. {_FORMS}"
        )


def _is_names(item: object) -> bool:
    return isinstance(item, list | tuple) and bool(item) and all(isinstance(part, str) for part in item)


def _in_order(data: Mapping[Any, Any], location: str) -> list[Any]:
    """The names of {index: name} or {name: index} by index."""
    pairs = [(_number(str(key)), name) for key, name in data.items()]
    if all(type(value) is int for value in data.values()):
        pairs = [(index, name) for name, index in data.items()]
    if sorted(index for index, _ in pairs) != list(range(len(pairs))):
        raise UsageError(f"{location}: its indices are not 0, 1, 2, … without gaps", f"Correct the numbers. {_FORMS}")
    return [name for _, name in sorted(pairs, key=lambda pair: pair[0])]


def _from_csv(text: str, location: str) -> list[str]:
    """The column `label`, ordered by the column `index` where there is one."""
    delimiter, columns = delimited.header(re.split("[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0], "label")
    if columns.count("label") != 1:
        has = (
            "several columns `label`"
            if "label" in columns
            else f"no column `label`, only {listed(columns) or 'an empty line'}"
        )
        raise UsageError(f"{location}: has {has}", "Name one column of the first line `label`, that of the names.")
    reader = csv.reader(
        io.StringIO(text.lstrip("\r\n"), newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    try:
        _, *rows = filter(None, reader)
    except csv.Error as error:
        raise UsageError(
            f"{location}: not CSV: {error}", "Correct the file, or give one name a line in a .txt."
        ) from None
    for number, row in enumerate(rows, start=1):
        if len(row) > len(columns):
            hint = "Put names that hold the delimiter between double quotes."
            raise UsageError(
                f"{location}: row {number} has {len(row)} fields, the first line only {len(columns)}", hint
            )
        if len(row) <= columns.index("label"):
            raise UsageError(
                f"{location}: row {number} has no label",
                f"Correct the row; the first line is delimited by {delimiter!r}.",
            )
    found = [dict(zip(columns, map(str.strip, row), strict=False)) for row in rows]
    if "index" in columns:
        found.sort(key=lambda row: _number(row.get("index")))
        if [_number(row.get("index")) for row in found] != list(range(len(found))):
            raise UsageError(f"{location}: the column `index` is not 0, 1, 2, … without gaps", "Correct the numbers.")
    others = set(columns) - {"index", "label"}
    for column in others:
        _check_order([_number(row.get(column)) for row in found], location)
    labels = [row["label"] for row in found]
    if "index" not in columns:
        _check_lines(labels, location)
        if others - {""}:  # of which one may hold the names; alone, numbers are names
            _check_order([_number(label) for label in labels], location)
    return labels


def _number(text: str | None) -> int:
    """The number in a text, -1 where it is none."""
    stripped = (text or "")[: LONGEST_NUMBER + 1].strip()  # a longer one is no index, and Python refuses to read it
    return int(stripped) if len(stripped) <= LONGEST_NUMBER and stripped.isascii() and stripped.isdigit() else -1
