"""What the tests of real runs under faults share: a job on some of the digits, and its rows as they lie in the
output.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.s3 import Server
from tests.command import names
from tests.conftest import BUCKET

Flags = tuple[str | Path, ...]
Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """A folder of images, a bundle, and an output of lines of JSON in shards of `shard_size` images."""

    images: Path | str
    bundle: Path
    output: Path
    shard_size: int = 20
    more: Flags = ()

    @property
    def command(self) -> Flags:
        """What `mxspark` is called with."""
        places = ("--input", self.images, "--model", self.bundle, "--output", self.output)
        return (
            "run",
            *places,
            "--format",
            "jsonl",
            "--master",
            "local[1]",
            "--set",
            f"plan.shard_size={self.shard_size}",
            *self.more,
        )

    @property
    def parts(self) -> list[str]:
        return names(self.output, "part-*.jsonl")

    @property
    def contents(self) -> dict[str, bytes]:
        """The bytes of every part."""
        return {name: (self.output / name).read_bytes() for name in self.parts}

    @property
    def rows(self) -> Rows:
        """The rows by key; fails where a key has two."""
        return rows_of(self.contents.values())

    @property
    def succeeded(self) -> bool:
        return (self.output / "_SUCCESS").exists()


def keys_of_parts(client: Any, table: str = "table") -> list[str]:
    """The keys of all parts of a table in a bucket."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{table}/part-")
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def parts_in_bucket(server: Server, table: str = "table") -> dict[str, bytes]:
    """The bytes of every part of a table in a bucket."""
    client = server.client()
    return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys_of_parts(client, table)}


def rows_of(parts: Iterable[bytes]) -> Rows:
    """The rows in some parts by key; fails where a key has two."""
    lines = [json.loads(line) for part in parts for line in part.decode().splitlines()]
    rows = {line["key"]: line for line in lines}
    assert len(rows) == len(lines), "a key has two rows"
    return rows


def setting(**values: object) -> Flags:
    """Flags for settings, whose sections are parted by two underscores: storage__retries=2."""
    return tuple(flag for name, value in values.items() for flag in ("--set", f"{name.replace('__', '.')}={value}"))


def some_digits(source: Path, target: Path, number: int) -> Path:
    """A folder with the first so many digits."""
    target.mkdir(parents=True, exist_ok=True)
    for name in names(source, "*.png")[:number]:
        (target / name).write_bytes((source / name).read_bytes())
    return target
