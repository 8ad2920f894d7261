"""The alerts and the dashboard's queries, as promtool reads them; no run is needed."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.monitoring.dashboard import ALERTS, DASHBOARD, queries


def promtool(*arguments: str | Path) -> str:
    """What it prints; fails the test where it finds something wrong."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_alerts_are_rules_of_prometheus() -> None:
    assert "3 rules found" in promtool("check", "rules", ALERTS)


def test_the_dashboard_s_queries_are_prometheus_own(tmp_path: Path) -> None:
    rules = [{"record": f"panel_{number}", "expr": query} for number, (_, query) in enumerate(queries())]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def test_the_dashboard_s_panels_are_whole_and_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"]
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + 4)}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def series(name: str, values: str, labels: str = "") -> dict[str, str]:
    return {"series": f'mxspark_{name}{{instance="photos"{labels}}}', "values": values}


@pytest.mark.parametrize(
    ("alert", "minutes", "told", "fires"),
    [
        # A shard ended at 10 minutes, and none since.
        ("MxsparkNoProgress", 40, [series("last_progress_timestamp_seconds", "600x60")], False),
        ("MxsparkNoProgress", 48, [series("last_progress_timestamp_seconds", "600x60")], True),
        ("MxsparkNoExecutors", 9, [series("executors", "0x30")], False),
        ("MxsparkNoExecutors", 11, [series("executors", "0x30")], True),
        ("MxsparkNoExecutors", 30, [series("executors", "0x5 1x30")], False),
        *(
            (
                "MxsparkTooManyFailedImages",
                2,
                [
                    series("images_total", f"{ok}x9", ', status="ok"'),
                    series("images_total", f"{failed // 2}x9", ', status="missing"'),
                    series("images_total", f"{failed // 2}x9", ', status="truncated"'),
                    series("max_failed_fraction", "0.05x9"),
                ],
                fires,
            )
            for ok, failed, fires in ((940, 60, True), (960, 40, False), (50, 40, False), (0, 1000, True))
        ),
    ],
)
def test_an_alert_fires_when_it_should(
    tmp_path: Path, alert: str, minutes: int, told: list[dict[str, str]], fires: bool
) -> None:
    (rule,) = (rule for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"] if rule["alert"] == alert)
    tests = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": told,
                # promtool compares whole texts: that an alert fires is asked of Prometheus' own series of alerts.
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing", instance="photos"}})',
                        "eval_time": f"{minutes}m",
                        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
                    }
                ],
            }
        ],
    }
    file = tmp_path / "tests.yaml"
    file.write_text(json.dumps(tests))
    promtool("test", "rules", file)
    assert {"summary", "description"} <= rule["annotations"].keys()
