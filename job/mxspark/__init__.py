"""mxspark: offline image inference with Apache MXNet on Apache Spark.

What people call from Python (docs/python.md). Imported when it is asked for: `import mxspark` alone brings neither
numpy nor pyspark nor MXNet.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mxspark.api.job import run
    from mxspark.api.predictor import Predictor, predict, predict_udf
    from mxspark.api.summary import Summary
    from mxspark.api.table import read
    from mxspark.dataset.predictions import Prediction, Row
    from mxspark.errors import MxsparkError, TooManyFailedError, UsageError

__version__ = "0.1.0"

__all__ = [
    "MxsparkError",
    "Prediction",
    "Predictor",
    "Row",
    "Summary",
    "TooManyFailedError",
    "UsageError",
    "__version__",
    "predict",
    "predict_udf",
    "read",
    "run",
]

# `run` is a room of this package too, which lets itself be called (run/__init__.py): as a function it would be lost
# when something below it is imported.
_HOMES = {
    "MxsparkError": "errors",
    "Prediction": "dataset.predictions",
    "Predictor": "api.predictor",
    "Row": "dataset.predictions",
    "Summary": "api.summary",
    "TooManyFailedError": "errors",
    "UsageError": "errors",
    "predict": "api.predictor",
    "predict_udf": "api.predictor",
    "read": "api.table",
}


def __getattr__(name: str) -> Any:
    if name == "run":
        return import_module("mxspark.run")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"mxspark.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
