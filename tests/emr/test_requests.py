"""What AWS is asked for: right by its own model whatever the settings are, and what a person who knows EMR looks
for.
"""

import json
import re
import string
from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml
from hypothesis import event, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.command import REPOSITORY
from tests.documentation import blocks
from tests.emr import emrs_own
from tests.emr.jobs import (
    ACCOUNT,
    CLUSTER,
    FLAGS,
    IMAGE,
    REGION,
    ROLE,
    all_properties,
    arguments,
    classification,
    settings,
    submission,
)
from tests.emr.model import complaints

from mxspark.errors import UsageError, without_secrets
from mxspark.settings import document, sources
from mxspark.settings.emr import EmrSettings
from mxspark.settings.job import SparkSettings
from mxspark.spark.configuration import configuration, is_user_set
from mxspark.submit.emr import permissions, start_job_run
from mxspark.submit.emr.pod_templates import CONTAINER_FIELDS, CONTAINERS, POD_FIELDS
from mxspark.submit.emr.start_job_run import Submission, driver_settings

ON_DEMAND, SPOT = ({"eks.amazonaws.com/capacityType": kind} for kind in ("ON_DEMAND", "SPOT"))
TAINT = {"key": "dedicated", "operator": "Equal", "value": "vision", "effect": "NoSchedule"}


def templates(found: Submission) -> dict[str, dict[str, Any]]:
    """The pod templates by role."""
    return {
        role: yaml.safe_load(content)
        for place, content in found.objects.items()
        for role in CONTAINERS
        if place.endswith(f"{role}.yaml")
    }


def read_by_the_job(words: list[str], objects: dict[str, bytes]) -> dict[str, Any]:
    """The settings that infer_main.py makes of its arguments."""
    flags: dict[str, str] = {}
    assignments, given = [], []
    assert words[-1] == "--yes"
    for flag, value in zip(words[:-1:2], words[1:-1:2], strict=True):
        if flag == "--set":
            assignments.append(value)
        elif flag == "--settings":
            given.append(sources.file_layer(document.read_yaml(objects[value].decode(), value), value))
        else:
            flags[{"--endpoint-url": "storage.endpoint_url"}.get(flag, f"{flag.removeprefix('--')}.path")] = value
    return sources.changed(sources.effective([*given, sources.flag_layer(flags, assignments)]).settings)


text = st.text(max_size=40) | st.sampled_from(
    ["", " ", "a b", 'a"b', "a\\b", "$HOME", "${Input}", "x" * 1100, "é", "\n", "--yes", "null", "007"]
)
# Mostly such as are taken, or hardly any request would be.
words = st.text("abcXYZ019-_./", min_size=1, max_size=30)
place = st.builds(
    lambda key: f"s3://bucket/x{key}",
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="@?\x00"), max_size=40) | words,
)
mostly = st.integers(0, 15).flatmap(lambda number: text if number == 15 else words)
mapping = st.dictionaries(mostly, mostly, max_size=3)
# What an address takes as it is, of ASCII (java.net.URI's javadoc).
ADDRESS = set(string.ascii_letters + string.digits + "_-!.~'()*,;:$&+=/@")
toleration = st.fixed_dictionaries(
    {}, optional={"key": words, "operator": st.just("Exists"), "value": words | st.just(""), "effect": words}
)
given_settings = st.fixed_dictionaries(
    {
        "input": place,
        "output": st.integers(0, 9).flatmap(lambda n: place if n == 9 else words.map("s3://results/{}".format)),
    },
    optional={
        "kubernetes.image": mostly,
        "emr.execution_role": st.just(ROLE) | st.just("arn:aws-cn:iam::123456789012:role/a/b+c=d,e.@f-g"),
        "emr.release": st.sampled_from(["emr-7.10.0-latest", "emr-7.13.0-20260101", "emr-8.0.0-java17-latest"]),
        "emr.s3_logs": mostly.map("s3://logs/{}".format),
        "emr.log_group": mostly,
        "emr.retries": st.integers(0, 100),
        "emr.start_seconds": st.integers(60, 86_400),
        "emr.persistent_ui": st.booleans(),
        "emr.tags": mapping,
        "emr.submitter": st.dictionaries(words.map("jobsubmitter.{}".format), mostly, max_size=2)
        | st.integers(95, 105).map(lambda number: {f"jobsubmitter.label.{i}": "value" for i in range(number)}),
        "spark.conf": st.dictionaries(words.map("spark.x.{}".format), mostly, max_size=4)
        | st.integers(90, 400).map(lambda number: {f"spark.x.{i}": "value" for i in range(number)}),
        "spark.dynamic_allocation": st.just({"enabled": True}),
        "kubernetes.driver.node_selector": mapping,
        "kubernetes.driver.tolerations": st.lists(toleration, max_size=2),
        "kubernetes.executor.template": st.just({"spec": {"subdomain": "a"}})
        | st.just({"metadata": {"labels": {"a": "b"}}}),
        "kubernetes.local_directory.storage_class": st.just("fast"),
        "kubernetes.credentials_from": st.just("bucket"),
        "input.suffixes": st.lists(text, max_size=3),
        "input.true_label": st.just(r"_(\d)\.png$") | st.just("('x' \"y)"),
        "output.overwrite": st.booleans(),
        "output.submission": text,
        "model.labels": place,
        "top_k": st.integers(1, 50),
    },
)


@given(given_settings, mostly, st.none() | words)
@hypothesis_settings(deadline=None, max_examples=400)
def test_every_request_is_right_by_aws_s_own_model_or_refused_in_words(
    chosen: dict[str, Any], name: str, job_template: str | None
) -> None:
    flags = FLAGS | {"input.path": chosen.pop("input"), "output.path": chosen.pop("output")} | chosen
    if job_template is not None:
        flags["emr.staging"] = "s3://staging/mxspark"
    if "model.labels" in flags:
        flags |= {"model.path": None, "model.symbol": "s3://models/a.json", "model.params": "s3://models/a.params"}
    try:
        name = start_job_run.check_name(name)
        given = sources.effective([sources.flag_layer(flags, [])]).settings
        completed = start_job_run.completed(given, job_template or name, "submission-1")
        found = start_job_run.build(completed, name, CLUSTER, job_template)
    except UsageError:
        event("refused")
        return
    event("a request")
    request = found.request | ({"jobTemplateId": "0000000abcdef"} if found.template else {})
    assert complaints(request) == []
    assert json.loads(json.dumps(request)) == request
    for place in found.objects:
        assert {char for char in place if char.isascii()} <= ADDRESS
    words = arguments(found) if found.template is None else []
    for sent in (*words, *(content.decode() for content in found.objects.values())):
        assert without_secrets(sent) == sent
    if found.template is not None:
        assert complaints(found.template, "CreateJobTemplate") == []
        return
    meant = driver_settings(completed)
    meant["output"] = meant["output"] | {"submission": completed.output.submission}
    assert read_by_the_job(arguments(found), dict(found.objects)) == meant


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"virtualClusterId": "NOT AN ID"}, "virtualClusterId"),
        ({"name": "mx spark!"}, "name"),
        ({"name": "m" * 65}, "65, at most 64"),
        ({"executionRoleArn": "mxspark-job-role-of-mine"}, "executionRoleArn"),
        ({"releaselabel": "x"}, "releaselabel"),
        ({"retryPolicyConfiguration": {"maxAttempts": "3"}}, "maxAttempts"),
        ({"configurationOverrides": {"monitoringConfiguration": {"persistentAppUI": "on"}}}, "is none of"),
    ],
)
def test_the_walk_over_the_model_sees_what_is_wrong(wrong: dict[str, Any], said: str) -> None:
    assert said in "\n".join(complaints(submission().request | wrong))


def test_a_request_as_a_person_who_knows_emr_expects_it() -> None:
    found = submission(
        f"kubernetes.driver.node_selector={json.dumps(ON_DEMAND)}",
        f"kubernetes.executor.node_selector={json.dumps(SPOT)}",
        f"kubernetes.driver.tolerations=[{json.dumps(TAINT)}]",
        emr__s3_logs="s3://logs/emr",
        emr__log_group="/emr/jobs",
        emr__log_prefix="vision",
        emr__start_seconds=1800,
        spark__executors=8,
        spark__executor_cores=4,
        emr__tags={"team": "vision"},
    )

    request = found.request
    assert request["name"] == "photos"
    assert request["virtualClusterId"] == CLUSTER
    assert request["executionRoleArn"] == ROLE
    assert request["releaseLabel"] == "emr-7.13.0-latest"
    assert request["tags"] == {"team": "vision"}
    assert request["retryPolicyConfiguration"] == {"maxAttempts": 3}
    driver = request["jobDriver"]["sparkSubmitJobDriver"]
    assert driver["entryPoint"] == "local:///opt/mxspark/infer_main.py"
    words = arguments(found)
    assert re.fullmatch(r"s3://results/predictions/_submissions/[0-9a-f]{16}/settings\.yaml", words[1])
    assert [words[0], *words[2:]] == ["--settings", "--set", "output.submission=submission-1", "--yes"]
    assert yaml.safe_load(found.objects[words[1]]) == {
        "input": {"path": "s3://images/photos"},
        "output": {"path": "s3://results/predictions"},
        "model": {"path": "s3://models/lite0"},
    }
    assert driver["sparkSubmitParameters"].startswith(
        f"--conf spark.kubernetes.container.image={IMAGE} --conf spark.driver.cores=1"
    )
    assert "--conf spark.executor.instances=8 --conf spark.executor.cores=4" in driver["sparkSubmitParameters"]
    assert request["configurationOverrides"]["monitoringConfiguration"] == {
        "persistentAppUI": "ENABLED",
        "cloudWatchMonitoringConfiguration": {"logGroupName": "/emr/jobs", "logStreamNamePrefix": "vision"},
        "s3MonitoringConfiguration": {"logUri": "s3://logs/emr"},
    }
    assert classification(found, "emr-job-submitter") == {
        "jobsubmitter.node.selector.eks.amazonaws.com/capacityType": "ON_DEMAND",
        "jobsubmitter.node.toleration.dedicated": "vision",
        "jobsubmitter.node.toleration.dedicated.effect": "NoSchedule",
    }
    assert classification(found, "emr-containers-defaults") == {"job-start-timeout": "1800"}


def test_settings_that_emr_takes_as_they_are_need_no_note() -> None:
    assert list(start_job_run.notes(settings(emr__s3_logs="s3://logs/emr"))) == []


@pytest.mark.parametrize(
    ("assignments", "told"),
    [
        ([], "The pods' logs are deleted with the pods"),
        (["spark.master=local[4]", "kubernetes.restarts=5"], "Not used: spark.master, kubernetes.restarts. EMR has"),
        (
            ["kubernetes.namespace=mine", "kubernetes.service_account=mine"],
            "Not used: kubernetes.namespace, kubernetes.service_account.",
        ),
        (
            ["kubernetes.suspend=true", "kubernetes.keep_seconds=60", "kubernetes.driver_service=a"],
            "Not used: kubernetes.driver_service, kubernetes.keep_seconds, kubernetes.suspend.",
        ),
        (["kubernetes.local_directory.storage_class=gp3"], "Executors claim volumes"),
        (["kubernetes.deadline_seconds=60"], "limits each attempt of the driver"),
        (["kubernetes.driver.tolerations=[{key: a, operator: Exists}]"], "the driver's toleration of a:"),
        (
            [f"kubernetes.driver.tolerations=[{json.dumps(TAINT)}, {json.dumps({**TAINT, 'value': 'other'})}]"],
            "the driver's toleration of dedicated:",
        ),
        (["kubernetes.driver.node_selector={a: ''}"], "selector a without a value"),
        (["kubernetes.driver.template={spec: {affinity: {nodeAffinity: {}}}}"], "the driver's affinity:"),
    ],
)
def test_what_emr_does_not_take_as_it_is_said_is_noted(assignments: list[str], told: str) -> None:
    assert told in "\n".join(start_job_run.notes(settings(*assignments)))


def test_the_pod_that_submits_goes_where_the_driver_s_template_says() -> None:
    spec = {"nodeSelector": {**ON_DEMAND, "empty": ""}, "tolerations": [TAINT, {**TAINT, "value": "other"}]}
    found = submission(f"kubernetes.driver.template={json.dumps({'spec': spec})}")
    assert classification(found, "emr-job-submitter") == {
        "jobsubmitter.node.selector.eks.amazonaws.com/capacityType": "ON_DEMAND",
        "jobsubmitter.node.toleration.dedicated": "vision",
        "jobsubmitter.node.toleration.dedicated.effect": "NoSchedule",
    }


def test_the_deadline_is_the_driver_s_pod_s() -> None:
    found = templates(submission("kubernetes.deadline_seconds=3600"))
    assert found["driver"]["spec"]["activeDeadlineSeconds"] == 3600
    assert "activeDeadlineSeconds" not in found["executor"]["spec"]


def test_both_kinds_of_pods_have_the_labels_of_both() -> None:
    """A job with the label of somebody's costs or network policy must not lack it on EMR without a word."""
    found = templates(submission("kubernetes.labels.team=vision", "kubernetes.executor.labels.team=gpus"))
    assert {role: pod["metadata"]["labels"]["team"] for role, pod in found.items()} == {
        "driver": "vision",
        "executor": "gpus",
    }


def test_a_name_by_the_submission_makes_the_same_command_the_same_request() -> None:
    assert start_job_run.default_name("nightly 2026") == "mxspark-nightly-2026"
    assert start_job_run.check_name(start_job_run.default_name("é" * 253))


def test_the_driver_is_on_demand_and_the_executors_on_spot_nodes() -> None:
    found = templates(
        submission(
            f"kubernetes.driver.node_selector={json.dumps(ON_DEMAND)}",
            f"kubernetes.executor.node_selector={json.dumps(SPOT)}",
        )
    )

    assert found["driver"]["spec"]["nodeSelector"] == ON_DEMAND
    assert found["executor"]["spec"]["nodeSelector"] == SPOT
    assert found["executor"]["spec"]["terminationGracePeriodSeconds"] == 120
    # Fixed names: EMR on EKS Development Guide, "Using pod templates".
    assert found["driver"]["spec"]["containers"][0]["name"] == "spark-kubernetes-driver"
    assert found["executor"]["spec"]["containers"][0]["name"] == "spark-kubernetes-executor"
    for role, pod in found.items():
        assert (
            pod["spec"]["containers"][0]["name"]
            == emrs_own.DEFAULTS[f"spark.kubernetes.{role}.podTemplateContainerName"]
        )


def test_gpus_are_asked_for_and_their_nodes_taint_is_no_hindrance() -> None:
    found = submission(context="gpu", spark__executor_gpus=1)

    properties = all_properties(found)
    assert properties["spark.executor.resource.gpu.amount"] == "1"
    assert properties["spark.executor.resource.gpu.vendor"] == "nvidia.com"
    assert properties["spark.executor.resource.gpu.discoveryScript"] == "/opt/gpu-discovery.sh"
    assert templates(found)["executor"]["spec"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert "tolerations" not in templates(found)["driver"]["spec"]


def test_the_pod_templates_have_nothing_that_emr_refuses() -> None:
    for role, pod in templates(
        submission("kubernetes.credentials_from=bucket", "kubernetes.image_pull_secrets=[login]")
    ).items():
        assert set(pod) == {"apiVersion", "kind", "metadata", "spec"}
        assert set(pod["spec"]) <= POD_FIELDS, role
        assert set(pod["spec"]["containers"][0]) <= CONTAINER_FIELDS, role
        assert "volumes" not in pod["spec"]
        assert pod["spec"]["containers"][0]["env"][0]["name"] == "AWS_ACCESS_KEY_ID"


def test_what_emr_sets_itself_is_not_in_the_request() -> None:
    found = submission("kubernetes.namespace=mine", "kubernetes.service_account=mine")

    assert not [
        key
        for key in all_properties(found)
        if key.startswith("spark.kubernetes.authenticate") or key in ("spark.master", "spark.kubernetes.namespace")
    ]


def test_executors_and_driver_know_each_other_by_a_key_that_is_not_in_the_request() -> None:
    found = all_properties(submission())

    assert found["spark.authenticate"] == found["spark.network.crypto.enabled"] == "true"
    assert not [key for key in found if key.startswith("spark.authenticate.secret")]


def test_the_driver_computes_no_property_that_the_request_has_not() -> None:
    """Else it would set those of its own way of starting: pod templates, mounts, limits."""
    found = submission(
        "kubernetes.local_directory.storage_class=fast",
        "context=gpu",
        "spark.executor_gpus=1",
        "spark.executor_cores=2",
    )
    content = read_by_the_job(arguments(found), dict(found.objects))
    read = sources.effective([sources.file_layer(content, "settings.yaml")]).settings
    in_the_pod = read.spark.model_copy(update={"master": "k8s://https://kubernetes.default.svc"})

    computed = configuration(in_the_pod, read.kubernetes)
    assert {key for key in computed if not is_user_set(key, all_properties(found).__contains__)} == {"spark.master"}


@pytest.mark.parametrize(
    ("conf", "collector"),
    [({}, "SerialGC"), ({"extraJavaOptions": "-Dx=y"}, "SerialGC"), ({"extraJavaOptions": "-XX:+UseZGC"}, "ZGC")],
)
def test_java_has_one_collector_with_emr_s_defaults_a_user_s_options_and_what_the_driver_adds(
    conf: dict[str, str], collector: str
) -> None:
    role = "executor"
    properties = emrs_own.DEFAULTS | all_properties(
        submission(*(f"spark.conf.spark.{role}.{key}={value}" for key, value in conf.items()))
    )
    added = configuration(SparkSettings(master="k8s://https://kubernetes.default.svc"))
    properties |= {key: value for key, value in added.items() if not is_user_set(key, properties.__contains__)}

    options = [properties.get(f"spark.{role}.{key}", "") for key in ("defaultJavaOptions", "extraJavaOptions")]
    assert re.findall(r"-XX:\+Use(\w+GC)", " ".join(options)) == [collector]
    assert options[1] == conf.get("extraJavaOptions", "")
    assert options[0].endswith(" -XX:OnOutOfMemoryError='kill -9 %p'")


def test_several_inputs_come_back_as_they_are() -> None:
    several = ["s3://images/a, b", "s3://images/2026-*/"]
    found = submission(input__path=several)
    assert read_by_the_job(arguments(found), dict(found.objects))["input"]["path"] == several


def test_a_job_template_has_one_input() -> None:
    with pytest.raises(UsageError, match="a job template's input is one place"):
        submission(job_template="photos", emr__staging="s3://staging", input__path=["s3://images/a", "s3://images/b"])


def test_settings_of_any_length_go_as_one_object_in_s3() -> None:
    names = [f".{'x' * 100}{number}" for number in range(200)]
    found = submission(f"input.suffixes={json.dumps(names)}", emr__staging="s3://staging/here")

    place = arguments(found)[1]
    assert re.fullmatch(r"s3://staging/here/[0-9a-f]{16}/settings\.yaml", place)
    assert yaml.safe_load(found.objects[place])["input"]["suffixes"] == names
    assert complaints(found.request) == []


def test_the_same_submission_has_the_same_token_and_another_has_another() -> None:
    one, again = (submission("output.submission=nightly").request["clientToken"] for _ in range(2))
    assert one == again
    assert submission("output.submission=nightly", top_k=3).request["clientToken"] != one
    assert submission("output.submission=nightly-2").request["clientToken"] != one
    assert submission().request["clientToken"] != one


def test_all_attempts_of_a_job_run_have_the_same_submission_so_that_it_overwrites_once() -> None:
    found = submission(output__overwrite=True)

    read = read_by_the_job(arguments(found), dict(found.objects))
    assert read["output"]["overwrite"] is True
    assert read["output"]["submission"] == "submission-1"
    assert found.request["retryPolicyConfiguration"]["maxAttempts"] > 1


def test_a_job_template_has_what_is_the_same_for_all_runs_and_parameters_for_the_rest() -> None:
    one = submission(job_template="photos", name="monday", emr__staging="s3://staging", top_k=3)
    other = submission(
        job_template="photos",
        name="tuesday",
        emr__staging="s3://staging",
        top_k=3,
        input__path="s3://images/new",
        output__path="s3://results/2",
    )

    assert one.template is not None
    assert one.template == other.template
    assert other.request["jobTemplateParameters"] == {
        "Input": "s3://images/new",
        "Output": "s3://results/2",
        "Model": "s3://models/lite0",
        "Submission": "output.submission=submission-1",
    }
    words = one.template["jobTemplateData"]["jobDriver"]["sparkSubmitJobDriver"]["entryPointArguments"]
    assert yaml.safe_load(one.objects[words[1]])["top_k"] == 3
    assert [words[0], *words[2:]] == [
        "--settings",
        "--input",
        "${Input}",
        "--output",
        "${Output}",
        "--model",
        "${Model}",
        "--set",
        "${Submission}",
        "--yes",
    ]
    assert set(one.request) == {
        "name", "virtualClusterId", "jobTemplateParameters", "retryPolicyConfiguration", "clientToken"
    }  # fmt: skip


BAD_INPUT = [
    ({"kubernetes.image": None}, [], "no image is given", "--image"),
    ({"emr.execution_role": None}, [], "no role is given", "--execution-role"),
    ({"emr.execution_role": "arn:aws:iam::12345678901:role/x"}, [], "not the ARN of a role", ""),
    ({"emr.release": "emr-6.15.0-latest"}, [], "older than emr-7.10.0", ""),
    ({"emr.release": "7.13.0"}, [], "not a release of EMR on EKS", ""),
    ({"emr.log_prefix": "vision"}, [], "emr.log_group is not set", ""),
    ({"output.path": "/tmp/out"}, [], "a folder of its own", "s3://"),
    ({"input.path": "photos"}, [], "which is on this machine", "s3://"),
    ({}, ["spark.conf.spark.hadoop.fs.s3a.secret.key=x"], "expose a secret", "kubernetes.credentials_from"),
    ({}, ["spark.conf.spark.kubernetes.namespace=x"], "which EMR sets itself", "Take it out"),
    ({}, [f"spark.conf.spark.x={'a b' * 400}"], "spark.x has 1,200 characters", "1,024"),
    ({}, [f"spark.conf.spark.x={'ab' * 60_000}"], "spark.conf is too large", "102,400"),
    ({}, ["spark.conf.spark.x= "], "spark.conf: spark.x is ' '", "empty"),
    (
        {},
        ["kubernetes.executor.template={spec: {hostNetwork: true}}"],
        "EMR does not allow spec.hostNetwork",
        "Take it out",
    ),
    (
        {},
        ["kubernetes.driver.template={spec: {containers: [{securityContext: {}}]}}"],
        "securityContext of Spark's container",
        "",
    ),
    ({}, ["kubernetes.driver.template={spec: {volumes: [{name: mnt-dir}]}}"], "the volume mnt-dir is EMR's own", ""),
    (
        {},
        ["kubernetes.driver.template={spec: {containers: [{volumeMounts: [{mountPath: /mnt/x}]}]}}"],
        "/mnt/x overlaps",
        "",
    ),
    (
        {},
        ["kubernetes.driver.template={spec: {containers: [{env: [{name: DB_PASSWORD, value: x}]}]}}"],
        "expose a secret",
        "",
    ),
    (
        {},
        ["kubernetes.driver.template={spec: {containers: [{volumeMounts: [{mountPath: /opt/../tmp}]}]}}"],
        "/opt/../tmp overlaps",
        "",
    ),
    (
        {},
        ["kubernetes.driver.template={spec: {containers: [{volumeMounts: [{mountPath: //tmp/x}]}]}}"],
        "//tmp/x overlaps",
        "",
    ),
    (
        {},
        ["kubernetes.driver.template={spec: {volumes: [foo, 3]}}"],
        "spec.volumes.0 is text, and Kubernetes wants keys and values",
        "",
    ),
    (
        {},
        ["kubernetes.driver.template={spec: {tolerations: x}}"],
        "spec.tolerations is text, and Kubernetes wants a list",
        "",
    ),
    ({}, ["kubernetes.driver.template={metadata: {namespace: x}}"], "metadata.namespace is Spark's own", ""),
    ({}, ["kubernetes.executor.template={apiVersion: apps/v1, kind: Deployment}"], "a Deployment of apps/v1", ""),
    ({"emr.release": "emr-7.13.0-flink-latest"}, [], "not a release of EMR on EKS for Spark", ""),
    ({"emr.log_group": "/emr", "emr.log_prefix": "a:b"}, [], "emr.log_prefix", ""),
    ({"emr.log_group": "/emr", "emr.log_prefix": "a*"}, [], "emr.log_prefix", ""),
    (
        {"storage.endpoint_url": "http://user:hunter2@host:1"},
        [],
        "expose a secret: storage.endpoint_url",
        "Put it into a Kubernetes Secret",
    ),
    ({"model.path": "https://h/m?X-Amz-Signature=hunter2"}, [], "expose a secret: model.path", ""),
    (
        {},
        ["kubernetes.driver.template={spec: {containers: [{}, {args: ['--password=hunter2']}]}}"],
        "kubernetes.driver.template.spec",
        "",
    ),
    ({}, ["emr.tags={password: hunter2}"], "expose a secret: emr.tags.password", ""),
    ({}, ["emr.tags={'aws:x': y}"], "the tag 'aws:x'", ""),
    ({}, ["emr.submitter={spark.x: y}"], "jobsubmitter.", ""),
    ({"context": "gpu"}, [], "spark.executor_gpus is 0", ""),
    *[
        ({"output.path": f"s3://results/a{char}b"}, [], "Spark finds no pod templates", "--set emr.staging=")
        for char in (*' %{|"<^[#?', "//")
    ],
    ({"output.path": "s3://results/a/../b"}, [], "Spark finds no pod templates in a place with '/..'", "emr.staging"),
    ({"emr.staging": "s3://staging/a%20b"}, [], "emr.staging is 's3://staging/a%20b'", ""),
    ({"emr.staging": "s3://staging/a//b"}, [], "emr.staging is 's3://staging/a//b'", "--set emr.staging="),
    ({"output.submission": "a\nb"}, [], r"output.submission is 'a\nb'", "one line"),
    ({"output.submission": "null"}, [], "output.submission is 'null'", "Use one line"),
    (
        {},
        [f"emr.submitter={json.dumps({f'jobsubmitter.label.{i}': 'v' for i in range(101)})}"],
        "has 101 properties",
        "100 at most",
    ),
    (
        {},
        ["kubernetes.driver.template={spec: {nodeSelector: [a]}}"],
        "spec.nodeSelector is a list, and Kubernetes wants keys",
        "",
    ),
    (
        {},
        ["kubernetes.driver.template={spec: {containers: [{env: x}]}}"],
        "containers.0.env is text, and Kubernetes wants a list",
        "",
    ),
    (
        {},
        ["spark.conf.spark.kubernetes.container.image=x"],
        "spark.conf has spark.kubernetes.container.image",
        "--image NAME",
    ),
    (
        {},
        ["spark.conf.spark.kubernetes.driver.container.image=x"],
        "spark.kubernetes.driver.container.image",
        "kubernetes.image",
    ),
    ({}, ["spark.conf.spark.kubernetes.driver.pod.name=x"], "which EMR sets itself", "Take it out"),
    ({}, ["spark.conf.spark.kubernetes.authenticate.serviceAccountName=x"], "which EMR sets itself", "Take it out"),
    ({}, ["spark.conf.spark.kubernetes.authenticate.submission.caCertFile=x"], "which EMR sets itself", "Take it out"),
]


@pytest.mark.parametrize(
    "region", ["eu-central-1", "us-gov-west-1", "us-iso-east-1", "us-isob-east-1", "eusc-de-east-1"]
)
def test_regions(region: str) -> None:
    assert settings(emr__region=region).emr.region == region


def test_a_place_beside_an_output_of_any_name_has_the_pod_templates() -> None:
    found = submission(output__path="s3://results/a b", emr__staging="s3://staging/$x~(1)")
    assert all_properties(found)["spark.kubernetes.driver.podTemplateFile"].startswith("s3://staging/$x~(1)/")


@pytest.mark.parametrize(("flags", "assignments", "problem", "hint"), BAD_INPUT)
def test_what_emr_would_refuse_is_refused_before_with_the_mend(
    flags: dict[str, Any], assignments: list[str], problem: str, hint: str
) -> None:
    with pytest.raises(UsageError) as refused:
        submission(*assignments, **{key.replace(".", "__"): value for key, value in flags.items()})
    assert problem in refused.value.problem
    assert hint in refused.value.hint
    assert "hunter2" not in str(refused.value)


def test_a_variable_of_a_container_is_no_secret() -> None:
    found = submission(
        "kubernetes.driver.template={spec: {containers: [{}, {args: ['--password=$(PASSWORD)', '--token-file=/x']}]}}"
    )
    assert templates(found)["driver"]["spec"]["containers"][1]["args"][0] == "--password=$(PASSWORD)"


def test_a_job_template_with_its_pod_templates_in_one_output_is_refused() -> None:
    with pytest.raises(UsageError, match="for many outputs"):
        submission(job_template="photos")


@pytest.mark.parametrize("name", ["", "mx spark", "é", "x" * 65])
def test_a_name_that_aws_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--name is"):
        start_job_run.check_name(name)


def test_the_release_is_that_of_the_images_base() -> None:
    base = re.search(r"^ARG EMR_BASE=\S+/(emr-[\d.]+):", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    assert EmrSettings().release == f"{base[1]}-latest"


def test_nothing_of_a_secret_is_in_what_is_sent() -> None:
    found = submission("kubernetes.credentials_from=bucket")
    told = json.dumps(found.request) + b"".join(found.objects.values()).decode()
    assert "secretKeyRef" in told
    assert not re.search(
        r"(?i)secret_?access_?key[\"']?\s*[:=]\s*[\"']?[a-z0-9/+]{8}", told.replace("AWS_SECRET_ACCESS_KEY\n", "")
    )


def test_settings_of_the_test_are_valid() -> None:
    assert settings().emr.execution_role == ROLE


def test_how_a_store_that_is_not_aws_s_is_reached_is_known_to_the_driver() -> None:
    """From where executors have it, with the task."""
    found = submission(
        storage__endpoint_url="https://s3.company.example",
        storage__request_checksums="when_required",
        storage__response_checksums="when_required",
    )

    assert arguments(found)[2:4] == ["--endpoint-url", "https://s3.company.example"]
    assert read_by_the_job(arguments(found), dict(found.objects))["storage"] == {
        "endpoint_url": "https://s3.company.example",
        "request_checksums": "when_required",
        "response_checksums": "when_required",
    }


def test_the_guide_s_policy_allows_what_a_job_of_its_settings_does_and_nothing_else() -> None:
    """docs/emr.md, as IAM reads it."""
    page = blocks("docs/emr.md")
    (policy,) = [block.text for block in page if block.language == "json"]
    (job,) = [block.text for block in page if block.name == "job.yaml"]
    chosen = sources.effective([sources.file_layer(document.read_yaml(job, "job.yaml"), "job.yaml")]).settings
    needs = permissions.needs(chosen, "aws", f"arn:aws:logs:{REGION}:{ACCOUNT}")
    wanted = {(action, need.resource) for need in needs for action in need.actions}
    for name in ("IMAGES", "MODELS", "RESULTS", "LOGS"):
        policy = policy.replace(f":::{name}", f":::{name.lower()}")
    policy = policy.replace(":REGION:ACCOUNT:", f":{REGION}:{ACCOUNT}:")
    allowed = [
        (action, resource)
        for statement in json.loads(policy)["Statement"]
        for action in each(statement["Action"])
        for resource in each(statement["Resource"])
    ]
    used = {
        (action, pattern): {right for right in wanted if right[0] == action and fnmatchcase(right[1], pattern)}
        for action, pattern in allowed
    }
    assert [pair for pair, rights in used.items() if not rights] == []
    assert set().union(*used.values()) == wanted


def each(one_or_many: Any) -> list[str]:
    return [one_or_many] if isinstance(one_or_many, str) else list(one_or_many)
