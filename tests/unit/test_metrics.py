"""A run's metrics: what a Prometheus that asks the driver gets; a real one does in tests/monitoring."""

import socket
import time
from collections import Counter
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from examples.s3 import free_port
from prometheus_client.parser import text_string_to_metric_families

from mxspark.dataset.predictions import Counts
from mxspark.errors import UsageError
from mxspark.run import metrics
from mxspark.run.metrics import Metrics, served
from mxspark.run.progress import Silent
from mxspark.settings.job import MetricsSettings, Settings
from mxspark.worker.pipeline import Timings
from mxspark.worker.shard import ShardReport

Labels = tuple[tuple[str, str], ...]


def settings(port: int = 9095, host: str | None = None) -> Settings:
    return Settings.model_validate(
        {
            "input": {"path": "photos"},
            "output": {"path": "s3://tables/photos"},
            "model": {"path": "model"},
            "metrics": {"port": port, "host": host},
        }
    )


def report(shard: int = 0, ok: int = 9, missing: int = 1, seconds: float = 2.0, where: str = "node-a") -> ShardReport:
    counts = Counts(Counter(ok=ok, missing=missing))
    timings = Timings(fetch=3.0, forward=1.5)
    return ShardReport(shard, counts, timings, Counter(throttled=2), seconds=seconds, where=where, bytes_read=1000)


def asked(found: Metrics) -> dict[tuple[str, Labels], float]:
    """What a client gets, by name and labels."""
    with served(MetricsSettings(port=free_port()), found) as address, urlopen(address, timeout=60) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }


def test_what_workers_report_is_added_up() -> None:
    found = Metrics(settings())
    found.begin("run-1")
    found.planned(100, 20, 8, shards_done=2)
    assert asked(found)["mxspark_shards_done", ()] == 2  # before a shard ends, too
    found.executors(1, 4)
    for shard, seconds in enumerate((2.0, 700.0)):
        found.shard(report(shard, seconds=seconds))
        found.done(20 + 10 * (shard + 1), shard + 1, shard + 3)
    values = asked(found)

    assert values["mxspark_images_total", (("status", "ok"),)] == 18
    assert values["mxspark_images_total", (("status", "missing"),)] == 2
    assert values["mxspark_retries_total", (("cause", "throttled"),)] == 4
    assert values["mxspark_stage_seconds_total", (("stage", "fetch"),)] == 6
    assert values["mxspark_fetched_bytes_total", ()] == 2000
    assert values["mxspark_executor_images_total", (("executor", "node-a"),)] == 20
    assert values["mxspark_executor_busy_seconds_total", (("executor", "node-a"),)] == 702
    assert (values["mxspark_executors", ()], values["mxspark_executors_wanted", ()]) == (1, 4)
    plan = ("images_planned", "images_kept", "images_done", "shards_planned", "shards_done")
    assert [values[f"mxspark_{name}", ()] for name in plan] == [100, 20, 40, 8, 4]
    buckets = [values["mxspark_shard_seconds_bucket", (("le", bound),)] for bound in ("1.0", "3.0", "600.0", "+Inf")]
    assert buckets == [0, 1, 1, 2]
    assert values["mxspark_shard_seconds_sum", ()] == 702
    assert values["process_resident_memory_bytes", ()] > 0
    (info,) = (labels for name, labels in values if name == "mxspark_run_info")
    assert dict(info) | {"version": ""} == {
        "run": "run-1",
        "version": "",
        "output": "s3://tables/photos",
        "precision": "fp32",
    }


def test_before_a_shard_has_ended_there_are_zeros_and_no_guess_of_the_time_left() -> None:
    values = asked(Metrics(settings()))

    assert values["mxspark_images_total", (("status", "ok"),)] == 0
    assert values["mxspark_last_progress_timestamp_seconds", ()] == pytest.approx(time.time(), abs=600)
    assert not {"mxspark_left_seconds", "mxspark_executors"} & {name for name, _ in values}


def test_the_time_left_is_that_at_the_last_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter((100.0, 110.0))
    monkeypatch.setattr("mxspark.run.progress.time.monotonic", lambda: next(now))
    found = Metrics(settings())
    found.planned(1000, 0, 10)
    found.done(100, 0, 1)
    found.done(300, 0, 3)  # 20 images/s
    monkeypatch.undo()
    assert asked(found)["mxspark_left_seconds", ()] == 35


def test_executors_that_come_and_go_don_t_make_metrics_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_EXECUTORS", 2)
    found = Metrics(settings())
    for number in range(5):
        found.shard(report(where=f"node-{number % 4}"))
    images = {dict(labels)["executor"]: value for (name, labels), value in asked(found).items() if "or_images" in name}
    assert images == {"node-0": 20, "node-1": 10, "(others)": 20}


class Notes(Silent):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, what: str) -> None:
        self.told.append(what)


def test_a_run_hears_where_its_metrics_are_and_the_port_is_free_again_when_it_has_ended() -> None:
    notes, port = Notes(), free_port()
    for _ in range(2):
        with metrics.listening(settings(port), notes) as listener:
            listener.planned(5, 0, 1)
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                assert b"mxspark_images_planned 5.0" in answer.read()
    assert notes.told == 2 * [f"Metrics: http://127.0.0.1:{port}/metrics"]


def test_a_port_that_is_taken_is_a_mistake_in_the_settings(unused_port: int) -> None:
    with (
        pytest.raises(UsageError, match=f"metrics can't be served at 127.0.0.1 port {unused_port}: Address already"),
        metrics.listening(settings(unused_port), Silent()),
    ):
        pass


def test_only_a_pod_s_metrics_are_for_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert metrics._host() == "127.0.0.1"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert metrics._host() == "0.0.0.0"
    monkeypatch.setenv("POD_IP", "fd00::7")
    assert metrics._host() == "::"


def test_many_clients_that_say_nothing_don_t_keep_others_out_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(metrics._Handler, "timeout", 0.5)
    port = free_port()
    with served(MetricsSettings(port=port), Metrics(settings())) as address:
        silent = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(2)]
        for client in silent:
            assert client.recv(1) == b""  # it was given up
            client.close()
        with urlopen(address, timeout=60) as answer:
            assert answer.status == 200


def test_a_client_that_asks_for_what_there_is_not_writes_nothing_to_the_run_s_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with served(MetricsSettings(port=free_port()), Metrics(settings())) as address:
        request = Request(address, headers={"Accept": "application/openmetrics-text; version=x"})
        with pytest.raises(HTTPError):
            urlopen(request, timeout=60)
    assert capsys.readouterr().err == ""


def test_a_client_that_sends_a_byte_now_and_then_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CONNECTION_SECONDS", 0.5)
    port = free_port()

    def send() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
            while True:
                slow.send(b"G")
                time.sleep(0.05)

    with served(MetricsSettings(port=port), Metrics(settings())), pytest.raises(ConnectionError):
        send()


@pytest.mark.parametrize("host", ["a\0b", "no.such.host.invalid"])
def test_a_host_that_is_none_is_a_mistake_in_the_settings(host: str) -> None:
    with (
        pytest.raises(UsageError, match=r"metrics can't be served at"),
        served(MetricsSettings(port=free_port(), host=host), Metrics(settings())),
    ):
        pass


def test_nothing_can_be_written_to_it() -> None:
    with (
        served(MetricsSettings(port=free_port()), Metrics(settings())) as address,
        pytest.raises(HTTPError, match="405"),
    ):
        urlopen(address, data=b"x", timeout=60)


def test_the_figures_are_those_that_the_page_about_them_lists() -> None:
    found = Metrics(settings())
    found.executors(1, 1)
    found.shard(report())
    names = {name.removesuffix("_bucket") for name, _ in asked(found) if name.startswith("mxspark_")}
    page = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
    missing = [name for name in names if name.removesuffix("_sum").removesuffix("_count") not in page]
    assert missing == []
