"""Keys to shards: listed once, sorted and freed of doubles, and frozen as numbered shards under the output.

    _plan/000000.jsonl.gz   segments of SHARDS_IN_SEGMENT shards; a line is one shard, a JSON list of its keys
    _plan/plan.json         written last: without it there is no plan

Memory does not grow with the number of keys: they pass through a temporary SQLite table on disk.
"""

import gzip
import io
import json
import sqlite3
import tempfile
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Any

from mxspark.errors import MxsparkError
from mxspark.storage import MissingError, Store
from mxspark.text.words import shortened

VERSION = 3
PLAN = "_plan/plan.json"
SHARDS_IN_SEGMENT = 64
# What is more is nothing that a run wrote.
MAX_PLAN_BYTES = 16 * 2**20
MAX_SEGMENT_BYTES = 2**30
MAX_SHARD_BYTES = 256 * 2**20  # of JSON
MAX_SHARDS = 10**8
MAX_DEPTH = 60  # levels of plan.json
# Enough images to make a task's own cost (a few ms) vanish, few enough to lose little with a killed one.
LARGEST_SHARD = 1024
# Shards for each worker, so that none is idle long while the last ones finish.
SHARDS_PER_WORKER = 8
# Keys from all over the plan, to tell a place that is gone or closed from single images that are.
SAMPLES = 8


# (shards, images in each) one after another; the very last shard may be shorter.
Sizes = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Plan:
    """What a run does: `keys` images in `shards` shards of `shard_size` at most."""

    version: int
    id: str  # of this very plan: who works on another one must not write here
    created: str
    keys: int
    listed: int  # before doubles were dropped
    shard_size: int
    shards: int
    sizes: Sizes
    samples: tuple[str, ...]  # some of the keys
    identity: Mapping[str, Any]  # the settings and digests that results depend on
    settings: Mapping[str, Any]  # all of the run that made it
    skipped: Mapping[str, int] = field(default_factory=dict)  # entries of the input that have no key here, by why

    def size(self, shard: int) -> int:
        """How many keys a shard has."""
        left = self.keys
        for shards, size in self.sizes:
            if shard < shards:
                return min(size, left - shard * size)
            shard, left = shard - shards, left - shards * size
        raise IndexError


class KeySpool:
    """Keys on disk, sorted by their UTF-8 bytes as S3 sorts them, each once.

    They are appended as they come and sorted once, by SQLite's sorter, which merges sorted runs on disk: all reading
    and writing is in order. (A sorted table that takes them as they come looks for a page of the disk for each key once
    it has outgrown its cache.)
    """

    def __init__(self) -> None:
        # An empty name is a private database in a temporary file that vanishes with the connection.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        # The cache's size [KiB] is the sorted runs' too: 10 million keys make some 200 of 2 MB.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-2000", "temp_store=FILE"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("CREATE TABLE keys (key TEXT PRIMARY KEY) WITHOUT ROWID")
        self.listed = 0

    def fill(self, keys: Iterable[str]) -> None:
        """Takes in all keys, a double once. Raises MxsparkError where there is no room for them."""

        def counted() -> Iterator[tuple[str]]:
            for key in keys:
                self.listed += 1
                yield (key,)

        try:
            self._database.execute("BEGIN")
            self._database.execute("CREATE TABLE listed (key TEXT)")
            self._database.executemany("INSERT INTO listed VALUES (?)", counted())
            self._database.execute("INSERT OR IGNORE INTO keys SELECT key FROM listed ORDER BY key")
            self._database.execute("DROP TABLE listed")
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            problem = f"the keys can't be sorted in the folder for temporary files: {error}"
            raise MxsparkError(problem, "Make room there, or set TMPDIR to another folder.") from error

    def __len__(self) -> int:
        count: int = self._database.execute("SELECT count(*) FROM keys").fetchone()[0]
        return count

    def sample(self, count: int) -> list[str]:
        """So many of the keys, or all where there are fewer; drawn at random, and the same each time."""
        ranks = Random(0).sample(range(1, len(self) + 1), min(count, len(self)))  # noqa: S311  # no secret
        numbered = "SELECT key, row_number() OVER (ORDER BY key) AS rank FROM keys"
        chosen = f"SELECT key FROM ({numbered}) WHERE rank IN (SELECT value FROM json_each(?))"  # noqa: S608
        rows = self._database.execute(chosen, (json.dumps(ranks),))
        return [row[0] for row in rows]

    def __iter__(self) -> Iterator[str]:
        return (row[0] for row in self._database.execute("SELECT key FROM keys ORDER BY key"))

    def close(self) -> None:
        self._database.close()


def choose_shard_size(keys: int, workers: int, batch_size: int) -> int:
    """So many images in a shard that every worker gets several shards in whole batches, or one where there are few
    images.
    """
    even = -(-keys // (workers * SHARDS_PER_WORKER))
    batches = max(1, min(-(-even // batch_size), LARGEST_SHARD // batch_size))
    return min(batches * batch_size, LARGEST_SHARD, max(1, -(-keys // workers)))


def tapered(keys: int, shard_size: int, workers: int, batch_size: int) -> Sizes:
    """Shards of that size, but small ones first, by which it shows soon that something happens, and ever smaller ones
    last, so that no worker is idle for longer than a batch while others finish.
    """
    if shard_size <= batch_size or keys <= workers * shard_size:
        return even(keys, shard_size)
    halves = [shard_size]
    while halves[-1] > batch_size:
        halves.append(-(-halves[-1] // 2 // batch_size) * batch_size)
    left = keys - workers * (batch_size + sum(halves[1:]))
    if left < 0:
        return even(keys, shard_size)
    sizes = [(workers, batch_size)]
    for size in halves:
        more, left = divmod(left, size)
        sizes.append((more if size == shard_size else workers + more, size))
    if left:
        sizes[-1] = (sizes[-1][0] + 1, batch_size)
    return tuple(entry for entry in sizes if entry[0])


def even(keys: int, shard_size: int) -> Sizes:
    """Shards of that size; the last may be smaller."""
    return ((-(-keys // shard_size), shard_size),) if keys else ()


def write(
    store: Store,
    spool: KeySpool,
    shard_size: int,
    identity: Mapping[str, Any],
    settings: Mapping[str, Any],
    skipped: Mapping[str, int] | None = None,
    sizes: Sizes | None = None,
) -> Plan:
    """Freezes the spooled keys under `_plan/`, in shards of `sizes`, or all of `shard_size`."""
    keys = len(spool)
    sizes = sizes or even(keys, shard_size)
    shards = sum(count for count, _ in sizes)
    every, of_each = -(-shards // SAMPLES), max(1, SAMPLES // max(1, shards))
    samples = []
    remaining = iter(spool)
    size_of_each = (size for count, size in sizes for _ in range(count))
    for segment in range(-(-shards // SHARDS_IN_SEGMENT)):
        with tempfile.NamedTemporaryFile() as file:
            # mtime 0: the same keys give the same bytes.
            with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as zipped:
                for number, size in enumerate(islice(size_of_each, SHARDS_IN_SEGMENT), segment * SHARDS_IN_SEGMENT):
                    shard = list(islice(remaining, size))
                    zipped.write(json.dumps(shard, ensure_ascii=False).encode() + b"\n")
                    samples += shard[:: -(-len(shard) // of_each)] if number % every == 0 else []
            file.flush()
            store.upload(_segment(segment), Path(file.name))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    plan = Plan(
        VERSION,
        uuid.uuid4().hex,
        now,
        keys,
        spool.listed,
        max((size for _, size in sizes), default=shard_size),
        shards,
        sizes,
        tuple(samples),
        identity,
        settings,
        skipped or {},
    )
    store.write(PLAN, json.dumps(asdict(plan), indent=1).encode())
    return plan


def load(store: Store) -> Plan | None:
    """The plan under this output, None where there is none (or only an interrupted one)."""
    try:
        data = json.loads(store.read(PLAN, MAX_PLAN_BYTES))
        if not is_flat(data):
            raise damaged(store)
        version = data["version"]
    except MissingError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise damaged(store) from None
    if version != VERSION:
        raise MxsparkError(
            f"{store.name}/{PLAN}: made by another version of mxspark (format {shortened(version)}, this one reads "
            f"{VERSION})",
            "Finish the run with that version, or run again with --overwrite.",
        )
    try:
        sizes = tuple((count, size) for count, size in data["sizes"])
        found = Plan(**{**data, "samples": tuple(data["samples"]), "sizes": sizes})
    except (TypeError, KeyError, ValueError):
        raise damaged(store) from None
    if not _is_sound(found):
        raise damaged(store)
    return found


def is_flat(data: object, levels: int = MAX_DEPTH) -> bool:
    """Whether data has no more levels than that, so that nothing that walks through it runs out of Python's stack."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return levels > 0 and all(is_flat(value, levels - 1) for value in inner)


def _is_sound(plan: Plan) -> bool:
    """Whether its parts are of the kind that is written: others may be able to write where results are."""
    numbers = (plan.keys, plan.listed, plan.shard_size, plan.shards, *chain(*plan.sizes))
    if (
        not all(type(number) is int and number >= 0 for number in numbers)
        or not all(chain(*plan.sizes))
        or plan.shards > MAX_SHARDS
    ):
        return False
    texts = [plan.id, plan.created, *plan.samples, *plan.skipped] if isinstance(plan.skipped, dict) else [None]
    counts = plan.skipped.values() if isinstance(plan.skipped, dict) else ()
    sections = [plan.identity, plan.settings]
    if isinstance(plan.settings, dict):
        sections += [plan.settings.get(name, {}) for name in ("input", "output", "model")]
    room = sum(count * size for count, size in plan.sizes)
    return (
        plan.shards == sum(count for count, _ in plan.sizes)
        and (0 <= room - plan.keys < plan.sizes[-1][1] if plan.sizes else plan.keys == 0)
        and plan.shard_size == max((size for _, size in plan.sizes), default=plan.shard_size)
        and all(isinstance(text, str) for text in texts)
        and all(type(count) is int for count in counts)
        and all(isinstance(section, dict) for section in sections)
    )


def damaged(store: Store, name: str = PLAN) -> MxsparkError:
    """The error of a plan that is not what was written."""
    return MxsparkError(f"{store.name}/{name}: damaged", "Run again with --overwrite.")


def shard_keys(store: Store, shard: int) -> list[str]:
    """The keys of one shard."""
    segment, line = divmod(shard, SHARDS_IN_SEGMENT)
    try:
        with gzip.open(io.BytesIO(store.read(_segment(segment), MAX_SEGMENT_BYTES))) as lines:
            for _ in range(line):
                _line(lines)
            keys: list[str] = json.loads(_line(lines))
    except (MissingError, OSError, EOFError, zlib.error, ValueError, RecursionError):
        raise damaged(store, _segment(segment)) from None
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise damaged(store, _segment(segment))
    return keys


def _line(lines: gzip.GzipFile) -> bytes:
    """Raises ValueError at one that no plan has: few compressed bytes may stand for more than there is memory."""
    if len(found := lines.readline(MAX_SHARD_BYTES + 1)) > MAX_SHARD_BYTES:
        raise ValueError("too long")
    return found


def _segment(number: int) -> str:
    return f"_plan/{number:06d}.jsonl.gz"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What changed between two identities, a line each: `key: old -> new`."""
    changes = []
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            changes.append(f"{prefix}{key}: {before} -> {after}")
    return changes
