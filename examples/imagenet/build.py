"""Make the ImageNet example: 14 photographs in images/ and a real network in bundle/. Does nothing when they are there.

Run:  .venv/bin/python examples/imagenet/build.py
"""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, from anywhere

from examples.archives import LOCK, REPOSITORY, ArchiveError, archives, read
from examples.imagenet import labels, photographs, weights
from examples.packing import PackError, pack
from examples.stamp import once

HERE = Path(__file__).resolve().parent
SPEC, IMAGES, BUNDLE = HERE / "model.yaml", HERE / "images", HERE / "bundle"
WORK = REPOSITORY / ".cache" / "imagenet"


def sources() -> list[Path]:
    return [LOCK, SPEC, *HERE.glob("*.py"), *HERE.parent.glob("*.py")]


def outputs() -> Iterator[Path]:
    yield from (IMAGES / name for name in photographs.NAMES)
    yield BUNDLE / "model.yaml"
    yield from (path for path in BUNDLE.glob("*") if path.name != "model.yaml")


def make() -> None:
    """Take the photographs, the names and the weights from their packages, and pack the network as a bundle."""
    packages = archives(*photographs.MEMBERS, weights.PACKAGE, labels.PACKAGE)
    photographs.extract(packages, IMAGES)
    print(f"{IMAGES.relative_to(REPOSITORY)}: {len(photographs.NAMES)} photographs", flush=True)

    # MXNet takes two seconds to import: only when there is something to make.
    from examples.imagenet import network

    WORK.mkdir(parents=True, exist_ok=True)
    network.save(
        weights.read_checkpoint(read(packages[weights.PACKAGE], weights.MEMBER)),
        WORK / "efficientnet-lite0",
    )
    names = WORK / "synset.txt"
    names.write_text("".join(f"{line}\n" for line in labels.synset_lines(packages[labels.PACKAGE])))
    pack(WORK / "efficientnet-lite0", names, SPEC, BUNDLE)
    print(f"{BUNDLE.relative_to(REPOSITORY)}: EfficientNet-Lite0, 1,000 classes", flush=True)


if __name__ == "__main__":
    try:
        once("imagenet", sources(), outputs, make)
    except (ArchiveError, PackError, pickle.UnpicklingError, OSError) as error:
        sys.exit(f"examples/imagenet: {error}")
