"""What the driver says the network will run on, and how it tells that the check of the model came to nothing."""

from pathlib import Path
from typing import Any

import pytest

from mxspark.errors import UsageError
from mxspark.inference import model_check
from mxspark.inference.bundle import Bundle, BundleSource
from mxspark.inference.meaning import Meaning
from mxspark.inference.model_check import ModelCheck
from mxspark.inference.mxnet_process import CrashError
from mxspark.inference.network import Inspection
from mxspark.run.chosen_context import check_model, check_once
from mxspark.settings.job import Settings
from mxspark.settings.model_spec import ModelInput, ModelSpec

INSPECTION = Inspection(
    "data", ModelInput(), "out", 2, ("out",), Meaning("softmax", "it says so"), {"softmax": 1}, 0, (), half=1, prefix=""
)
MODEL = Bundle(ModelSpec(), {}, (), BundleSource(ModelSpec(), {}, {}))


def settings(context: str, master: str = "local[2]") -> Settings:
    return Settings.model_validate(
        {
            "input": {"path": "in"},
            "output": {"path": "out"},
            "model": {"path": "net"},
            "context": context,
            "spark": {"master": master},
        }
    )


def answering(monkeypatch: pytest.MonkeyPatch, answer: tuple[str, str] | Exception) -> list[str | None]:
    """MXNet that answers so; the contexts that it is asked for."""
    asked: list[str | None] = []

    def ask_model(bundle: Bundle, context: str | None, seconds: float) -> ModelCheck:
        asked.append(context)
        if isinstance(answer, Exception):
            raise answer
        return ModelCheck(INSPECTION, *answer)

    monkeypatch.setattr(model_check, "ask_model", ask_model)
    return asked


@pytest.mark.parametrize(
    ("context", "answer", "said"),
    [
        ("cpu", ("cpu(0)", ""), "cpu(0)"),
        ("gpu", ("gpu(0)", ""), "gpu(0)"),
        ("auto", ("gpu(0)", ""), "gpu(0) (context auto chose it)"),
        (
            "auto",
            ("cpu(0)", "the NVIDIA driver shows no GPU"),
            "cpu(0) (context auto chose it: the NVIDIA driver shows no GPU)",
        ),
    ],
)
def test_on_this_machine_it_is_known_what_the_network_runs_on(
    monkeypatch: pytest.MonkeyPatch, context: str, answer: tuple[str, str], said: str
) -> None:
    asked = answering(monkeypatch, answer)

    assert str(check_model(MODEL, settings(context))) == said
    assert asked == [context]


@pytest.mark.parametrize(
    ("context", "said"),
    [("cpu", "cpu"), ("gpu", "gpu"), ("auto", "auto (each executor takes a GPU if it has one that MXNet can use)")],
)
def test_on_a_cluster_the_executors_find_out_for_themselves(
    monkeypatch: pytest.MonkeyPatch, context: str, said: str
) -> None:
    asked = answering(monkeypatch, ("cpu(0)", ""))

    assert str(check_model(MODEL, settings(context, "spark://host:7077"))) == said
    assert asked == ["cpu" if context == "cpu" else None], "the driver needs no GPU"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (TimeoutError(), "within 300 s"),
        (
            CrashError("killed by signal 11: no message"),
            "the model's files crash MXNet (killed by signal 11: no message)",
        ),
        (UsageError("context gpu: no", "Or use --context cpu."), "context gpu: no"),
    ],
)
def test_a_check_that_comes_to_nothing_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, answer: Exception, words: str
) -> None:
    answering(monkeypatch, answer)

    with pytest.raises(UsageError) as refused:
        check_model(MODEL, settings("gpu"))

    assert words in refused.value.problem
    assert refused.value.hint


def test_a_model_that_was_found_right_is_not_checked_again_for_the_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = answering(monkeypatch, ("cpu(0)", ""))
    chosen: Any = settings("cpu").model_copy(update={"cache_dir": str(tmp_path)})

    found = [check_once(MODEL, chosen) for _ in range(2)]

    assert [str(context) for context in found] == ["cpu(0)"] * 2
    assert [context.notes for context in found] == [INSPECTION.notes] * 2, "what somebody should know is told again"
    assert asked == ["cpu"]
