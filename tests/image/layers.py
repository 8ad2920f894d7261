"""What lies in an image's layers, one by one: what a later layer deletes is still there for whoever has the image."""

import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.image.container import Image


@dataclass(frozen=True)
class File:
    """One file of one layer."""

    layer: str
    path: str  # without the leading /
    size: int
    read: Callable[[], bytes]  # only while this file is the iterator's latest


def files(image: Image) -> Iterator[File]:
    """All regular files of all layers."""
    folders = _folders(image)
    return _lying(folders) if folders else saved(image)


def _folders(image: Image) -> list[Path]:
    """Where Docker itself keeps the layers unpacked, where that can be read: `docker save` first writes a copy as
    large as the image.
    """
    driver = image.description.get("GraphDriver") or {}
    if driver.get("Name") not in ("overlay", "overlay2"):
        return []
    data = driver["Data"]
    folders = [Path(folder) for folder in [*data.get("LowerDir", "").split(":"), data["UpperDir"]] if folder]
    return folders if all(os.access(folder, os.R_OK | os.X_OK) for folder in folders) else []


def _lying(folders: list[Path]) -> Iterator[File]:
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                path = Path(parent, name)
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield File(folder.parent.name, str(path.relative_to(folder)), status.st_size, path.read_bytes)


def saved(image: Image) -> Iterator[File]:
    """The same by `docker save`, which every Docker and Podman has."""
    with subprocess.Popen([image.docker, "save", image.name], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or member.size < tarfile.BLOCKSIZE:
                    continue
                try:
                    layer = tarfile.open(fileobj=content, mode="r|")  # noqa: SIM115  # closed below
                except tarfile.ReadError:
                    continue  # the image's description, not a layer
                with layer:
                    for file in layer:
                        if file.isreg():
                            yield File(member.name, file.name.removeprefix("./"), file.size, _reader(layer, file))
        process.stdout.read()  # type: ignore[union-attr]  # it has one; Docker is not to die of a closed pipe
    assert process.returncode == 0, f"docker save {image} ended with {process.returncode}"


def _reader(archive: tarfile.TarFile, file: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        content = archive.extractfile(file)
        assert content is not None
        return content.read()

    return read
