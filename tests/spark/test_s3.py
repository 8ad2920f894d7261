"""The whole job against a real S3 server: images from a bucket, the model from a bucket, the table into a bucket."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.fs
import pytest
from examples.s3 import Server
from tests.command import Command, Finished
from tests.conftest import BUCKET, put
from tests.documentation import filled, shown
from tests.spark.conftest import ALL_DIGITS, TRUE_LABEL, Run, read_table

# Odd characters, as people's own prefixes have them.
PREFIX = "digits, 8 x 8 + labels"
OUTPUT = "tables/100%/digits"


@pytest.fixture(scope="module")
def uploaded(s3_server: Server, digits_images: Path, digits_bundle: Path) -> Any:
    """The server's client; the digits and their network are in its bucket."""
    objects = {f"{PREFIX}/{path.name}": path.read_bytes() for path in digits_images.iterdir()}
    objects |= {f"models/digits/{path.name}": path.read_bytes() for path in digits_bundle.iterdir()}
    put(s3_server, {**objects, f"{PREFIX} of others/not-asked-for.png": b""})
    return s3_server.client()


@pytest.fixture(scope="module")
def bucket_run(mxspark: Command, s3_server: Server, uploaded: Any) -> Finished:
    """All digits, from bucket to bucket, by the README's command: the endpoint by a flag, the keys in the
    environment.
    """
    keys = {name: value for name, value in s3_server.environment.items() if name != "AWS_ENDPOINT_URL"}
    (command,) = [words for words in shown("README.md", "mxspark", "run") if "--endpoint-url" in words]
    places = {
        "s3://images/photos": f"s3://{BUCKET}/{PREFIX}/",
        "s3://models/efficientnet-lite0": f"s3://{BUCKET}/models/digits",
        "s3://images/predictions": f"s3://{BUCKET}/{OUTPUT}",
        "http://127.0.0.1:8333": s3_server.endpoint_url,
    }
    return mxspark(*filled(command[1:], places), "--set", TRUE_LABEL, environment=keys).succeeded()


@pytest.fixture(scope="module")
def table(bucket_run: Finished, s3_server: Server) -> pd.DataFrame:
    """The table in the bucket."""
    address = s3_server.endpoint_url.removeprefix("http://")
    files = pyarrow.fs.S3FileSystem(
        access_key=s3_server.access_key,
        secret_key=s3_server.secret_key,
        endpoint_override=address,
        scheme="http",
        region="us-east-1",
    )
    return read_table(f"{BUCKET}/{OUTPUT}", filesystem=files)


def test_every_digit_has_one_row_under_its_whole_key(table: pd.DataFrame, digits_images: Path) -> None:
    assert list(table["key"]) == sorted(f"{PREFIX}/{path.name}" for path in digits_images.iterdir())
    assert len(table) == ALL_DIGITS


def test_the_predictions_are_those_of_the_same_images_in_a_folder(table: pd.DataFrame, digits_run: Run) -> None:
    for ours, theirs in zip(table["predictions"], digits_run.table["predictions"], strict=True):
        assert [p["label"] for p in ours] == [p["label"] for p in theirs]
        assert [p["probability"] for p in ours] == pytest.approx([p["probability"] for p in theirs], abs=1e-5)


def test_the_bucket_holds_what_a_folder_would(bucket_run: Finished, uploaded: Any, digits_run: Run) -> None:
    pages = uploaded.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{OUTPUT}/")
    keys = [entry["Key"].removeprefix(f"{OUTPUT}/") for page in pages for entry in page["Contents"]]
    in_folder = [
        path.relative_to(digits_run.output).as_posix() for path in digits_run.output.rglob("*") if path.is_file()
    ]
    assert sorted(map(_without_time, keys)) == sorted(map(_without_time, in_folder))


def _without_time(name: str) -> str:
    """A run's log is named by when the run began."""
    return "_runs/" if name.startswith("_runs/") else name


def test_a_person_is_told_where_the_table_is(bucket_run: Finished) -> None:
    assert bucket_run.output.splitlines()[-1] == f"Predictions: s3://{BUCKET}/{OUTPUT}"
    assert "1,797 images: 1,797 ok, 0 failed" in bucket_run.output


def test_no_key_is_in_what_was_printed_or_written(bucket_run: Finished, uploaded: Any, s3_server: Server) -> None:
    assert s3_server.secret_key not in bucket_run.text
    assert s3_server.access_key not in bucket_run.text
    for name in ("_summary.json", "_plan/plan.json"):
        written = uploaded.get_object(Bucket=BUCKET, Key=f"{OUTPUT}/{name}")["Body"].read().decode()
        assert s3_server.secret_key not in written
        assert s3_server.access_key not in written
