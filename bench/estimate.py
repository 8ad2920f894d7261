"""`mxspark estimate` against the run that it is about: seconds, interleaved.

Goal: within 15 %. Both see the same folder of small PNGs, ResNet-18 and this machine; what else the machine does
between them is in the ratio too. The run is timed from its command to its end.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench import fixtures

ROUNDS = int(os.environ.get("ROUNDS", "3"))
IMAGES = int(os.environ.get("IMAGES", "1500"))


def main() -> None:
    model = str(fixtures.bundle())
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        images = Path(name) / "images"
        images.mkdir()
        for key, data in fixtures.small_pngs(IMAGES):
            (images / key).write_bytes(data)
        job = ["--input", str(images), "--model", model]
        for number in range(ROUNDS):
            found = json.loads(_mxspark("estimate", *job, "--json")[0])
            estimated = found["forecasts"][0]["seconds"]
            taken = _mxspark("run", *job, "--output", f"{name}/table-{number}")[1]
            ratios.append(estimated / taken)
            summary = json.loads((Path(name) / f"table-{number}" / "_summary.json").read_text())["this_run"]
            start = found["start"]
            print(
                f"estimated {estimated:.1f} s ({found['measured']['rate']:.1f} images/s, Spark {start['spark']:.1f} s, "
                f"workers {start['workers']:.1f} s, others {found['others']:.0%}); took {taken:.1f} s "
                f"({summary['images_per_second']:.1f} images/s, start {summary['startup_seconds']:.1f} s): "
                f"{ratios[-1]:.2f}",
                flush=True,
            )
    print(f"{IMAGES:,} images, {ROUNDS} rounds: estimated / taken {median(ratios):.2f} in the median")


def _mxspark(*arguments: str) -> tuple[bytes, float]:
    """What the command prints, and the seconds that it takes."""
    start = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "mxspark", *arguments], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    return ended.stdout, time.monotonic() - start
