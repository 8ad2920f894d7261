"""The programs besides Helm (helm.py) that look at the chart, built once on a machine by tools/go-tools.sh."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.chart import schemas
from tests.shared import once
from tests.tiers import Missing


def missing() -> Missing | None:
    if shutil.which("go") is None:
        return Missing(
            "no Go, which builds Helm and what else looks at charts", "install it (Debian: apt-get install golang-go)"
        )
    return None


@pytest.fixture(scope="session")
def kubeconform(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that checks the manifests in its standard input against the API's own description."""

    def write() -> Path:
        folder = tmp_path_factory.mktemp("schemas")
        schemas.write(schemas.swagger(), folder)
        schemas.write_custom(folder)
        return folder

    location = once(tmp_path_factory, "schemas", write) / "{{.ResourceKind}}{{.KindSuffix}}.json"
    # The Prometheus operator's own; its description is not Kubernetes'.
    return [
        program("kubeconform"),
        "-strict",
        "-summary",
        "-skip",
        "PodMonitor,PrometheusRule",
        "-schema-location",
        str(location),
        "-",
    ]


@pytest.fixture(scope="session")
def helm_unittest(program: Callable[[str], str]) -> str:
    return program("helm-unittest")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`example`: each of the values files in values/, where a test does not choose some of them."""
    chosen = any("example" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "example" in metafunc.fixturenames and not chosen:
        files = sorted(Path(__file__).with_name("values").glob("*.yaml"))
        metafunc.parametrize("example", files, ids=[file.stem for file in files])
