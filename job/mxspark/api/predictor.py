"""A model without a job: called with images, or as a column of a user's own DataFrame."""

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mxspark.api import settings as api_settings
from mxspark.dataset.predictions import Row
from mxspark.inference import bundle as bundles
from mxspark.storage import Access, usage_errors
from mxspark.worker.predictor import Image, ImagePredictor, PredictorTask, refuse_single

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Place = str | os.PathLike[str]
_OF_JOBS = "It is a setting of jobs: mxspark.run(…)."
UNUSED = {
    "output.path": _OF_JOBS,
    "output.format": _OF_JOBS,
    "output.overwrite": _OF_JOBS,
    "output.retry_failed": _OF_JOBS,
    "output.text_object": _OF_JOBS,
    "output.submission": _OF_JOBS,
    "output.lock_seconds": _OF_JOBS,
    "precision": "Make a bundle of that precision first: mxspark model optimize BUNDLE --precision … --output FOLDER.",
    "min_agreement": _OF_JOBS,
    "comparison_images": _OF_JOBS,
    "max_failed_fraction": "Look at the status of the rows.",
    "max_failed_after": "Look at the status of the rows.",
    "input.path": "Pass the images.",
    "input.base": "Pass the images.",
    "input.allow_outside": "Pass the images.",
    "input.suffixes": "Pass those that are wanted.",
    "input.exclude": "Pass those that are wanted.",
    "input.limit": "Pass those that are wanted.",
    "input.true_label": _OF_JOBS,
    "input.max_manifest_bytes": _OF_JOBS,
    "pipeline.stall_seconds": _OF_JOBS,
    "plan": _OF_JOBS,
    "spark": "Set it in the session.",
    "kubernetes": _OF_JOBS,
    "emr": _OF_JOBS,
}


class Predictor:
    """A model in this process, without Spark; called with images it returns a row for each, in order.

    An image is the bytes of a file, its place (a path, s3://, https://), a PIL image, or an array of uint8 (height,
    width) or (height, width, channels). What can't be predicted is a row whose `status` and `error` say why, as in a
    job's table. MXNet is loaded in this process.
    """

    def __init__(self, bundle: Place | Mapping[str, Any], **settings: Any) -> None:
        """`settings` are those of a job that matter here: top_k, batch_size, context, input's limits, storage.

        Raises UsageError for a wrong setting, or where the bundle isn't a model.
        """
        self._predictor = ImagePredictor(_task("mxspark.Predictor", bundle, settings))

    def __call__(self, images: Iterable[Image]) -> list[Row]:
        """The rows of all images. Raises UsageError for what is no image at all."""
        return list(self.stream(images))

    def stream(self, images: Iterable[Image]) -> Iterator[Row]:
        """The rows one after the other, while the next images are read: for more than memory holds."""
        refuse_single(images)
        return self._predictor.rows(images)

    def close(self) -> None:
        """Ends the processes that decode, where `input={"sandbox": "always"}` has some."""
        self._predictor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def predict_udf(bundle: Place | Mapping[str, Any], **settings: Any) -> Callable[..., Any]:
    """A pandas UDF for a column of bytes or of places (a path, s3://, as spark.read.format("binaryFile") has both).

    It gives a struct of status, error, and predictions (index, label, probability; best first) or vectors. The model is
    loaded once in each of Spark's Python workers; what can't be predicted is a row with its status. `settings` are
    those of Predictor.

    Raises UsageError for a wrong setting, or where the bundle isn't found.
    """
    from mxspark.spark import udf

    return udf.of(_task("mxspark.predict_udf", bundle, settings))


def predict(
    *, column: str, bundle: Place | Mapping[str, Any], into: str = "prediction", **settings: Any
) -> Callable[["DataFrame"], "DataFrame"]:
    """For DataFrame.transform: adds the column `into` with what `predict_udf` gives for `column`.

    Raises UsageError where that has neither bytes nor places.
    """
    from mxspark.spark import udf

    function = predict_udf(bundle, **settings)

    def added(frame: "DataFrame") -> "DataFrame":
        udf.check(frame.select(column))
        return frame.withColumn(into, function(frame[column]))

    return added


def _task(function: str, bundle: Place | Mapping[str, Any], given: Mapping[str, Any]) -> PredictorTask:
    settings = api_settings.without_job(function, {**given, "model": bundle}, UNUSED)
    access = Access(settings.storage)
    with usage_errors("model", "Check the bundle."):
        source = bundles.find(settings.model, access).with_absolute_places()
    cache = os.path.abspath(bundles.cache_dir(settings.cache_dir))
    return PredictorTask(uuid.uuid4().hex, settings, source, access, cache)
