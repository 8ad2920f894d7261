"""Settings: which source wins, where each value came from, and which jobs can't work."""

import pickle
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mxspark.errors import UsageError
from mxspark.settings.document import json_schema
from mxspark.settings.job import Settings
from mxspark.settings.sources import EffectiveSettings, effective, environment_layer, file_layer, flag_layer

NEEDED = {"input": {"path": "photos"}, "output": {"path": "table"}, "model": {"path": "resnet"}}


def given_settings(
    file: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    assignments: tuple[str, ...] = (),
) -> EffectiveSettings:
    """The settings of a file (beside what every job needs), an environment and a command line."""
    merged = {**NEEDED, **(file or {})}
    return effective(
        [file_layer(merged, "job.yaml"), environment_layer(environ or {}), flag_layer(flags or {}, assignments)]
    )


def refusal(
    file: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    assignments: tuple[str, ...] = (),
) -> str:
    """The words in which such settings are refused."""
    with pytest.raises(UsageError) as refused:
        given_settings(file, environ, flags, assignments)
    assert refused.value.exit_code == 2
    return str(refused.value)


def value_of(found: EffectiveSettings, key: str) -> Any:
    return next(value for name, value, _ in found.rows() if name == key)


def origin_of(found: EffectiveSettings, key: str) -> str:
    return next(origin for name, _, origin in found.rows() if name == key)


# ---- precedence and provenance ----

numbers = st.none() | st.integers(1, 64)


@given(
    key=st.sampled_from(["top_k", "batch_size", "spark.executors", "plan.shard_size"]),
    file=numbers,
    environment=numbers,
    flag=numbers,
)
@hypothesis_settings(deadline=None, max_examples=100)
def test_a_flag_wins_over_the_environment_which_wins_over_the_file(
    key: str, file: int | None, environment: int | None, flag: int | None
) -> None:
    section, _, name = key.rpartition(".")
    written = {} if file is None else {section: {name: file}} if section else {name: file}
    variable = "MXSPARK_" + key.upper().replace(".", "__")
    default = value_of(given_settings(), key)

    found = given_settings(written, {} if environment is None else {variable: str(environment)}, {key: flag})

    by_precedence = [(flag, "flag"), (environment, variable), (file, "job.yaml"), (default, "default")]
    value, origin = next((value, origin) for value, origin in by_precedence if value is not None or origin == "default")
    assert value_of(found, key) == value
    assert origin_of(found, key) == origin


def test_an_assignment_wins_over_a_flag_and_the_later_of_two_wins() -> None:
    found = given_settings(flags={"top_k": 1}, assignments=("top_k=2", "top_k=3"))

    assert (value_of(found, "top_k"), origin_of(found, "top_k")) == (3, "flag --set")


def test_every_setting_is_listed_once_with_its_source() -> None:
    keys = [key for key, _, _ in given_settings().rows()]

    assert len(keys) == len(set(keys))
    assert {"input.path", "spark.conf", "max_failed_fraction", "storage.retries", "model.sha256"} <= set(keys)


def test_a_mapping_that_comes_from_many_sources_names_them_all() -> None:
    found = given_settings({"spark": {"conf": {"spark.a": "1"}}}, assignments=("spark.conf.spark.b=2",))

    assert value_of(found, "spark.conf") == {"spark.a": "1", "spark.b": "2"}
    assert origin_of(found, "spark.conf") == "job.yaml, flag --set"


def test_null_takes_back_what_a_file_says() -> None:
    assert (
        value_of(given_settings({"plan": {"shard_size": 7}}, assignments=("plan.shard_size=null",)), "plan.shard_size")
        is None
    )


def test_other_environment_variables_are_none_of_its_business() -> None:
    assert given_settings(environ={"HOME": "/root", "AWS_REGION": "eu-west-1"}) == given_settings()


def test_what_kubernetes_tells_about_a_service_of_the_same_name_is_no_setting() -> None:
    injected = {
        "MXSPARK_SERVICE_HOST": "10.0.0.1",
        "MXSPARK_SERVICE_PORT": "7078",
        "MXSPARK_PORT": "tcp://10.0.0.1:7078",
        "MXSPARK_PORT_7078_TCP_PROTO": "tcp",
    }

    assert given_settings(environ=injected).settings == given_settings().settings


def test_a_port_that_is_a_setting_may_be_a_variable() -> None:
    assert given_settings(environ={"MXSPARK_METRICS__PORT": "9095"}).settings.metrics.port == 9095


def test_settings_travel_to_the_workers_unchanged() -> None:
    chosen = given_settings({"spark": {"conf": {"spark.a": "1"}}}).settings

    assert pickle.loads(pickle.dumps(chosen)) == chosen


# ---- how a text becomes a value ----


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("spark.executor_memory=4g", "spark.executor_memory", "4g"),
        ("spark.master=local[*]", "spark.master", "local[*]"),
        ("spark.app_name=007", "spark.app_name", "007"),
        ("output.path=2024-01-05", "output.path", "2024-01-05"),
        ("output.path=a=b", "output.path", "a=b"),
        (r"input.true_label=/(\d+): [a-z]*$", "input.true_label", r"/(\d+): [a-z]*$"),
        ("spark.conf.spark.ui.enabled=true", "spark.conf", {"spark.ui.enabled": "true"}),
        ("spark.conf.spark.executor.memoryOverhead=1g", "spark.conf", {"spark.executor.memoryOverhead": "1g"}),
        (
            "spark.conf={spark.ui.enabled: 'true', spark.a: 1}",
            "spark.conf",
            {"spark.ui.enabled": "true", "spark.a": "1"},
        ),
        ("input.suffixes=[.PNG, .jpg]", "input.suffixes", (".png", ".jpg")),
        ("input.suffixes=[]", "input.suffixes", ()),
        ("input.path=[a, s3a://b/c, 7]", "input.path", ("a", "s3://b/c", "7")),
        ("input.path=[a, a]", "input.path", "a"),
        ("input.path=007", "input.path", "007"),
        ("input.path=a, b", "input.path", "a, b"),
        ("input.path=S3N://b/c", "input.path", "s3://b/c"),
        ("output.overwrite=true", "output.overwrite", True),
        ("max_failed_fraction=0.5", "max_failed_fraction", 0.5),
        ("model.sha256.params=" + 64 * "0", "model.sha256", {"params": 64 * "0"}),
    ],
)
def test_an_assignment_means_what_it_says(assignment: str, key: str, value: object) -> None:
    assert value_of(given_settings(assignments=(assignment,)), key) == value


def test_an_environment_variable_sets_what_its_name_says() -> None:
    found = given_settings(environ={"MXSPARK_SPARK__EXECUTOR_MEMORY": "4g", "MXSPARK_INPUT__SUFFIXES": "[.webp]"})

    assert value_of(found, "spark.executor_memory") == "4g"
    assert origin_of(found, "spark.executor_memory") == "MXSPARK_SPARK__EXECUTOR_MEMORY"
    assert value_of(found, "input.suffixes") == (".webp",)


def test_numbers_in_a_file_are_taken_for_spark_properties() -> None:
    assert value_of(given_settings({"spark": {"conf": {"spark.task.maxFailures": 8}}}), "spark.conf") == {
        "spark.task.maxFailures": "8"
    }


def test_suffixes_count_in_upper_and_lower_case() -> None:
    assert value_of(given_settings({"input": {"path": "photos", "suffixes": [".JPG"]}}), "input.suffixes") == (".jpg",)


# ---- what can't work ----


def test_a_job_without_anything_is_told_all_that_it_needs() -> None:
    with pytest.raises(UsageError) as refused:
        effective([])

    for needed in ("input.path", "output.path", "model.path"):
        assert needed in str(refused.value)


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("batch_size=0", ("batch_size", "0")),
        ("batch_size=many", ("batch_size", "'many'")),
        ("batch_size=2024-13-45", ("batch_size", "2024-13-45")),
        ("top_k=-1", ("top_k", "-1")),
        ("top_k=", ("top_k", "None")),
        ("precision=bf17", ("precision", "'bf17'", "fp32")),
        ("context=tpu", ("context", "'tpu'", "gpu")),
        ("max_failed_fraction=5", ("max_failed_fraction", "5")),
        ("output.format=csv", ("output.format", "'csv'", "parquet")),
        ("input.formats=[]", ("input.formats",)),
        ("input.formats=[SVG]", ("input.formats.0", "'SVG'")),
        ("input.true_label=([a-z]", ("input.true_label", "not a regular expression")),
        ("input.true_label=[a-z]+", ("input.true_label", "exactly one (group)")),
        ("input.true_label=(a)(b)", ("input.true_label", "it has 2")),
        ("spark.master=mesos://x", ("spark.master", "'mesos://x'", "k8s://")),
        ("spark.executor_memory=4", ("spark.executor_memory", "'4'")),
        ("storage.endpoint_url=localhost:8333", ("storage.endpoint_url", "'localhost:8333'")),
        ("storage.retries=-1", ("storage.retries", "-1")),
        ("model.sha256.symbol=abc", ("model.sha256", "64 digits")),
        (f"model.sha256.weights={64 * 'a'}", ("model.sha256", "'weights'")),
        ("pipeline.fetch_threads=0", ("pipeline.fetch_threads", "0")),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_source(assignment: str, named: tuple[str, ...]) -> None:
    refused = refusal(assignments=(assignment,))

    assert "--set" in refused
    for part in named:
        assert part in refused


def test_a_wrong_value_in_the_environment_names_the_variable() -> None:
    assert "MXSPARK_TOP_K" in refusal(environ={"MXSPARK_TOP_K": "five"})


def test_an_unknown_setting_is_refused_with_the_nearest_one_and_its_source() -> None:
    assert "Did you mean spark.executor_memory" in refusal(assignments=("spark.executer_memory=4g",))
    assert "MXSPARK_TOPK" in refusal(environ={"MXSPARK_TOPK": "3"})
    assert "job.yaml" in refusal({"batchsize": 3})


def test_an_assignment_without_a_value_is_refused() -> None:
    assert "KEY=VALUE" in refusal(assignments=("top_k",))


def test_a_section_that_is_no_section_is_refused_by_name() -> None:
    assert "spark" in refusal({"spark": "local[2]"})


def test_a_bundle_and_single_files_are_not_given_together() -> None:
    assert "not both" in refusal(flags={"model.symbol": "net-symbol.json"})


@pytest.mark.parametrize("model", [{}, {"symbol": "s"}, {"params": "p"}, {"labels": "l"}])
def test_a_model_is_a_bundle_or_symbol_and_params(model: dict[str, str]) -> None:
    refused = refusal({"model": model})

    assert "model.path" in refused
    assert "model.symbol" in refused


def test_single_files_need_no_labels() -> None:
    assert given_settings({"model": {"symbol": "s", "params": "p"}}).settings.model.labels is None


def test_a_place_for_the_text_goes_with_the_text_format_only() -> None:
    assert "output.text_object" in refusal(flags={"output.text_object": "out.txt"})
    assert (
        given_settings(flags={"output.text_object": "out.txt", "output.format": "text"}).settings.output.text_object
        == "out.txt"
    )


@pytest.mark.parametrize("output", ["photos", "photos/"])
def test_the_output_is_not_the_input(output: str) -> None:
    assert "output.path" in refusal(flags={"output.path": output})


def test_an_output_within_the_input_is_refused_only_where_it_would_be_read_as_images() -> None:
    inside = {"output.path": "photos/table"}

    assert given_settings(flags=inside).settings.output.path == "photos/table"
    assert "input.suffixes" in refusal(flags=inside, assignments=("input.suffixes=[]",))


def test_a_place_beside_the_input_whose_name_starts_alike_is_another_place() -> None:
    found = given_settings(flags={"output.path": "photos-table"}, assignments=("input.suffixes=[]",))

    assert found.settings.output.path == "photos-table"


def test_a_task_that_no_executor_could_run_is_refused_on_a_cluster_only() -> None:
    assert "spark.task_cpus" in refusal(assignments=("spark.task_cpus=4", "spark.master=yarn"))
    assert given_settings(assignments=("spark.task_cpus=4", "spark.master=local[4]")).settings.spark.task_cpus == 4


@pytest.mark.parametrize("name", ["driver_memory", "executor_memory"])
def test_a_heap_in_which_spark_does_not_start_is_refused_on_a_cluster(name: str) -> None:
    # Seen with Java 17 and the serial collector: of 464m it counts 448.6 MiB, of 465m 450.5.
    on_cluster = ("spark.master=k8s://https://host",)
    assert f"spark.{name} is 464m, but Spark's Java asks for 465m at least" in refusal(
        assignments=(*on_cluster, f"spark.{name}=464m")
    )
    assert given_settings(assignments=(*on_cluster, f"spark.{name}=465m"))


# ---- the schema that the chart uses ----


def test_the_schema_describes_every_setting_and_allows_no_unknown_ones() -> None:
    schema = json_schema(Settings)
    sections = [schema, *(schema["$defs"][name] for name in schema["$defs"])]

    for section in sections:
        assert section["additionalProperties"] is False
        for name, key in section["properties"].items():
            described = schema["$defs"][key["$ref"].rsplit("/", 1)[-1]] if "$ref" in key else key
            assert described.get("description"), name


def test_no_setting_is_a_place_for_a_secret() -> None:
    words = ("secret", "password", "token", "access_key")
    names = [".".join(path) for path in Settings.leaves() if any(word in path[-1] for word in words)]
    assert names == ["kubernetes.image_pull_secrets"], "names of secrets that lie in the cluster"
