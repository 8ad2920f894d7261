"""Writes a CycloneDX list (https://cyclonedx.org, version 1.5) of the packages in the image: the system's, Python's and
Java's.

Usage: python sbom.py FOLDER… > sbom.json   folders of jars, of a Java runtime, or of Python packages that Python itself
doesn't know; runs with the image's own Python and nothing else. The project itself is what the list is of, and no part
of it: it is in the last layer alone.
"""

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

Component = dict[str, Any]


def debian() -> Iterator[Component]:
    listing = subprocess.run(
        ["/usr/bin/dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in listing.stdout.splitlines():
        yield _deb(*line.split())
    # Single files of packages that aren't installed as a whole.
    for file in Path("/var/lib/dpkg/status.d").glob("*"):
        fields = dict(re.findall(r"^(\S+): (.*)$", file.read_text(), re.MULTILINE))
        yield _deb(fields["Package"], fields["Version"], fields["Architecture"])


def _deb(name: str, version: str, architecture: str) -> Component:
    return _component(name, version, f"pkg:deb/debian/{name}@{version}?arch={architecture}")


def rpm() -> Iterator[Component]:
    """Amazon Linux's, in the images for EMR on EKS."""
    wanted = "%{NAME} %{VERSION}-%{RELEASE} %{ARCH}\n"
    listing = subprocess.run(
        ["/usr/bin/rpm", "--query", "--all", "--queryformat", wanted], capture_output=True, text=True, check=True
    )
    for name, version, architecture in map(str.split, listing.stdout.splitlines()):
        yield _component(name, version, f"pkg:rpm/amzn/{name}@{version}?arch={architecture}")


def python(*folders: str) -> Iterator[Component]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield _component("python", version, f"pkg:generic/python@{version}")  # which a base may have compiled by itself
    for package in distributions(path=[*sys.path, *folders]):
        name = re.sub(r"[-_.]+", "-", package.name).lower()
        licence = package.metadata.get("License-Expression")
        component = _component(name, package.version, f"pkg:pypi/{name}@{package.version}")
        yield component | ({"licenses": [{"expression": licence}]} if licence else {})


def java(folder: Path) -> Iterator[Component]:
    if (folder / "release").exists() and (
        match := re.search(r'^JAVA_VERSION="(.+)"$', (folder / "release").read_text(), re.MULTILINE)
    ):
        yield _component("openjdk", match[1], f"pkg:generic/openjdk@{match[1]}")
    for jar in sorted(folder.glob("*.jar")):
        match = re.fullmatch(r"(.+?)-(\d[\w.\-]*)\.jar", jar.name)
        name, version = (match[1], match[2]) if match else (jar.stem, "")
        group = _group(jar, name)
        yield _component(
            name, version, f"pkg:maven/{group}/{name}@{version}" if group else f"pkg:generic/{name}@{version}"
        )


def _group(jar: Path, artifact: str) -> str | None:
    """The group that the jar's own Maven properties name; a jar with several is one of several artifacts."""
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if (match := re.fullmatch(r"META-INF/maven/([^/]+)/([^/]+)/pom\.properties", name)) and match[
                2
            ] == artifact:
                return match[1]
    return None


def _component(name: str, version: str, purl: str) -> Component:
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


def main() -> None:
    components = (
        list(debian()) if Path("/usr/bin/dpkg-query").exists() else list(rpm()) if Path("/usr/bin/rpm").exists() else []
    )
    components += python(*sys.argv[1:])
    for folder in sys.argv[1:]:
        components += java(Path(folder))
    unique = {component["purl"]: component for component in components}
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "mxspark"}},
        "components": [unique[purl] for purl in sorted(unique)],
    }
    json.dump(bom, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
