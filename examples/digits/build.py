"""Make the digits example's images/: 1,797 labelled PNG files. Does nothing when they are there.

Run:  .venv/bin/python examples/digits/build.py     (the network in bundle/ is committed; train.py made it)
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, from anywhere

from examples.archives import LOCK, REPOSITORY, ArchiveError, archives
from examples.digits import images
from examples.stamp import once

HERE = Path(__file__).resolve().parent


def make() -> None:
    """Take the digits from scikit-learn's wheel."""
    images.write_images(archives("scikit-learn")["scikit-learn"])
    print(f"{images.FOLDER.relative_to(REPOSITORY)}: {len(images.paths())} digits", flush=True)


def build() -> None:
    """Make the images where they are missing. Raises ArchiveError."""
    once("digits", [LOCK, HERE / "images.py", HERE / "build.py", HERE.parent / "archives.py"], images.paths, make)


if __name__ == "__main__":
    try:
        build()
    except (ArchiveError, OSError) as error:
        sys.exit(f"examples/digits: {error}")
