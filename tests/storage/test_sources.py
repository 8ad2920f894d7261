"""Images in buckets: patterns, several inputs, and manifests whose lines lead to other places."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.storage.conftest import access_to, moto_client

from mxspark.dataset.source import Source
from mxspark.settings.job import InputSettings
from mxspark.storage import MissingError, StorageError

KEYS = [
    "2026-01/a.jpg",
    "2026-01/a.heic2",
    "2026-01/sub/b.jpg",
    "2026-02/c.png",
    "2026-02/",
    "lists/a.jpg",
    "odd*/d.jpg",
    "http://x/e.jpg",
]


@pytest.fixture(scope="module")
def bucket(moto_url: str) -> str:
    """A bucket with images, whose bytes are their keys."""
    name = f"bucket-{uuid4().hex}"
    client = moto_client(moto_url)
    client.create_bucket(Bucket=name)
    for key in KEYS:
        client.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


def source(moto_url: str, path: str | list[str], **more: Any) -> Source:
    return Source(InputSettings(path=path, **more), access_to(moto_url))


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ("2026-*/*.jpg", ["2026-01/a.jpg"]),
        ("2026-*", ["2026-01/a.jpg", "2026-01/sub/b.jpg", "2026-02/c.png"]),
        ("2026-0[1]/*.heic2", ["2026-01/a.heic2"]),
        ("2026-01/a.heic2", ["2026-01/a.heic2"]),  # no pattern but the very object
        ("**/sub/", ["2026-01/sub/b.jpg"]),
        ("odd*", ["odd*/d.jpg"]),  # a prefix that is there
        ("http://x", ["http://x/e.jpg"]),  # its key is no address
    ],
)
def test_a_pattern_in_a_bucket(moto_url: str, bucket: str, pattern: str, taken: list[str]) -> None:
    images = source(moto_url, f"s3a://{bucket}/{pattern}")

    assert list(images.keys()) == taken
    assert [images.read(key) for key in taken] == [key.encode() for key in taken]


def test_what_a_prefix_leaves_out_is_counted(moto_url: str, bucket: str) -> None:
    images = source(moto_url, f"s3://{bucket}/2026-", exclude=["sub"])

    assert list(images.keys()) == ["2026-01/a.jpg", "2026-02/c.png"]
    assert images.skipped.counts() == {".heic2": 1, "(excluded)": 1, "(folder marker)": 1}


def test_several_inputs_of_several_kinds(moto_url: str, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"here")
    images = source(moto_url, [f"s3://{bucket}/2026-01/sub", f"s3n://{bucket}/2026-02/", str(tmp_path)])

    found = list(images.keys())

    assert found == [f"s3://{bucket}/2026-01/sub/b.jpg", f"s3://{bucket}/2026-02/c.png", f"{tmp_path}/a.jpg"]
    assert [images.read(key) for key in found] == [b"2026-01/sub/b.jpg", b"2026-02/c.png", b"here"]


def test_every_line_of_a_manifest_is_a_key_wherever_it_leads(moto_url: str, bucket: str) -> None:
    lines = [
        "a.jpg ",
        f"s3://{bucket}/2026-02/c.png",
        f"s3a://{bucket}/2026-02/c.png",
        "noext",
        "# a comment.jpg",
        "s3://a..b/x",
        "s3://X/",
    ]
    moto_client(moto_url).put_object(Bucket=bucket, Key="lists/m.txt", Body="\n".join(lines).encode())
    images = source(moto_url, f"s3://{bucket}/lists/m.txt")

    found = list(images.keys())

    assert found == [line.rstrip() for line in lines]
    assert [images.read(key) for key in found[:3]] == [b"lists/a.jpg", b"2026-02/c.png", b"2026-02/c.png"]
    for key in found[3:5]:
        with pytest.raises(MissingError):
            images.read(key)
    for key in found[5:]:
        with pytest.raises(StorageError):
            images.read(key)
