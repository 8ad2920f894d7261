"""The command line of the article that this system comes from, as settings: its jobs run here as they stand."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from mxspark.dataset.output import SUCCESS
from mxspark.errors import UsageError
from mxspark.settings.sources import EffectiveSettings, effective, environment_layer, flag_layer
from mxspark.storage import Access, Credentials, open_output, usage_errors

ENVIRONMENT = "-"  # for a key: that of the environment. Not standard input, which spark-submit doesn't pass on
KEY_VARIABLES = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY"}
ARTICLE_FLAGS = ("--bucket", "--sym_url", "--param_url", "--label_url", "--output_s3_bucket", "--output_s3_key")


@dataclass(frozen=True)
class ArticleJob:
    """The settings that an article's command line means, and the access keys that it brought."""

    effective: EffectiveSettings
    credentials: Credentials | None = field(repr=False)
    is_secret_typed: bool  # as an argument, which others can read

    @property
    def access(self) -> Access:
        return Access(self.effective.settings.storage, self.credentials)


def is_article(arguments: Sequence[str]) -> bool:
    """Whether a command line is in the article's style."""
    return any(argument.partition("=")[0] in ARTICLE_FLAGS for argument in arguments)


def parse(arguments: Sequence[str], environ: dict[str, str]) -> ArticleJob:
    """The job that the article's command line describes. Raises UsageError.

    The predictions' text goes to the article's place, s3://output_s3_bucket/output_s3_key; the plan and the shards'
    parts, which make the run resumable, beside it under the same name with `.mxspark`.
    """
    given = _parser().parse_args(list(arguments))
    is_secret_typed = given.secret_key not in (None, ENVIRONMENT)
    for name, variable in KEY_VARIABLES.items():
        if getattr(given, name) == ENVIRONMENT:
            if not environ.get(variable):
                raise UsageError(
                    f"--{name} is {ENVIRONMENT}, which stands for {variable}, and that isn't set", f"Set {variable}."
                )
            setattr(given, name, environ[variable])
    if bool(given.access_key) != bool(given.secret_key):
        raise UsageError("--access_key and --secret_key go together, only one is given", "Give both or none.")
    for name in ("bucket", "output_s3_bucket", "output_s3_key"):
        if not getattr(given, name):
            raise UsageError(f"--{name} is empty", "Give it a value.")
    text_object = f"s3://{given.output_s3_bucket}/{given.output_s3_key}"
    flags = {
        "input.path": f"s3://{given.bucket}/{given.prefix}",
        "output.path": f"{text_object}.mxspark",
        "output.format": "text",
        "output.text_object": text_object,
        "model.symbol": given.sym_url,
        "model.params": given.param_url,
        "model.labels": given.label_url,
        "batch_size": given.batch,
        "storage.endpoint_url": given.endpoint_url,
    }
    # A temporary key is none without its token.
    token = None if is_secret_typed else environ.get("AWS_SESSION_TOKEN")
    credentials = Credentials(given.access_key, given.secret_key, token) if given.access_key else None
    job = ArticleJob(
        effective([environment_layer(environ), flag_layer(flags, given.set)]), credentials, is_secret_typed
    )
    if _is_finished(job):
        # The article's job knew no resuming: run again, it did everything again.
        again = effective([environment_layer(environ), flag_layer(flags | {"output.overwrite": True}, given.set)])
        job = ArticleJob(again, credentials, is_secret_typed)
    return job


def _is_finished(job: ArticleJob) -> bool:
    with usage_errors("output.path", "Check --output_s3_bucket."):
        return open_output(job.effective.settings.output.path, job.access.of_driver(os.environ)).has(SUCCESS)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        # After a misspelled --secret_key comes the key itself.
        said, unknown, given = message.partition("unrecognized arguments: ")
        flags = " ".join(word.partition("=")[0] for word in given.split() if word.startswith("-"))
        raise UsageError(
            f"{said}{unknown}{flags}", "infer_main.py --help lists the article's arguments and mxspark's own."
        )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="infer_main.py", description="The article's batch inference with MXNet and Spark.", allow_abbrev=False
    )
    parser.add_argument("--bucket", required=True, help="S3 bucket of the images")
    parser.add_argument("--prefix", default="", help="prefix of the images' keys")
    parser.add_argument("--sym_url", required=True, help="the model's symbol file: http(s)://, s3:// or a path")
    parser.add_argument("--param_url", required=True, help="the model's params file")
    parser.add_argument("--label_url", required=True, help="the model's labels, one a line (synset.txt)")
    parser.add_argument("--batch", type=int, default=None, help="images in one forward pass")
    parser.add_argument("--output_s3_bucket", required=True, help="bucket of the predictions")
    parser.add_argument("--output_s3_key", required=True, help="key of the predictions' text object")
    parser.add_argument("--access_key", help="AWS access key; - takes AWS_ACCESS_KEY_ID of the environment")
    parser.add_argument(
        "--secret_key",
        help="AWS secret key: - takes AWS_SECRET_ACCESS_KEY of the environment; one that is typed here can be read by "
        "others",
    )
    parser.add_argument("--endpoint-url", help="an S3-compatible server")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any of mxspark's settings")
    parser.add_argument("--debug", action="store_true", help="show stack traces and Spark's log")
    return parser
