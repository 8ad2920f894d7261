"""Documents that people write in YAML (settings, model.yaml): strict, frozen, and wrong ones explained key by key.

The only place that imports pydantic and yaml.
"""

import difflib
import re
import reprlib
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from mxspark.errors import SECRET_NAME, UsageError, one_line, without_secrets
from mxspark.text.words import CONTROLS, printable, shortened, with_bytes

__all__ = [
    "AfterValidator",
    "Document",
    "Field",
    "dump_yaml",
    "explained_yaml",
    "field_validator",
    "json_schema",
    "model_validator",
    "parse",
    "parse_scalar",
    "read_yaml",
    "suggestion",
    "to_yaml",
]

D = TypeVar("D", bound="Document")

LONGEST_KEY = 100  # characters of a key in a message

COMMENT_WIDTH = 100  # characters of a line of comments


class Document(BaseModel):
    """A section of a document: unknown keys are errors, values are checked and never changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    @classmethod
    def section(cls, key: str) -> "type[Document] | None":
        """The Document class behind `key`, or None where `key` holds a plain value (or isn't known)."""
        field = cls.model_fields.get(key)
        if field is None:
            return None
        candidates = [field.annotation, *get_args(field.annotation)]
        return next((c for c in candidates if isinstance(c, type) and issubclass(c, Document)), None)

    @classmethod
    def is_mapping(cls, key: str) -> bool:
        """Whether `key` holds a free mapping (such as spark.conf), whose keys are the user's own."""
        field = cls.model_fields.get(key)
        return field is not None and str(field.annotation).startswith("dict[")

    @classmethod
    def section_at(cls, *path: str) -> "type[Document] | None":
        """The Document class at `path`, or None where there is a plain value (or nothing that is known)."""
        kind: type[Document] | None = cls
        for key in path:
            kind = kind.section(key) if kind is not None else None
        return kind

    @classmethod
    def describe(cls, *path: str) -> str:
        """The description of the key at `path`, from the one place that it is written: the field itself."""
        owner = cls.section_at(*path[:-1])
        if owner is None:
            raise KeyError(path)
        return owner.model_fields[path[-1]].description or ""

    @classmethod
    def leaves(cls, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        """The paths of all plain values."""
        for key in cls.model_fields:
            section = cls.section(key)
            if section is None:
                yield (*prefix, key)
            else:
                yield from section.leaves((*prefix, key))


def parse(kind: type[D], data: Mapping[str, Any], source: str, origin: Callable[[str], str] | None = None) -> D:
    """`data` as a `kind`.

    Raises UsageError naming every wrong key with its value, why it is wrong and where it came from
    (`origin` maps a dotted key to that; without it `source` is named).
    """
    try:
        parsed = kind.model_validate(data)
        if (odd := next(_not_utf8(data), None)) is not None:
            came_from = f" (from {origin(odd)})" if origin else ""
            raise UsageError(
                f"{source}: {with_bytes(repr(odd))}{came_from}: it is not UTF-8",
                "Write it in UTF-8; rename the file or folder.",
            )
        return parsed
    except ValidationError as error:
        found = error.errors(include_url=False)
        # Of a list with a wrong item, pydantic also says that it is too short.
        above = {details["loc"][:-1] for details in found}
        relevant = [details for details in found if details["type"] != "too_short" or details["loc"] not in above]
        problems = [_explain(kind, details, origin) for details in relevant[:MAX_PROBLEMS]]
        problems += [f"and {len(relevant) - MAX_PROBLEMS:,} more"] if len(relevant) > MAX_PROBLEMS else []
        raise UsageError(f"{source}: " + "\n".join(problems), "") from None


def _not_utf8(data: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted keys of texts that came from bytes which are not UTF-8, of the command line or of the environment."""
    if isinstance(data, str) and _is_odd(data):
        yield ".".join(path)
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from [".".join((*path, str(key)))] if _is_odd(str(key)) else _not_utf8(value, (*path, str(key)))
    elif isinstance(data, Sequence) and not isinstance(data, str):
        for value in data:
            yield from _not_utf8(value, path)


def _is_odd(text: str) -> bool:
    return re.search("[\ud800-\udfff]", text) is not None


# By pydantic's types of errors, whose own words are for programmers.
_WORDS = (
    dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "it must be a whole number")
    | dict.fromkeys(("float_type", "float_parsing", "finite_number"), "it must be a number")
    | dict.fromkeys(("bool_type", "bool_parsing"), "it must be true or false")
    | dict.fromkeys(("list_type", "tuple_type"), "it must be a list")
    | dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "it must be keys and values")
    | {
        "string_type": "it must be text",
        "string_unicode": "it is not UTF-8: rename the file or folder",
        "literal_error": "it must be {expected}",
        "greater_than_equal": "it must be {ge} or more",
        "greater_than": "it must be more than {gt}",
        "less_than_equal": "it must be {le} or less",
        "less_than": "it must be less than {lt}",
        "string_too_short": "it is empty or too short",
        "string_too_long": "it must have {max_length} characters or fewer",
        "too_short": "it has too few items",
        "too_long": "it has too many items",
    }
)


def _explain(kind: type[Document], details: ErrorDetails, origin: Callable[[str], str] | None) -> str:
    path = [printable(str(part))[:LONGEST_KEY] for part in details["loc"]]
    key = ".".join(path)
    named = ".".join(part for part in details["loc"] if isinstance(part, str))  # without the number of a list's item
    came_from = f" (from {origin(named)})" if origin and named else ""
    if details["type"] == "extra_forbidden":
        return f"there is no setting {key!r}{came_from}. {suggestion(kind, path)}"
    if details["type"] == "missing":
        return f"{key} is missing. {_description(kind, path)}"
    if details["type"] == "value_error":  # our own validators, whose messages say it all
        message = details["msg"].removeprefix("Value error, ")
        is_section = not path or kind.section_at(*path) is not None
        return message if is_section else f"{key} is {_shown(key, details['input'])}{came_from}: {message}"
    if details["type"] == "string_pattern_mismatch":  # the description says what the pattern means
        return (
            f"{key} is {_shown(key, details['input'])}{came_from}, which has the wrong format. "
            f"({_description(kind, path)})"
        )
    message = _WORDS[details["type"]].format(**details.get("ctx", {})) if details["type"] in _WORDS else details["msg"]
    return f"{key} is {_shown(key, details['input'])}{came_from}: {message}. ({_description(kind, path)})"


def _description(kind: type[Document], path: list[str]) -> str:
    """What the nearest key at or above `path` is for (a wrong list item has none of its own)."""
    while path:
        try:
            return kind.describe(*path)
        except KeyError:
            path = path[:-1]
    return ""


def _shown(key: str, value: object) -> str:
    text = without_secrets(with_bytes(_LONG.repr(value)))  # long enough that half an address is still known for one
    if SECRET_NAME.search(f"{key} {text}"):
        return "(hidden)"
    return text if len(text) <= 100 else text[:99] + "…"


_LONG = reprlib.Repr()
_LONG.maxstring = _LONG.maxother = 4000
_LONG.maxlist = _LONG.maxtuple = _LONG.maxdict = _LONG.maxset = 50


def suggestion(kind: type[Document], path: Sequence[str]) -> str:
    """What may be meant by a key at `path`, where there is none."""
    leaves = list(kind.leaves())
    known = list(dict.fromkeys(".".join(leaf[:depth]) for leaf in leaves for depth in range(1, len(leaf) + 1)))
    close = difflib.get_close_matches(".".join(path)[:LONGEST_KEY], known, n=3, cutoff=0.6)
    close = close or [leaf for leaf in known if leaf.rsplit(".", 1)[-1] == path[-1]]
    return f"Did you mean {' or '.join(close)}?" if close else "`mxspark settings` lists all of them."


MAX_YAML = 2**20  # characters of a document
MAX_NODES = 10_000  # keys and values of a document
MAX_DEPTH = 40
MAX_NUMBER = 100  # characters of a number; what is longer only costs time
MAX_PROBLEMS = 20  # of a document that are shown


class _Loader(yaml.SafeLoader):
    """YAML without dates (2024-01-01 is a folder's name more often than a day), without keys that stand twice, and
    without aliases, by which few lines may stand for billions; not larger or deeper than people write."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self._nodes += 1
        self._depth += 1
        trouble = None
        if isinstance(event, yaml.AliasEvent):
            trouble = "an alias (*name): write out what it stands for"
        elif self._nodes > MAX_NODES:
            trouble = f"it has more than {MAX_NODES:,} keys and values"
        elif self._depth > MAX_DEPTH:
            trouble = f"it has more than {MAX_DEPTH} levels"
        if trouble:
            raise yaml.composer.ComposerError(None, None, trouble, event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[Any]()
        for key, _ in node.value:
            text = key.value if isinstance(key, yaml.ScalarNode) else None
            if text is not None and text in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {shortened(text)}", key.start_mark)
            seen.add(text)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        if len(node.value) > MAX_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of more than {MAX_NUMBER} digits", node.start_mark
            )
        if ":" in node.value:  # 1:30 was ninety in YAML 1.1
            return node.value
        if re.match(r"[-+]?0[0-9_]", node.value):
            trouble = f"{node.value} would be octal: write it without the 0 in front, or in quotes where it is a text"
            raise yaml.constructor.ConstructorError(None, None, trouble, node.start_mark)
        is_whole = node.tag.endswith(":int")
        return self.construct_yaml_int(node) if is_whole else self.construct_yaml_float(node)


for _tag in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.construct_number)


# The library's own types.
_LOADER_ERRORS = (yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str, source: str) -> dict[str, Any]:
    """The mapping in a YAML text. Raises UsageError naming `source` and the line."""
    if len(text) > MAX_YAML:
        raise UsageError(
            f"{source}: has {len(text):,} characters, more than the {MAX_YAML:,} of a document", "Give a shorter file."
        )
    try:
        data = yaml.load(text, _Loader)  # noqa: S506  # a safe loader
    except _LOADER_ERRORS as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark else ""
        # Of a value that was meant as text, such as a password that begins with ! or *, it would tell what it takes for
        # a tag or an alias.
        cause = re.sub(r"(alias|tag|tag handle) '.*'", r"\1", getattr(error, "problem", None) or one_line(error))
        raise UsageError(f"{source}:{line} not YAML: {cause}", "Correct the file's syntax.") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise UsageError(f"{source}: holds {type(data).__name__}, not keys and values", "Write `key: value` lines.")
    return data


def parse_scalar(text: str, source: str) -> Any:
    """The value in a flag or an environment variable, read as YAML (`4`, `true`, `[a, b]`, `4g`)."""
    if len(text) > MAX_YAML:
        raise UsageError(
            f"{source}: has {len(text):,} characters, more than the {MAX_YAML:,} of a value", "Give a file: --settings."
        )
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # a safe loader
    except _LOADER_ERRORS:
        if text[:1] in "[{":
            raise UsageError(f"{source}: not a YAML value", "Quote it, or close its brackets.") from None
        return text  # a plain text with a colon or an asterisk in it, such as local[*] or a regular expression


def dump_yaml(document: Document) -> str:
    """The document as YAML, in the order of its fields, without what is null."""
    return to_yaml(document.model_dump(mode="json", exclude_none=True))


def to_yaml(*data: Mapping[str, Any]) -> str:
    """Plain data as YAML, in the order that it has; more than one as a stream of documents."""
    return yaml.dump_all(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def explained_yaml(kind: type[Document], data: Mapping[str, Any], comments: Collection[tuple[str, ...]] = ()) -> str:
    """The content of a `kind`, or a part of it, as YAML with the description of every key; what is at `comments` is
    a comment itself.
    """
    return "\n".join(_explained(kind, data, comments, ())) + "\n"


def _explained(
    kind: type[Document], data: Mapping[str, Any], comments: Collection[tuple[str, ...]], at: tuple[str, ...]
) -> Iterator[str]:
    indent = "  " * len(at)
    for key, value in data.items():
        path = (*at, key)
        if not at and path[0] != next(iter(data)):
            yield ""
        yield from textwrap.wrap(
            kind.describe(key), COMMENT_WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        section = kind.section(key)
        if section is not None:
            yield f"{indent}{key}:"
            yield from _explained(section, value, comments, path)
            continue
        # Of a mapping, some entries may be comments.
        entries = value if kind.is_mapping(key) else {}
        kept = {name: inner for name, inner in entries.items() if (*path, name) not in comments}
        yield from _lines({key: kept if entries else value}, indent + "# " * (path in comments))
        yield from _lines({name: inner for name, inner in entries.items() if name not in kept}, f"{indent}#   ")


def _lines(data: Mapping[str, Any], start: str) -> list[str]:
    return [f"{start}{line}" for line in to_yaml(data).splitlines()] if data else []


class _Dumper(yaml.SafeDumper):
    """Writes texts of many lines line by line, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.Node:
        # PyYAML writes U+0085 as it is, and reads it as the end of a line: between double quotes it is escaped.
        # So that what is escaped when it is shown (console.py) is the same value when it is read.
        style = '"' if "\x85" in text or CONTROLS.search(text) else "|" if "\n" in text else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def json_schema(kind: type[Document]) -> dict[str, Any]:
    """The JSON schema of a kind of document."""
    return kind.model_json_schema()
