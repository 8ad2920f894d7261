"""The queries of Grafana's dashboard, as Grafana sends them."""

import json
from collections.abc import Iterator

from tests.chart.helm import CHART

ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
VARIABLES = {"$instance": ".*", "$__rate_interval": "30s"}


def queries() -> Iterator[tuple[str, str]]:
    """The panels' titles, and their queries for all runs."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            query = target["expr"]
            for name, value in VARIABLES.items():
                query = query.replace(name, value)
            yield panel["title"], query
