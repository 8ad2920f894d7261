"""Secrets in settings that would lie open in a cluster or in a request."""

from typing import Any

import pytest

from mxspark import document
from mxspark.settings import Settings
from mxspark.submit import open_secrets

JOB: dict[str, Any] = {"input": {"path": "s3://photos/"}, "output": {"path": "s3://tables/1"}, "model": {"path": "s3://models/lite0"}}


CONTAINERS = "kubernetes.driver.template.spec.containers"


def found(**changes: Any) -> list[str]:
    return open_secrets.find(document.parse(Settings, {**JOB, **changes}, "settings"))


def variable(name: str, **entry: Any) -> dict[str, Any]:
    containers = [{"name": "driver", "env": [{"name": name, **entry}]}]
    return {"driver": {"template": {"spec": {"containers": containers}}}}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": {"path": "https://host/m?X-Amz-Signature=hush"}}, "model.path"),
        ({"model": {"path": "https://host/m?version=3"}}, "model.path"),
        ({"storage": {"endpoint_url": "http://me:hush@host:8333"}}, "storage.endpoint_url"),
        ({"spark": {"conf": {"spark.hadoop.fs.s3a.secret.key": "hush"}}}, "spark.conf.spark.hadoop.fs.s3a.secret.key"),
        ({"spark": {"conf": {"spark.driver.extraJavaOptions": "-Dfs.secret.key=hush"}}}, "spark.conf.spark.driver.extraJavaOptions"),
        (
            {"kubernetes": variable("AWS_SECRET_ACCESS_KEY", value="hush")},
            "kubernetes.driver.template.spec.containers.env.AWS_SECRET_ACCESS_KEY",
        ),
        ({"kubernetes": {"driver": {"template": {"spec": {"containers": [{"args": ["--password=hush"]}]}}}}}, CONTAINERS + ".args"),
        ({"emr": {"tags": {"password": "hush"}}}, "emr.tags.password"),
        *[
            ({"kubernetes": variable(name, value="hush")}, f"kubernetes.driver.template.spec.containers.env.{name}")
            for name in ("DBPASS", "DB_PASS", "PASS", "MYSQL_PASSWD", "API_KEY", "OPENAI-API-KEY", "HF_CREDENTIALS", "GIT_CREDENTIAL")
        ],
        *[
            ({"spark": {"conf": {key: "hush"}}}, f"spark.conf.{key}")
            for key in ("spark.executorEnv.DBPASS", "spark.executorEnv.API_KEY", "spark.kubernetes.driverEnv.CREDENTIALS")
        ],
        ({"kubernetes": {"driver": {"template": {"spec": {"containers": [{"args": ["--db-pass=hush"]}]}}}}}, CONTAINERS + ".args"),
        ({"kubernetes": {"driver": {"annotations": {"see": "https://me:hush@wiki/"}}}}, "kubernetes.driver.annotations.see"),
        ({"kubernetes": variable("PROXY", value="http://me:hush@proxy:3128")}, "kubernetes.driver.template.spec.containers.env.PROXY"),
    ],
)
def test_what_may_be_a_secret_is_named(changes: dict[str, Any], named: str) -> None:
    assert found(**changes) == [named]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"storage": {"endpoint_url": "http://host:8333"}},
        {"kubernetes": {"image": f"registry:5000/mxspark:0.1.0@sha256:{'0' * 64}"}},
        {"kubernetes": {"executor": {"template": {"spec": {"containers": [{"image": f"tool:1@sha256:{'0' * 64}"}]}}}}},
        {"kubernetes": {"image_pull_secrets": ["registry"], "credentials_from": "bucket-keys"}},
        {"kubernetes": variable("AWS_SECRET_ACCESS_KEY", valueFrom={"secretKeyRef": {"name": "keys", "key": "secret"}})},
        {"kubernetes": {"driver": {"annotations": {"see": "https://wiki/page?id=1"}}}},
        {"spark": {"conf": {"spark.kubernetes.executor.secretKeyRef.PASSWORD": "keys:password"}}},
        {"spark": {"conf": {"spark.hadoop.fs.s3a.aws.credentials.provider": "com.example.Provider", "spark.x.passive": "compass-rose"}}},
        {"spark": {"conf": {"spark.executorEnv.AWS_SHARED_CREDENTIALS_FILE": "/etc/aws/credentials"}}},
        {"kubernetes": variable("BYPASS_CACHE", value="1")},
    ],
)
def test_names_of_secrets_and_free_texts_are_none(changes: dict[str, Any]) -> None:
    assert found(**changes) == []
