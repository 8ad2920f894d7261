"""What `make run` does: a real ImageNet network sees on real photographs what is on them."""

from pathlib import Path
from typing import Any

import pytest
from tests.command import Command, names
from tests.spark.conftest import Run


@pytest.fixture(scope="module")
def run(
    mxspark: Command, imagenet_images: Path, imagenet_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    output = tmp_path_factory.mktemp("imagenet") / "table"
    finished = mxspark("run", "--input", imagenet_images, "--model", imagenet_bundle, "--output", output)
    return Run(finished.succeeded(), output)


@pytest.fixture(scope="module")
def predictions(run: Run) -> dict[str, list[dict[str, Any]]]:
    """What the network saw, by photograph."""
    table = run.table
    return dict(zip(table["key"], table["predictions"], strict=True))


def test_every_photograph_is_predicted(run: Run, imagenet_images: Path) -> None:
    assert list(run.table["key"]) == names(imagenet_images)
    assert set(run.table["status"]) == {"ok"}


def test_a_cup_of_coffee_is_an_espresso(predictions: dict[str, list[dict[str, Any]]]) -> None:
    best = predictions["coffee.png"][0]
    assert best["label"].endswith("espresso")
    assert best["probability"] >= 0.7


def test_a_cat_is_an_egyptian_cat(predictions: dict[str, list[dict[str, Any]]]) -> None:
    best = predictions["chelsea.png"][0]
    assert best["label"].endswith("Egyptian cat")
    assert best["probability"] == pytest.approx(0.38, abs=0.05)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_motorcycle_is_a_moped_from_either_side(predictions: dict[str, list[dict[str, Any]]], side: str) -> None:
    assert predictions[f"motorcycle_{side}.png"][0]["label"].endswith("moped")


def test_indices_and_names_are_those_of_the_bundle(
    predictions: dict[str, list[dict[str, Any]]], imagenet_bundle: Path
) -> None:
    classes = (imagenet_bundle / "synset.txt").read_text().splitlines()
    assert len(classes) == 1000
    for best_five in predictions.values():
        assert [classes[prediction["index"]] for prediction in best_five] == [
            prediction["label"] for prediction in best_five
        ]


def test_a_person_sees_the_first_predictions_by_name(run: Run) -> None:
    output = run.finished.output
    assert "14 images: 14 ok, 0 failed" in output
    for words in ("coffee.png", "espresso", "chelsea.png", "Egyptian cat"):
        assert words in output
