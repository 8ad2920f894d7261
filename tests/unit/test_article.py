"""The article's command line: it means what the article says, and its secrets are not shown."""

from pathlib import Path

import pytest

from mxspark.cli import article
from mxspark.errors import MxsparkError, UsageError
from mxspark.settings.sources import EffectiveSettings
from mxspark.storage import Credentials

AS_IN_THE_ARTICLE = [
    *("--bucket", "mxnet-spark-demo", "--prefix", "cifar10/test", "--batch", "64"),
    *("--sym_url", "http://host/resnet-18-symbol.json", "--param_url", "http://host/resnet-18-0000.params"),
    *("--label_url", "http://host/synset.txt", "--output_s3_bucket", "results", "--output_s3_key", "runs/output.txt"),
]
KEYS = ["--access_key", "AKIAEXAMPLE", "--secret_key", "hush-hush"]


@pytest.fixture
def elsewhere(tmp_path: Path) -> list[str]:
    """Flags that put the run's own files into a folder, where a test can look without an S3 server."""
    return ["--set", f"output.path={tmp_path}/run"]


def parsed(arguments: list[str]) -> article.ArticleJob:
    return article.parse(arguments, {})


def values(found: EffectiveSettings) -> dict[str, object]:
    return {key: value for key, value, _ in found.rows()}


def without(flag: str) -> list[str]:
    position = AS_IN_THE_ARTICLE.index(flag)
    return AS_IN_THE_ARTICLE[:position] + AS_IN_THE_ARTICLE[position + 2 :]


def test_the_articles_command_line_is_told_from_mxsparks_own() -> None:
    assert article.is_article(AS_IN_THE_ARTICLE)
    assert article.is_article(["--bucket=photos"])
    assert not article.is_article(["--input", "photos", "--output", "table", "--model", "net", "--set", "a=--bucket"])


def test_it_means_these_settings(elsewhere: list[str]) -> None:
    found = values(parsed(AS_IN_THE_ARTICLE + elsewhere).effective)

    assert found["input.path"] == "s3://mxnet-spark-demo/cifar10/test"
    assert found["batch_size"] == 64
    assert found["model.symbol"] == "http://host/resnet-18-symbol.json"
    assert found["model.params"] == "http://host/resnet-18-0000.params"
    assert found["model.labels"] == "http://host/synset.txt"
    assert (found["output.format"], found["output.text_object"]) == ("text", "s3://results/runs/output.txt")


def test_a_bucket_without_a_prefix_is_the_whole_bucket(elsewhere: list[str]) -> None:
    assert values(parsed(without("--prefix") + elsewhere).effective)["input.path"] == "s3://mxnet-spark-demo/"


def test_mxsparks_settings_can_be_added(elsewhere: list[str]) -> None:
    found = values(
        parsed(
            [*AS_IN_THE_ARTICLE, *elsewhere, "--set", "top_k=3", "--endpoint-url", "http://127.0.0.1:8333"]
        ).effective
    )

    assert (found["top_k"], found["storage.endpoint_url"]) == (3, "http://127.0.0.1:8333")


def test_the_access_keys_reach_the_job_but_are_shown_nowhere(elsewhere: list[str]) -> None:
    job = parsed(AS_IN_THE_ARTICLE + elsewhere + KEYS)

    assert job.access.credentials is not None
    assert (job.access.credentials.access_key, job.access.credentials.secret_key) == ("AKIAEXAMPLE", "hush-hush")
    for shown in (
        repr(job),
        str(job),
        repr(job.access),
        str(values(job.effective)),
        job.effective.settings.model_dump_json(),
    ):
        assert "hush-hush" not in shown
        assert "AKIAEXAMPLE" not in shown


def test_without_access_keys_the_usual_places_are_asked(elsewhere: list[str]) -> None:
    assert parsed(AS_IN_THE_ARTICLE + elsewhere).access.credentials is None


@pytest.mark.parametrize("only", [KEYS[:2], KEYS[2:]])
def test_one_of_the_two_keys_alone_is_a_mistake(elsewhere: list[str], only: list[str]) -> None:
    with pytest.raises(UsageError, match="go together") as refused:
        parsed(AS_IN_THE_ARTICLE + elsewhere + only)

    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "flag", ["--bucket", "--sym_url", "--param_url", "--label_url", "--output_s3_bucket", "--output_s3_key"]
)
def test_a_flag_that_is_missing_is_named(flag: str) -> None:
    with pytest.raises(UsageError, match=flag):
        parsed(without(flag))


@pytest.mark.parametrize(("value", "named"), [("0", "batch_size"), ("many", "--batch"), ("-3", "batch_size")])
def test_a_batch_that_cannot_be_is_refused(elsewhere: list[str], value: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        parsed([*without("--batch"), *elsewhere, "--batch", value])


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(UsageError, match="--buckets"):
        parsed([*AS_IN_THE_ARTICLE, "--buckets", "b"])


def test_a_run_that_ended_is_done_anew_as_the_articles_was_and_one_that_did_not_goes_on(
    tmp_path: Path, elsewhere: list[str]
) -> None:
    assert not parsed(AS_IN_THE_ARTICLE + elsewhere).effective.settings.output.overwrite

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "_SUCCESS").touch()

    assert parsed(AS_IN_THE_ARTICLE + elsewhere).effective.settings.output.overwrite


def test_credentials_that_are_missing_are_a_mistake_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    with pytest.raises(MxsparkError, match="credentials") as refused:
        parsed([*AS_IN_THE_ARTICLE, "--endpoint-url", "http://127.0.0.1:1"])

    assert refused.value.exit_code == 2


def test_a_dash_for_a_key_is_that_of_the_environment(elsewhere: list[str]) -> None:
    command = [*AS_IN_THE_ARTICLE, *elsewhere, "--access_key", "-", "--secret_key"]
    environment = {
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "of the environment",
        "AWS_SESSION_TOKEN": "its token",
    }

    job = article.parse([*command, "-"], environment)
    assert job.credentials == Credentials("AKIA", "of the environment", "its token")
    assert not job.is_secret_typed
    assert "of the environment" not in repr(job)

    typed = article.parse([*command, "hush-hush"], environment)
    assert typed.credentials == Credentials("AKIA", "hush-hush")
    assert typed.is_secret_typed

    with pytest.raises(UsageError, match="--secret_key is -, which stands for AWS_SECRET_ACCESS_KEY"):
        article.parse([*command, "-"], {"AWS_ACCESS_KEY_ID": "AKIA"})
