"""The command line: what it prints, and the exit code that it ends with, whatever is typed."""

import io
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from mxspark import __version__, cli, doctor, report
from mxspark.cli import console
from mxspark.dataset.output import LOCK
from mxspark.dataset.predictions import Counts, Prediction, Row
from mxspark.doctor import Finding
from mxspark.errors import MxsparkError, TooManyFailedError, UsageError
from mxspark.inference import model_check
from mxspark.run import driver, last_word
from mxspark.run.last_word import Results
from mxspark.run.result import Result
from mxspark.run.summary import Performance
from mxspark.settings.document import json_schema
from mxspark.settings.job import Settings
from mxspark.storage import FolderStore
from mxspark.worker.pipeline import Timings
from tests.command import Finished
from tests.unit.runs import run_in

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mxnet.*")

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "bundle"
JOB = ["--input", "photos", "--output", "table", "--model", "net"]


Command = Callable[..., Finished]


@pytest.fixture
def mxspark(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Command]:
    """Runs `mxspark` with arguments in this process, in an empty folder."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))

    def command(*arguments: str, main: Callable[[list[str]], None] = cli.main) -> Finished:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Finished(ended.value.code, printed.out, printed.err, 0, "")

    yield command
    signal.signal(signal.SIGTERM, before)


def as_table(text: str) -> dict[str, list[str]]:
    """The columns of a table by its first one."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows if row}


# ---- help ----


def test_the_version_is_told(mxspark: Command) -> None:
    ended = mxspark("--version")

    assert (ended.code, ended.output.strip()) == (0, f"mxspark {__version__}")


FLAGS = {
    "run": [
        *(
            "--input",
            "--output",
            "--model",
            "--settings",
            "--set",
            "--context",
            "--precision",
            "--batch-size",
            "--top-k",
            "--format",
        ),
        *("--master", "--endpoint-url", "--max-failed-fraction", "--overwrite", "--limit", "--debug"),
    ],
    "settings": ["--schema", "--set", "--settings", "--yaml", "--json"],
    "doctor": ["--gpu", "--json"],
    "bench": ["--input", "--model", "--precision", "--batch-size", "--threads", "--images", "--seconds", "--json"],
    "neighbours": ["--key", "-n", "--column"],
    "show": ["--status", "--label", "--key", "-n", "--least-certain", "--json"],
    "report": ["--to", "--compare", "--images"],
    "diff": ["--json", "--endpoint-url"],
    "model inspect": ["--endpoint-url", "--context", "--layers"],
    "model convert": ["--output", "--labels", "--spec", "--preset", "--kind", "--size", "--output-name", "--try"],
    "model pack": ["--symbol", "--params", "--labels", "--spec", "--output", "--kind", "--preset", "--also", "--try"],
    "model try": ["--compare-presets", "--preset", "--kind", "--layer", "--also", "--top-k"],
}


@pytest.mark.parametrize("command", sorted(FLAGS))
def test_help_explains_every_flag(mxspark: Command, command: str) -> None:
    ended = mxspark(*command.split(), "--help")

    assert ended.code == 0
    for flag in FLAGS[command]:
        assert re.search(rf"^  {flag}\b.*  \S", ended.output, re.MULTILINE), f"{flag} is not explained"


def test_help_tells_defaults_units_and_exit_codes(mxspark: Command) -> None:
    text = " ".join(mxspark("run", "--help").output.split())

    assert "[images]. [default: 16]" in text
    assert "[default: local[*]]" in text
    assert "[default: parquet]" in text
    for meaning in ("0 success", "2 wrong settings", "3 the run ended but more images failed", "130 Ctrl-C"):
        assert meaning in text


def test_without_arguments_the_commands_are_listed(mxspark: Command) -> None:
    ended = mxspark()

    assert all(command in ended.output + ended.errors for command in ("run", "settings", "model"))
    assert "Error" not in ended.errors


# ---- settings ----


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal on which no cell of the tables here is folded."""
    monkeypatch.setattr(console._out, "width", 160)


def test_settings_are_shown_with_where_they_come_from(
    mxspark: Command, monkeypatch: pytest.MonkeyPatch, wide: None
) -> None:
    Path("job.yaml").write_text("top_k: 3\nspark: {executors: 7}\n")
    monkeypatch.setenv("MXSPARK_BATCH_SIZE", "8")

    ended = mxspark("settings", *JOB, "--settings", "job.yaml", "--limit", "9", "--set", "spark.executor_memory=4g")

    assert ended.code == 0
    found = as_table(ended.output)
    assert found["input.path"] == ["photos", "--input"]
    assert found["top_k"] == ["3", "job.yaml"]
    assert found["spark.executors"] == ["7", "job.yaml"]
    assert found["batch_size"] == ["8", "MXSPARK_BATCH_SIZE"]
    assert found["input.limit"] == ["9", "--limit"]
    assert found["spark.executor_memory"] == ["4g", "flag --set"]
    assert found["max_failed_fraction"] == ["0.05", "default"]


def test_settings_are_shown_as_far_as_they_are_given(mxspark: Command) -> None:
    ended = mxspark("settings", "--top-k", "3")

    assert ended.code == 0
    assert as_table(ended.output)["top_k"] == ["3", "--top-k"]


@pytest.mark.parametrize("place", ["/data/[red]/x", "/data/:cat:/x", r"/data/\[x]"])
def test_settings_are_shown_as_they_are(mxspark: Command, place: str, wide: None) -> None:
    ended = mxspark("settings", "--input", place)

    assert as_table(ended.output)["input.path"][0] == place


def test_what_shells_make_of_names_and_patterns_is_refused_in_words(mxspark: Command) -> None:
    mxspark("settings", *JOB, "--input", "caf\udce9").refused("input.path", r"'caf\xe9'", "not UTF-8")
    mxspark("settings", *JOB, "--output", "caf\udce9").refused("output.path", "not UTF-8")
    mxspark("settings", *JOB, "--model", "caf\udce9").refused("model.path", "not UTF-8")
    mxspark("settings", *JOB, "--set", "spark.conf.a=\udce9").refused("spark.conf.a", "--set", "not UTF-8")
    mxspark("settings", *JOB, "--set", "spark.conf.\udce9=a").refused("spark.conf", r"\xe9", "not UTF-8")
    mxspark("settings", *JOB, "--input", "a.jpg", "b.jpg", "c.jpg").refused("c.jpg", "quote it: --input 'photos/*.jpg'")


def test_several_inputs_are_one_setting(mxspark: Command, wide: None) -> None:
    ended = mxspark("settings", *JOB, "--input", "more, of them")

    assert as_table(ended.output)["input.path"] == ["photos, more, of them", "--input"]


def test_a_long_value_or_source_is_not_cut(mxspark: Command) -> None:
    folder = Path("folder-" + 100 * "x")
    folder.mkdir()
    (folder / "job.yaml").write_text(f"input: {{path: {200 * 'p'}}}\n")

    shown = "".join(mxspark("settings", "--settings", str(folder / "job.yaml")).output.split())

    assert shown.count("p") > 200
    assert shown.count("x") >= 100


def test_settings_are_shown_as_a_file_that_settings_takes_back(mxspark: Command) -> None:
    shown = mxspark("settings", *JOB, "--top-k", "3", "--set", "spark.conf.spark.ui.enabled=false", "--yaml")
    Path("job.yaml").write_text(shown.output)

    assert "# Predictions in a row: the k most probable classes.\ntop_k: 3\n" in shown.output
    told = [json.loads(mxspark("settings", *flags, "--json").output) for flags in (["--settings", "job.yaml"], JOB)]
    values = [{key: setting["value"] for key, setting in settings.items()} for settings in told]
    assert values[0] == values[1] | {"top_k": 3, "spark.conf": {"spark.ui.enabled": "false"}}
    assert told[0]["top_k"] == {
        "value": 3,
        "from": "job.yaml",
        "description": "Predictions in a row: the k most probable classes.",
    }


def test_settings_in_a_file_are_a_comment_where_they_are_secret_or_not_given(mxspark: Command) -> None:
    shown = mxspark(
        "settings", "--yaml", "--set", "spark.conf.my.password=hunter2", "--set", "spark.conf.my.other=2"
    ).output
    Path("job.yaml").write_text(shown)

    assert "hunter2" not in shown
    assert re.search(r"^  # path: '\(needed: --input\)'$", shown, re.MULTILINE)
    assert re.search(r"^  #   my.password: \(hidden\)$", shown, re.MULTILINE)
    read = json.loads(mxspark("settings", *JOB, "--settings", "job.yaml", "--json").output)
    assert read["input.path"]["value"] == "photos"
    assert read["spark.conf"]["value"] == {"my.other": "2"}


def test_one_setting_is_explained(mxspark: Command) -> None:
    found = as_table(mxspark("settings", "top_k", "--top-k", "3").output)

    assert found["value"] == ["3"]
    assert found["from"] == ["--top-k"]
    assert found["what it is"] == ["Predictions in a row: the k most probable classes."]
    assert found["set it by"] == ["--top-k, --set top_k=…, MXSPARK_TOP_K"]


def test_a_section_of_settings_is_shown_alone(mxspark: Command) -> None:
    assert [key for key in as_table(mxspark("settings", "plan").output) if "." in key] == ["plan.shard_size"]
    assert (
        next(iter(json.loads(mxspark("settings", "spark.dynamic_allocation", "--json").output)))
        == "spark.dynamic_allocation.enabled"
    )


@pytest.mark.parametrize(
    ("key", "meant"), [("topk", "top_k"), ("sprak", "spark"), ("executor_memory", "spark.executor_memory")]
)
def test_a_setting_that_there_is_not_is_refused_with_what_may_be_meant(mxspark: Command, key: str, meant: str) -> None:
    ended = mxspark("settings", key)

    assert ended.code == 2
    assert f"there is no setting {key!r}" in ended.errors
    assert re.search(rf"Did you mean {re.escape(meant)}\b", ended.errors)


def test_settings_are_printed_one_way_at_a_time(mxspark: Command) -> None:
    assert mxspark("settings", "--yaml", "--json").code == 2


def test_the_schema_is_printed_as_json(mxspark: Command) -> None:
    ended = mxspark("settings", "--schema")

    assert ended.code == 0
    assert json.loads(ended.output) == json_schema(Settings)


# ---- start and completion ----

HEAVY = ["boto3", "botocore", "numpy", "obstore", "pyarrow", "PIL", "urllib3", "pyspark", "mxnet", "kubernetes"]


def test_a_command_line_that_runs_nothing_imports_no_heavy_library() -> None:
    asked = (
        "import atexit, sys; from mxspark import cli\n"
        f"atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules]))\n"
        "cli.main(['run', '--help'])"
    )
    ended = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)

    assert ended.stdout.startswith("Usage: ")
    assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("mxspark se", "settings"),
        ("mxspark run --cont", "--context"),
        ("mxspark run --context g", "gpu"),
        ("mxspark settings spark.executor_mem", "spark.executor_memory"),
        ("mxspark run --set top", "top_k="),
    ],
)
def test_a_shell_is_told_what_can_follow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, offered: str
) -> None:
    words = {"_MXSPARK_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    for name, value in words.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as ended:
        cli.main([])

    assert ended.value.code == 0
    assert offered in capsys.readouterr().out.splitlines()


# ---- wrong arguments and settings ----


@pytest.mark.parametrize("command", ["run", "settings"])
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--batch-size", "0"], ["batch_size", "0"]),
        (["--batch-size", "many"], ["--batch-size", "integer"]),
        (["--top-k", "-1"], ["top_k", "-1"]),
        (["--limit", "0"], ["input.limit"]),
        (["--context", "tpu"], ["--context", "tpu", "gpu"]),
        (["--precision", "int3"], ["--precision", "int3"]),
        (["--format", "csv"], ["--format", "csv", "parquet"]),
        (["--max-failed-fraction", "2"], ["max_failed_fraction", "2"]),
        (["--endpoint-url", "localhost"], ["storage.endpoint_url", "localhost"]),
        (["--master", "mesos"], ["spark.master", "mesos"]),
        (["--set", "top_k"], ["top_k", "KEY=VALUE"]),
        (["--set", "top_j=3"], ["top_j", "top_k"]),
        (["--set", "batch_size=2024-13-45"], ["batch_size"]),
        (["--set", "input.suffixes=[.png"], ["input.suffixes"]),
        (["--output", "photos"], ["output.path", "input.path"]),
        (["--settings", "nowhere.yaml"], ["--settings", "nowhere.yaml"]),
        (["--settings", "."], ["--settings"]),
        (["--no-such-flag"], ["--no-such-flag"]),
        (["--input"], ["--input"]),
        (["something"], ["something"]),
    ],
)
def test_wrong_arguments_are_refused_in_words(
    mxspark: Command, command: str, arguments: list[str], named: list[str]
) -> None:
    mxspark(command, *JOB, *arguments).refused(*named)

    assert not Path("table").exists()


@pytest.mark.parametrize("command", ["status /out", "model inspect net", "settings --settings s3://b/job.yaml"])
def test_a_wrong_endpoint_is_refused_by_name(mxspark: Command, command: str) -> None:
    mxspark(*command.split(), "--endpoint-url", "127.0.0.1:8333").refused(
        "--endpoint-url", "'127.0.0.1:8333'", "http://"
    )


def test_an_empty_place_is_no_model(mxspark: Command) -> None:
    mxspark("model", "inspect", "").refused("PLACE", "empty")


def test_an_unknown_command_is_refused(mxspark: Command) -> None:
    mxspark("predict").refused("predict")


def test_a_run_of_nothing_is_told_all_that_it_needs(mxspark: Command) -> None:
    mxspark("run").refused("input.path", "output.path", "model.path")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"top_k: [1\n", "line"),
        (b"- top_k\n", "list"),
        (b"\xff\xfe", "UTF-8"),
        (b"topk: 3\n", "'topk'"),
        (b"spark: {executors: two}\n", "spark.executors"),
        (b"input: photos\n", "input"),
        (b"top_k: 3\ntop_k: 4\n", "duplicate key"),
        (b"top_k: true\n", "top_k"),
        (b"3: 4\n", "'3'"),
    ],
)
def test_a_wrong_settings_file_is_refused_with_its_place(mxspark: Command, content: bytes, named: str) -> None:
    Path("job.yaml").write_bytes(content)

    mxspark("run", *JOB[2:], "--settings", "job.yaml").refused("job.yaml", named)


def test_a_model_that_is_not_there_is_refused_before_anything_is_written(mxspark: Command) -> None:
    Path("photos").mkdir()

    mxspark("run", *JOB).refused("net")
    assert not Path("table").exists()


def test_a_gpu_that_is_not_there_is_told_before_spark_starts(mxspark: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    FolderStore(Path("photos")).write("a.png", b"")

    def no_gpu(*_: object) -> None:
        raise UsageError("context gpu: there is no GPU")

    monkeypatch.setattr(model_check, "ask_model", no_gpu)
    monkeypatch.setattr(driver, "Application", lambda *_: pytest.fail("Spark was started"))

    mxspark("run", *JOB, "--model", str(DIGITS), "--context", "gpu", "--master", "local[1]").refused(
        "context gpu: there is no GPU",
    )
    assert not Path("table").exists()


def test_an_output_that_cannot_be_is_refused(mxspark: Command) -> None:
    Path("table").write_text("mine")

    mxspark("run", *JOB, "--model", str(DIGITS)).refused("output.path", "table")
    assert Path("table").read_text() == "mine"


def test_debug_shows_where_it_came_from(mxspark: Command) -> None:
    ended = mxspark("run", *JOB, "--debug")

    assert ended.code == 2
    assert "Traceback (most recent call last):\n  File " in ended.errors
    assert re.search(r"^UsageError: ", ended.errors, re.MULTILINE)


# ---- how a run ends ----


def result(too_many: TooManyFailedError | None = None, rows: tuple[Row, ...] = ()) -> Result:
    performance = Performance(4, 3.0, 1.0, 1.0, 2, Timings(forward=3.0), Counter(throttled=7), "cpu(0)")
    counts = Counts(Counter(ok=3, missing=1))
    results = Results(counts, {}, performance, rows, "s3://bucket/[table]/:cat:")
    return Result(results, too_many, cast(Any, None), None)


def ends_with(monkeypatch: pytest.MonkeyPatch, outcome: Result | BaseException) -> None:
    def run(*_: Any) -> Result:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(driver, "run", run)
    monkeypatch.setattr(report, "write_at_end", lambda *_: None)


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        (result(), 0, ""),
        (result(TooManyFailedError("1 of 4 images failed")), 3, "1 of 4 images failed"),
        (MxsparkError("Java went away", "Start it again."), 1, "Java went away"),
        (RuntimeError("unexpected"), 1, "unexpected"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (cli.Terminated(), 143, "terminated"),
    ],
    ids=["success", "too many failed", "error", "mistake", "Ctrl-C", "SIGTERM"],
)
def test_the_exit_code_says_how_a_run_ended(
    mxspark: Command, monkeypatch: pytest.MonkeyPatch, outcome: Result | BaseException, code: int, said: str
) -> None:
    ends_with(monkeypatch, outcome)

    ended = mxspark("run", *JOB)

    assert ended.code == code
    assert said in ended.errors
    assert "Traceback" not in ended.errors


def test_a_run_ends_with_counts_rate_the_first_predictions_and_where_they_are(
    mxspark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (
        Row("a.png", "ok", None, (Prediction(3, "n02123045 tabby, tabby cat", 0.784), Prediction(1, None, 0.2))),
        Row("b.png", "missing", "there is no such object"),
    )
    ends_with(monkeypatch, result(rows=rows))

    text = mxspark("run", *JOB).output

    for part in (
        "4 images: 3 ok, 1 failed (1 missing)",
        "2.0 images/s: 4 images in 2.0 s on 2 workers",
        "before that 1.0 s for the plan and Spark, and 1.0 s until the workers",
        "a.png",
        "tabby",
        "0.78",
        "b.png",
        "missing",
        "7 throttled",
    ):
        assert part in text


def test_keys_and_labels_are_shown_as_they_are(mxspark: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        Row("a/:cat:/[bold]x[/bold].png", "ok", None, (Prediction(3, ":dog: [red]", 0.5),)),
        Row("b", "missing", ":cat: [/]"),
    )
    ends_with(monkeypatch, result(rows=rows))

    text = mxspark("run", *JOB).output

    for part in ("a/:cat:/[bold]x[/bold].png", ":dog: [red]", ":cat: [/]", "s3://bucket/[table]/:cat:"):
        assert part in text


# ---- a terminal ----


def test_an_error_wraps_at_words_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(
        console, "_err", Console(file=screen, force_terminal=True, width=40, soft_wrap=True, color_system=None)
    )
    told = "the model's parameters are not those that its graph asks for, and nothing was written"

    console.show_error(MxsparkError(told, told))

    lines = screen.getvalue().splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert " ".join(" ".join(lines).split()) == f"Error: {told} {told}"


# ---- overwriting ----


class Terminal(io.StringIO):
    """A person who types this."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def earlier_run(mxspark: Command) -> list[str]:
    """A command that would overwrite an earlier run's results."""
    run_in(Path("table"), parts=3)
    FolderStore(Path("photos")).write("a.png", b"")
    return ["run", *JOB, "--model", str(DIGITS), "--overwrite"]


def content(folder: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_overwriting_where_nobody_can_be_asked_is_refused_and_nothing_deleted(
    mxspark: Command, earlier_run: list[str]
) -> None:
    before = content("table")

    mxspark(*earlier_run).refused("--overwrite deletes what is in table", "3 of 5 parts of 10 images", "Add --yes")

    assert content("table") == before


@pytest.mark.parametrize("typed", ["n\n", "\n", "what?\nno\nn\n"])
def test_overwriting_is_asked_about_and_only_yes_is_yes(
    mxspark: Command, earlier_run: list[str], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    before = content("table")
    monkeypatch.setattr("sys.stdin", Terminal(typed))

    ended = mxspark(*earlier_run)

    assert ended.code == 2
    assert "3 of 5 parts of 10 images. Continue?" in ended.output + ended.errors
    assert "nothing was deleted" in ended.errors
    assert content("table") == before


def test_nobody_is_asked_about_overwriting_before_all_else_is_known_to_fit(
    mxspark: Command, earlier_run: list[str]
) -> None:
    before = content("table")

    mxspark(*earlier_run, "--input", "nowhere").refused("input.path", "nowhere")  # besides the one that is there
    mxspark(*earlier_run, "--model", "nowhere").refused("model", "nowhere")

    assert content("table") == before


# ---- status ----


def test_the_status_of_a_run_is_told_in_words(mxspark: Command) -> None:
    store = run_in(Path("table"), parts=3)

    with store.hold(LOCK, {"host": "pod-7", "process": 4711, "since": "noon"}, 1):
        ended = mxspark("status", "table")

    assert (ended.code, ended.errors) == (0, "")
    text = " ".join(ended.output.split())
    for part in (
        "running (process 4711 on pod-7 since noon)",
        "6 of 10 images, 3 of 5 shards",
        "left 4 images",
        "s3://bucket/photos",
    ):
        assert part in text


def test_the_status_of_a_run_that_is_starting_is_told(mxspark: Command) -> None:
    with FolderStore(Path("table")).hold(LOCK, {"host": "pod-7", "process": 4711, "since": "noon"}, 1):
        ended = mxspark("status", "table")

    assert (ended.code, ended.errors) == (0, "")
    text = " ".join(ended.output.split())
    assert "starting (process 4711 on pod-7 since noon)" in text
    assert "nothing is planned yet" in text


def test_the_status_of_a_run_names_what_failed(mxspark: Command) -> None:
    run_in(Path("table"), parts=5)

    text = " ".join(mxspark("status", "table").output.split())

    for part in (
        "ended without success",
        "10 of 10 images",
        "ok 9",
        "failed 1 (1 missing)",
        "11 keys listed, 10 different",
    ):
        assert part in text


def test_the_status_of_a_run_is_told_as_json(mxspark: Command) -> None:
    run_in(Path("table"), parts=3)

    ended = mxspark("status", "table", "--json")

    assert ended.code == 0
    assert json.loads(ended.output)["images"] == {"planned": 10, "ok": 6, "failed": 0, "left": 4}


def test_the_status_of_what_is_no_run_is_refused(mxspark: Command) -> None:
    Path("photos").mkdir()

    mxspark("status", "photos").refused("photos", "no run has a plan here")
    mxspark("status", "nowhere").refused("nowhere")
    mxspark("status").refused("OUTPUT")


# ---- the doctor ----

SOUND = Finding("Java", "ok", "17, /usr/lib/jvm")
UNKNOWN = Finding("nvidia-smi", "can't tell", "it isn't there")
BAD = Finding("MXNet", "problem", "MXNet can't be loaded", "Install it.")


@pytest.mark.parametrize(("findings", "code"), [([SOUND], 0), ([SOUND, UNKNOWN], 0), ([SOUND, BAD, UNKNOWN], 1)])
def test_the_doctor_ends_with_whether_something_is_a_problem(
    mxspark: Command, monkeypatch: pytest.MonkeyPatch, findings: list[Finding], code: int
) -> None:
    monkeypatch.setattr(doctor, "examine", lambda cache_dir, gpus: findings)

    ended = mxspark("doctor")

    assert (ended.code, ended.errors) == (code, "")
    for finding in findings:
        assert finding.text in ended.output
        assert finding.hint in ended.output
    told = json.loads(mxspark("doctor", "--json").output)
    assert told["ok"] == (code == 0)
    assert [finding["verdict"] for finding in told["findings"]] == [finding.verdict for finding in findings]


def test_the_doctor_looks_at_gpus_when_asked_to_and_at_the_cache_that_is_set(
    mxspark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def examine(cache_dir: Path, gpus: bool) -> list[Finding]:
        asked.append((cache_dir.name, gpus))
        return [SOUND]

    monkeypatch.setattr(doctor, "examine", examine)

    mxspark("doctor", "--gpu")
    monkeypatch.setenv("MXSPARK_CACHE_DIR", "/somewhere/else")
    mxspark("doctor")

    assert asked == [("mxspark", True), ("else", False)]
    mxspark("doctor", "nobody").refused("nobody")


# ---- as spark-submit starts it ----


def test_submitted_it_is_run_with_its_own_flags(mxspark: Command) -> None:
    mxspark(*JOB, "--batch-size", "0", main=cli.main_submitted).refused("batch_size")


def test_submitted_it_knows_the_articles_flags_and_warns_of_secrets_without_showing_them(
    mxspark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_with(monkeypatch, result())
    article = [
        *(
            "--bucket",
            "b",
            "--prefix",
            "p",
            "--sym_url",
            "s",
            "--param_url",
            "p",
            "--label_url",
            "l",
            "--output_s3_bucket",
            "b",
        ),
        *("--output_s3_key", "k", "--set", "output.path=run"),
    ]

    ended = mxspark(*article, "--access_key", "AKIAEXAMPLE", "--secret_key", "hush-hush", main=cli.main_submitted)

    assert ended.code == 0
    assert "--secret_key" in ended.errors
    assert "hush-hush" not in ended.output + ended.errors
    mxspark(*article[2:], main=cli.main_submitted).refused("--bucket")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (result(), 0),
        (MxsparkError("broken"), 1),
        (result(TooManyFailedError("1 of 4 images failed")), 3),
        (KeyboardInterrupt(), 130),
        (cli.Terminated(), 143),
        (ValueError("nobody foresaw it"), 1),
    ],
)
def test_submitted_its_last_line_is_the_exit_code_where_that_is_not_0(
    mxspark: Command, monkeypatch: pytest.MonkeyPatch, outcome: Result | BaseException, code: int
) -> None:
    ends_with(monkeypatch, outcome)

    ended = mxspark(*JOB, main=cli.main_submitted)

    assert ended.code == code
    word = last_word.find(ended.errors.splitlines()[-1:])
    assert (word.exit_code if word else 0) == code
    assert last_word.find(mxspark("run", *JOB).errors.splitlines()) is None
