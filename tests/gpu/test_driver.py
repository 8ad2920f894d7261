"""The driver and its cards as its library tells them, whatever it tells."""

import pytest
from tests.gpu.conftest import A10, H100, T4, WithDriver

LOOK = """
from mxspark.inference import cuda
from mxspark.errors import UsageError
try:
    driver = cuda.look()
    print(driver.cuda, [(card.index, card.name, card.capability, card.memory) for card in driver.gpus])
    driver.check()
    for card in driver.gpus:
        card.check()
except UsageError as error:
    print(f"{type(error).__name__}: {error.problem}")
"""


def told(with_driver: WithDriver, *cards: str, **driver: str) -> list[str]:
    return with_driver("python", "-c", LOOK, cards=cards, **driver).succeeded().output.splitlines()


def test_the_cards_are_told_in_their_order(with_driver: WithDriver) -> None:
    cards = [(0, "NVIDIA A10", (8, 6), 23609475072), (1, "Tesla T4", (7, 5), 15843721216)]

    assert told(with_driver, A10, T4) == [f"(11, 8) {cards}"]
    assert told(with_driver, A10, T4, cuda="12040") == [f"(12, 4) {cards}"]


def test_a_card_that_the_wheel_has_no_code_for_is_named_with_what_it_has(with_driver: WithDriver) -> None:
    _, refused = told(with_driver, T4, H100)

    assert refused == (
        "UsageError: NVIDIA H100 80GB HBM3 (GPU 1) has compute capability 9.0, and mxnet-cu112 runs on 5.x, 6.x, 7.x "
        "and 8.x only"
    )


def test_a_driver_without_cards_is_a_driver(with_driver: WithDriver) -> None:
    assert told(with_driver) == ["(11, 8) []", "UsageError: the NVIDIA driver shows no GPU"]


def test_a_driver_that_is_too_old_is_told_from_one_that_fails(with_driver: WithDriver) -> None:
    _, refused = told(with_driver, A10, cuda="10020")

    assert "the NVIDIA driver" in refused
    assert "for CUDA 10.2 is too old" in refused


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("999", "CUDA_ERROR_UNKNOWN (999): unknown error"),
        (
            "803",
            "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803): system has unsupported display driver / cuda driver combination",
        ),
        ("777", "error 777"),
    ],
)
def test_a_driver_that_fails_is_told_in_its_own_words(with_driver: WithDriver, code: str, words: str) -> None:
    assert told(with_driver, A10, init=code) == [f"DriverError: the NVIDIA driver doesn't work: cuInit says {words}"]
