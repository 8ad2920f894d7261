"""Dockerfile and Dockerfile.gpu are one recipe, written twice because Dockerfiles can't include one another; and
what they are given.
"""

import re

import pytest

from tests.command import REPOSITORY

DOCKERFILES = ("Dockerfile", "Dockerfile.gpu")
# The stages that differ, with the only lines that do: those of the image for CPUs, and those for GPUs.
DIFFERENT = {
    "packages": r"FROM |.*packages\.sh|.*image-gpu\.txt",
    "kubernetes-parts": r"COPY --from=cuda |.*/sbom\.py ",
    "emr-packages": r".*requirements/image-(cpu|gpu)\.txt",
    "emr": r"COPY (--from=cuda|image/gpu-discovery\.sh) |RUN .*/sbom\.py |ENV |\s+(NVIDIA_|PYSPARK_PYTHON=)"
    r"|LABEL .*title=|.*description=",
    "kubernetes": r"ENV |\s+(NVIDIA_|SPARK_HOME=)|LABEL .*title=|.*description=",
}
ONLY_GPU = {"cuda"}


def stages(name: str) -> dict[str, list[str]]:
    """The lines of each stage, without comments and empty ones; before the first stage is the stage with no name."""
    found: dict[str, list[str]] = {"": []}
    stage = ""
    for line in (REPOSITORY / name).read_text().splitlines():
        if match := re.fullmatch(r"FROM \S+ AS (\S+)", line):
            stage = match[1]
            assert stage not in found
            found[stage] = []
        if line and not line.startswith("#"):
            found[stage].append(line)
    return found


def test_the_dockerfiles_have_the_same_stages_in_the_same_order() -> None:
    cpu, gpu = (list(stages(name)) for name in DOCKERFILES)
    assert cpu == [stage for stage in gpu if stage not in ONLY_GPU]
    assert cpu[-1] == "kubernetes"  # the default target


@pytest.mark.parametrize("stage", stages("Dockerfile"))
def test_a_stage_differs_for_gpus_only_where_it_must(stage: str) -> None:
    cpu, gpu = (stages(name)[stage] for name in DOCKERFILES)
    different = {line for line in (*cpu, *gpu) if line not in cpu or line not in gpu}
    assert [line for line in different if stage not in DIFFERENT or not re.match(DIFFERENT[stage], line)] == []
    if stage not in DIFFERENT:
        assert cpu == gpu


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_base_is_pinned_by_its_digest(name: str) -> None:
    assert re.search(
        r"^ARG BASE=python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}$", "\n".join(stages(name)[""]), re.MULTILINE
    )


@pytest.mark.parametrize("name", DOCKERFILES)
def test_every_stage_starts_from_the_base_or_another_stage(name: str) -> None:
    known = {"${BASE}", "${EMR_BASE}"}
    for stage, lines in stages(name).items():
        if stage:
            assert lines[0].split()[1] in known
            known.add(stage)


def test_the_build_is_given_nothing_but_what_the_images_are_made_of() -> None:
    lines = [
        line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    examples = {"examples/*.py", "examples/imagenet/*.py", "examples/imagenet/model.yaml"}
    assert let_through == {"LICENSE", "README.md", "pyproject.toml", "job", "image", "requirements/*.txt", *examples}
    assert {"**/__pycache__", "**/*.egg-info"} == {line for line in lines[1:] if not line.startswith("!")}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_a_dockerfile_asks_for_is_there(name: str) -> None:
    text = "\n".join(line for lines in stages(name).values() for line in lines)
    asked = set(re.findall(r"--mount=type=bind,source=([^,\s]+)", text))
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        asked |= set(sources.split())
    assert len(asked) > 12
    assert [source for source in asked if not (REPOSITORY / source).exists()] == []
