"""Which cards MXNet's GPU build runs on, and what is told of a driver that isn't there."""

import pickle

import pytest

from mxspark.errors import UsageError
from mxspark.inference import cuda

# NVIDIA's list of compute capabilities, developer.nvidia.com/cuda-gpus.
RUN = {
    "Tesla M60": (5, 2),
    "Tesla P100": (6, 0),
    "Tesla P4": (6, 1),
    "Tesla V100": (7, 0),
    "Tesla T4": (7, 5),
    "A100": (8, 0),
    "A10": (8, 6),
    "L4": (8, 9),
    "GeForce GTX 750": (5, 0),
}
DO_NOT = {"Tesla K80": (3, 7), "H100": (9, 0), "B200": (10, 0), "B300": (10, 3), "GeForce RTX 5090": (12, 0)}


def card(name: str, capability: tuple[int, int]) -> cuda.Gpu:
    return cuda.Gpu(0, name, capability, 16 * 2**30)


@pytest.mark.parametrize("name", RUN)
def test_cards_with_machine_code_of_their_own_or_of_a_smaller_minor_run(name: str) -> None:
    card(name, RUN[name]).check()


@pytest.mark.parametrize("name", DO_NOT)
def test_other_cards_are_refused_with_what_the_wheel_has(name: str) -> None:
    major, minor = DO_NOT[name]

    with pytest.raises(UsageError) as refused:
        card(name, (major, minor)).check()

    assert f"{name} (GPU 0) has compute capability {major}.{minor}" in refused.value.problem
    assert "5.x, 6.x, 7.x and 8.x only" in refused.value.problem
    assert "docs/gpus.md" in refused.value.hint


def test_a_card_tells_itself_in_words() -> None:
    assert str(card("Tesla T4", (7, 5))) == "Tesla T4, compute capability 7.5, 16.0 GiB"


@pytest.mark.parametrize(
    ("version", "is_new_enough"), [((10, 2), False), ((11, 0), True), ((11, 8), True), ((12, 4), True)]
)
def test_a_driver_has_to_run_cuda_11(version: tuple[int, int], is_new_enough: bool) -> None:
    driver = cuda.Driver(version, "", (card("Tesla T4", (7, 5)),))

    if is_new_enough:
        driver.check()
    else:
        with pytest.raises(UsageError, match="too old"):
            driver.check()


def test_that_the_cards_are_hidden_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    with pytest.raises(UsageError, match="shows no GPU, and CUDA_VISIBLE_DEVICES is ''"):
        cuda.Driver((12, 4), "550.54.15", ()).check()


def test_no_driver_is_told_from_one_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # what looking sets, so that it doesn't stay
    with pytest.raises(cuda.NoDriverError) as missing:
        cuda.look("libnowhere.so.1")
    assert "no NVIDIA driver" in missing.value.problem
    assert all(
        way in missing.value.hint for way in ("docker run --gpus all", "nvidia.com/gpu", "NVIDIA Container Toolkit")
    )

    with pytest.raises(cuda.DriverError, match="has no cuDriverGetVersion"):
        cuda.look("libc.so.6")  # a library, but no driver's


def test_an_error_of_the_driver_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(cuda.DriverError.of("cuInit says error 7", 7)))

    assert (error.code, str(error)) == (7, str(cuda.DriverError.of("cuInit says error 7", 7)))
