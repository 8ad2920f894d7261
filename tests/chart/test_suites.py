"""The suites of helm-unittest beside the chart, and what goes into the chart's package."""

import subprocess
import tarfile
from pathlib import Path

from tests.chart.helm import CHART, Helm


def test_the_suites_of_helm_unittest_pass(helm_unittest: str) -> None:
    done = subprocess.run([helm_unittest, "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Test Suites: 0" not in done.stdout


def test_the_package_has_the_chart_and_no_suites(each_helm: Helm, tmp_path: Path) -> None:
    each_helm.run("package", CHART, f"--destination={tmp_path}").succeeded()
    with tarfile.open(next(tmp_path.glob("*.tgz"))) as package:
        names = set(package.getnames())
    assert {
        "mxspark/templates/tests/tests.yaml",
        "mxspark/files/rights.py",
        "mxspark/values.schema.json",
        "mxspark/README.md",
    } <= names
    assert not any(name.startswith("mxspark/tests/") for name in names)
