"""The chart, rendered by a real Helm, and what stands in its manifests. Helm 3 and 4 are a plugin
(tests/conftest.py).
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.command import REPOSITORY, Finished
from tests.shared import once
from tools.chart.values import settings_of_values

from mxspark.settings.document import read_yaml
from mxspark.settings.job import Settings
from mxspark.settings.sources import effective, file_layer

CHART = REPOSITORY / "helm" / "mxspark"
GO_TOOLS = REPOSITORY / "tools" / "go-tools.sh"
RENDERED, KEPT_CHARTS = REPOSITORY / ".cache" / "tests" / "rendered", 5
RELEASE, NAMESPACE = "digits", "jobs"
# What every job needs.
JOB: dict[str, Any] = {
    "input": {"path": "s3://images/digits/"},
    "model": {"path": "s3://models/digits/"},
    "output": {"path": "s3://tables/digits/"},
}

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Helm:
    """One version of the program. What it rendered is kept in `rendered`: many tests look at the same, and the next
    run does again.
    """

    program: str
    rendered: Path

    def run(self, *arguments: str | Path, given: str = "", seconds: float = 60) -> Finished:
        """To its end, whichever; `given` is its standard input."""
        started = time.monotonic()
        done = subprocess.run(
            [self.program, *map(str, arguments)],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            env={**os.environ, "GOGC": "off"},  # without collecting garbage it takes four fifths of the time
        )
        return Finished(done.returncode, done.stdout, done.stderr, time.monotonic() - started, "")

    def try_to_render(self, values: Mapping[str, Any] | Path, *arguments: str, release: str = RELEASE) -> Finished:
        """`helm template` with these values."""
        given = values.read_text() if isinstance(values, Path) else json.dumps(values)
        command: tuple[str | Path, ...] = (
            "template",
            release,
            CHART,
            f"--namespace={NAMESPACE}",
            "--values=-",
            *arguments,
        )
        built = Path(self.program).stat()
        inputs = (self.program, built.st_size, built.st_mtime_ns, command, given)
        kept = self.rendered / hashlib.sha256(repr(inputs).encode()).hexdigest()
        if not kept.exists():
            done = self.run(*command, given=given)
            if done.code not in (0, 1):  # it was killed
                return done
            new = kept.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps([done.code, done.output, done.errors]))
            new.replace(kept)
        code, output, errors = json.loads(kept.read_text())
        return Finished(code, output, errors, 0, "")

    def render(self, values: Mapping[str, Any] | Path, *arguments: str, release: str = RELEASE) -> list[Manifest]:
        """The manifests that these values make."""
        return manifests(self.try_to_render(values, *arguments, release=release).succeeded().output)

    def refusal(self, values: Mapping[str, Any]) -> str:
        """The words in which these values are refused."""
        return self.try_to_render(values).ended_with(1).errors


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Gives the path of a program by its name. It is built where it isn't there yet, which takes some minutes."""

    def path(name: str) -> str:
        build = lambda: subprocess.run([GO_TOOLS, name], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()  # noqa: E731
        return once(tmp_path_factory, f"program-{name}", build)

    return path


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for this very chart, which stays from run to run: the same chart, program and values make the same."""
    return once(tmp_path_factory, "rendered", _folder_of_chart)


def _folder_of_chart() -> Path:
    files = sorted(path for path in CHART.rglob("*") if path.is_file())
    chart = hashlib.sha256(repr([(path.relative_to(CHART), path.read_bytes()) for path in files]).encode()).hexdigest()
    folder = RENDERED / chart
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    for old in sorted(RENDERED.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT_CHARTS]:
        shutil.rmtree(old)
    return folder


@pytest.fixture(scope="session")
def helm3(program: Callable[[str], str], rendered: Path) -> Helm:
    """The older one, which many have."""
    return Helm(program("helm3"), rendered)


@pytest.fixture(params=["helm3", "helm"])
def each_helm(request: pytest.FixtureRequest) -> Helm:
    """Both."""
    found: Helm = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def helm(program: Callable[[str], str], rendered: Path) -> Helm:
    """The newer one, for what doesn't depend on it."""
    return Helm(program("helm4"), rendered)


def manifests(text: str) -> list[Manifest]:
    return [manifest for manifest in yaml.load_all(text, Loader=yaml.CSafeLoader) if manifest]


def of_kind(rendered: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one manifest of a kind (and name)."""
    found = [each for each in rendered if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of kind {kind}"
    return found[0]


def driver(rendered: list[Manifest]) -> Manifest:
    """The pod template of the Job or the CronJob."""
    jobs = [each for each in rendered if each["kind"] in ("Job", "CronJob")]
    assert len(jobs) == 1
    spec = jobs[0]["spec"]
    template: Manifest = (spec["jobTemplate"]["spec"] if jobs[0]["kind"] == "CronJob" else spec)["template"]
    return template


def pods(rendered: list[Manifest]) -> Iterator[Manifest]:
    """All pods: the driver's and those of `helm test`."""
    yield driver(rendered)
    yield from (each for each in rendered if each["kind"] == "Pod")


def settings_text(rendered: list[Manifest]) -> str:
    text: str = next(each for each in rendered if each["metadata"]["name"].endswith("-settings"))["data"][
        "settings.yaml"
    ]
    return text


def settings(rendered: list[Manifest]) -> Settings:
    """What the driver makes of its settings file."""
    return effective([file_layer(read_yaml(settings_text(rendered), "settings.yaml"), "settings.yaml")]).settings


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """{'a': {'b': value}} for the path (a, b)."""
    return {path[0]: nested(path[1:], value) if path[1:] else value}


def together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both trees; `other` wins."""
    result = dict(one)
    for key, value in other.items():
        mine = result.get(key)
        result[key] = together(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return result


def as_settings(values: dict[str, Any]) -> dict[str, Any]:
    """The settings that these values are."""
    tree: dict[str, Any] = together(values["job"], {"spark": {"master": "k8s://x"}})
    for path, setting in settings_of_values():
        value: Any = values
        for key in path:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        if value != {}:
            tree = together(tree, nested(setting, value))
    return tree


def without_blank_lines(text: str) -> str:
    """The versions of Helm differ in these."""
    return re.sub(r"\n\s*\n+", "\n", text).strip() + "\n"
