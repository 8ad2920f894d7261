"""Labels in the forms in which people keep them, each in the order of the classes, or refused by name."""

import json

import pytest

from mxspark import labels
from mxspark.errors import UsageError

PAIRS = {"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}


@pytest.mark.parametrize(
    "text",
    [
        '["cat", "dog"]',
        '{"0": "cat", "1": "dog"}',
        '{"1": "dog", "0": "cat"}',
        '{"cat": 0, "dog": 1}',
        '{"dog": 1, "cat": 0}',
        "{0: 'cat',\n 1: 'dog'}",
        "\n [\n'cat', 'dog']\n",
    ],
)
@pytest.mark.parametrize("name", ["labels.json", "classes.txt", "synset.txt"])
def test_json_is_read_as_json_whatever_the_file_is_called(text: str, name: str) -> None:
    assert labels.read(text, name) == ("cat", "dog")


def test_a_class_of_two_names_is_both_as_in_a_synset() -> None:
    assert labels.read(json.dumps(PAIRS), "imagenet_class_index.json") == ("n01440764 tench", "n01443537 goldfish")
    assert labels.read(json.dumps(list(PAIRS.values())), "x.json") == ("n01440764 tench", "n01443537 goldfish")


def test_more_than_ten_indices_are_in_the_order_of_numbers() -> None:
    names = [f"class {index}" for index in range(12)]

    assert labels.read(json.dumps({str(i): name for i, name in enumerate(names)}, sort_keys=True), "x.json") == tuple(names)


@pytest.mark.parametrize(
    "text",
    [
        '["cat", "dog"',
        '{"0": "cat", "2": "dog"}',
        '{"1": "cat", "2": "dog"}',
        '{"0": "cat", "00": "dog"}',
        '{"cat": 0, "dog": 0}',
        '{"labels": ["cat", "dog"]}',
        '[{"name": "cat"}]',
        "[1, 2]",
        '{"0": []}',
        '{"0": "cat", "0": "dog", "1": "bird"}',
        '["\\ud800", "dog"]',
        "[]",
        "{}",
        "[" * 100_000,
        '{"0": __import__("os")}',
    ],
)
@pytest.mark.parametrize("name", ["labels.json", "labels.txt"])
def test_json_that_is_no_list_of_labels_is_refused_and_never_read_as_lines(text: str, name: str) -> None:
    with pytest.raises(UsageError) as refused:
        labels.read(text, name)

    assert refused.value.problem.startswith(f"{name}: ")
    assert refused.value.mend


@pytest.mark.parametrize("text", ["[unknown]\ncat", "{brace}\ncat", "cat\n[dog]"])
def test_a_name_in_brackets_is_a_name(text: str) -> None:
    assert labels.read(text, "labels.txt") == tuple(text.split("\n"))


@pytest.mark.parametrize(
    ("text", "name"), [("id,label\n2,c\n0,a\n1,b\n", "labels.csv"), ("2 c\n0 a\n1 b", "labels.txt"), ("1: b\n0: a", "labels.txt")]
)
def test_labels_that_are_numbered_otherwise_than_they_stand_are_refused(text: str, name: str) -> None:
    with pytest.raises(UsageError, match="not in order"):
        labels.read(text, name)


def test_numbers_in_order_and_numbers_that_are_names_are_fine() -> None:
    assert labels.read("0 a\n1 b", "labels.txt") == ("0 a", "1 b")
    assert labels.read("id,label\n0,a\n1,b\n", "labels.CSV") == ("a", "b")
    assert labels.read("7 up\n3 musketeers", "labels.txt") == ("7 up", "3 musketeers")
