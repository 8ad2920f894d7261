"""What is needed to try the images (images.py)."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import REPOSITORY
from tests.gpu import conftest as gpu
from tests.image import images
from tests.image.container import Container, Image
from tests.shared import once
from tests.spark.conftest import ALL_DIGITS, TRUE_LABEL
from tests.tiers import Missing

driver_folder = gpu.driver_folder  # a folder with the stand-in for the NVIDIA driver
EXAMPLE = "/opt/mxspark/examples/imagenet"  # in every image

# As careful clusters do.
RESTRICTED = (
    "--read-only",
    "--tmpfs",
    "/tmp",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--network",
    "none",
)

FREE_BYTES = 25e9  # the four images with what Docker keeps to build them again; CUDA's libraries are most of it


def missing() -> Missing | None:
    found = subprocess.run([REPOSITORY / "tools" / "docker.sh"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return Missing(
            found.stderr.strip().splitlines()[0].removeprefix("docker: "), "Docker or Podman builds and runs the images"
        )
    if not images.exists(images.BASE) and shutil.disk_usage(REPOSITORY).free < FREE_BYTES:
        return Missing("too little disk for the images", f"free {FREE_BYTES / 1e9:.0f} GB")
    return None


ALL = ("cpu_image", "emr_image", "gpu_image", "gpu_emr_image")
OURS = ("cpu_image", "gpu_image")  # the images whose Spark and entrypoint are ours


@pytest.fixture(params=ALL)
def any_image(request: pytest.FixtureRequest) -> Image:
    found: Image = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=OURS)
def our_image(request: pytest.FixtureRequest) -> Image:
    found: Image = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder that every user may write to."""
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)
    tmp_path.chmod(0o755)
    return folder


@pytest.fixture
def started() -> Iterator[Callable[..., Container]]:
    """Starts containers in the background, and removes them at the end."""
    containers: list[Container] = []

    def start(image: Image, *arguments: str, options: tuple[str, ...] = ()) -> Container:
        containers.append(image.start(*arguments, options=options))
        return containers[-1]

    yield start
    for container in containers:
        container.remove()


@pytest.fixture
def data(digits_images: Path, digits_bundle: Path, output: Path) -> tuple[str, ...]:
    """Docker's options that mount the digits and their network at /data and a folder for the table at /out."""
    return mounted(digits_images, digits_bundle, output)


def mounted(digits_images: Path, digits_bundle: Path, output: Path) -> tuple[str, ...]:
    if len(list(digits_images.glob("*.png"))) < ALL_DIGITS:
        pytest.skip("the digits example is not built: .venv/bin/python examples/digits/build.py")
    images, bundle = digits_images.resolve(), digits_bundle.resolve()
    return (
        "--volume",
        f"{images}:/data/images:ro",
        "--volume",
        f"{bundle}:/data/bundle:ro",
        "--volume",
        f"{output}:/out",
    )


@pytest.fixture(scope="session")
def digits_table(
    cpu_image: Image, digits_images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The table of all digits, by the CPU image with the defaults. Not to be changed."""

    def run() -> Path:
        folder = tmp_path_factory.mktemp("digits")
        folder.chmod(0o777)
        cpu_image.run("run", *digits(), options=mounted(digits_images, digits_bundle, folder)).succeeded()
        return folder / "table"

    return once(tmp_path_factory, "digits-table", run)


def digits(*flags: str) -> tuple[str, ...]:
    """The arguments of the digits job."""
    return ("--input", "/data/images", "--model", "/data/bundle", "--output", "/out/table", "--set", TRUE_LABEL, *flags)


@pytest.fixture
def stub(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Docker's options for a container with a driver and a card that MXNet has no code for."""
    if not any(map(shutil.which, gpu.COMPILERS)):
        pytest.skip("no C compiler, which makes the stand-in for the NVIDIA driver: apt-get install gcc libc6-dev")
    driver_folder: Path = request.getfixturevalue("driver_folder")
    variables = ("--env", "LD_LIBRARY_PATH=/driver:/opt/cuda/lib", "--env", f"CUDA_STUB_GPUS={gpu.H100}")
    driver_folder.chmod(0o755)
    return ("--volume", f"{driver_folder}:/driver:ro", *variables)
