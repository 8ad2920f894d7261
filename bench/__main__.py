"""`make bench`: everything; `python -m bench NAME …` some of them; `python -m bench peers --help`: one has flags."""

import sys

from bench import convert, estimate, overlap, planning, precision, report, scaling, secured, startup, vectors
from bench.peers import command as peers

BENCHMARKS = {
    "overlap": overlap.main,
    "precision": precision.main,
    "scaling": scaling.main,
    "startup": startup.main,
    "planning": planning.main,
    "secured": secured.main,
    "vectors": vectors.main,
    "convert": convert.main,
    "report": report.main,
    "estimate": estimate.main,
    "peers": peers.main,
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["peers"]:
        peers.main(sys.argv[2:])
        sys.exit()
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    for name in names:
        print(f"\n{name}: {sys.modules[BENCHMARKS[name].__module__].__doc__}", flush=True)
        BENCHMARKS[name]()
