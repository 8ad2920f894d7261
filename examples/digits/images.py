"""scikit-learn's 1,797 handwritten digits: from its table to PNG files, and from those to what the network takes."""

import csv
import gzip
import io
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.archives import read

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "images"
MEMBER = "sklearn/datasets/data/digits.csv.gz"
BRIGHTEST = 16  # the table's greys are 0 to 16: ink in a 4 × 4 block of the scan
LABEL = re.compile(r"_(\d)\.png$")


def write_images(scikit_learn: Path) -> None:
    """Write every row of the table as an 8 × 8 grey PNG, white on black: `0000_7.png` is number 0, a seven."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    table = io.StringIO(gzip.decompress(read(scikit_learn, MEMBER)).decode())
    for number, row in enumerate(csv.reader(table)):
        *greys, label = (int(float(cell)) for cell in row)
        pixels = np.rint(np.array(greys) * (255 / BRIGHTEST)).astype(np.uint8).reshape(8, 8)
        Image.fromarray(pixels).save(FOLDER / f"{number:04}_{label}.png")


def paths() -> list[Path]:
    """The image files there are, in the table's order."""
    return sorted(path for path in FOLDER.glob("[0-9][0-9][0-9][0-9]_*.png") if LABEL.search(path.name))


def label(path: Path) -> int:
    """The true digit, from the file's name."""
    found = LABEL.search(path.name)
    if not found:
        raise ValueError(f"{path.name} does not end in _DIGIT.png")
    return int(found[1])


def is_held_out(path: Path) -> bool:
    """Whether training must not see the image: its number's tens digit is 4 or 9.

    The table runs from 0 to 9 again and again, so every fifth block of ten holds all the digits: 357 images.
    """
    return path.name[2] in "49"


def pixels(path: Path) -> NDArray[np.float32]:
    """The network's input (3, 32, 32), just as model.yaml says: RGB, squashed (bilinear), (pixel - 127.5) / 127.5."""
    with Image.open(path) as image:
        squashed = image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
    return ((np.asarray(squashed, np.float32) - 127.5) / 127.5).transpose(2, 0, 1)
