"""Labels in the forms in which people keep them, each in the order of the classes, or refused by name."""

import json
import re

import pytest

from mxspark.errors import UsageError
from mxspark.inference import labels

PAIRS = {"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}


@pytest.mark.parametrize(
    "text",
    [
        '["cat", "dog"]',
        '{"0": "cat", "1": "dog"}',
        '{"1": "dog", "0": "cat"}',
        '{"cat": 0, "dog": 1}',
        '{"labels": ["cat", "dog"]}',
        '{"model": "resnet", "id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 0, "dog": 1}}',
        '{"dog": 1, "cat": 0}',
        '{"label2id": {"dog": 1, "cat": 0}}',
        "{0: 'cat',\n 1: 'dog'}",
        "\n [\n'cat', 'dog']\n",
    ],
)
@pytest.mark.parametrize("name", ["labels.json", "classes.txt", "synset.txt"])
def test_json_is_read_as_json_whatever_the_file_is_called(text: str, name: str) -> None:
    assert labels.read(text, name) == ("cat", "dog")


def test_lines_that_are_all_in_quotes_are_taken_without() -> None:
    assert labels.read('"cat"\n"dog"\n', "labels.txt") == ("cat", "dog")
    assert labels.read('"cat"\ndog\n', "labels.txt") == ('"cat"', "dog")


def test_a_class_of_two_names_is_both_as_in_a_synset() -> None:
    assert labels.read(json.dumps(PAIRS), "imagenet_class_index.json") == ("n01440764 tench", "n01443537 goldfish")
    assert labels.read(json.dumps(list(PAIRS.values())), "x.json") == ("n01440764 tench", "n01443537 goldfish")


def test_more_than_ten_indices_are_in_the_order_of_numbers() -> None:
    names = [f"class {index}" for index in range(12)]

    assert labels.read(json.dumps({str(i): name for i, name in enumerate(names)}, sort_keys=True), "x.json") == tuple(
        names
    )


@pytest.mark.parametrize(
    "text",
    [
        '["cat", "dog"',
        '{"0": "cat", "2": "dog"}',
        '{"1": "cat", "2": "dog"}',
        '{"0": "cat", "00": "dog"}',
        '{"cat": 0, "dog": 0}',
        '{"labels": "cat dog"}',
        '[{"name": "cat"}]',
        "[1, 2]",
        '{"0": []}',
        '{"0": "cat", "0": "dog", "1": "bird"}',
        '["\\ud800", "dog"]',
        "[]",
        "{}",
        "[" * 100_000,
        '{"0": __import__("os")}',
        "{[1]: 'cat'}",
    ],
)
@pytest.mark.parametrize("name", ["labels.json", "labels.txt"])
def test_json_that_is_no_list_of_labels_is_refused_and_never_read_as_lines(text: str, name: str) -> None:
    with pytest.raises(UsageError) as refused:
        labels.read(text, name)

    assert refused.value.problem.startswith(f"{name}: ")
    assert refused.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html>\n<p>",
        "<?xml version='1.0'?>\n<x/>",
        "version https://git-lfs.github.com/spec/v1\noid",
        "names:\n- cat",
        "---\n- cat",
    ],
)
def test_other_formats_are_not_read_as_lines(text: str) -> None:
    with pytest.raises(UsageError, match="begins with"):
        labels.read(text, "labels.txt")


@pytest.mark.parametrize("text", ["[unknown]\ncat", "{brace}\ncat", "cat\n[dog]"])
def test_a_name_in_brackets_is_a_name(text: str) -> None:
    assert labels.read(text, "labels.txt") == tuple(text.split("\n"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("id,label\n2,c\n0,a\n1,b\n", "labels.csv"),
        ("2 c\n0 a\n1 b", "labels.txt"),
        ("1: b\n0: a", "labels.txt"),
        ("2 b\n1 a", "synset.txt"),
        ("cat 2\ndog 0\nbird 1", "classes.txt"),
        ("cat,1\ndog,0", "labels.txt"),
        ("2. cat\n0. dog\n1. cow", "labels.txt"),
        ("2) b\n1) a", "labels.txt"),
        ("(2) b\n(1) a", "labels.txt"),
        ("b [1]\na [0]", "labels.txt"),
        ("#2 b\n#1 a", "labels.txt"),
        ("2-b\n1-a", "labels.txt"),
        ("2_b\n1_a", "labels.txt"),
        ("2|b\n1|a", "labels.txt"),
        ("b|2\na|1", "labels.txt"),
        ("b (2)\na (1)", "labels.txt"),
        ("7 up,1\n3 musketeers,0", "labels.txt"),
        ("label,name\n2,cat\n0,dog\n1,cow\n", "labels.csv"),
        ("label\n1. cat\n0. dog\n", "labels.csv"),
    ],
)
def test_labels_that_are_numbered_otherwise_than_they_stand_are_refused(text: str, name: str) -> None:
    with pytest.raises(UsageError, match="not in order"):
        labels.read(text, name)


@pytest.mark.parametrize(
    "text",
    [
        "label\ncat, tabby\ndog",
        "label;\ncat, tabby;\ndog;\n",
        "Index;Label\n1;dog\n0;cat, tabby\n",
        'index, label\n1, dog\n0, "cat, tabby"\n',
        " index , label \n 1 , dog \n 0 , 'cat'\n",
        'index\tlabel\r\n0\t"cat, tabby"\r\n1\tdog\r\n',
        '"index","label"\n"0","cat, tabby"\n\n"1","dog"\n',
        "\tlabel\n0\tcat, tabby\n1\tdog\n",
        "\n\nindex,label,wnid\r0,'cat',n1\r1,dog,n2\r",
    ],
)
@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv"])
def test_columns_are_read_as_spreadsheets_write_them_or_refused(text: str, name: str) -> None:
    if "label\ncat, tabby" in text:
        with pytest.raises(UsageError, match=r"row 1 has 2 fields.*\n.*quotes"):
            labels.read(text, name)
    else:
        assert labels.read(text, name) in {("cat, tabby", "dog"), ("'cat'", "dog")}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("index,label\n", "holds no labels"),
        ("label\n", "holds no labels"),
        ("", "no column `label`, only an empty line"),
        ("index, name\n0, cat\n", "no column `label`, only index, name$"),
        ("index|label\n0|cat\n", r"no column `label`, only index\|label$"),
        ("label,label\na,b\n", "several columns `label`"),
        ("index;label\n0,cat\n", "row 1 has no label"),
        ('label\n"cat\ndog\n', "not CSV"),
        ("index,label\n0,cat, tabby\n", "row 1 has 3 fields"),
    ],
)
def test_columns_that_are_not_right_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as refused:
        labels.read(text, "labels.csv")

    assert re.search(problem, refused.value.problem)


def test_numbers_in_order_and_numbers_that_are_names_are_fine() -> None:
    assert labels.read("0 a\n1 b", "labels.txt") == ("0 a", "1 b")
    assert labels.read("0\r1\r10\r2\r", "labels.txt") == ("0", "1", "10", "2")
    assert labels.read("id,label\n0,a\n1,b\n", "labels.CSV") == ("a", "b")
    assert labels.read("7 up\n3 musketeers", "labels.txt") == ("7 up", "3 musketeers")
    assert labels.read("label,wnid\n1. b,n1\n2. a,n0\n", "labels.csv") == ("1. b", "2. a")
    assert labels.read("index,label\n1,0\n0,1\n", "labels.csv") == ("1", "0")
    assert labels.read("label;\n1;\n0;\n", "labels.csv") == ("1", "0")


@pytest.mark.parametrize(
    "names",
    [
        ["2-star", "1-star", "0-star"],
        ["1.5 l", "0.5 l"],
        ["1-2 years", "0-1 years"],
        ["1", "0"],
        ["(1)", "(0)"],
        ["#2", "#1"],
        ["class_1", "class_10", "class_2", *(f"class_{number}" for number in range(3, 10))],
        ["2nd", "1st"],
        ["b52", "a1"],
        ["1. a", "b", "0. c"],
        ["1 in 2", "2 in 1"],
        ["3. a", "1. b"],
    ],
)
def test_digits_that_belong_to_names_are_no_numbering(names: list[str]) -> None:
    assert labels.read("\n".join(names), "labels.txt") == tuple(names)


@pytest.mark.parametrize("text", ['{"0": "cat", "0": "dog", "1": "bird"}', "{0: 'cat', 0: 'dog', 1: 'bird'}"])
def test_a_key_that_stands_twice_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"^labels\.json: duplicate key '0'"):
        labels.read(text, "labels.json")
