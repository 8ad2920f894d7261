"""What goes wrong for people who try an image: one line says what, and the exit code is not 0."""

from pathlib import Path

from tests.image.conftest import EXAMPLE
from tests.image.container import Image
from tests.image.test_runs import PHOTOGRAPHS


def test_a_missing_model(cpu_image: Image) -> None:
    ended = cpu_image.run(
        "run", "--input", f"{EXAMPLE}/images", "--model", "/nowhere", "--output", "/tmp/table"
    ).ended_with(2)
    assert "Error: /nowhere: no model here" in ended.errors


def test_a_folder_of_another_user(cpu_image: Image, output: Path) -> None:
    output.chmod(0o755)
    ended = cpu_image.run(
        "run", *PHOTOGRAPHS, "--output", "/out/table", options=("--volume", f"{output}:/out")
    ).ended_with(2)
    assert "/out can't be written by user 185: Permission denied" in ended.errors
    assert "docker run --user" in ended.errors


def test_a_read_only_folder(cpu_image: Image, output: Path) -> None:
    ended = cpu_image.run(
        "run", *PHOTOGRAPHS, "--output", "/out/table", options=("--volume", f"{output}:/out:ro")
    ).ended_with(2)
    assert "Read-only file system" in ended.errors


def test_too_little_memory(cpu_image: Image) -> None:
    """Too little for MXNet to be loaded. With some more the kernel may kill any process, and the run may even come
    through.
    """
    options = ("--memory", "200m", "--memory-swap", "200m")
    ended = cpu_image.run("run", *PHOTOGRAPHS, "--output", "/tmp/table", options=options).ended_with(1)
    assert "memory" in ended.errors
    assert "damaged" not in ended.errors
    assert "Traceback" not in ended.errors


def test_no_room_for_temporary_files(cpu_image: Image, output: Path) -> None:
    options = ("--read-only", "--volume", f"{output}:/out")  # without --tmpfs /tmp
    ended = cpu_image.run("run", *PHOTOGRAPHS, "--output", "/out/table", options=options)
    assert ended.code != 0
    assert "Error: no folder for temporary files can be written" in ended.errors
    assert "--tmpfs /tmp" in ended.errors


def test_no_room_for_the_name_of_an_unknown_user(cpu_image: Image) -> None:
    ended = cpu_image.run("doctor", options=("--read-only", "--user", "12345")).ended_with(1)
    assert ended.errors == "Error: no folder for temporary files can be written. Give the container one: --tmpfs /tmp\n"


def test_too_little_room_for_temporary_files(cpu_image: Image, output: Path) -> None:
    options = ("--read-only", "--tmpfs", "/tmp:size=16k", "--volume", f"{output}:/out")
    ended = cpu_image.run("run", *PHOTOGRAPHS, "--output", "/out/table", options=options).ended_with(1)
    assert "the temporary folder /tmp has only 0.0 MiB left" in ended.errors
