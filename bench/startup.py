"""How much longer a run over two images takes than an empty Spark job, whole process against whole process; when its
first rows are there, and what processor time that took.

Prediction: Python's imports 0.6 s, Java 1.5 s meanwhile with MXNet and the network, the tasks 0.5 s: first rows after
3 s and 6 s of a processor. Goals: 5 and 8 s. Interleaved; medians of ROUNDS.
"""

import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from bench import fixtures
from bench.processes import measure

ROUNDS = int(os.environ.get("ROUNDS", "5"))
_EMPTY = """
from pyspark import SparkContext
context = SparkContext("local[*]")
context.parallelize([1], 1).foreachPartition(lambda partition: None)
context.stop()
"""


def main() -> None:
    bundle = fixtures.bundle()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for name, data in fixtures.small_pngs(2):
            (images / name).write_bytes(data)
        table = f"{folder}/table"
        run = [
            sys.executable,
            "-m",
            "mxspark",
            "run",
            "--input",
            str(images),
            "--output",
            table,
            "--model",
            str(bundle),
            "--overwrite",
            "--yes",
        ]
        measure(run, os.environ)  # makes the class archive and the check of the model
        pairs = []
        for number in range(ROUNDS):
            shutil.rmtree(table)
            pairs.append((measure([sys.executable, "-c", _EMPTY], os.environ), measure(run, os.environ, Path(table))))
            empty, ours = pairs[-1]
            print(
                f"round {number + 1}: empty Spark job {empty.wall:.1f} s, run over two images {ours.wall:.1f} s "
                f"({ours.cpu:.1f} s of a processor), first rows after {ours.first_part or ours.wall:.1f} s",
                flush=True,
            )
    difference = statistics.median(ours.wall - empty.wall for empty, ours in pairs)
    print(
        f"\n{difference:+.1f} s over an empty Spark job ({statistics.median(empty.wall for empty, _ in pairs):.1f} s); "
        f"{statistics.median(ours.cpu for _, ours in pairs):.1f} s of a processor; first rows after "
        f"{statistics.median(ours.first_part or ours.wall for _, ours in pairs):.1f} s"
    )
