"""How a cluster's programs are found, built and called, where a machine lacks something; stand-ins show what Go and
runc are asked.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.command import REPOSITORY, Finished

GO_TOOLS = REPOSITORY / "tools" / "go-tools.sh"
KIND = REPOSITORY / "tools" / "kind.sh"
RUNC = REPOSITORY / "tools" / "runc-without-sys-resource.py"
SHELL = (
    "chmod",
    "sleep",
    "bash",
    "awk",
    "basename",
    "cat",
    "cksum",
    "cut",
    "dirname",
    "env",
    "find",
    "mkdir",
    "mktemp",
    "mv",
    "nice",
    "rm",
    "sed",
    "sort",
    "xargs",
)
OLD_GO = """#!/bin/sh
case "$*" in
"env GOVERSION") echo go1.19.8 ;;
"env GOOS") echo linux ;;
"env GOARCH") echo amd64 ;;
*) exit 1 ;;
esac
"""
BROKEN_GO = """#!/bin/sh
case "$1" in
env) echo go1.99.0 ;;
build) echo "no such host" >&2; exit 1 ;;
esac
"""

FLAKY_GO = """#!/bin/sh
case "$1" in
env) echo go1.99.0 ;;
build)
    [ -e "$0.tried" ] || { : >"$0.tried"; echo "i/o timeout" >&2; exit 1; }
    while [ "$1" != -o ]; do shift; done
    : >"$2"; chmod +x "$2" ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH with what every machine has, and no more."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in SHELL:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def program(folder: Path, name: str, script: str) -> Path:
    file = folder / name
    file.write_text(script)
    file.chmod(0o755)
    return file


def go_tools(programs: Path, *names: str, waits: str = "") -> Finished:
    environment = {"PATH": str(programs), "HOME": str(programs), "XDG_CACHE_HOME": str(programs.parent / "cache")}
    environment["RETRY_WAITS"] = waits
    done = subprocess.run([GO_TOOLS, *names], env=environment, capture_output=True, text=True, timeout=60, check=False)
    return Finished(done.returncode, done.stdout, done.stderr, 0, "")


def test_a_program_of_the_person_s_own_is_taken(programs: Path) -> None:
    own = program(programs, "kind", "#!/bin/sh\n")
    assert go_tools(programs, "kind").succeeded().output == f"{own}\n"


def test_without_go_it_says_what_to_install(programs: Path) -> None:
    errors = go_tools(programs, "kubeconform").ended_with(1).errors
    assert errors.startswith("go-tools: Go is missing, which builds kubeconform.\ngo-tools: Install it")


def test_a_go_that_is_too_old_is_named_where_no_newer_one_can_be_had(programs: Path) -> None:
    program(programs, "go", OLD_GO)
    errors = go_tools(programs, "kind").ended_with(1).errors
    assert errors.startswith(
        "go-tools: kind needs Go 1.26.0 or newer; this machine's is 1.19.8, and a newer one can't be downloaded."
    )
    assert "https://go.dev/dl" in errors


def test_a_build_that_fails_says_why_and_leaves_nothing(programs: Path) -> None:
    program(programs, "go", BROKEN_GO)
    errors = go_tools(programs, "helm3").ended_with(1).errors
    assert "no such host\ngo-tools: building helm3 failed, see above." in errors
    assert [path for path in (programs.parent / "cache").rglob("*") if not path.is_dir()] == []


def test_a_download_that_fails_is_tried_again(programs: Path) -> None:
    program(programs, "go", FLAKY_GO)
    done = go_tools(programs, "helm3", waits="0").succeeded()
    assert done.output.endswith("/helm3\n")
    assert "i/o timeout" in done.errors


def test_a_program_that_is_none_is_named(programs: Path) -> None:
    assert "go-tools: no such program: 'helm5'" in go_tools(programs, "helm5").ended_with(1).errors


@pytest.mark.parametrize("command", [["create", "--bundle"], ["--root", "/run", "run", "-b"]])
def test_runc_is_not_asked_for_what_the_machine_can_t_grant(command: list[str], programs: Path, tmp_path: Path) -> None:
    program(programs, "runc", '#!/bin/sh\necho "$@"\n')
    request = tmp_path / "config.json"
    asked = {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "effective": ["CAP_SYS_RESOURCE"]}
    request.write_text(json.dumps({"process": {"args": ["sh"], "capabilities": asked, "oomScoreAdj": -999}}))
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [RUNC, *command, tmp_path, "name"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [*command, str(tmp_path), "name"]
    granted = {"bounding": ["CAP_CHOWN"], "effective": []}
    assert json.loads(request.read_text())["process"] == {"args": ["sh"], "capabilities": granted, "oomScoreAdj": 0}


def kind(*arguments: str, **environment: str) -> Finished:
    """tools/kind.sh."""
    variables = {**os.environ, "KIND_CLUSTER": "mxspark-tests-none", **environment}
    done = subprocess.run([KIND, *arguments], env=variables, capture_output=True, text=True, timeout=120, check=False)
    return Finished(done.returncode, done.stdout, done.stderr, 0, "")


@pytest.mark.parametrize("arguments", [(), ("sideways",), ("load",)])
def test_a_command_of_kind_sh_that_is_none_gets_the_usage(arguments: tuple[str, ...]) -> None:
    finished = kind(*arguments).ended_with(2)
    assert finished.errors.startswith("Usage: tools/kind.sh up")


def test_without_docker_kind_sh_says_what_to_install() -> None:
    finished = kind("up", DOCKER="no-such-docker").ended_with(1)
    assert finished.errors.startswith("docker: there is no program no-such-docker: DOCKER names it")
