"""A thousand small image files of every kind that a bucket may hold: whole, odd, cut, damaged, lying, hostile, and no
images at all.

Made anew by the tests, the same each time. Each says what may become of it.
"""

from collections.abc import Iterable
from functools import cache
from itertools import chain

from tests.faults.bad_images import beginnings, cut, flipped, misnamed, strangers
from tests.faults.good_images import animations, doubtful, orientations, sizes, whole
from tests.faults.hostile_images import bombs, broken_exif, metadata, swollen
from tests.faults.lying_images import lying_chunks, lying_headers, lying_tiffs, lying_webps
from tests.faults.specimens import Specimen

GOOD = (whole, doubtful, sizes, orientations, animations, misnamed)
BAD = (cut, flipped, strangers, beginnings)
LYING = (lying_headers, lying_webps, lying_chunks, lying_tiffs)
HOSTILE = (bombs, swollen, metadata, broken_exif)


@cache
def corpus() -> tuple[Specimen, ...]:
    """All of them, the same at every call and in every process."""
    return tuple(chain.from_iterable(group() for group in (*GOOD, *BAD, *LYING, *HOSTILE)))


@cache
def specimens() -> dict[str, Specimen]:
    """All of them by their names; not made before a test asks, for every process of a run reads the tests' modules."""
    return {specimen.name: specimen for specimen in corpus()}


def listed(failures: Iterable[str]) -> str:
    """What tests compare with nothing, so that pytest shows one failure a line."""
    return "\n".join(failures)


def is_told_well(status: str, problem: str | None) -> bool:
    """Whether an error goes with the status: none with ok; else a line that may stand in a table and on a terminal."""
    if status == "ok":
        return not problem
    return bool(
        problem and problem.isprintable() and len(problem) <= 300 and "/" not in problem and "Traceback" not in problem
    )
