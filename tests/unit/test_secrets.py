"""Secrets in settings that would lie open in a cluster or in a request."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxspark.errors import without_secrets
from mxspark.settings import document
from mxspark.settings.job import Settings
from mxspark.submit import secrets

JOB: dict[str, Any] = {
    "input": {"path": "s3://photos/"},
    "output": {"path": "s3://tables/1"},
    "model": {"path": "s3://models/lite0"},
}


CONTAINERS = "kubernetes.driver.template.spec.containers"
EXECUTORS = CONTAINERS.replace("driver", "executor")
# As they are known whatever they are called; none is anybody's.
FORMS = {
    "aws": "AKIA" + 4 * "HUSH",
    "pem": "-----BEGIN " + "RSA PRIVATE KEY-----\nhush",
    "pem8": "-----BEGIN " + "PRIVATE KEY-----\nhush",
    "github": "ghp_" + 9 * "hush",
    "github-fine": "github_pat_" + 9 * "hush",
    "gitlab": "glpat-" + 5 * "hush",
    "slack": "xoxb-" + 5 * "hush",
    "openai": "sk-" + 9 * "hush",
    "anthropic": "sk-ant-" + 9 * "hush",
    "hugging-face": "hf_" + 9 * "hush",
    "sendgrid": "SG." + 5 * "hush" + "." + 5 * "hush",
    "vault": "hvs." + 6 * "hush",
    "webhook": "https://hooks.slack.com/" + "services/T0/B0/hush",
    "other-webhook": "https://chat.example.com/hooks/" + 6 * "hush",
    "oracle": "jdbc:oracle:thin:" + "me/hush@//db:1521/x",
    "jwt": "eyJ" + 4 * "hush" + ".eyJ" + 4 * "hush" + "." + 4 * "hush",
}


def found(**changes: Any) -> list[str]:
    return secrets.find(document.parse(Settings, {**JOB, **changes}, "settings"))


def variable(name: str, **entry: Any) -> dict[str, Any]:
    containers = [{"name": "driver", "env": [{"name": name, **entry}]}]
    return {"driver": {"template": {"spec": {"containers": containers}}}}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kubernetes": variable("GREETING", value="Bearer 4a9f0c2e77d14b0a")}, CONTAINERS + ".env.GREETING"),
        ({"kubernetes": variable("SUBSCRIPTION_KEY", value="hush")}, CONTAINERS + ".env.SUBSCRIPTION_KEY"),
        ({"kubernetes": variable("ENC_KEY", value="hush")}, CONTAINERS + ".env.ENC_KEY"),
        (
            {
                "kubernetes": {
                    "driver": {
                        "template": {
                            "spec": {
                                "volumes": [
                                    {"name": "v", "csi": {"driver": "d", "volumeAttributes": {"password": "hush"}}}
                                ]
                            }
                        }
                    }
                }
            },
            "kubernetes.driver.template.spec.volumes.csi.volumeAttributes.password",
        ),
        (
            {
                "kubernetes": {
                    "driver": {
                        "template": {
                            "spec": {"containers": [{"name": "driver"}, {"name": "proxy", "args": ["--pwd", "hush"]}]}
                        }
                    }
                }
            },
            CONTAINERS + ".args",
        ),
        ({"model": {"path": "https://host/m?X-Amz-Signature=hush"}}, "model.path"),
        ({"model": {"path": "https://host/m?version=3"}}, "model.path"),
        ({"storage": {"endpoint_url": "http://me:hush@host:8333"}}, "storage.endpoint_url"),
        ({"spark": {"conf": {"spark.hadoop.fs.s3a.secret.key": "hush"}}}, "spark.conf.spark.hadoop.fs.s3a.secret.key"),
        (
            {"spark": {"conf": {"spark.driver.extraJavaOptions": "-Dfs.secret.key=hush"}}},
            "spark.conf.spark.driver.extraJavaOptions",
        ),
        (
            {"kubernetes": variable("AWS_SECRET_ACCESS_KEY", value="hush")},
            "kubernetes.driver.template.spec.containers.env.AWS_SECRET_ACCESS_KEY",
        ),
        (
            {"kubernetes": {"driver": {"template": {"spec": {"containers": [{"args": ["--password=hush"]}]}}}}},
            CONTAINERS + ".args",
        ),
        ({"emr": {"tags": {"password": "hush"}}}, "emr.tags.password"),
        *[
            ({"kubernetes": variable(name, value="hush")}, f"kubernetes.driver.template.spec.containers.env.{name}")
            for name in (
                "DBPASS",
                "DB_PASS",
                "PASS",
                "MYSQL_PASSWD",
                "API_KEY",
                "OPENAI-API-KEY",
                "HF_CREDENTIALS",
                "GIT_CREDENTIAL",
            )
        ],
        *[
            ({"spark": {"conf": {key: "hush"}}}, f"spark.conf.{key}")
            for key in (
                "spark.executorEnv.DBPASS",
                "spark.executorEnv.API_KEY",
                "spark.kubernetes.driverEnv.CREDENTIALS",
            )
        ],
        (
            {"kubernetes": {"driver": {"template": {"spec": {"containers": [{"args": ["--db-pass=hush"]}]}}}}},
            CONTAINERS + ".args",
        ),
        (
            {"kubernetes": {"driver": {"annotations": {"see": "https://me:hush@wiki/"}}}},
            "kubernetes.driver.annotations.see",
        ),
        *[
            ({"kubernetes": variable(name, value="hush")}, f"{CONTAINERS}.env.{name}")
            for name in (
                "DB_PWD",
                "PRIVATE_KEY",
                "GH_PAT",
                "GITHUB_PAT",
                "AUTHORIZATION",
                "TOKEN_FILE",
                "SSH_PASSPHRASE",
                "SIGNING_KEY",
                "REDIS_AUTH",
                "DB_CREDS",
                "X-Auth-Key",
                "PW",
                "DB_PW",
                "DB_PASSWORD2",
                "COOKIE",
                "SESSION_COOKIE",
                "SLACK_WEBHOOK",
                "SLACK_WEBHOOK_URL",
                "BASIC_AUTH",
                "APP_KEY",
                "CREDENTIALS_JSON",
            )
        ],
        *[
            ({"spark": {"conf": {key: "hush"}}}, f"spark.conf.{key}")
            for key in (
                "spark.hadoop.fs.s3a.encryption.key",
                "spark.hadoop.fs.s3a.server-side-encryption.key",
                "spark.hadoop.fs.s3a.bucket.photos.encryption.key",
                "spark.executorEnv.DB_PWD",
                "spark.redis.auth",
                "spark.hadoop.parquet.encryption.key.list",
            )
        ],
        *[
            (
                {"kubernetes": {"executor": {"template": {"spec": {"containers": [{}, {"args": given}]}}}}},
                EXECUTORS + ".args",
            )
            for given in (
                ["--verbose", "--password", "hush"],
                ["-token", "hush"],
                ["--secret-key=hush"],
                ["sh -c 'fetch --db-pwd hush'"],
                ["-H", "Authorization: Bearer hush"],
                ["-H", "Authorization: hush"],
                ["-H", "X-Api-Key: hush", "https://host/"],
                ["--header", "X-Api-Key:hush"],
                ["sh -c 'curl -H \"Private-Token: hush\" https://host/'"],
                ["-b", '{"password":"hush"}'],
                ["--auth", "hush"],
                ["--auth", "none", "-pass", "hush"],
                ["--secret-id", "hush"],
                ["--role-id=1", "--secret-id=hush"],
                ["curl", "-u", "me:hush", "https://host/"],
                ["curl --user=me:hush https://host/"],
                ["curl", "-ume:hush"],
                ["sshpass", "-p", "hush", "ssh"],
                ["aws", "configure", "set", "aws_secret_access_key", "hush"],
                ["sh", "-c", "aws configure set profile.a.aws_secret_access_key 'hush' && aws s3 ls"],
                ["sh", "-c", "printf '[default]\\naws_secret_access_key = hush\\n' >~/.aws/credentials"],
                ["sh", "-c", "printf '[default]\naws_secret_access_key = hush' >~/.aws/credentials"],
                ["openssl", "rsa", "-in", "key.pem", "-passin", "pass:hush"],
                ["sh", "-c", "set -e; npm config set //registry/:_authToken hush"],
                ["git", "config", "--global", "github.token", "hush"],
                ["rclone", "config", "create", "a", "s3", "secret_access_key", "hush"],
                ["mc", "alias", "set", "a", "http://host:9000", "me", "hush"],
                ["vault", "login", "hush"],
                ["sh", "-c", "echo machine host login me password hush > ~/.netrc"],
                ["mysql", "-u", "me", "-phush"],
                ["psql", "postgres://me:hu/sh@db:5432/x"],
                ["fetch", FORMS["github"]],
            )
        ],
        *[({"kubernetes": variable("ANY", value=form)}, CONTAINERS + ".env.ANY") for form in FORMS.values()],
        *[
            ({"spark": {"conf": {"spark.executorEnv.ANY": form}}}, "spark.conf.spark.executorEnv.ANY")
            for form in FORMS.values()
        ],
        *[
            ({"kubernetes": {"driver": {"annotations": {"any": form}}}}, "kubernetes.driver.annotations.any")
            for form in FORMS.values()
        ],
        (
            {"kubernetes": variable("PROXY", value="http://me:hush@proxy:3128")},
            "kubernetes.driver.template.spec.containers.env.PROXY",
        ),
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
        {
            "kubernetes": {
                "executor": {"template": {"spec": {"containers": [{}, {"image": f"tool:1@sha256:{'0' * 64}"}]}}}
            }
        },
        {"kubernetes": {"image_pull_secrets": ["registry"], "credentials_from": "bucket-keys"}},
        {
            "kubernetes": variable(
                "AWS_SECRET_ACCESS_KEY", valueFrom={"secretKeyRef": {"name": "keys", "key": "secret"}}
            )
        },
        {"kubernetes": {"driver": {"annotations": {"see": "https://wiki/page?id=1"}}}},
        {"spark": {"conf": {"spark.kubernetes.executor.secretKeyRef.PASSWORD": "keys:password"}}},
        {
            "spark": {
                "conf": {
                    "spark.hadoop.fs.s3a.aws.credentials.provider": "com.example.Provider",
                    "spark.x.passive": "compass-rose",
                }
            }
        },
        {"spark": {"conf": {"spark.executorEnv.AWS_SHARED_CREDENTIALS_FILE": "/etc/aws/credentials"}}},
        {"kubernetes": variable("BYPASS_CACHE", value="1")},
        {"kubernetes": variable("GREETING", value="Basic instructions-for-everybody")},
        *[
            {"kubernetes": variable(name, value=value)}
            for name, value in {
                "AWS_REGION": "eu-central-1",
                "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/token",
                "DB_PASSWORD_FILE": "/run/secrets/db",
                "GOOGLE_APPLICATION_CREDENTIALS": "/var/secrets/google.json",
                "TOKENIZERS_PARALLELISM": "false",
                "MAX_TOKENS": "512",
                "SECRET_NAME": "bucket-keys",
                "TOKEN_URL": "https://login.example.com/token",
                "API_TOKEN": "$(FROM_A_SECRET)",
                "CREDIT": "1",
                "AUTHOR": "me",
                "PARTITION_KEY": "day",
                "PWD": "/opt",
                "PATH": "/bin",
                "PATTERN": "a",
                "KEYBOARD": "qwerty",
                "MODEL": "s3://models/sk-learn-image-classifier-2024",
                "NAME": "hf_model_resnet50_imagenet1k",
                "SMTP_AUTH": "login",
                "TOKEN_TTL_SECONDS": "3600",
                "TOKEN_TIMEOUT": "30s",
                "PAD_TOKEN_ID": "0",
                "SECRET_BACKEND": "vault",
                "DB_PASSWORD_PATH": "secrets/db.txt",
                "SECRETS_MOUNT": "$(HOME)/secrets",
                "AUTH_TOKEN": "/run/secrets/token",
                "OLDPWD": "/opt",
                "BYPASS": "1",
                "KEYSTORE_TYPE": "jks",
                "TOKEN_EXPIRY": "3600",
                "TOKENS_PER_DAY": "10",
                "PASSWORD_POLICY": "strong",
                "API_KEY_HEADER": "X-Api-Key",
                "AUTH_KEYSPACE": "images",
                "HOOKS": "https://github.com/example/pre-commit-hooks/blob/main/a-very-long-name-of-a-file",
                "PEER": "http://[::1]:8080/page@v1",
                "REPOSITORY": "https://host:8080/me@v1",
            }.items()
        ],
        *[
            {"kubernetes": {"driver": {"template": {"spec": {"containers": [{"args": given}]}}}}}
            for given in (
                ["--password=$(PASSWORD)", "--token", "$(TOKEN)", "--token-file", "/run/token"],
                ["sh", "-c", 'fetch --password "$PASSWORD" --token ${TOKEN}'],
                ["--max-tokens", "512", "--password-stdin", "registry"],
                ["-H", "Authorization: Bearer $(TOKEN)"],
                [
                    "-H",
                    "X-Api-Key: $(KEY)",
                    "--auth",
                    "none",
                    "--auth=basic",
                    "-u",
                    "me:$(PW)",
                    "--user",
                    "1000:1000",
                    "-u",
                    "host.x:80",
                ],
                [
                    "aws",
                    "secretsmanager",
                    "get-secret-value",
                    "--secret-id",
                    "prod/db",
                    "--secret-id",
                    "arn:aws:secretsmanager:x",
                ],
                ["aws", "configure", "set", "region", "eu-central-1"],
                [
                    "sh",
                    "-c",
                    "aws configure set aws_secret_access_key $(cat /run/key); aws configure set credential_source "
                    "Environment",
                ],
                ["sh", "-c", 'printf \'aws_secret_access_key = %s\' "$KEY"; printf "token = $TOKEN"'],
                ["openssl", "rsa", "-in", "key.pem", "-passin", "file:/run/password"],
                ["kubectl", "config", "set-credentials", "me", "--token=$(TOKEN)"],
                ["git", "config", "credential.helper", "store"],
                ["npm", "config", "set", "always-auth", "true"],
                ["mc", "alias", "set", "a", "http://host:9000", "$(USER)", "$(KEY)"],
                ["vault", "login", "-method=kubernetes", "role=me"],
                ["--config", "/etc/auth", "serve"],
                [
                    "--token",
                    "/run/secrets/token",
                    "--password",
                    "<password>",
                    "--pad-token",
                    "[PAD]",
                    "--volume=token:/run/token",
                ],
            )
        ],
        {"spark": {"conf": {"spark.hadoop.fs.s3a.encryption.key": "arn:aws:kms:eu-central-1:1:key/2"}}},
        {"spark": {"conf": {"spark.kubernetes.authenticate.oauthTokenFile": "/var/run/secrets/token"}}},
        {
            "spark": {
                "conf": {
                    "spark.io.encryption.keySizeBits": "256",
                    "spark.io.encryption.keygen.algorithm": "HmacSHA256",
                    "spark.network.crypto.keyLength": "128",
                    "spark.authenticate.secretBitLength": "256",
                    "spark.kubernetes.kerberos.tokenSecret.itemKey": "tokens",
                    "spark.kafka.clusters.a.sasl.token.mechanism": "SCRAM-SHA-512",
                    "spark.hadoop.fs.azure.account.keyprovider.x": "org.apache.hadoop.fs.azure."
                    "ShellDecryptionKeyProvider",
                    "spark.ssl.keyStore": "/etc/keys.jks",
                    "spark.driver.extraJavaOptions": "-Dhttp.auth=basic "
                    "-Djava.security.auth.login.config=/etc/jaas.conf",
                }
            }
        },
        {"spark": {"conf": {"spark.hadoop.a": "com.amazonaws.auth.WebIdentityTokenCredentialsProvider"}}},
        {
            "spark": {
                "conf": {
                    "spark.security.credentials.hive.enabled": "false",
                    "spark.hadoop.hadoop.security.authorization": "true",
                }
            }
        },
    ],
)
def test_names_of_secrets_and_free_texts_are_none(changes: dict[str, Any]) -> None:
    assert found(**changes) == []


texts = st.lists(
    st.sampled_from(
        ["https://", "s3://", "me", ":", "hush", "@", "host", "/", "?", "sig", "=", " ", "'", "Signature", "&", "\n"]
    )
)


@given(texts.map("".join))
def test_whatever_errors_would_hide_of_an_address_is_found(text: str) -> None:
    if without_secrets(text) != text:
        assert re.search(secrets.PATTERNS["address"], text)


@given(st.sampled_from(sorted(FORMS)), st.text("ab/ .:='\"", max_size=9), st.text("/ .:='\"", max_size=9))
def test_a_form_is_known_wherever_it_stands_in_a_text(form: str, before: str, after: str) -> None:
    assert re.search(secrets.PATTERNS["form"], f"{before} {FORMS[form]}{after}", re.ASCII)
