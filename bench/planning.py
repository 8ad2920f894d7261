"""Peak memory and time of planning for 10^3 to 10^6 keys out of a manifest.

Prediction: flat, for the keys pass through a table on disk with a cache of 4 MB; some 5 microseconds a key. Goal: within 1.1 times.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = (10**3, 10**4, 10**5, 10**6)
_PLAN = """
import resource, sys, time
from pathlib import Path
from mxspark import driver, plan, storage
from mxspark.settings import InputSettings
from mxspark.source import Source
access = storage.Access()
start = time.perf_counter()
spool = plan.KeySpool()
spool.fill(Source(InputSettings(path=sys.argv[1]), access).keys())
made = plan.write(storage.open_store(sys.argv[2], access), spool, 1024, {})
print(made.keys, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def main() -> None:
    smallest = 0
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            manifest = Path(folder) / f"{size}.txt"
            with open(manifest, "w") as file:
                # Multiplying by a number without common factors shuffles them: not the order that suits the table best.
                file.writelines(f"photographs/2026/{number * 7919 % size:09d}.jpg\n" for number in range(size))
            answer = subprocess.run(
                [sys.executable, "-c", _PLAN, str(manifest), f"{folder}/{size}"], check=True, capture_output=True, text=True
            )
            keys, seconds, memory = answer.stdout.split()
            smallest = smallest or int(memory)
            objects = sum(1 for _ in Path(folder, str(size)).rglob("*.gz"))
            per_key = 1e6 * float(seconds) / int(keys)
            print(
                f"{int(keys):>9,} keys: peak {memory} MiB ({int(memory) / smallest:.2f} of the smallest), "
                f"{float(seconds):.2f} s, {per_key:.1f} µs a key, {objects} plan objects",
                flush=True,
            )
