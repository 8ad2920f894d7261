"""One run of Spark, watched: by a real Prometheus, by who reads its log as JSON, and by Spark's event log."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from examples.s3 import free_port
from tests.command import Command, Finished, summary
from tests.documentation import filled, shown
from tests.held_image import held_image
from tests.monitoring.dashboard import ALERTS, queries
from tests.monitoring.prometheus import Prometheus, prometheus

IMAGES = 120
BROKEN = 2
SHARD_SIZE = 10
# Workers are processes of this machine: there are no executors. Nothing was tried again. A rate isn't known within
# three seconds, in which all may be done.
WITHOUT_VALUES = "mxspark_executors", "mxspark_retries_total", "mxspark_left_seconds"


@dataclass(frozen=True)
class Watched:
    """A run that has ended, and what Prometheus had to say in its middle, where it stood still."""

    finished: Finished
    output: Path
    events: list[dict[str, Any]]  # of Spark
    panels: dict[str, list[float]]  # of the dashboard, by query
    counts: dict[str, float]
    alerts: list[dict[str, Any]]
    target: dict[str, Any]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it printed on standard error."""
        return [json.loads(line) for line in self.finished.errors.splitlines()]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture(scope="module")
def watched(
    mxspark: Command, digits_images: Path, digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Watched:
    folder = tmp_path_factory.mktemp("watched")
    for name in ("images", "hold", "events", "prometheus"):
        (folder / name).mkdir()
    chosen = sorted(digits_images.glob("*.png"))[:IMAGES]
    for image in chosen:
        (folder / "images" / image.name).write_bytes(image.read_bytes())
    for number in range(BROKEN):
        (folder / "images" / f"0000_broken{number}.png").write_bytes(b"no image")
    # The last image of all: the other shards are done by then.
    held = held_image(chosen[-1].name, folder / "hold")
    port = free_port()
    settings = {
        "plan.shard_size": SHARD_SIZE,
        "max_failed_fraction": 0.01,
        "spark.conf.spark.eventLog.enabled": "true",
        "spark.conf.spark.eventLog.compress": "false",
        "spark.conf.spark.eventLog.rolling.enabled": "false",
        "spark.conf.spark.eventLog.dir": (folder / "events").as_uri(),
    }
    (command,) = shown("docs/monitoring.md", "mxspark", "run")
    places = {"photos": folder / "images", "examples/imagenet/bundle": digits_bundle, "predictions": folder / "table"}
    arguments = filled(command[1:], {**places, "metrics.port=9095": f"metrics.port={port}"})
    arguments += [f"--set={key}={value}" for key, value in settings.items()]
    with (
        prometheus(port, ALERTS, folder / "prometheus") as server,
        mxspark.start(
            "mxspark", *arguments, "--master=local[1]", "--log-format=json", environment=held.environment
        ) as running,
    ):
        done = IMAGES + BROKEN - (IMAGES + BROKEN) % SHARD_SIZE
        running.wait_until(lambda: server.values("sum(mxspark_images_total)") == [done])
        running.wait_until(lambda: all(panel_values(server).values()))
        # The rules are evaluated together, some seconds apart.
        running.wait_until(lambda: any(rule["state"] == "firing" for rule in alerts_of(server)))
        panels, counts = panel_values(server), by_status(server)
        alerts = alerts_of(server)
        (target,) = server.ask("targets")["activeTargets"]
        held.release()
        finished = running.wait()
    (log,) = (folder / "events").iterdir()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return Watched(finished, folder / "table", events, panels, counts, alerts, target)


def panel_values(server: Prometheus) -> dict[str, list[float]]:
    return {
        f"{title}: {query}": server.values(query)
        for title, query in queries()
        if not any(name in query for name in WITHOUT_VALUES)
    }


def alerts_of(server: Prometheus) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.ask("rules")["groups"][0]["rules"]
    return found


def by_status(server: Prometheus) -> dict[str, float]:
    found = server.ask("query", query="mxspark_images_total")["result"]
    return {each["metric"]["status"]: float(each["value"][1]) for each in found}


def test_prometheus_sees_what_the_run_has_done_by_now(watched: Watched) -> None:
    assert watched.target["health"] == "up"
    ((_, address),) = shown("docs/monitoring.md", "curl")
    assert re.sub(r":\d+/", ":9095/", watched.target["scrapeUrl"]) == address
    assert watched.counts == {"ok": IMAGES - BROKEN, "not_an_image": BROKEN}


def test_every_panel_of_the_dashboard_has_something_to_show(watched: Watched) -> None:
    assert len(watched.panels) >= 12
    assert [query for query, values in watched.panels.items() if not values] == []
    done = next(values for query, values in watched.panels.items() if query.startswith("Done: "))
    assert done == [pytest.approx(IMAGES / (IMAGES + BROKEN))]


def test_an_alert_about_failed_images_fires_and_the_others_don_t(watched: Watched) -> None:
    assert {rule["name"]: (rule["health"], rule["state"]) for rule in watched.alerts} == {
        "MxsparkNoProgress": ("ok", "inactive"),
        "MxsparkTooManyFailedImages": ("ok", "firing"),
        "MxsparkNoExecutors": ("ok", "inactive"),
    }


def test_every_line_is_json_with_the_run_s_id_and_the_result_is_alone_on_standard_output(watched: Watched) -> None:
    assert watched.finished.code == 3
    begun = [line["event"] for line in watched.lines].index("begin")
    ids = {line.get("run") for line in watched.lines[begun:]}
    assert len(ids) == 1
    (result,) = map(json.loads, watched.finished.output.splitlines())
    assert {result["run"]} == ids
    assert (
        result["counts"]["by_status"] == summary(watched.output)["by_status"] == {"not_an_image": BROKEN, "ok": IMAGES}
    )
    (error,) = watched.of("error")
    assert (error["level"], error["exit_code"]) == ("error", 3)
    assert "max_failed_fraction" in error["message"]


def test_the_log_has_each_shard_with_its_counts(watched: Watched) -> None:
    (planned,) = watched.of("planned")
    assert (planned["images"], planned["kept"]) == (IMAGES + BROKEN, 0)
    shards = watched.of("shard")
    assert sorted(line["shard"] for line in shards) == list(range(planned["shards"]))
    assert sum(line["images"] for line in shards) == IMAGES + BROKEN
    assert sum(line["failed"] for line in shards) == BROKEN
    read = sum(path.stat().st_size for path in (watched.output.parent / "images").iterdir())
    assert sum(line["bytes"] for line in shards) == read
    names = [path.name for path in (watched.output / "_runs").iterdir()]
    assert any(shards[0]["run"][:8] in name for name in names)


def test_spark_s_pages_name_jobs_and_stages_in_the_words_of_the_run(watched: Watched) -> None:
    jobs = [event for event in watched.events if event["Event"] == "SparkListenerJobStart"]
    (shards,) = {len(watched.of("shard"))}
    told = [job["Properties"]["spark.job.description"] for job in jobs]
    assert told == [f"mxspark: {shards} shards of {watched.output.parent / 'images'} -> {watched.output}"]
    assert [stage["Stage Name"] for job in jobs for stage in job["Stage Infos"]] == [
        "fetch, decode and predict; one task a shard"
    ]
    assert jobs[0]["Properties"]["spark.jobGroup.id"] == f"mxspark-{watched.of('shard')[0]['run']}"
