"""The SparkSession of whoever calls: whether there is one, what of a job's settings it can't do any more, and what is
read and computed in it.
"""

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from pyspark import SparkContext, TaskContext

from mxspark.errors import UsageError
from mxspark.settings.job import Settings, SparkSettings, visible
from mxspark.spark.configuration import MAX_FAILURES, configuration

# Of Spark's own, where nobody has set it; local[N] tries nothing again, local[N, F] does.
SPARKS_FAILURES = "4"
PREDICTIONS = "array<struct<index: int, label: string, probability: float>>"
COLUMNS = {"key": "string", "status": "string", "error": "string", "predictions": PREDICTIONS}  # of a table


def context() -> Any | None:
    """The SparkContext that is active in this process, None where there is none."""
    return SparkContext._active_spark_context


def check(settings: Settings, origins: Mapping[str, str]) -> None:
    """Raises UsageError where there is an active session and it can't do what the settings ask for.

    `origins` says where each value comes from that is no default, by dotted key.
    """
    active = context()
    if active is None:
        if _is_connected():
            raise UsageError(
                "the active session is one of Spark Connect, whose driver is elsewhere",
                "Use mxspark.predict_udf, which works in it, or stop the session before mxspark.run.",
            )
        return
    refused = [
        f"{key} = {value} ({origins[key]}): the session's is {active.master}"
        for key, value in {"spark.master": settings.spark.master}.items()
        if key in origins and value != active.master
    ]
    refused += [
        f"{key} = {visible({key: value})[key]}: the session has {visible({key: has})[key] if has else 'none'}"
        for key, value in _asked(settings.spark, active.master)
        if (has := active.getConf().get(key)) != value
    ]
    refused += [
        f"{key} ({origin}): it is about how Spark is started"
        for key, origin in origins.items()
        if key.startswith(("kubernetes.", "emr.")) or key == "spark.class_archive"
    ]
    if refused:
        raise UsageError(
            "there is an active SparkSession, which these settings come too late for:\n  " + "\n  ".join(refused),
            "Leave them out, set them where the session is built, or stop it (spark.stop()) and let mxspark.run start "
            "its own.",
        )


def _asked(spark: SparkSettings, master: str) -> list[tuple[str, str]]:
    """The Spark properties that settings ask for beyond the defaults, on the session's master."""
    defaults = configuration(SparkSettings(master=master))
    asked = configuration(spark.model_copy(update={"master": master}))
    return sorted((key, value) for key, value in asked.items() if defaults.get(key) != value)


def _is_connected() -> bool:
    """Whether there is a session of Spark Connect."""
    module = sys.modules.get("pyspark.sql.connect.session")
    return module is not None and module.SparkSession.getActiveSession() is not None


def task_failures(active: Any) -> int:
    """How often a task of the session may fail before its job does."""
    if local := re.fullmatch(r"local(?:\[[^,\]]*(?:,\s*(\d+)\s*)?\])?", active.master):
        return int(local[1] or 1)
    return int(active.getConf().get(MAX_FAILURES, SPARKS_FAILURES))


def device() -> int:
    """The GPU that Spark gave to this task, 0 where it doesn't manage them."""
    task = TaskContext.get()
    gpu = task.resources().get("gpu") if task else None
    return int(gpu.addresses[0]) if gpu else 0


def pandas_udf(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """A function of pandas' as one of Spark's that gives `kind`."""
    from pyspark.sql.pandas.functions import pandas_udf as udf

    made: Callable[..., Any] = udf(function, returnType=kind)  # type: ignore[call-overload]  # it has no str for structs
    return made


def read(folder: str, part: str) -> Any:
    """The files of a folder that match `part`, as a DataFrame of the active session. Raises UsageError where
    there is none.
    """
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is None:
        raise UsageError("mxspark.read: there is no active SparkSession", "Make one, or take as_='arrow' or 'pandas'.")
    place = folder.replace("s3://", "s3a://", 1) if folder.startswith("s3://") else f"file:{folder}"
    reader = session.read.option("pathGlobFilter", part)
    if part.endswith(".parquet"):
        return reader.parquet(place)
    found = reader.json(place).columns  # in the order of the alphabet, and of widest types
    names = [name for name in (*COLUMNS, *found) if name in found]
    kinds = {**COLUMNS, **{name: "array<float>" for name in found if name not in COLUMNS}}
    return reader.schema(", ".join(f"{name} {kinds[name]}" for name in dict.fromkeys(names))).json(place)
