"""The article's own command line, through spark-submit as the article shows it: from the repository, and with
--py-files.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy
import pytest
from examples.s3 import Server
from tests.command import PROGRAMS, REPOSITORY, Command, Finished
from tests.conftest import BUCKET, put
from tests.documentation import filled, shown
from tests.spark.conftest import QUICK_JAVA

LINE = (
    r"Key (article/digits/\d{4}_(\d)\.png): Prediction: \['probability=[01]\.\d{6}, class=(\d)'(?:, "
    r"'probability=0\.\d{6}, class=\d'){4}\]"
)
IMAGES = 120
OUTPUT = "article/predictions.txt"
# Spark's own account of a run, with its whole configuration.
EVENT_LOG = ("--conf", "spark.eventLog.enabled=true", "--conf", "spark.eventLog.compress=false", "--conf")


@pytest.fixture(scope="module")
def model(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits network as the article's networks are: it takes 224 x 224 pixels of 0 to 255, and scales them
    itself.
    """
    folder = shutil.copytree(digits_bundle, tmp_path_factory.mktemp("article") / "model")
    path = folder / "digits-symbol.json"
    graph = json.loads(path.read_text())
    (data, *others), added = graph["nodes"], 3
    pooling = {"pool_type": "avg", "kernel": "(7, 7)", "stride": "(7, 7)"}
    scaling = [
        {"op": "Pooling", "name": "to_32", "attrs": pooling, "inputs": [[0, 0, 0]]},
        {"op": "_minus_scalar", "name": "centred", "attrs": {"scalar": "127.5"}, "inputs": [[1, 0, 0]]},
        {"op": "_div_scalar", "name": "scaled", "attrs": {"scalar": "127.5"}, "inputs": [[2, 0, 0]]},
    ]
    for node in others:
        node["inputs"] = [[number + added, *rest] for number, *rest in node["inputs"]]
    graph["nodes"] = [data, *scaling, *others]
    graph["arg_nodes"] = [number + added if number else 0 for number in graph["arg_nodes"]]
    graph["heads"] = [[number + added, *rest] for number, *rest in graph["heads"]]
    del graph["node_row_ptr"]
    path.write_text(json.dumps(graph))
    return folder


@pytest.fixture(scope="module")
def model_url(model: Path) -> Iterator[str]:
    """The model's folder, on a web server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(model)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def bucket(s3_server: Server, digits_images: Path) -> Any:
    """The server's client; some digits are in its bucket."""
    images = sorted(digits_images.iterdir())[:IMAGES]
    put(s3_server, {f"article/digits/{path.name}": path.read_bytes() for path in images})
    return s3_server.client()


def arguments(model_url: str) -> list[str]:
    """The article's, as its page has them."""
    (command,) = shown("docs/article.md", "spark-submit")
    places = {
        "http://host/resnet-18-symbol.json": f"{model_url}/digits-symbol.json",
        "http://host/resnet-18-0000.params": f"{model_url}/digits-0000.params",
        "http://host/synset.txt": f"{model_url}/labels.txt",
        "mxnet-spark-demo": BUCKET,
        "cifar10/test": "article/digits",
        "my-bucket": BUCKET,
        "cifar10_test_results": OUTPUT,
    }
    return filled(command[command.index("job/infer_main.py") + 1 :], places)


@pytest.fixture(scope="module")
def submitted(mxspark: Command, s3_server: Server, bucket: Any, model_url: str) -> Finished:
    """The article's job; the server and its keys are in the environment."""
    main = ["--master", "local[1]", "job/infer_main.py"]
    return mxspark.run("spark-submit", *main, *arguments(model_url), environment=s3_server.environment).succeeded()


@pytest.fixture(scope="module")
def predictions(submitted: Finished, bucket: Any) -> str:
    """The text object in the article's place."""
    return str(bucket.get_object(Bucket=BUCKET, Key=OUTPUT)["Body"].read().decode())


def test_the_text_object_has_one_line_for_each_image_in_key_order(predictions: str, digits_images: Path) -> None:
    assert predictions.endswith("\n")
    found = [re.fullmatch(LINE, line) for line in predictions.splitlines()]
    wanted = sorted(f"article/digits/{path.name}" for path in digits_images.iterdir())[:IMAGES]
    assert [match and match[1] for match in found] == wanted
    assert sum(match is not None and match[2] == match[3] for match in found) >= 0.95 * IMAGES


def test_the_run_tells_where_the_predictions_are(submitted: Finished) -> None:
    assert f"{IMAGES} images: {IMAGES} ok, 0 failed" in submitted.output
    assert submitted.output.splitlines()[-1] == f"Predictions: s3://{BUCKET}/{OUTPUT}"


@pytest.fixture(scope="module")
def package() -> Path:
    """What `make zip` makes."""
    subprocess.run(["make", "--silent", "zip"], cwd=REPOSITORY, check=True, capture_output=True)
    return REPOSITORY / "build" / "mxspark.zip"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with all that mxspark needs but without mxspark: that must come by --py-files."""
    site_packages = Path(numpy.__file__).parents[1]
    program = tmp_path_factory.mktemp("python") / "python"
    path = f'PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{site_packages}"'
    program.write_text(f'#!/bin/sh\n{path} exec {PROGRAMS / "python"} -S "$@"\n')
    program.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    tried = subprocess.run(
        [program, "-c", "import numpy, mxspark"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=program.parent,
    )
    assert "No module named 'mxspark'" in tried.stderr
    return program


@pytest.fixture(scope="module")
def submitted_with_keys(
    submitted: Finished,
    mxspark: Command,
    s3_server: Server,
    bucket: Any,
    model_url: str,
    package: Path,
    bare_python: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Finished, Path]:
    """The job again, its keys on the command line and nowhere else; and Spark's event log."""
    bucket.delete_object(Bucket=BUCKET, Key=OUTPUT)
    folder = tmp_path_factory.mktemp("submitted")
    (folder / "events").mkdir()
    main = shutil.copy(REPOSITORY / "job" / "infer_main.py", folder)
    submit = [
        "--master",
        "local[1]",
        *EVENT_LOG,
        f"spark.eventLog.dir={(folder / 'events').as_uri()}",
        "--py-files",
        package,
        main,
    ]
    keys = ["--access_key", s3_server.access_key, "--secret_key", s3_server.secret_key]
    environment = {
        "AWS_ENDPOINT_URL": s3_server.endpoint_url,
        "PYSPARK_PYTHON": str(bare_python),
        "PYTHONPATH": None,
        **QUICK_JAVA,
    }
    finished = mxspark.run("spark-submit", *submit, *arguments(model_url), *keys, environment=environment)
    return finished.succeeded(), folder / "events"


def test_with_py_files_and_keys_the_predictions_are_the_same(
    submitted_with_keys: tuple[Finished, Path], predictions: str, bucket: Any
) -> None:
    assert bucket.get_object(Bucket=BUCKET, Key=OUTPUT)["Body"].read().decode() == predictions


def test_run_again_it_does_everything_again_as_the_article_did(submitted_with_keys: tuple[Finished, Path]) -> None:
    assert re.search(rf"^Predicting {IMAGES} images in \d+ shards$", submitted_with_keys[0].text, re.MULTILINE)


def test_keys_on_a_command_line_are_warned_of(submitted: Finished, submitted_with_keys: tuple[Finished, Path]) -> None:
    warning = "Warning: --secret_key on a command line can be read by others"
    assert warning in submitted_with_keys[0].text
    assert warning not in submitted.text


def test_the_keys_are_in_nothing_that_was_printed(
    submitted_with_keys: tuple[Finished, Path], s3_server: Server
) -> None:
    assert s3_server.secret_key not in submitted_with_keys[0].text
    assert s3_server.access_key not in submitted_with_keys[0].text


def test_the_keys_are_in_nothing_that_was_written(
    submitted_with_keys: tuple[Finished, Path], bucket: Any, s3_server: Server
) -> None:
    keys = [entry["Key"] for entry in bucket.list_objects_v2(Bucket=BUCKET, Prefix="article/predictions")["Contents"]]
    assert len(keys) >= 5
    for key in keys:
        written = bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert s3_server.secret_key.encode() not in written
        assert s3_server.access_key.encode() not in written


def test_the_keys_are_not_in_sparks_configuration(
    submitted_with_keys: tuple[Finished, Path], s3_server: Server
) -> None:
    logs = [path.read_text() for path in submitted_with_keys[1].rglob("events_*")]
    assert any("SparkListenerEnvironmentUpdate" in log for log in logs)
    for log in logs:
        assert s3_server.secret_key not in log
        assert s3_server.access_key not in log


def test_what_is_wrong_has_its_exit_code_through_spark_submit_too(
    mxspark: Command, s3_server: Server, model_url: str
) -> None:
    main = ["--master", "local[1]", "job/infer_main.py"]
    environment = s3_server.environment | QUICK_JAVA
    finished = mxspark.run(
        "spark-submit", *main, *arguments(model_url), "--bucket", "no-such-bucket", environment=environment
    )
    finished.ended_with(2)
    assert "s3://no-such-bucket: there is no such bucket" in finished.text
    assert "Traceback" not in finished.text
    assert "Exception" not in finished.text
