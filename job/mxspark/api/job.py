"""`mxspark.run`: a job, called."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mxspark.api import settings as api_settings
from mxspark.api.summary import Summary
from mxspark.errors import UsageError
from mxspark.storage import Access

Place = str | os.PathLike[str]


def run(
    *,
    input: Place | Sequence[Place] | Mapping[str, Any] | None = None,
    output: Place | Mapping[str, Any] | None = None,
    model: Place | Mapping[str, Any] | None = None,
    settings_file: Place | None = None,
    debug: bool = False,
    **settings: Any,
) -> Summary:
    """Predicts every image of the input once, and writes a table; the same call again resumes what was interrupted.

    Runs in the active SparkSession where there is one, which goes on; else starts Spark and stops it. `settings` are
    those of a settings file: `top_k=3`, `spark={"driver_memory": "2g"}`, `output={"path": "p", "overwrite": True}`,
    or with dotted keys, `**{"pipeline.decode_threads": 2}`. They win over the environment (MXSPARK_…), and that over
    the file. `debug` shows Spark's log.

    Raises UsageError for what can't work, before anything is written, TooManyFailedError where more images failed than
    `max_failed_fraction`, whose `results` are a Summary, and MxsparkError for anything else.
    """
    places = {"input": input, "output": output, "model": model}
    found = api_settings.effective("mxspark.run", places | settings, settings_file)
    chosen = found.settings
    try:
        from mxspark.run import driver  # pyspark
        from mxspark.spark import session
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the package {error.name} is not installed, which a run on this machine needs",
            "In mxspark's repository: pip install '.[cpu,spark]'.",
        ) from None
    from mxspark import report
    from mxspark.cli import console

    access = Access(chosen.storage)
    session.check(chosen, found.origins)
    try:
        with console.run_progress(chosen.log_format, yes=True) as progress:  # whoever calls with overwrite has decided
            result = driver.run(chosen, access, progress, debug)
            report.write_at_end(result, access.of_driver(os.environ), progress)
    finally:
        console.log_as_json(False)  # what this process prints later is not this run's
    summary = Summary.of(chosen.output.path, result.results)
    if result.too_many_failed is not None:
        result.too_many_failed.results = summary
        raise result.too_many_failed
    return summary
