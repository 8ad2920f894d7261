"""What is generated from the model of the values: up to date, and the same as what mxspark knows."""

import json
import re

from tests.chart.helm import CHART
from tools.chart.constants import constants, manifest_suffix
from tools.chart.documents import documents
from tools.chart.values import COMPUTED, NOT_IN_JOB, ChartValues, settings_of_values

import mxspark
from mxspark.dataset.manifest import is_manifest
from mxspark.settings.document import read_yaml
from mxspark.settings.job import Settings


def test_the_generated_files_are_up_to_date() -> None:
    old = [path.name for path, text in documents().items() if path.read_text() != text]
    assert old == [], "run `make chart`"


def test_a_template_reads_the_constants_as_they_are() -> None:
    text = (CHART / "templates" / "_constants.tpl").read_text()
    body = text.partition('define "mxspark.constants" -}}\n')[2].removesuffix("{{- end -}}\n")
    assert read_yaml(body, "constants") == {key: value for part in constants().values() for key, value in part.items()}


def test_hints_name_values_and_no_settings() -> None:
    hints = constants()["settings/job.py"]["writtenBySpark"].values()
    assert "set executor.memory and executor.memoryOverhead" in hints
    assert "set image.repository" in hints
    settings = {".".join(path) for path in Settings.leaves()}
    assert [hint for hint in hints if settings & set(re.findall(r"[\w.]+", hint))] == []


def test_the_pattern_of_manifests_takes_what_mxspark_takes() -> None:
    pattern = re.compile(manifest_suffix())
    names = [
        f"/lists/a{suffix}"
        for suffix in (".txt", ".CSV", ".tsv.gz", ".lst", ".parquet", ".parquet.gz", ".gz", ".png", "txt", ".txt/b")
    ]
    assert [name for name in names if pattern.search(name)] == [name for name in names if is_manifest(name)]


def test_templates_of_manifests_define_nothing() -> None:
    """What is defined is in files whose names begin with _."""
    files = [path for path in (CHART / "templates").rglob("*.yaml") if "define " in path.read_text()]
    assert files == []


def test_values_yaml_holds_the_defaults_of_the_model() -> None:
    written = read_yaml((CHART / "values.yaml").read_text(), "values.yaml")
    assert written == ChartValues().model_dump(mode="json", by_alias=True)


def test_the_comments_of_values_yaml_have_single_blanks() -> None:
    assert re.findall(r"^ *# \S.*  .*", (CHART / "values.yaml").read_text(), re.MULTILINE) == []


def test_every_setting_can_be_reached_by_one_value() -> None:
    by_value = [setting for _, setting in settings_of_values()]
    by_job = [path for path in Settings.leaves() if not any(path[: len(part)] == part for part in NOT_IN_JOB)]
    elsewhere = [path for path in Settings.leaves() if path[:2] == ("kubernetes", "driver") or path[0] == "emr"]
    reached = [*by_value, *by_job, *COMPUTED]
    assert len(reached) == len(set(reached))
    assert set(reached) | set(elsewhere) == set(Settings.leaves())


def test_the_chart_s_version_is_that_of_the_package() -> None:
    chart = read_yaml((CHART / "Chart.yaml").read_text(), "Chart.yaml")
    assert chart["appVersion"] == chart["version"] == mxspark.__version__


def test_no_object_of_the_schema_takes_unknown_keys_but_free_mappings() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    for definition in [schema, *schema["$defs"].values()]:
        assert definition["additionalProperties"] is False
