"""A model as a function of Spark SQL, in the session of whoever uses it."""

from collections.abc import Callable, Iterator
from typing import Any

from mxspark.dataset.predictions import Row
from mxspark.errors import UsageError
from mxspark.spark.session import PREDICTIONS, device, pandas_udf
from mxspark.worker import predictor
from mxspark.worker.predictor import PredictorTask


def of(task: PredictorTask) -> Callable[..., Any]:
    """The function, of one column of bytes or places. Raises UsageError where there is no pandas."""
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise UsageError("pandas is not installed, which Spark's pandas UDFs need", "pip install 'pandas<3'.") from None
    output = task.source.spec.output
    vectors = output.vectors
    has_classes = output.kind != "vector"
    fields = ["status: string", "error: string", *([f"predictions: {PREDICTIONS}"] if has_classes else [])]
    fields += [f"{name}: array<float>" for name in vectors]

    def function(batches: Iterator[pd.Series]) -> Iterator[pd.DataFrame]:
        found = predictor.of_process(task, device())
        for images in batches:
            rows = [_values(row, has_classes, vectors) for row in found.rows(images)]
            yield pd.DataFrame(rows, columns=[field.partition(":")[0] for field in fields])

    return pandas_udf(function, f"struct<{', '.join(fields)}>")


def _values(row: Row, has_classes: bool, vectors: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {"status": str(row.status), "error": row.error}
    if has_classes:
        values["predictions"] = None if row.predictions is None else [vars(each) for each in row.predictions]
    return values | {name: row.vectors[name].tolist() if name in row.vectors else None for name in vectors}
