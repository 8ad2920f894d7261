"""Whole runs inside the images: the photographs from nothing but the image and a folder, all digits with their
accuracy, event logs.
"""

import os
from pathlib import Path

import pyarrow.parquet
from examples.s3 import REGION, Server

from mxspark.spark.configuration import JVM_OPTIONS
from tests.command import summary
from tests.conftest import BUCKET, IMAGENET, put
from tests.image.conftest import EXAMPLE, RESTRICTED
from tests.image.container import Image
from tests.image.images import make
from tests.spark.conftest import ALL_DIGITS

PHOTOGRAPHS = ("--input", f"{EXAMPLE}/images", "--model", f"{EXAMPLE}/bundle")
ONE_WORKER = ("--master", "local[1]")  # takes two thirds of the time of one for each core


def best_labels(table: Path) -> dict[str, str]:
    rows = pyarrow.parquet.read_table(table).to_pylist()
    return {row["key"].rsplit("/", 1)[-1]: row["predictions"][0]["label"] for row in rows}


def test_the_photographs_from_nothing_but_the_image_and_a_folder_without_any_rights(
    cpu_image: Image, output: Path
) -> None:
    """By a user whom the image doesn't know; as its own, under the same restrictions: tests/kubernetes."""
    options = (*RESTRICTED, "--user", "12345", "--volume", f"{output}:/out")
    ran = cpu_image.run("run", *PHOTOGRAPHS, "--output", "/out/imagenet", *ONE_WORKER, options=options).succeeded()

    assert "espresso" in ran.output
    assert "14 images: 14 ok, 0 failed" in ran.output
    assert best_labels(output / "imagenet")["coffee.png"] == "n07920052 espresso"
    assert best_labels(output / "imagenet")["chelsea.png"] == "n02124075 Egyptian cat"
    assert (output / "imagenet" / "_SUCCESS").exists()


def test_make_run_docker_writes_what_make_run_writes_as_the_person_who_typed_it(
    cpu_image: Image, tmp_path: Path
) -> None:
    ran = make("tools/run-docker.sh", *ONE_WORKER, IMAGE=cpu_image.name, OUTPUT=str(tmp_path / "output"))

    assert "14 images: 14 ok, 0 failed" in ran
    table = tmp_path / "output" / "imagenet-docker"
    assert best_labels(table)["coffee.png"] == "n07920052 espresso"
    assert {path.stat().st_uid for path in table.rglob("*")} == {os.getuid()}


def test_all_digits_with_their_accuracy(digits_table: Path) -> None:
    told = summary(digits_table)
    assert told["rows"] == ALL_DIGITS
    assert told["accuracy"] >= 0.98


def test_images_and_table_on_s3(cpu_image: Image, s3_server: Server) -> None:
    put(s3_server, {f"image/photos/{path.name}": path.read_bytes() for path in IMAGENET.glob("images/c*.png")})
    places = (
        "--input",
        f"s3://{BUCKET}/image/photos",
        "--output",
        f"s3://{BUCKET}/image/table",
        "--model",
        f"{EXAMPLE}/bundle",
        *ONE_WORKER,
    )
    assert "0 failed" in cpu_image.run("run", *places, options=on_the_host(s3_server)).succeeded().output


def test_sparks_own_tables_and_event_log_on_s3(cpu_image: Image, s3_server: Server, output: Path) -> None:
    """By the jars for s3a:// that are in the image; and Spark SQL works without those that are left out."""
    table, events = f"s3a://{BUCKET}/image/rows", "image/events/"
    s3_server.client().put_object(Bucket=BUCKET, Key=events)
    (output / "table.py").write_text(
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        f"spark.range(1000).selectExpr('id', 'id % 7 as rest').write.parquet('{table}')\n"
        f"print(spark.read.parquet('{table}').groupBy('rest').count().count(), 'groups')\n"
    )
    properties = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"s3a://{BUCKET}/{events}",
        "spark.hadoop.fs.s3a.endpoint": s3_server.endpoint_url,
        "spark.hadoop.fs.s3a.endpoint.region": REGION,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": JVM_OPTIONS,
        "spark.sql.shuffle.partitions": "2",
    }
    conf = [word for key, value in properties.items() for word in ("--conf", f"{key}={value}")]
    options = (*on_the_host(s3_server), "--volume", f"{output}:/job:ro")

    ran = cpu_image.run("spark-submit", "--master", "local[2]", *conf, "/job/table.py", options=options).succeeded()

    assert "7 groups" in ran.output
    listed = s3_server.client().list_objects_v2(Bucket=BUCKET, Prefix=events)["Contents"]
    assert max(found["Size"] for found in listed) > 10_000


def on_the_host(server: Server) -> tuple[str, ...]:
    """What lets a container reach the server, which listens on this machine's loopback only."""
    return ("--network", "host", *(f"--env={name}={value}" for name, value in server.environment.items()))
