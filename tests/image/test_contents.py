"""What is in the images and what is not: locked versions, the list of packages, no secret in any layer, rights,
labels.
"""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.command import REPOSITORY
from tests.image import layers
from tests.image.container import Image
from tests.image.images import EMR_BASE, docker, make

PYTHON = "/opt/mxspark/venv/bin/python"
PACKAGES = "/opt/mxspark/venv/lib/python3.11/site-packages"
JARS = "/opt/spark/jars"
LABEL = "org.opencontainers.image."
COPY = "mxspark-tests-copy"
SMALL_FILE = 1_000_000
EMPTY_LAYER = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

# Places of the image, without the leading /. Public CA certificates are fine.
SECRET_NAMES = re.compile(
    r"(^|/)(\.git|\.aws|\.netrc|\.pypirc|\.docker|pip\.conf|secret\.env|id_rsa|credentials)(/|$)|\.(pem|key|p12)$"
)
CERTIFICATES = re.compile(
    r"^(etc/ssl/certs/|usr/share/ca-certificates/)|(^|/)(certifi|botocore|pip/_vendor/certifi)/cacert\.pem$"
)
CACHES = re.compile(r"^root/\.(cache|m2)/|^var/cache/apt/(?!archives/lock$)|^var/cache/dnf/|^var/lib/apt/lists/[^/]+_")
OUR_TESTS = re.compile(
    r"(^|/)tests/(conftest|command|tiers)\.py$|(^|/)examples/digits/|^(src|app)/|^opt/mxspark/(tests|bench|docs|requirements)/"
)
PRIVATE_KEY = re.compile(rb"^-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=]{40}", re.MULTILINE)
INDEX_WITH_PASSWORD = re.compile(rb"index[-_]url[^\n]*://[^/\s]+@")  # in small letters


def locked(name: str, machine: str) -> dict[str, str]:
    """Packages with their versions, of a lock, for Linux on this processor."""
    found: dict[str, str] = {}
    for line in (REPOSITORY / "requirements" / name).read_text().splitlines():
        if not line.startswith((" ", "#")):
            requirement = Requirement(line.rstrip("\\ "))
            if requirement.marker is None or requirement.marker.evaluate(
                {"platform_machine": machine, "sys_platform": "linux"}
            ):
                found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


def expected_packages(image: Image) -> dict[str, str]:
    """What Python should find in the virtual environment, without the project itself."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[image.description["Architecture"]]
    found = locked("image-gpu.txt" if "gpu" in image.name else "image-cpu.txt", machine)
    if not image.name.endswith("emr"):
        found |= locked("image-spark.txt", machine)
    return found


def expected_cuda(image: Image) -> dict[str, str]:
    return locked("image-cuda.txt", "x86_64") if "gpu" in image.name else {}


def installed(image: Image, folder: str) -> dict[str, str]:
    told = image.shell(
        f"{PYTHON} -c 'import json; from importlib.metadata import distributions as d;"
        f' print(json.dumps([(p.name, p.version) for p in d(path=["{folder}"])]))\''
    )
    pairs = json.loads(told)
    assert len(pairs) == len(dict(pairs))
    return {canonicalize_name(name): version for name, version in pairs}


def project() -> dict[str, Any]:
    told: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return told


def test_python_packages_are_the_locked_ones_and_no_others(any_image: Image) -> None:
    assert installed(any_image, PACKAGES) == expected_packages(any_image) | {"mxspark": project()["version"]}
    assert installed(any_image, "/opt/cuda") == expected_cuda(any_image)


def test_jars_for_s3a_are_the_locked_ones(our_image: Image) -> None:
    sums = (REPOSITORY / "image" / "jars" / "SHA256SUMS").read_text()
    assert sums.count("\n") > 30
    our_image.shell(f"cd {JARS} && sha256sum --check --strict --quiet <<END\n{sums}END")


def test_no_layer_holds_a_secret_or_a_cache_or_the_tests(any_image: Image) -> None:
    found = []
    for file in layers.files(any_image):
        if SECRET_NAMES.search(file.path) and not CERTIFICATES.search(file.path):
            found.append(f"secret? {file.path}")
        if CACHES.search(file.path):
            found.append(f"cache: {file.path}")
        if OUR_TESTS.search(file.path):
            found.append(f"the tests': {file.path}")
        # GPU images differ from the others in large files only.
        if file.size < SMALL_FILE and "gpu" not in any_image.name:
            content = file.read()
            # The patterns as they are written down would take ten times as long over half a gigabyte.
            if b"PRIVATE KEY" in content and PRIVATE_KEY.search(content):
                found.append(f"private key: {file.path}")
            if INDEX_WITH_PASSWORD.search(content.lower()):
                found.append(f"password: {file.path}")
    assert found == []


def test_layers_are_walked_alike_where_they_lie_and_as_docker_saves_them(base: str) -> None:
    """The base is small: `docker save` writes a copy of the image first."""
    image = Image(docker(), base)
    walked = sorted((file.path, file.read()) for file in layers.files(image) if file.size < 10_000)
    assert len(walked) > 500
    assert walked == sorted((file.path, file.read()) for file in layers.saved(image) if file.size < 10_000)


def test_no_layer_of_a_gpu_image_holds_a_part_of_the_driver(gpu_image: Image, gpu_emr_image: Image) -> None:
    for image in (gpu_image, gpu_emr_image):
        names = [Path(file.path).name for file in layers.files(image)]
        assert "libcublas.so.11" in names
        assert [name for name in names if re.match(r"libcuda\.so|libnvidia|nvidia-smi", name)] == []


def test_no_tools_that_an_image_does_not_need(our_image: Image) -> None:
    tools = (
        "cc gcc g++ c++ clang as ld make cmake strip javac jlink jar mvn pip pip3 pip3.11 uv curl wget git ssh nc "
        "telnet gdb"
    )
    names = " -o ".join(f"-name {tool}" for tool in tools.split())
    assert our_image.shell(rf"find / -xdev \( {names} \) ! -type d ! -path '/usr/lib/apt/methods/*' -perm /111") == ""
    assert our_image.shell("find / -xdev -type d -name pip -path '*site-packages*'") == ""


def test_files_are_roots_and_nobody_else_writes_to_them(our_image: Image) -> None:
    assert our_image.shell(r"find / -xdev -type f -perm /6000") == ""
    writable = set(our_image.shell(r"find / -xdev \( ! -user 0 -o -group 185 -o -perm /022 \) ! -type l").split())
    # Debian's own, and Spark's work directory. /var/local and /var/mail are for Debian's groups staff and mail, which
    # nobody here is in.
    assert writable - {"/var/local", "/var/mail"} == {"/opt/spark/work-dir", "/run/lock", "/tmp", "/var/tmp"}
    assert our_image.shell("id -G spark") == "185\n"
    assert our_image.shell("stat -c '%u:%g %a' /opt/spark/work-dir") == "185:0 775\n"


def test_on_emr_the_jobs_files_are_roots(emr_image: Image, gpu_emr_image: Image) -> None:
    for image in (emr_image, gpu_emr_image):
        assert image.shell(r"find /opt -xdev \( ! -user 0 -o ! -group 0 -o -perm /6022 \) ! -type l") == ""


def test_labels(any_image: Image) -> None:
    labels = any_image.description["Config"]["Labels"]
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert labels[LABEL + "title"] == ("mxspark-gpu" if "gpu" in any_image.name else "mxspark")
    assert labels[LABEL + "description"].startswith("Offline image inference with Apache MXNet on Apache Spark")
    assert labels[LABEL + "licenses"] == project()["license"]
    assert labels[LABEL + "version"] == project()["version"]
    assert labels[LABEL + "revision"] == revision
    assert re.fullmatch(r"https://[^@]+|unknown", labels[LABEL + "source"])
    if "emr" in any_image.name:  # by which `mxspark doctor emr` knows the release
        assert labels[LABEL + "base.name"] == EMR_BASE


def test_configuration(any_image: Image) -> None:
    configuration = any_image.description["Config"]
    variables = dict(variable.split("=", 1) for variable in configuration["Env"])
    emr = any_image.name.endswith("emr")
    assert configuration["User"] == ("hadoop:hadoop" if emr else "185:185")
    assert configuration["Entrypoint"] == ["/usr/bin/entrypoint.sh" if emr else "/opt/entrypoint.sh"]
    assert configuration["WorkingDir"] == ("/home/hadoop" if emr else "/opt/spark/work-dir")
    assert variables["SPARK_HOME"] == ("/usr/lib/spark" if emr else "/opt/spark")
    assert variables["JAVA_HOME"] == ("/etc/alternatives/jre" if emr else "/opt/java")
    assert variables["PYSPARK_PYTHON"] == variables["PYSPARK_DRIVER_PYTHON"] == PYTHON
    gpu = {
        name: variables.get(name)
        for name in ("LD_LIBRARY_PATH", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES")
    }
    if "gpu" in any_image.name:
        assert list(gpu.values()) == ["/opt/cuda/lib", "all", "compute,utility"]
    else:
        assert set(gpu.values()) == {None}


def test_size(cpu_image: Image) -> None:
    """docs/images.md says what was measured; the base decides too. This is to notice a blunder."""
    assert cpu_image.description["Size"] < 1.05e9


def test_list_of_packages(any_image: Image) -> None:
    """In the form that scanners read: CycloneDX 1.5."""
    bom = json.loads(any_image.shell("cat /opt/mxspark/sbom.json"))
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.5", 1)
    assert set(bom) == {"bomFormat", "specVersion", "version", "metadata", "components"}
    assert bom["metadata"] == {"component": {"type": "application", "name": "mxspark"}}
    for component in bom["components"]:
        assert set(component) - {"licenses"} == {"type", "name", "version", "purl", "bom-ref"}
        assert component["type"] == "library"
        assert re.fullmatch(r"pkg:[a-z]+/[\w.+~%:/\-]+@[\w.+~%:\-]+(\?arch=\w+)?", component["purl"]), component
    purls = [component["purl"] for component in bom["components"]]
    assert len(set(purls)) == len(purls)

    listed = {
        kind: {(c["name"], c["version"]) for c in bom["components"] if c["purl"].startswith(f"pkg:{kind}/")}
        for kind in ("deb", "pypi")
    }
    debian = any_image.shell("dpkg-query --show --showformat '${Package} ${Version}\\n'")
    expected = {(name, version) for name, version in map(str.split, debian.splitlines())}
    ours = not any_image.name.endswith("emr")
    assert {name for name, _ in listed["deb"] - expected} == ({"libnss-wrapper"} if ours else set())
    assert expected <= listed["deb"]
    assert listed["pypi"] == set((expected_packages(any_image) | expected_cuda(any_image)).items())
    if ours:
        jars = any_image.shell(f"cd {JARS} && ls").split()
        components = {(c["name"], c["version"]) for c in bom["components"]}
        assert len(jars) > 200
        assert [jar for jar in jars if not any(jar == f"{name}-{version}.jar" for name, version in components)] == []
        assert any(name == "openjdk" and version.startswith("17.") for name, version in components)


def test_bytecode_is_there(any_image: Image) -> None:
    """mxnet takes twice as long to import without."""
    names = "mxspark mxnet numpy" + ("" if any_image.name.endswith("emr") else " pyspark")
    script = (
        "import sys, pathlib, importlib.util as u\n"
        f'for name in "{names}".split():\n'
        f'    found = list((pathlib.Path("{PACKAGES}") / name).resolve().rglob("*.py"))\n'
        "    assert found, name\n"
        "    for file in found:\n"
        "        if not pathlib.Path(u.cache_from_source(str(file))).exists(): print(file)\n"
    )
    assert any_image.shell(f"{PYTHON} -c '{script}'") == ""


def test_importing_mxnet_writes_nothing(cpu_image: Image, emr_image: Image) -> None:
    for image in (cpu_image, emr_image):
        imports = "import numpy; numpy.bool = bool; import mxnet"
        found = image.shell(
            f"touch /tmp/mark && sleep 0.1 && {PYTHON} -c '{imports}' >&2 && find / -xdev -type f -newer /tmp/mark"
        )
        assert [file for file in found.split() if not file.startswith("/tmp/")] == []


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as a person has it, cloned from an address with a password, and with secrets lying about."""
    folder = tmp_path_factory.mktemp("copy") / "mxspark"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, folder / name)
    git = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run([*git, "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(
        [*git, "remote", "add", "origin", "https://user:canary-of-the-remote@example.com/team/mxspark.git"],
        cwd=folder,
        check=True,
    )
    subprocess.run(
        [*git, "commit", "--quiet", "--allow-empty", "--message", "canary-of-the-history"], cwd=folder, check=True
    )
    places = (
        ".",
        ".cache",
        ".aws",
        "output",
        "build",
        "job",
        "job/mxspark",
        "image",
        "requirements",
        "examples",
        "examples/imagenet",
        "tests",
    )
    for place in places:
        (folder / place).mkdir(exist_ok=True)
        (folder / place / "secret.env").write_text("AWS_SECRET_ACCESS_KEY=canary-of-a-file\n")
    return folder


def build(copy: Path, base: str) -> Image:
    """`make image` there, in an environment with a secret."""
    make(
        "make",
        *("--directory", copy, "image"),
        BASE=base,
        IMAGE=COPY,
        AWS_SECRET_ACCESS_KEY="canary-of-the-environment",
    )
    return Image(docker(), f"{COPY}:latest")


@pytest.fixture(scope="module")
def built(copy: Path, base: str) -> Iterator[Image]:
    yield build(copy, base)
    tags = [f"{COPY}:latest", f"{COPY}:{project()['version']}"]
    subprocess.run([docker(), "image", "rm", *tags], capture_output=True, check=False)


def test_secrets_around_a_build_get_into_no_layer(built: Image) -> None:
    found = [file.path for file in layers.files(built) if file.size < SMALL_FILE and b"canary-of" in file.read()]
    history = subprocess.run(
        [built.docker, "history", "--no-trunc", built.name], capture_output=True, text=True, check=True
    ).stdout
    assert found == []
    assert "COPY job" not in history  # that is a stage apart
    assert "COPY /code" in history
    assert "canary-of" not in history + json.dumps(built.description)


def test_the_source_is_named_without_its_password(built: Image) -> None:
    assert built.description["Config"]["Labels"][LABEL + "source"] == "https://example.com/team/mxspark.git"


def test_a_change_of_the_code_makes_one_small_layer(built: Image, copy: Path, base: str) -> None:
    before = built.description
    with (copy / "job" / "mxspark" / "__init__.py").open("a") as file:
        file.write("# changed\n")

    after = build(copy, base).description

    pairs = zip(before["RootFS"]["Layers"], after["RootFS"]["Layers"], strict=True)
    changed = [number for number, (old, new) in enumerate(pairs) if old != new]
    assert len(changed) == 1
    assert set(after["RootFS"]["Layers"][changed[0] + 1 :]) <= {EMPTY_LAYER}  # WORKDIR's, which makes no folder
    told = subprocess.run(
        [built.docker, "history", "--format", "{{.Size}} {{.CreatedBy}}", "--human=false", built.name],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    sizes = [int(line.split()[0]) for line in told.splitlines()]
    assert 0 < next(size for size in sizes if size) < 5e6
