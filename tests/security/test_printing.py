"""What is printed: a terminal obeys nothing that keys, file names, servers, locks or pods' logs say, and no line
looks like another's.
"""

import io
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.text import Text
from tests.conftest import Here
from tests.security.conftest import HOSTILE
from tests.unit.runs import run_in

from mxspark.cli import console
from mxspark.cli.console import ConsoleProgress, JobListener, _SafeConsole
from mxspark.dataset import output, plan, predictions
from mxspark.dataset.predictions import PARTS, Row
from mxspark.doctor import Finding
from mxspark.errors import MxsparkError
from mxspark.inference.meaning import Meaning
from mxspark.inference.network import Inspection
from mxspark.run import status
from mxspark.settings import document
from mxspark.settings.model_spec import ModelInput
from mxspark.storage import Access, FolderStore
from mxspark.storage.store import held
from mxspark.text.words import CONTROLS, printable

Print = Callable[[str], object]

WAYS: dict[str, Print] = {
    "a result": console.show,
    "an error": lambda text: console.show_error(MxsparkError(text, text)),
    "a warning": console.show_warning,
    "a line of a pod's log": lambda text: JobListener().log(text),
    "what happens to a job": lambda text: JobListener().note(text),
    "sections": lambda text: console.show_sections([(text, text)]),
    "settings": lambda text: console.show_settings([(text, text, text)]),
    "a setting": lambda text: console.show_setting("key", text, text, text, text),
    "findings": lambda text: console.show_findings([Finding(text, "problem", text, text)]),
    "progress": lambda text: _progress(text),
}


def _progress(text: str) -> None:
    with ConsoleProgress() as progress:
        progress.step(text)
        progress.note(text)


@pytest.mark.parametrize("way", WAYS)
def test_what_a_terminal_would_obey_is_escaped_and_markup_is_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(console._out, "_width", 1000)  # no table breaks its lines
    WAYS[way](HOSTILE)

    told = "".join(capsys.readouterr())
    assert not CONTROLS.search(told.replace("\n", ""))
    assert "\\u001b" in told
    assert "\\u202e" in told
    assert "z[red]w[/red]" in told.replace("\n", "")


def test_on_a_terminal_only_the_consoles_own_commands_are_there() -> None:
    shown = io.StringIO()
    terminal = _SafeConsole(file=shown, force_terminal=True, color_system="standard", width=200, markup=False)

    terminal.print(Text(HOSTILE, "red"))
    assert "\x1b[31m" in shown.getvalue()
    for command in ("\x1b]0;", "\x1b[2J", "\x9b", "\u202e", "\x07"):
        assert command not in shown.getvalue()


def test_json_stays_json_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"key": HOSTILE + "\udcff", HOSTILE: ["\x85", "é日本"]}
    console.show(json.dumps(data, ensure_ascii=False, indent=1))

    told = capsys.readouterr().out
    assert not CONTROLS.search(told)
    assert json.loads(told) == data


def test_yaml_stays_yaml_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"key": HOSTILE, "other": ["\u202e", "\x85", "é日本", "a\nb"]}
    console.show(document.to_yaml(data))

    told = capsys.readouterr().out
    assert not CONTROLS.search(told)
    assert yaml.safe_load(told) == data


def test_what_libraries_log_is_escaped_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    handler: Any = logging.lastResort
    handler.handle(logging.LogRecord("botocore", logging.WARNING, "", 0, "a server said %s", (HOSTILE,), None))

    told = capsys.readouterr().err
    assert "a server said" in told
    assert not CONTROLS.search(told)


def test_the_holder_of_a_lock_is_told_on_one_line(tmp_path: Any, here: Here) -> None:
    store = FolderStore(tmp_path, follow_links=False)
    owner = {"host": f"{HOSTILE}\nError: all your base", "process": "x" * 100_000, "since": "\u2029"}
    with store.hold(output.LOCK, owner, 1):
        told = here("status", tmp_path)

    assert told.code == 0
    assert not CONTROLS.search(told.output)
    assert not any(line.startswith("Error:") for line in told.output.splitlines())
    assert len(told.output) < 10_000
    assert "\n" not in held("table", owner).problem


def test_no_value_of_a_run_makes_a_line_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, forged = run_in(tmp_path, 0, "jsonl"), "x\nstate  complete\x1b[2J"
    frozen = json.loads((tmp_path / plan.PLAN).read_text())
    (tmp_path / plan.PLAN).write_text(json.dumps(frozen | {"created": forged, "skipped": {forged: 1}}))
    rows = [Row(key, forged, forged) for key in plan.shard_keys(store, 0)]
    store.write(PARTS["jsonl"].name(0), predictions.encode(rows, None, "jsonl"))
    with store.hold(output.LOCK, {"host": forged, "process": forged, "since": ""}, 1):
        console.show_status(status.read(str(tmp_path), Access()))

    told = capsys.readouterr().out
    assert told.count("x\\nstate") == 5
    assert not re.search(r"^\s*state  complete", told, re.MULTILINE)


def test_no_value_of_a_model_makes_a_line_of_its_own() -> None:
    name = "x\nlicence  free"
    found = Inspection(
        name,
        ModelInput(height=8, width=8),
        name,
        10,
        (name,),
        Meaning("softmax", name),
        {name: 1},
        10,
        (name,),
        0,
        name,
    )
    assert not any("\n" in text for _, text in console.model_sections(found))


def test_a_setting_that_is_no_text_of_a_terminals_is_told_escaped(here: Here) -> None:
    told = here("settings", "--set", f"top_k={HOSTILE}")

    assert told.code == 2
    assert not CONTROLS.search(told.errors)


def test_everything_that_turns_the_direction_of_text_is_escaped() -> None:
    for number in [
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        0x2028,
        0x2029,
        0x7F,
        *range(0x80, 0xA0),
        0x1B,
        0x9B,
    ]:
        assert CONTROLS.search(chr(number))
        assert not CONTROLS.search(printable(chr(number)))
