"""What is built and installed is what was locked: each attempt to slip in another is refused, or not trusted."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.command import REPOSITORY

AS_USERS = "release.sh"  # tries the wheel with what users get, which no lock says, in an environment of its own
SCRIPTS = sorted(
    path for folder in ("tools", "image/build") for path in (REPOSITORY / folder).glob("*.sh") if path.name != AS_USERS
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.name))
def test_nothing_is_installed_without_its_hash(script: Path) -> None:
    text = script.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if (
            re.search(r"pip (install|download)", line)
            and not line.lstrip().startswith("#")
            and "--editable" not in line
        ):
            assert "--require-hashes" in line or "options" in line, line  # tools/setup.sh has it among its options


def test_every_lock_has_a_hash_for_every_package() -> None:
    for lock in (REPOSITORY / "requirements").glob("*.txt"):
        if lock.name == "versions.txt":  # constraints
            continue
        packages = re.findall(
            r"^[a-z0-9][\w.-]*(?:\[[\w,]+\])?==\S+.*(?:\n    --hash.*)*", lock.read_text(), re.MULTILINE
        )
        assert packages
        assert [one for one in packages if "--hash=sha256:" not in one] == []


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_of_what_maven_did_only_checked_jars_are_taken(name: str) -> None:
    text = (REPOSITORY / name).read_text()
    assert [line for line in text.splitlines() if "from=resolved" in line] == [
        "    --mount=type=bind,from=resolved,source=/resolved,target=/resolved /java.sh /jars /resolved"
    ]
    assert "mvn" not in (REPOSITORY / "image/build/java.sh").read_text()


@pytest.mark.parametrize("tampered", ["a changed jar", "another jar"])
def test_a_jar_that_maven_was_given_in_another_s_place_is_refused(tmp_path: Path, tampered: str) -> None:
    """The part of java.sh that takes the jars, as it stands there."""
    jars, resolved, target = tmp_path / "jars", tmp_path / "resolved", tmp_path / "target"
    for folder in (jars, resolved, target):
        folder.mkdir()
    (resolved / "good.jar").write_bytes(b"good")
    sums = subprocess.run(["sha256sum", "good.jar"], cwd=resolved, capture_output=True, text=True, check=True).stdout
    (jars / "SHA256SUMS").write_text(sums)
    (resolved / ("good.jar" if tampered == "a changed jar" else "evil.jar")).write_bytes(b"evil")
    script = (REPOSITORY / "image/build/java.sh").read_text()
    taking = script[script.index('cd "$2"') :].replace("/opt/jars", str(target))
    done = subprocess.run(
        ["sh", "-eu", "-c", taking, "java.sh", str(jars), str(resolved)], capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) is (tampered == "another jar")
    assert [path.name for path in target.iterdir()] == (["good.jar"] if tampered == "another jar" else [])


def test_a_digest_of_emr_s_base_that_is_none_is_refused(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    environment = {
        **os.environ,
        "EMR_DIGEST": "sha256:latest",
        "DOCKER": str(docker),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    command = [str(REPOSITORY / "tools/image.sh"), "cpu", "emr"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is no digest" in done.stderr
