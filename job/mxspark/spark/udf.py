"""A model as a function of Spark SQL, in the session of whoever uses it."""

from collections.abc import Callable, Iterator
from typing import Any

from mxspark.dataset.predictions import Row
from mxspark.errors import UsageError
from mxspark.spark.session import PREDICTIONS, device, pandas_udf
from mxspark.text.words import printable
from mxspark.worker import predictor
from mxspark.worker.predictor import PredictorTask

_TAKEN = ("binary", "string", "varchar", "char", "void")  # the last of nulls alone


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
            if isinstance(images, pd.DataFrame):  # a struct, of which each field would be taken for an image
                raise _refused("struct")
            rows = [_values(row, has_classes, vectors) for row in found.rows(images)]
            yield pd.DataFrame(rows, columns=[field.partition(":")[0] for field in fields])

    return pandas_udf(function, f"struct<{', '.join(fields)}>")


def check(column: Any) -> None:
    """Raises UsageError where a DataFrame's one column, `column`, has other things than images or their places."""
    kind = column.schema[0].dataType.simpleString()
    if kind.partition("(")[0] not in _TAKEN:
        raise _refused(kind, column.columns[0])


def _refused(kind: str, name: str = "") -> UsageError:
    return UsageError(
        f"mxspark: the column{f' {name}' if name else ''} is of the type {printable(kind)}, which is no image",
        "Give a column of bytes (binary) or of places (string): of a struct one of its fields, as in image.content.",
    )


def _values(row: Row, has_classes: bool, vectors: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {"status": str(row.status), "error": row.error}
    if has_classes:
        values["predictions"] = None if row.predictions is None else [vars(each) for each in row.predictions]
    return values | {name: row.vectors[name].tolist() if name in row.vectors else None for name in vectors}
