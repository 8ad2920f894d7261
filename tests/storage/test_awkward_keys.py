"""Keys that S3 can hold but folders, obstore and SeaweedFS can't: read through another way, from a fake that can."""

import io

import pytest
from tests.storage.conftest import moto_client

from mxspark.dataset.source import Source
from mxspark.settings.job import InputSettings
from mxspark.storage import S3Store

KEYS = {
    "empty segment": "a//b.png",
    "leading slash": "/a.png",
    "only slashes before": "//a.png",
    "trailing slash": "a.png/",
    "this folder": "./a.png",
    "this folder within": "a/./b.png",
    "folder above": "../a.png",
    "folder above within": "a/../b.png",
    "one segment of 1,024 bytes": "x" * 1020 + ".png",
    "1,024 bytes of three-byte characters": "\u20ac" * 340 + ".png",
    "back slash": "a\\b.png",
    "non-breaking space": "a\u00a0b.png",
    "space and plus and percent": "a b+c%2Bd//e.png",
}


@pytest.fixture(scope="module")
def full_store(moto_store: S3Store, moto_url: str) -> S3Store:
    """A bucket with all of the keys, put there by boto3."""
    client = moto_client(moto_url)
    for key in KEYS.values():
        client.put_object(Bucket=moto_store.bucket, Key=key, Body=f"bytes of {key}".encode())
    return moto_store


def test_all_are_listed_as_they_are(full_store: S3Store) -> None:
    assert sorted(full_store.keys()) == sorted(KEYS.values())


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_each_is_read_and_no_other_in_its_place(full_store: S3Store, key: str) -> None:
    data = f"bytes of {key}".encode()
    assert full_store.read(key) == data
    assert full_store.read_tail(key, 4) == data[-4:]
    target = io.BytesIO()
    full_store.download(key, target)
    assert target.getvalue() == data


@pytest.mark.parametrize("size", [0, 7, 8, 20])
def test_large_ones_come_in_pieces(
    full_store: S3Store, moto_url: str, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("mxspark.storage.s3.store.PIECE", 8)
    data = bytes(range(size))
    moto_client(moto_url).put_object(Bucket=full_store.bucket, Key="a//large", Body=data, ContentEncoding="identity")
    pieces = [piece.data for piece in full_store._pieces("a//large")]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 8
    moto_client(moto_url).delete_object(Bucket=full_store.bucket, Key="a//large")


@pytest.mark.parametrize("prefix", ["/", "a//", "../", "./", "//", "x" * 1020])
def test_prefixes_of_such_keys_are_raw_text_too(full_store: S3Store, prefix: str) -> None:
    wanted = sorted(key for key in KEYS.values() if key.startswith(prefix))
    assert wanted
    assert sorted(full_store.keys(prefix)) == wanted


def test_as_images_they_are_found_and_read(full_store: S3Store) -> None:
    source = Source(InputSettings(path=f"s3://{full_store.bucket}"), full_store.access)
    wanted = sorted(key for key in KEYS.values() if not key.endswith("/"))
    assert sorted(source.keys()) == wanted
    assert [source.read(key) for key in wanted] == [f"bytes of {key}".encode() for key in wanted]
