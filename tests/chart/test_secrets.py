"""Secrets in values, which would be exposed: the chart refuses what `mxspark submit kubernetes` refuses, and takes
what that takes.
"""

from typing import Any

import pytest
from tests.chart.helm import JOB, Helm, as_settings, nested, settings, together

from mxspark.errors import UsageError
from mxspark.settings.job import Settings
from mxspark.settings.sources import effective, file_layer
from mxspark.submit import reach, secrets

BASE: dict[str, Any] = {"job": JOB}
JWT = "eyJ" + 2 * "canary" + ".eyJ" + 2 * "canary" + "." + 2 * "canary"
PROBE = "containers.livenessProbe.httpGet.httpHeaders"
SIGNED = "https://models.example.com/bundle?X-Amz-Signature=canary"


def given(name: str, value: Any) -> dict[str, Any]:
    """Values in which only this one, a dotted name, is the user's own."""
    return together(BASE, nested(tuple(name.split(".")), value))


def settings_of(values: dict[str, Any]) -> Settings:
    return effective([file_layer(as_settings(values), "values")]).settings


def found_by_mxspark(values: dict[str, Any]) -> list[str]:
    return secrets.find(settings_of(values))


def container(**entry: Any) -> dict[str, Any]:
    return {"containers": [{"name": "any", **entry}]}


def variable(name: str, **entry: Any) -> dict[str, Any]:
    return container(env=[{"name": "A", "value": "b"}, {"name": name, **entry}])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spark.hadoop.fs.s3a.access.key", "canary"),
        ("spark.hadoop.fs.s3a.secret.key", "canary"),
        ("spark.hadoop.fs.s3a.secret.key.file", "canary"),
        ("spark.ssl.keyStorePassword", "canary"),
        ("spark.driver.extraJavaOptions", "-Dfs.secret.key=canary"),
        ("spark.executorEnv.URL", "https://user:canary@example.com"),
        ("spark.executorEnv.PROXY", "user:canary@example.com"),
        ("spark.hadoop.fs.s3a.encryption.key", "canary"),
        ("spark.executorEnv.GH_PAT", "canary"),
        ("spark.executorEnv.ANY", JWT),
        ("spark.hadoop.fs.azure.account.key.images.blob.core.windows.net", "canary"),
    ],
)
def test_a_secret_among_spark_s_properties_is_refused(helm: Helm, key: str, value: str) -> None:
    values = BASE | {"sparkConf": {key: value}}
    refusal = helm.refusal(values)
    assert f"sparkConf.{key} may be a secret" in refusal
    assert "canary" not in refusal
    assert found_by_mxspark(values) == [f"spark.conf.{key}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("s3.endpoint", "http://user:canary@s3.storage:8333"),
        ("job.model.path", SIGNED),
        ("job.model.path", "https://models.example.com/bundle?sv=1&sig=canary"),
        ("job.input.path", "s3://images/digits?X-Amz-Credential=canary"),
        ("job.input.suffixes", [".png", "https://x/y?sig=canary"]),
        ("job.output.path", "s3://key:canary@tables/digits"),
    ],
)
def test_an_address_that_holds_a_secret_is_refused(helm: Helm, name: str, value: Any) -> None:
    refusal = helm.refusal(given(name, value))
    assert f"{name} may be a secret" in refusal
    assert "canary" not in refusal
    with pytest.raises(UsageError):  # of places that are written to the plan the settings say so themselves
        reach.check(settings_of(given(name, value)))


def test_an_address_of_the_event_log_that_holds_a_secret_is_refused(helm: Helm) -> None:
    """Which is the chart's own value."""
    refusal = helm.refusal(given("monitoring.eventLog", "s3a://key:canary@logs/spark"))
    assert "monitoring.eventLog may be a secret" in refusal
    assert "canary" not in refusal


@pytest.mark.parametrize("pod", ["driver", "executor"])
@pytest.mark.parametrize(
    ("spec", "place"),
    [
        (variable("AWS_SECRET_ACCESS_KEY", value="canary"), "containers.env.AWS_SECRET_ACCESS_KEY"),
        (variable("hf_token", value="canary"), "containers.env.hf_token"),
        (variable("OPTIONS", value="-Ddb.password=canary"), "containers.env.OPTIONS"),
        (variable("PROXY", value="http://user:canary@proxy:3128"), "containers.env.PROXY"),
        (variable("MODEL", value=SIGNED), "containers.env.MODEL"),
        (container(args=["--verbose", "--password=canary"]), "containers.args"),
        (container(args=["--token=$canary"]), "containers.args"),
        (container(args=["--verbose", "--password", "canary"]), "containers.args"),
        (container(args=["-H", "Authorization: Bearer canary"]), "containers.args"),
        (container(command=["sh", "-c", "fetch --db-pwd 'canary'"]), "containers.command"),
        (container(args=["--auth", "none", "-u", "user:canary", "-H", "X-Api-Key: $(KEY)"]), "containers.args"),
        (container(command=["aws", "configure", "set", "aws_secret_access_key", "canary"]), "containers.command"),
        (variable("SLACK_WEBHOOK_URL", value="https://chat/canary"), "containers.env.SLACK_WEBHOOK_URL"),
        (
            container(livenessProbe={"httpGet": {"httpHeaders": [{"name": "Cookie", "value": "canary"}]}}),
            PROBE + ".Cookie",
        ),
        (variable("DB_PWD", value="canary"), "containers.env.DB_PWD"),
        (variable("AUTHORIZATION", value="Basic canary"), "containers.env.AUTHORIZATION"),
        (variable("PRIVATE_KEY", value="canary"), "containers.env.PRIVATE_KEY"),
        (variable("ANY", value=JWT), "containers.env.ANY"),
        (variable("ANY", value="ghp_" + 6 * "canary"), "containers.env.ANY"),
        (variable("ANY", value="-----BEGIN " + "EC PRIVATE KEY-----\ncanary"), "containers.env.ANY"),
        (container(command=["sh", "-c", "fetch user:canary@host"]), "containers.command"),
        ({"initContainers": [{"env": [{"name": "API_TOKEN", "value": "canary"}]}]}, "initContainers.env.API_TOKEN"),
    ],
)
def test_a_secret_in_a_pod_template_is_refused(helm: Helm, pod: str, spec: dict[str, Any], place: str) -> None:
    if (pod, place) == ("executor", "containers.args"):
        # Spark writes its own over the first container's
        spec, place = {"initContainers": spec["containers"]}, "initContainers.args"
    values = given(f"{pod}.podTemplate.spec", spec)
    refusal = helm.refusal(values)
    assert f"{pod}.podTemplate.spec.{place} may be a secret" in refusal
    assert "valueFrom for a variable" in refusal
    assert "canary" not in refusal
    assert found_by_mxspark(values) == [f"kubernetes.{pod}.template.spec.{place}"]


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("extraEnv", [{"name": "API_TOKEN", "value": "canary"}], "extraEnv.API_TOKEN"),
        ("extraEnv", [{"name": "PROXY", "value": "http://user:canary@proxy:3128"}], "extraEnv.PROXY"),
        (
            "extraVolumes",
            [{"name": "a", "csi": {"driver": "b", "volumeAttributes": {"password": "canary"}}}],
            "extraVolumes.csi",
        ),
    ],
)
def test_a_secret_in_what_all_pods_are_given_is_refused(helm: Helm, name: str, value: Any, place: str) -> None:
    refusal = helm.refusal(given(name, value))
    assert f"{place}" in refusal
    assert "may be a secret" in refusal
    assert "canary" not in refusal


@pytest.mark.parametrize("pod", ["driver", "executor"])
def test_an_annotation_with_a_password_is_refused(helm: Helm, pod: str) -> None:
    for name in (f"{pod}.annotations", f"{pod}.podTemplate.metadata.annotations"):
        for secret in ("https://user:canary@wiki/", JWT):
            values = given(name, {"see": secret})
            refusal = helm.refusal(values)
            assert f"{name}.see may be a secret" in refusal
            assert "canary" not in refusal
            assert len(found_by_mxspark(values)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sparkConf", {"spark.kubernetes.executor.secretKeyRef.PASSWORD": "keys:password"}),
        ("s3", {"endpoint": "http://s3.storage:8333", "secretName": "bucket-secret"}),
        (
            "driver.annotations",
            {"see": "https://wiki/page?id=1", "vault.hashicorp.com/agent-inject-secret-db": "secret/db"},
        ),
        ("driver.labels", {"example.com/token": "none"}),
        ("extraEnv", [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}}]),
        ("job.output.path", "s3://tables/token=1/"),
        (
            "executor.podTemplate.spec",
            variable("PASSWORD", valueFrom={"secretKeyRef": {"name": "keys", "key": "password"}}),
        ),
        ("driver.podTemplate.spec", container(args=["--password=$(PASSWORD)", "--token-file=/run/token"])),
        ("executor.podTemplate.spec", {"initContainers": [{"name": "a", "image": f"tool:1@sha256:{64 * '0'}"}]}),
        (
            "driver.podTemplate.spec",
            container(args=["sh", "-c", 'fetch --password "$PASSWORD" --token $(TOKEN) --token-file /x']),
        ),
        ("driver.podTemplate.spec", variable("AWS_WEB_IDENTITY_TOKEN_FILE", value="/var/run/secrets/token")),
        ("driver.podTemplate.spec", variable("TOKENIZERS_PARALLELISM", value="false")),
        ("driver.podTemplate.spec", variable("SECRET_NAME", value="keys")),
        (
            "sparkConf",
            {
                "spark.hadoop.fs.s3a.encryption.key": "arn:aws:kms:eu-central-1:1:key/2",
                "spark.hadoop.a.authorization": True,
            },
        ),
        (
            "sparkConf",
            {
                "spark.io.encryption.keySizeBits": 256,
                "spark.driver.extraJavaOptions": "-Dauth=basic",
                "spark.smtp.auth": "login",
            },
        ),
        ("driver.podTemplate.spec", container(args=["-u", "1000:1000", "--auth", "none", "-H", "X-Api-Key: $(KEY)"])),
        ("driver.podTemplate.spec", container(args=["kubectl", "config", "set-credentials", "me", "--token=$(TOKEN)"])),
        ("executor.podTemplate.spec", {"securityContext": {"runAsUser": None}}),
    ],
)
def test_what_only_names_a_secret_is_taken(each_helm: Helm, name: str, value: Any) -> None:
    values = given(name, value)
    each_helm.render(values)
    assert found_by_mxspark(values) == []


def test_the_name_of_a_secret_gets_to_spark(helm: Helm) -> None:
    names = {"spark.kubernetes.executor.secretKeyRef.PASSWORD": "keys:password"}
    assert settings(helm.render(BASE | {"sparkConf": names})).spark.conf == names
