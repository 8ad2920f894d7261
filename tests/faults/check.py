"""The table that a job left in a bucket: read as a user does, and compared with another's, row for row."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.fs
import pyarrow.parquet
from examples.s3 import REGION, Server

COLUMNS = ["key", "status", "error", "predictions"]
SHOWN = 5  # of the keys that differ
Row = Mapping[str, Any]


def read_table(server: Server, place: str) -> list[Row]:
    """All rows of the table at `place` (bucket/prefix), sorted by key."""
    files = pyarrow.fs.S3FileSystem(
        access_key=server.access_key,
        secret_key=server.secret_key,
        endpoint_override=server.endpoint_url.removeprefix("http://"),
        scheme="http",
        region=REGION,
    )
    rows: list[Row] = pyarrow.parquet.read_table(place, columns=COLUMNS, filesystem=files).to_pylist()
    return sorted(rows, key=lambda row: str(row["key"]))


def keys_below(client: Any, bucket: str, prefix: str) -> list[str]:
    """The keys that start with the prefix, without it."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"].removeprefix(prefix) for page in pages for entry in page.get("Contents", ())]


def problems_of_table(found: Sequence[Row], expected: Sequence[Row]) -> list[str]:
    """How the table differs from the expected one, a line each; none where it is the same."""
    counts = Counter(row["key"] for row in found)
    wanted = {row["key"]: row for row in expected}
    failed = [f"{row['key']} ({row['status']}: {row['error']})" for row in found if row["status"] != "ok"]
    fine = [row for row in found if row["status"] == "ok" and row["key"] in wanted]
    other = [f"{row['key']} ({_difference(row, wanted[row['key']])})" for row in fine if row != wanted[row["key"]]]
    lists = {
        "rows have failed": failed,
        "keys have no row": [key for key in wanted if key not in counts],
        "keys have more than one row": [key for key, count in counts.items() if count > 1],
        "rows are of keys that were not planned": [key for key in counts if key not in wanted],
        "rows are other than the undisturbed run's": other,
    }
    return [f"{len(keys)} {what}: {', '.join(sorted(keys)[:SHOWN])}" for what, keys in lists.items() if keys]


def _difference(found: Row, expected: Row) -> str:
    return "; ".join(
        f"{column} {found[column]!r} instead of {expected[column]!r}"
        for column in COLUMNS
        if found[column] != expected[column]
    )


def problems_of_output(names: Sequence[str], parts: int) -> list[str]:
    """What is wrong with the names in an output of so many parts, a line each: readers of tables don't see those
    with `_` in front.
    """
    visible = [name for name in names if not name.startswith("_")]
    orphans = [name for name in visible if not re.fullmatch(r"part-\d{6}\.parquet", name)]
    problems = [f"a visible file that is no part: {name}" for name in orphans]
    if len(visible) - len(orphans) != parts:
        problems.append(f"{len(visible) - len(orphans)} parts instead of {parts}")
    if "_SUCCESS" not in names:
        problems.append("there is no _SUCCESS")
    return problems
