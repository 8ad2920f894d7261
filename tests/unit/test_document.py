"""Documents: what is wrong with one is said key by key, and nothing that a person can type is answered with a stack
trace.
"""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mxspark.errors import UsageError
from mxspark.settings.document import Document, Field, dump_yaml, json_schema, parse, parse_scalar, read_yaml, to_yaml
from mxspark.settings.job import Settings
from tests.unit.words import right_or_refused


class Engine(Document):
    """A section."""

    cylinders: int = Field(4, ge=1, description="How many cylinders.")
    fuel: str | None = Field(None, description="What it burns.")


class Car(Document):
    """A document with a section, a list and a free mapping."""

    name: str = Field(description="What it is called.")
    engine: Engine = Field(Engine(), description="What moves it.")
    colours: tuple[str, ...] = Field((), description="What it is painted in.")
    extras: dict[str, str] = Field({}, description="Anything else.")


def refusal(data: dict[str, Any]) -> str:
    with pytest.raises(UsageError) as refused:
        parse(Car, data, "car.yaml", lambda key: f"the source of {key}")
    return refused.value.problem


def test_a_document_takes_what_is_given_and_its_defaults_for_the_rest() -> None:
    car = parse(Car, {"name": "T", "engine": {"fuel": "petrol"}, "colours": ["black"]}, "car.yaml")

    assert car == Car(name="T", engine=Engine(cylinders=4, fuel="petrol"), colours=("black",), extras={})


def test_a_document_cannot_be_changed() -> None:
    car = Car(name="T")

    with pytest.raises(ValueError, match="frozen"):
        car.name = "A"  # type: ignore[misc]  # which is what is tested


def test_an_unknown_key_is_refused_and_the_nearest_known_one_is_named() -> None:
    problem = refusal({"name": "T", "engine": {"cylinder": 6}})

    assert "car.yaml" in problem
    assert "'engine.cylinder'" in problem
    assert "Did you mean engine.cylinders" in problem
    assert "the source of engine.cylinder" in problem


def test_a_key_in_the_wrong_section_is_told_the_right_one() -> None:
    assert "engine.fuel" in refusal({"name": "T", "fuel": "petrol"})


def test_a_missing_key_is_named_with_what_it_is_for() -> None:
    assert "name is missing. What it is called." in refusal({})


@pytest.mark.parametrize("value", [0, "many", None, [4], 1.5])
def test_a_wrong_value_is_named_with_its_key_its_source_and_what_the_key_is_for(value: object) -> None:
    problem = refusal({"name": "T", "engine": {"cylinders": value}})

    for part in ("engine.cylinders", repr(value), "the source of engine.cylinders", "How many cylinders."):
        assert part in problem


def test_a_wrong_item_of_a_list_is_explained_by_the_list() -> None:
    problem = refusal({"name": "T", "colours": ["black", {"shade": "dark"}]})

    assert "colours.1" in problem
    assert "What it is painted in." in problem


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            {"input": {"formats": ["JPG"]}},
            "'AVIF', 'BMP', 'GIF', 'HEIF', 'ICO', 'JPEG', 'JPEG2000', 'PNG', 'PPM', 'TGA', 'TIFF' or 'WEBP'",
        ),
        ({"input": {"formats": []}}, "it has too few items"),
        ({"input": {"suffixes": "jpg"}}, "it must be a list"),
        (
            {"input": {"path": ["a", "~no-user/x"]}},
            "input.path is ['a', '~no-user/x']: there is no home folder of ~no-user",
        ),
        ({"input": {"limit": 1.5}}, "it must be a whole number"),
        ({"input": {"max_decode_seconds": 0}}, "it must be more than 0"),
        ({"input": {"true_label": "("}}, "not a regular expression"),
        ({"top_k": "many"}, "it must be a whole number"),
        ({"batch_size": 5000}, "it must be 4096 or less"),
        ({"max_failed_fraction": "nan"}, "it must be 1.0 or less"),
        ({"storage": {"anonymous": "maybe"}}, "it must be true or false"),
        ({"spark": 5}, "it must be keys and values"),
        ({"cache_dir": ""}, "it is empty"),
        ({"output": {"submission": 300 * "x"}}, "253 characters or fewer"),
        ({"model": {"symbol": "net.json"}}, "give either model.path"),
    ],
)
def test_what_is_wrong_is_told_once_and_in_words_of_ours(value: dict[str, Any], told: str) -> None:
    data = {"input": {"path": "a"}, "output": {"path": "b"}, "model": {"path": "c"}}
    given = {**value, **{key: section | value.get(key, {}) for key, section in data.items()}}

    with pytest.raises(UsageError) as refused:
        parse(Settings, given, "settings")

    assert told in refused.value.problem
    assert "\n" not in refused.value.problem
    assert not re.search(
        "Value error|[Ii]nput should|valid (integer|number|boolean|tuple|dict)|validation", refused.value.problem
    )


def test_all_that_is_wrong_is_said_at_once() -> None:
    problem = refusal({"engine": {"cylinders": 0, "turbo": True}})

    assert all(key in problem for key in ("name", "engine.cylinders", "engine.turbo"))


def test_a_long_wrong_value_is_cut() -> None:
    assert len(refusal({"name": "T", "engine": {"cylinders": "x" * 10_000}})) < 1000


def test_numbers_are_taken_where_texts_are_wanted_as_yaml_has_no_quotes() -> None:
    assert parse(Car, {"name": 911}, "car.yaml").name == "911"


def test_yaml_is_read_as_keys_and_values() -> None:
    assert read_yaml("name: T\nengine: {cylinders: 6}\n", "car.yaml") == {"name": "T", "engine": {"cylinders": 6}}
    assert read_yaml("# nothing but a comment\n", "car.yaml") == {}


@pytest.mark.parametrize(
    ("text", "named"), [("name: T\nengine: [1, 2\n", "line 3"), ("- a\n- b\n", "list"), ("just a text", "str")]
)
def test_what_is_not_keys_and_values_in_yaml_is_refused_with_its_place(text: str, named: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_yaml(text, "car.yaml")

    assert "car.yaml" in refused.value.problem
    assert named in refused.value.problem


@given(st.text())
@settings(deadline=None, max_examples=100)
@example("path: 2024-13-45")
@example("when: 2024-01-05T99:00:00")
@example("\x00")
@example("a: &a [*a]")
@example("!!python/object:os.system {}")
def test_any_text_is_yaml_or_refused_in_words(text: str) -> None:
    with right_or_refused("car.yaml"):
        assert isinstance(read_yaml(text, "car.yaml"), dict)


def test_yaml_that_is_nested_without_end_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match=r"car\.yaml"):
        read_yaml("[" * 500, "car.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("0.5", 0.5),
        ("true", True),
        ("null", None),
        ("[a, b]", ["a", "b"]),
        ("{a: 1}", {"a": 1}),
        ("4g", "4g"),
        ("*", "*"),
    ],
)
def test_the_value_of_a_flag_is_read_as_yaml_and_as_text_where_it_is_none(text: str, value: object) -> None:
    assert parse_scalar(text, "--set x") == value


@pytest.mark.parametrize("text", ["[a, b", "{a: 1"])
def test_an_open_bracket_is_a_mistake_not_a_text(text: str) -> None:
    with pytest.raises(UsageError, match="--set x"):
        parse_scalar(text, "--set x")


@given(st.text())
@settings(deadline=None, max_examples=100)
@example("2024-13-45")
@example(":")
@example("!!x")
def test_any_text_of_a_flag_is_a_value_or_refused_in_words(text: str) -> None:
    with right_or_refused("--set x"):
        parse_scalar(text, "--set x")


texts = st.text(st.characters(exclude_categories=("Cc", "Cs")))


@given(
    st.builds(
        Car,
        name=texts,
        engine=st.builds(Engine, cylinders=st.integers(1), fuel=st.none() | texts),
        colours=st.lists(texts).map(tuple),
        extras=st.dictionaries(texts, texts),
    )
)
@settings(deadline=None, max_examples=100)
def test_a_document_that_is_written_as_yaml_is_read_as_the_same(car: Car) -> None:
    assert parse(Car, read_yaml(dump_yaml(car), "car.yaml"), "car.yaml") == car


def test_the_json_schema_says_what_each_key_is_for_and_allows_no_others() -> None:
    schema = json_schema(Car)

    assert schema["properties"]["name"]["description"] == "What it is called."
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Engine"]["properties"]["cylinders"]["minimum"] == 1


@pytest.mark.parametrize("text", ["x\x85", "\x85", "a\x85b\n", "a\nb", " a\u2028", "\ufeff", "007", "2024-01-01", ""])
def test_a_text_is_read_as_it_was_written(text: str) -> None:
    assert read_yaml(to_yaml({"key": text}), "file") == {"key": text}
