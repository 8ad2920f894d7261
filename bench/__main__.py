"""`make bench`: everything; `python -m bench NAME`, of those in BENCHMARKS: one of them."""

import sys

from bench import convert, estimate, overlap, planning, precision, report, secured, startup, vectors

BENCHMARKS = {
    "overlap": overlap.main,
    "precision": precision.main,
    "startup": startup.main,
    "planning": planning.main,
    "secured": secured.main,
    "vectors": vectors.main,
    "convert": convert.main,
    "report": report.main,
    "estimate": estimate.main,
}

if __name__ == "__main__":
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    for name in names:
        print(f"\n{name}: {sys.modules[f'bench.{name}'].__doc__}", flush=True)
        BENCHMARKS[name]()
