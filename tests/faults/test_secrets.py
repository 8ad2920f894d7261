"""Canary secrets are planted in every place that takes one; then all that runs printed, wrote, started and showed is
searched for them.

Whole runs are looked at from outside while they run: the arguments of every process, Spark's pages, its event log. What
is wrong before Spark starts is told in this process, with every library logging all that it can.
"""

import base64
import gzip
import logging
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import boto3
import pyarrow.parquet
import pyspark
import pytest
from examples.s3 import Server, free_port
from moto.server import ThreadedMotoServer
from tests.command import REPOSITORY, Command, Finished, command_line, isolation
from tests.conftest import BUCKET, put
from tests.faults.s3_faults import FaultyFront, before
from tests.spark.conftest import QUICK_JAVA
from tests.spark.test_article import model  # noqa: F401  # a fixture
from tests.storage.scripted import Answer, scripted
from tests.unit.web import Web, serving

from mxspark import cli
from mxspark.cli import console
from mxspark.private_folder import private_folder

IMAGES = 20
PAGES = ("environment/", "jobs/", "stages/", "executors/", "api/v1/applications")
PAGE_OF_APPLICATION = "api/v1/…/environment"
EVERYTHING_LOGGED = "import logging\nlogging.basicConfig(level=logging.DEBUG)\n"
# Nobody's secret in particular, but none of the requests' either.
SIGNED = re.compile(rb"(?:Signature|Credential|Security-Token)(?:=|%3D)[\w%/+]{6}")
# Each is searched for by itself, so that a failure says which place leaks.
CANARIES = {
    place: f"canary{number}{place.replace(' ', '')}Zq7xW2"
    for number, place in enumerate(
        (
            "session token",
            "key in the environment",
            "signature of the symbol",
            "signature of the labels",
            "password of the params",
            "password of the proxy",
            "password of the endpoint",
            "key in spark.conf",
            "key in an environment variable",
            "typed by mistake",
        )
    )
}


def forms(secret: str) -> set[bytes]:
    """The secret as it may be written: as it is, and within base64 wherever it begins there."""
    found = {secret.encode()}
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + secret.encode())
        found.add(encoded[4 if lead else 0 : len(encoded) // 4 * 4 - 4])  # the ends depend on what is beside
    return found


@dataclass(frozen=True)
class Search:
    """What is searched for: secrets by the place that they were put into."""

    secrets: Mapping[str, str]

    def of(self, texts: Mapping[str, bytes]) -> list[str]:
        """Where a secret was found, and which; empty where all is well."""
        found = [
            f"{place} has the {secret}: …{around(text, form)}…"
            for place, text in texts.items()
            for secret, value in self.secrets.items()
            for form in forms(value)
            if form in text
        ]
        return found + [
            f"{place} has a signed request: {signed[0]!r}"
            for place, text in texts.items()
            if (signed := SIGNED.search(text))
        ]


def around(text: bytes, form: bytes) -> str:
    """The text about the first place where `form` is."""
    start = text.index(form)
    return text[max(0, start - 150) : start + len(form) + 30].decode(errors="replace")


def contents(name: str, data: bytes) -> dict[str, bytes]:
    """What a file or an object holds: its name, its bytes, and those behind its compression."""
    found = {f"the name {name}": name.encode(), name: data}
    if data[:2] == b"\x1f\x8b":
        found[f"{name} unzipped"] = gzip.decompress(data)
    if data[:4] == b"PAR1":
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
        found[f"{name} as a table"] = f"{table.schema.metadata} {table.to_pylist()}".encode()
    return found


def files(folder: Path) -> dict[str, bytes]:
    """All that the files below a folder hold."""
    found: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone meanwhile
            if path.is_file():
                found |= contents(str(path), path.read_bytes())
    return found


def objects(client: Any, prefix: str) -> dict[str, bytes]:
    """All that the objects with this prefix hold."""
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]]
    found: dict[str, bytes] = {}
    for key in keys:
        found |= contents(key, client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    return found


@dataclass
class Watched:
    """A run as others on the machine and in the network see it."""

    finished: Finished
    arguments: set[str] = field(default_factory=set)  # command lines of its processes
    pages: dict[str, bytes] = field(default_factory=dict)  # of Spark's UI, everything that they showed


def watch(
    command: Command,
    program: str,
    *arguments: str | Path,
    ui_port: int,
    environment: Mapping[str, str | None],
    front: FaultyFront,
    metrics_port: int | None = None,
) -> Watched:
    """Runs a program to its end, and looks at it all the while; when all pages were seen, `front` lets it go on."""
    arguments_seen: set[str] = set()
    pages: dict[str, bytes] = {}
    with command.start(program, *arguments, environment=environment) as running, ThreadPoolExecutor(1) as thread:
        ending = thread.submit(running.wait)  # which reads what it prints: a full pipe would stop it
        while not ending.done():
            for process in running.processes():
                arguments_seen.add(" ".join(command_line(process)))
            for page, shown in visited(f"http://127.0.0.1:{ui_port}").items():
                pages[page] = pages.get(page, b"") + shown
            if metrics_port is not None:
                with suppress(OSError):
                    pages["metrics"] = page_of(f"http://127.0.0.1:{metrics_port}", "metrics")
            if {*PAGES, PAGE_OF_APPLICATION} <= pages.keys():
                front.release()
            time.sleep(0.5)
        return Watched(ending.result(), arguments_seen, pages)


def visited(ui: str) -> dict[str, bytes]:
    """Spark's pages, as far as they are there."""
    found: dict[str, bytes] = {}
    with suppress(OSError):  # not up yet, or gone by now
        for page in PAGES:
            found[page] = page_of(ui, page)
        if application := re.search(rb'"id" : "([^"]+)"', found["api/v1/applications"]):
            found[PAGE_OF_APPLICATION] = page_of(ui, f"api/v1/applications/{application[1].decode()}/environment")
    return found


def page_of(ui: str, page: str) -> bytes:
    with urllib.request.urlopen(f"{ui}/{page}", timeout=60) as response:
        shown: bytes = response.read()
        return shown


@dataclass(frozen=True)
class Place:
    """A folder of one run: what it logs, its event log, its temporary files, and a Spark of its own to write into."""

    folder: Path
    ui_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)

    @property
    def spark(self) -> dict[str, str]:
        """Spark's own account of all that it does."""
        return {
            "spark.ui.enabled": "true",
            "spark.ui.port": str(self.ui_port),
            "spark.eventLog.enabled": "true",
            "spark.eventLog.compress": "false",
            "spark.eventLog.dir": self.made("events").as_uri(),
            "spark.local.dir": str(self.made("local")),
            "spark.logConf": "true",
        }

    @property
    def environment(self) -> dict[str, str]:
        """Everything is logged that Python's libraries can log, in the driver and in the workers; nothing is written
        elsewhere.
        """
        (self.made("python") / "sitecustomize.py").write_text(EVERYTHING_LOGGED)
        path = [str(self.folder / "python"), *(entry for entry in sys.path if entry.endswith("/job"))]
        return {"PYTHONPATH": ":".join(path), "TMPDIR": str(self.made("temporary"))}

    def made(self, name: str) -> Path:
        (self.folder / name).mkdir(exist_ok=True)
        return self.folder / name

    def cache(self) -> Path:
        """For model files; with what takes seconds to make for Java, as all tests share it."""
        cache = self.made("cache")
        private_folder(cache).joinpath("java").symlink_to(REPOSITORY / ".cache" / "tests" / "java")
        return cache

    def home(self) -> Path:
        """Spark's home: its cluster on one machine keeps the executors' logs there."""
        home = self.folder / "spark"
        if not home.exists():
            home.mkdir()
            for part in Path(pyspark.__file__).parent.iterdir():
                (home / part.name).symlink_to(part)
        return home

    def written(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for name in ("events", "local", "temporary", "spark/work", "cache"):
            found |= files(self.folder / name)
        return found


def conf(properties: Mapping[str, str]) -> list[str]:
    """Flags of spark-submit."""
    return [word for name, value in properties.items() for word in ("--conf", f"{name}={value}")]


@pytest.fixture(scope="module")
def web(model: Path) -> Iterator[Web]:  # noqa: F811
    """The digits network on a web server, which doesn't care how it is asked."""
    with serving({f"/{path.name}": path.read_bytes() for path in model.iterdir()}) as found:
        yield found


@pytest.fixture(scope="module")
def images(digits_images: Path) -> dict[str, bytes]:
    return {f"secrets/digits/{path.name}": path.read_bytes() for path in sorted(digits_images.iterdir())[:IMAGES]}


@pytest.fixture(scope="module")
def bucket(s3_server: Server, images: dict[str, bytes]) -> Any:
    """The server's client; some digits are in its bucket."""
    put(s3_server, images)
    return s3_server.client()


@pytest.fixture(scope="module")
def search(s3_server: Server) -> Search:
    """The canaries, and the real keys of the server, which are random."""
    return Search(CANARIES | {"server's access key": s3_server.access_key, "server's secret key": s3_server.secret_key})


def presigned(url: str, place: str) -> str:
    """An address that is as good as a key."""
    scope = "AKIAIOSFODNN7%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
    return f"{url}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope}&X-Amz-Signature={CANARIES[place]}"


def with_password(url: str, place: str) -> str:
    address = urlsplit(url)
    return address._replace(netloc=f"somebody:{CANARIES[place]}@{address.netloc}").geturl()


def credentials_file(folder: Path, access_key: str, secret_key: str) -> dict[str, str]:
    """Keys in a profile, and the variables that point there."""
    (folder / "credentials").write_text(
        f"[lab]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
    )
    return {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"), "AWS_PROFILE": "lab"}


@pytest.fixture(scope="module")
def settings_file(web: Web, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, list[str | Path], dict[str, str]]:
    """A job whose every address and property is a secret, in a file and in variables; no argument is."""
    place = Place(tmp_path_factory.mktemp("whole"))
    properties = place.spark | {
        "spark.hadoop.fs.s3a.secret.key": CANARIES["key in spark.conf"],
        "spark.hadoop.fs.s3a.endpoint": with_password("http://127.0.0.1:9", "password of the endpoint"),
    }
    (place.folder / "job.yaml").write_text(
        f"model:\n  symbol: {presigned(f'{web.url}/digits-symbol.json', 'signature of the symbol')}\n"
        f"  params: {with_password(f'{web.url}/digits-0000.params', 'password of the params')}\n"
        "spark:\n  master: local[1]\n  conf:\n"
        + "".join(f"    {name}: '{value}'\n" for name, value in properties.items())
    )
    environment = {
        "MXSPARK_MODEL__LABELS": presigned(f"{web.url}/labels.txt", "signature of the labels"),
        "MXSPARK_SPARK__CONF__spark.hadoop.fs.s3a.access.key": CANARIES["key in an environment variable"],
        "MXSPARK_CACHE_DIR": str(place.cache()),
        "MXSPARK_METRICS__PORT": str(place.metrics_port),
        "MXSPARK_LOG_FORMAT": "json",
        "http_proxy": with_password("http://127.0.0.1:9", "password of the proxy"),
        "no_proxy": "127.0.0.1",
    }
    arguments = ["--input", f"s3://{BUCKET}/secrets/digits", "--output", f"s3://{BUCKET}/secrets/table"]
    return place, [*arguments, "--settings", place.folder / "job.yaml"], environment | place.environment


@pytest.fixture(scope="module")
def whole(
    mxspark: Command, s3_server: Server, bucket: Any, settings_file: tuple[Place, list[str | Path], dict[str, str]]
) -> tuple[Watched, Place]:
    """That job, run by `mxspark run --debug`; the keys are in a profile."""
    place, arguments, environment = settings_file
    keys = credentials_file(place.folder, s3_server.access_key, s3_server.secret_key)
    with before(s3_server.endpoint_url) as front:
        front.hold(".png")
        watched = watch(
            mxspark,
            "mxspark",
            *["run", *arguments, "--endpoint-url", front.url, "--debug"],
            ui_port=place.ui_port,
            environment=environment | keys,
            front=front,
            metrics_port=place.metrics_port,
        )
    watched.finished.succeeded()
    return watched, place


def test_nothing_that_a_run_prints_has_a_secret(whole: tuple[Watched, Place], search: Search) -> None:
    assert "DEBUG:" in whole[0].finished.errors
    assert '"event": "shard"' in whole[0].finished.errors
    assert search.of({"output": whole[0].finished.output.encode(), "errors": whole[0].finished.errors.encode()}) == []


def test_no_file_that_a_run_writes_has_a_secret(whole: tuple[Watched, Place], search: Search) -> None:
    assert search.of(whole[1].written()) == []


def test_no_object_of_the_table_has_a_secret(whole: tuple[Watched, Place], bucket: Any, search: Search) -> None:
    assert search.of(objects(bucket, "secrets/table")) == []


def test_no_process_that_a_run_starts_has_a_secret_in_its_arguments(
    whole: tuple[Watched, Place], search: Search
) -> None:
    assert search.of({line: line.encode() for line in whole[0].arguments}) == []


def test_no_page_of_spark_or_metric_shows_a_secret(whole: tuple[Watched, Place], search: Search) -> None:
    assert sorted(whole[0].pages) == sorted([*PAGES, PAGE_OF_APPLICATION, "metrics"])
    assert search.of(whole[0].pages) == []


@pytest.fixture(scope="module")
def submitted(
    mxspark: Command, s3_server: Server, bucket: Any, web: Web, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Watched, Place]:
    """The article's job through spark-submit on a cluster of one executor; the keys and a presigned address are
    typed as arguments.
    """
    place = Place(tmp_path_factory.mktemp("submitted"))
    places = [
        "--bucket",
        BUCKET,
        "--prefix",
        "secrets/digits",
        "--output_s3_bucket",
        BUCKET,
        "--output_s3_key",
        "secrets/submitted.txt",
    ]
    model_files = ["--sym_url", presigned(f"{web.url}/digits-symbol.json", "signature of the symbol")]
    model_files += ["--param_url", with_password(f"{web.url}/digits-0000.params", "password of the params")]
    model_files += ["--label_url", f"{web.url}/labels.txt"]
    keys = ["--access_key", s3_server.access_key, "--secret_key", s3_server.secret_key]
    submit = ["--master", "local-cluster[1,1,1024]", *conf(place.spark), "job/infer_main.py"]
    environment = {"MXSPARK_CACHE_DIR": str(place.cache()), "SPARK_HOME": str(place.home())}
    with before(s3_server.endpoint_url) as front:
        front.hold(".png")
        watched = watch(
            mxspark,
            "spark-submit",
            *[*submit, *places, *model_files, *keys, "--debug"],
            ui_port=place.ui_port,
            environment=environment | {"AWS_ENDPOINT_URL": front.url} | place.environment | QUICK_JAVA,
            front=front,
        )
    watched.finished.succeeded()
    return watched, place


def test_nothing_of_a_submitted_run_has_a_secret_but_the_command_itself(
    submitted: tuple[Watched, Place], bucket: Any, search: Search
) -> None:
    watched, place = submitted
    printed = {"output": watched.finished.output.encode(), "errors": watched.finished.errors.encode()}
    started = {line: line.encode() for line in watched.arguments if "infer_main.py" not in line}
    assert any("CoarseGrainedExecutorBackend" in line for line in started)
    assert any("pyspark" in line and "daemon" in line for line in started)
    written = place.written()
    assert any("/spark/work/" in name for name in written)
    assert PAGE_OF_APPLICATION in watched.pages
    assert search.of(printed | started | written | watched.pages | objects(bucket, "secrets/submitted")) == []


@pytest.fixture(scope="module")
def broken(
    mxspark: Command, images: dict[str, bytes], digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Watched, Place]:
    """A run whose server, reached with a session's token and a password, is gone when the first task reads its
    shard's keys.
    """
    place = Place(tmp_path_factory.mktemp("broken"))
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any"
    )
    client.create_bucket(Bucket=BUCKET)
    for key in images:
        client.put_object(Bucket=BUCKET, Key=key, Body=images[key])

    job: list[str | Path] = [
        "--input",
        f"s3://{BUCKET}/secrets",
        "--model",
        digits_bundle,
        "--output",
        f"s3://{BUCKET}/table",
        "--debug",
    ]
    job += ["--master", "local[1]", "--set", "plan.shard_size=20", "--set", "storage.retries=1"]
    properties = [word for name, value in place.spark.items() for word in ("--set", f"spark.conf.{name}={value}")]
    with before(url) as front:
        front.go_at("/table/_plan/000000.jsonl.gz")
        environment = {
            "AWS_ENDPOINT_URL": with_password(front.url, "password of the endpoint"),
            "AWS_ACCESS_KEY_ID": "canaryAccessKeyOfTheSession",
            "AWS_SECRET_ACCESS_KEY": CANARIES["key in the environment"],
            "AWS_SESSION_TOKEN": CANARIES["session token"],
            "AWS_REGION": "us-east-1",
        }
        watched = watch(
            mxspark,
            "mxspark",
            "run",
            *job,
            *properties,
            ui_port=place.ui_port,
            environment=environment | place.environment,
            front=front,
        )
    server.stop()
    return watched, place


def test_what_goes_wrong_in_a_task_is_told_everywhere_without_secrets(
    broken: tuple[Watched, Place], search: Search
) -> None:
    watched, place = broken
    watched.finished.ended_with(1)
    assert f"s3://{BUCKET}/table/_plan/000000.jsonl.gz: " in watched.finished.errors
    # In Java's log, which is written before Spark tries the task again; whether the event log has it too when Java is
    # killed is chance.
    assert "TaskError" in watched.finished.errors
    told = place.written()
    printed = {"output": watched.finished.output.encode(), "errors": watched.finished.errors.encode()}
    assert search.of(printed | told | watched.pages | {line: line.encode() for line in watched.arguments}) == []


@dataclass(frozen=True)
class Told:
    """What one command line that can't work printed and logged, and its exit code."""

    code: int
    text: bytes


Tell = Callable[..., Told]


@pytest.fixture
def tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[Tell]:
    """Runs a command line in this process, with all that is logged and with --debug, and without this machine's AWS
    configuration.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for name in [
        name for name in os.environ if name.startswith(("AWS_", "MXSPARK_")) or name.lower().endswith("_proxy")
    ]:
        monkeypatch.delenv(name)
    for name, value in isolation(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / "cache-of-secrets"))  # so that a model is checked once
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)

    def command(
        *arguments: str, main: Callable[[list[str]], None] = cli.main, environment: Mapping[str, str] | None = None
    ) -> Told:
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Told(ended.value.code, f"{printed.out}{printed.err}{caplog.text}".encode())

    yield command
    for number, handler in handlers.items():
        signal.signal(number, handler)


TYPED = CANARIES["typed by mistake"]
NOBODY = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": CANARIES["key in the environment"],
    "AWS_REGION": "us-east-1",
}
JOB = ["run", "--model", "net", "--debug"]
ARTICLE = [
    "--bucket",
    "b",
    "--sym_url",
    "s",
    "--param_url",
    "p",
    "--label_url",
    "l",
    "--output_s3_bucket",
    "b",
    "--output_s3_key",
    "k",
]
WRONG = {
    "a presigned input": [*JOB, "--output", "t", "--input", f"https://b.s3.amazonaws.com/p?X-Amz-Signature={TYPED}"],
    "an input with a password": [*JOB, "--output", "t", "--input", f"s3://somebody:{TYPED}@bucket/photos"],
    "a manifest with a password": [
        *JOB,
        "--output",
        "t",
        "--input",
        f"https://somebody:{TYPED}@host/list.txt",
        "--set",
        "input.base=x",
    ],
    "a presigned base": [
        *JOB,
        "--output",
        "t",
        "--input",
        "l.txt",
        "--set",
        f"input.base=https://h/x?X-Amz-Security-Token={TYPED}",
    ],
    "a presigned output": [*JOB, "--input", "i", "--output", f"https://b.s3.amazonaws.com/t?X-Amz-Signature={TYPED}"],
    "an output with a password": [*JOB, "--input", "i", "--output", f"https://somebody:{TYPED}@host/" + "long" * 30],
    "an endpoint without a scheme": [
        *JOB,
        "--input",
        "i",
        "--output",
        "t",
        "--endpoint-url",
        f"somebody:{TYPED}@host:9000",
    ],
    "a bucket that is an address": [
        *ARTICLE,
        "--prefix",
        f"http://somebody:{TYPED}@host/",
        "--bucket",
        f"http://u:{TYPED}@h/",
    ],
    "a flag that there isn't": [*JOB, f"--secret_key={TYPED}"],
    "a word too many": [*JOB, f"https://host/x?X-Amz-Signature={TYPED}"],
    "the article's flag misspelt": [*ARTICLE, "--secretkey", TYPED],
    "the article's flag misspelt, with an equals sign": [*ARTICLE, f"--secretkey={TYPED}"],
    "one key of two": [*ARTICLE, "--secret_key", TYPED],
    "an assignment without an equals sign": [*JOB, "--set", f"spark.conf.spark.hadoop.fs.s3a.secret.key:{TYPED}"],
    "a property that is a list": [*JOB, "--set", f"spark.conf={{spark.hadoop.fs.s3a.secret.key: [{TYPED}]}}"],
    "properties that are text": [*JOB, "--set", f"spark.conf='spark.hadoop.fs.s3a.secret.key: {TYPED}'"],
    "brackets that are open": [*JOB, "--set", f"spark.conf={{spark.hadoop.fs.s3a.secret.key: {TYPED}"],
    "settings from the web": [*JOB, "--settings", f"https://somebody:{TYPED}@host/a/job.yaml?X-Amz-Signature={TYPED}"],
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_what_is_typed_wrong_is_refused_without_repeating_the_secret(
    tell: Tell, search: Search, arguments: list[str]
) -> None:
    told = tell(*arguments, main=cli.main if arguments[0] == "run" else cli.main_submitted, environment=NOBODY)
    assert told.code == 2
    assert b"Error: " in told.text
    assert search.of({"told": told.text}) == []


SECRET_YAML = {
    "a tag": f"spark: {{conf: {{spark.hadoop.fs.s3a.secret.key: !{TYPED} }}}}",
    "an alias": f"spark: {{conf: {{spark.hadoop.fs.s3a.secret.key: *{TYPED} }}}}",
    "a number": f"spark: {{conf: {{spark.hadoop.fs.s3a.secret.key: {{{TYPED}: 1}} }}}}",
    "a text": f"spark: {{conf: 'spark.hadoop.fs.s3a.secret.key={TYPED}'}}",
    "a place": f"input: {{path: 'https://somebody:{TYPED}@host/x'}}",
    "an open quote": f"spark: {{conf: {{spark.hadoop.fs.s3a.secret.key: '{TYPED}",
}


@pytest.mark.parametrize("text", SECRET_YAML.values(), ids=SECRET_YAML)
def test_a_settings_file_that_is_wrong_is_told_without_its_secrets(
    tell: Tell, search: Search, tmp_path: Path, text: str
) -> None:
    (tmp_path / "job.yaml").write_text(text)
    told = tell(*JOB, "--input", "i", "--output", "t", "--settings", "job.yaml")
    assert told.code == 2
    assert search.of({"told": told.text}) == []


def test_the_settings_are_shown_without_their_secrets(
    tell: Tell,
    search: Search,
    settings_file: tuple[Place, list[str | Path], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console._out, "width", 1000)  # on which nothing is folded
    _, arguments, environment = settings_file
    told = tell("settings", *map(str, arguments), environment=environment)
    assert told.code == 0
    assert b"spark.hadoop.fs.s3a.secret.key" in told.text
    assert b"(hidden)" in told.text
    assert search.of({"told": told.text}) == []


def test_a_model_is_looked_at_without_telling_its_addresses(tell: Tell, search: Search, digits_bundle: Path) -> None:
    with serving({f"/{path.name}": path.read_bytes() for path in digits_bundle.iterdir()}) as server:
        told = tell("model", "inspect", with_password(server.url, "password of the params"))
    assert told.code == 0
    assert b"digits-symbol.json" in told.text
    assert search.of({"told": told.text}) == []


@pytest.fixture(params=["listing", "writing", "reading"])
def use(request: pytest.FixtureRequest, tmp_path: Path, digits_bundle: Path) -> list[str]:
    """Jobs that first meet the server in one way each: by its listing, through boto3, or through obstore."""
    job = ["run", "--debug", "--set", "storage.retries=1", "--set", "storage.connect_timeout=2"]
    if request.param == "listing":
        return [*job, "--input", f"s3://{BUCKET}/x", "--model", str(digits_bundle), "--output", str(tmp_path / "t")]
    if request.param == "writing":
        return [*job, "--input", str(tmp_path), "--model", str(digits_bundle), "--output", f"s3://{BUCKET}/t"]
    return [*job, "--input", str(tmp_path), "--model", f"s3://{BUCKET}/m", "--output", str(tmp_path / "t")]


SESSION = NOBODY | {
    "AWS_ACCESS_KEY_ID": CANARIES["key in an environment variable"],
    "AWS_SESSION_TOKEN": CANARIES["session token"],
}


def test_wrong_keys_are_told_without_them(tell: Tell, search: Search, s3_server: Server, use: list[str]) -> None:
    told = tell(
        *use, environment={**s3_server.environment, "AWS_SECRET_ACCESS_KEY": CANARIES["key in the environment"]}
    )
    assert told.code == 2
    assert f"s3://{BUCKET}".encode() in told.text
    assert search.of({"told": told.text}) == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://127.0.0.1:no-port"])
def test_a_server_that_is_not_there_is_told_without_its_password(
    tell: Tell, search: Search, use: list[str], address: str
) -> None:
    told = tell(*use, environment=SESSION | {"AWS_ENDPOINT_URL": with_password(address, "password of the endpoint")})
    assert told.code in (1, 2)
    assert b"Error: " in told.text
    assert search.of({"told": told.text}) == []


def test_a_proxy_that_refuses_is_told_without_its_password(tell: Tell, search: Search, use: list[str]) -> None:
    with scripted(Answer(407, b"who are you?")) as proxy:
        variables = {
            "http_proxy": with_password(proxy.url, "password of the proxy"),
            "AWS_ENDPOINT_URL": "http://storage.invalid",
        }
        told = tell(*use, environment=SESSION | variables)
    assert proxy.requests
    assert told.code == 1, "it may let us in later"
    assert search.of({"told": told.text}) == []


def test_a_proxy_that_is_not_there_is_told_without_its_password(tell: Tell, search: Search, use: list[str]) -> None:
    variables = {
        "http_proxy": with_password("http://127.0.0.1:9", "password of the proxy"),
        "AWS_ENDPOINT_URL": "http://storage.invalid",
    }
    told = tell(*use, environment=SESSION | variables)
    assert told.code == 1, "it may come up"
    assert search.of({"told": told.text}) == []


def test_a_server_that_repeats_what_it_was_asked_is_not_repeated(tell: Tell, search: Search, use: list[str]) -> None:
    with echoing() as url:
        told = tell(*use, environment=SESSION | {"AWS_ENDPOINT_URL": url})
    assert told.code == 2
    assert search.of({"told": told.text}) == []


@contextmanager
def echoing() -> Iterator[str]:
    """A server that refuses every request, and says which it was."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = escape(f"refused: {self.path} {dict(self.headers)}")
            body = f"<Error><Code>Refused</Code><Message>{asked}</Message></Error>".encode()
            self.send_response(400)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("problem", ["/forbidden", "/cut", "/missing", "/other-digest", "nobody listens"])
def test_a_model_that_can_not_be_had_is_told_without_its_address(
    tell: Tell, search: Search, web: Web, tmp_path: Path, problem: str
) -> None:
    url = (
        "http://127.0.0.1:9"
        if problem == "nobody listens"
        else f"{web.url}{'' if problem == '/other-digest' else problem}"
    )
    model_files = [f"model.symbol={presigned(f'{url}/digits-symbol.json', 'signature of the symbol')}"]
    model_files += [f"model.params={with_password(f'{url}/digits-0000.params', 'password of the params')}"]
    model_files += [f"model.sha256.params={64 * 'a'}"] if problem == "/other-digest" else []
    flags = [word for assignment in model_files for word in ("--set", assignment)]
    job = ["run", "--debug", "--input", str(tmp_path), "--output", str(tmp_path / "t"), "--set", "storage.retries=1"]
    told = tell(*job, *flags)
    assert told.code == (1 if problem in ("/cut", "nobody listens") else 2), "some may pass"
    assert b"/digits-" in told.text
    assert search.of({"told": told.text}) == []


@pytest.mark.parametrize("text", [f"aws_secret_access_key = {TYPED}\n", f"[lab]\naws_secret_access_key {TYPED}\n"])
def test_a_credentials_file_that_is_wrong_is_told_without_its_lines(
    tell: Tell, search: Search, tmp_path: Path, text: str
) -> None:
    (tmp_path / "credentials").write_text(text)
    job = [
        "run",
        "--debug",
        "--input",
        str(tmp_path),
        "--model",
        "net",
        "--output",
        f"s3://{BUCKET}/t",
        "--set",
        "model.path=s3://b/m",
    ]
    told = tell(*job, environment={"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_PROFILE": "lab"})
    assert told.code == 2
    assert search.of({"told": told.text}) == []
