"""Arrow arrays of Python's and NumPy's values, made of buffers. Apache Arrow: Columnar Format."""

from collections.abc import Sequence, Sized
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def texts(values: Sequence[str | None]) -> pa.Array:
    """Raises ArrowInvalid where they have 2 GiB or more, UnicodeEncodeError where one is no text of Unicode."""
    encoded = [b"" if value is None else value.encode() for value in values]
    buffers = [_there(values), _offsets(encoded), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def numbers(values: NDArray[Any]) -> pa.Array:
    """Of a contiguous array (n,), which is not copied."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def integers(values: Sequence[int]) -> pa.Array:
    """Of 32 bits. Raises ArrowInvalid or OverflowError where one has more."""
    found = np.array(values, np.int64)
    if (found != found.astype(np.int32)).any():
        raise pa.ArrowInvalid(f"an integer of more than 32 bits: {found[found != found.astype(np.int32)][0]}")
    return numbers(found.astype(np.int32))


def lists(values: Sequence[Sized | None], elements: pa.Array) -> pa.Array:
    """Lists as long as `values`, null where these are None, of `elements` one after another."""
    buffers = [_there(values), _offsets([value or () for value in values])]
    return pa.Array.from_buffers(pa.list_(elements.type), len(values), buffers, children=[elements])


def _there(values: Sequence[object]) -> pa.Buffer | None:
    """Which are not None: a bit each, where some are."""
    there = [value is not None for value in values]
    return None if all(there) else pa.py_buffer(np.packbits(there, bitorder="little"))


def _offsets(values: Sequence[Sized]) -> pa.Buffer:
    """Where each begins, and the last one ends."""
    found = np.fromiter(accumulate(map(len, values), initial=0), np.int64, len(values) + 1)
    if found[-1] > np.iinfo(np.int32).max:
        raise pa.ArrowInvalid(f"{found[-1]:,} bytes or elements in a column of {len(values):,} rows")
    return pa.py_buffer(found.astype(np.int32))
