"""What is told of a model at another precision beside fp32: of probabilities, and of vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxspark.inference.figures import Figures, compared, vector_changes
from mxspark.inference.meaning import Meaning

VECTOR = Meaning("vector", "")
# A small turn from one to the next, and a vector that is twice as long in the direction of the first.
VECTORS = np.array([[1, 0], [1, 0.1], [1, 0.3], [2, 0]], np.float32)


def told(numbers: object, expected: object, meaning: Meaning = VECTOR) -> tuple[float, float, float]:
    found = compared(np.array(numbers, np.float32), np.array(expected, np.float32), meaning, None)
    return found["agreement"], found["mean_change"], found["largest_change"]


def test_probabilities_are_compared_by_their_best_class_and_independent_ones_by_each_yes_and_no() -> None:
    fp32, other = [[0.6, 0.4], [0.8, 0.2]], [[0.4, 0.6], [0.7, 0.3]]
    assert told(other, fp32, Meaning("softmax", "")) == pytest.approx((0.5, 0.15, 0.2))
    assert told([[0.6, 0.6]], [[0.6, 0.4]], Meaning("sigmoid", "")) == pytest.approx((0, 0, 0.2))


def test_vectors_are_compared_by_their_directions_and_by_what_is_nearest() -> None:
    assert told(VECTORS, VECTORS) == (1, 0, 0)
    assert told(VECTORS * 2, VECTORS) == pytest.approx((1, 0, 0), abs=1e-7)
    turned = VECTORS.copy()
    turned[1] = [-1, 0]  # nearest to it is the third, as the others are opposite; it was the nearest of the third
    agreement, mean, largest = told(turned, VECTORS)
    assert agreement == 0.5
    assert largest == pytest.approx(1 + 1 / np.sqrt(1.01))
    assert mean == pytest.approx(largest / 4)


def test_of_images_that_are_nearly_the_same_either_may_be_the_nearest() -> None:
    twins = np.array([[1, 0], [1, 1e-4], [1, -1e-4], [0, 1]], np.float32)
    assert told(twins[[0, 2, 1, 3]], twins)[0] == 1


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_no_vector_agrees_with_nothing(broken: float) -> None:
    numbers = VECTORS.copy()
    numbers[0, 0] = broken
    with np.errstate(invalid="ignore"):
        assert told(numbers, VECTORS)[0] < 1
        assert vector_changes(numbers, VECTORS)[0] == 2


def test_vectors_of_zeros_are_the_same_as_each_other_alone() -> None:
    zeros = np.zeros((2, 3), np.float32)
    assert vector_changes(zeros, zeros).tolist() == [0, 0]
    assert vector_changes(zeros, zeros + 1).tolist() == [1, 1]
    assert told(zeros, zeros) == (1, 0, 0)


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 5))
def test_what_is_the_same_agrees(seed: int, images: int, length: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(images, length)).astype(np.float32)
    assert told(vectors, vectors) == (1, 0, 0)


def test_figures_of_vectors_are_told_as_such() -> None:
    figures = Figures("int8", 40, 20, 0.975, 0.01, 0.2, has_classes=False)
    assert str(figures) == (
        "int8 agrees with fp32 on 97.50% of 40 held-out images (which other one is nearest), vectors have a cosine of "
        "0.9900 with fp32's on average and 0.8000 at least"
    )
    assert Figures.from_json(figures.to_json()) == figures
