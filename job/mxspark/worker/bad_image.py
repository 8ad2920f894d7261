"""The one policy for images that can't be predicted: each is a row that says why, unless what failed says nothing of
the image.
"""

from mxspark.dataset.columns import VectorColumn
from mxspark.dataset.predictions import Row
from mxspark.decode.preprocess import BadImageError
from mxspark.errors import without_paths
from mxspark.row_status import RowStatus
from mxspark.storage import CredentialsError, StorageError
from mxspark.text.words import printable

LONGEST_REASON = 600  # characters: a server's words have half of it


def failed_row(key: str, error: StorageError | BadImageError) -> Row:
    """The row of an image that could not be read or decoded. Raises the error where it is the machine's, as missing
    credentials are.
    """
    if isinstance(error, CredentialsError):
        raise error
    if isinstance(error, BadImageError):
        return Row(key, error.status, _reason(error.problem))
    return Row(key, error.status, _reason(f"{error.reason}. {error.hint}" if error.hint else error.reason))


def not_finite_row(key: str) -> Row:
    """The row of an image for which the network computed infinities or no numbers."""
    return Row(key, RowStatus.NOT_FINITE, "the network's output is not a number")


def no_vector_row(key: str, column: VectorColumn) -> Row:
    """The row of an image whose finite numbers are no vector of that column."""
    causes = ["are all 0, which has no direction"] if column.is_normalized else []
    causes += [f"are beyond what {column.type} holds"] if column.type == "float16" else []
    return Row(key, RowStatus.NOT_FINITE, f"the numbers of {column.name} {', or '.join(causes)}")


def _reason(text: str) -> str:
    """On one line, bounded, and without this machine's paths."""
    return printable(without_paths(text))[:LONGEST_REASON]
