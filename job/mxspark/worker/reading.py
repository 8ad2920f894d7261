"""What a network's numbers for an image are in its row: the most probable classes, vectors, or why it has neither."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mxspark.dataset.columns import PREDICTIONS, Columns, VectorColumn, VectorType
from mxspark.dataset.predictions import Row, top_k
from mxspark.errors import MxsparkError
from mxspark.inference import meaning
from mxspark.inference.network import Inspection
from mxspark.row_status import RowStatus
from mxspark.text.words import printable
from mxspark.worker.bad_image import no_vector_row, not_finite_row


class PredictionError(MxsparkError):
    """The network's numbers are not what output.kind declares: the model or its settings are wrong."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How numbers become a row: first those of the classes, where `columns` has predictions, then those of each
    vector.
    """

    top_k: int
    labels: Sequence[str]
    sums_to_one: bool = True  # whether the classes exclude each other
    threshold: float = 0.0  # of a row's probabilities
    columns: Columns = PREDICTIONS

    def row(self, key: str, numbers: NDArray[np.float32]) -> Row:
        """The row of an image. Raises PredictionError where its probabilities are none."""
        if not np.isfinite(numbers).all():
            return not_finite_row(key)
        start = len(numbers) - self.columns.numbers
        probabilities = numbers[:start]
        vectors = {}
        for column in self.columns.vectors:
            vector = column.vector(numbers[start : start + column.length])
            if not np.isfinite(vector).all():
                return no_vector_row(key, column)
            vectors[column.name] = vector
            start += column.length
        if not self.columns.has_predictions:
            return Row(key, RowStatus.OK, vectors=vectors)
        if trouble := meaning.trouble(probabilities, self.sums_to_one):
            raise PredictionError(
                f"{printable(key)}: the network's output is not probabilities: {trouble}",
                "Correct output.kind in model.yaml (`mxspark model inspect` says what was found), and run again with "
                "--overwrite.",
            )
        best = top_k(probabilities, self.top_k, self.labels, self.threshold)
        return Row(key, RowStatus.OK, None, best, vectors)


def columns_of(network: Inspection, vector_type: VectorType = "float32", is_normalized: bool = False) -> Columns:
    """What each row of a table of this network has."""
    vectors = (VectorColumn(name, length, vector_type, is_normalized) for name, length in network.vectors)
    return Columns(tuple(vectors), network.has_classes)
