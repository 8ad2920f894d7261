"""`mxspark doctor --gpu` on machines with all kinds of drivers and cards."""

import json
from typing import Any

from tests.gpu.conftest import A10, H100, WithDriver


def examined(with_driver: WithDriver, *cards: str, **driver: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the findings by their subject."""
    finished = with_driver("mxspark", "doctor", "--gpu", "--json", cards=cards, **driver)
    answer = json.loads(finished.output)
    assert answer["ok"] == (finished.code == 0)
    return finished.code, {finding["subject"]: finding for finding in answer["findings"]}


def test_every_card_has_a_line(with_driver: WithDriver) -> None:
    code, found = examined(with_driver, A10, H100)

    assert code == 1
    assert found["GPU driver"]["verdict"] == "ok"
    assert (found["GPU 0"]["verdict"], found["GPU 1"]["verdict"]) == ("ok", "problem")
    assert "NVIDIA A10, compute capability 8.6, 22.0 GiB" in found["GPU 0"]["text"]
    assert "NVIDIA H100 80GB HBM3 (GPU 1) has compute capability 9.0" in found["GPU 1"]["text"]
    assert "docs/gpus.md" in found["GPU 1"]["mend"]


def test_a_driver_that_fails_is_a_problem_and_all_else_is_looked_at_too(with_driver: WithDriver) -> None:
    code, found = examined(with_driver, A10, init="999")

    assert code == 1
    assert "CUDA_ERROR_UNKNOWN" in found["GPU driver"]["text"]
    assert found["Python"]["verdict"] == "ok"
    assert not any(subject.startswith("GPU 0") for subject in found)


def test_no_card_is_a_problem(with_driver: WithDriver) -> None:
    code, found = examined(with_driver)

    assert code == 1
    assert found["GPU driver"]["text"] == "the NVIDIA driver shows no GPU"
