"""How mxspark may answer bad input: with an error that names the thing, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

from mxspark.errors import UsageError


@contextmanager
def right_or_refused(*named: str) -> Iterator[None]:
    """The block works, or raises a UsageError that names these things; any other exception goes through and fails
    the test.
    """
    try:
        yield
        return
    except UsageError as refused:
        problem = refused.problem
    assert all(name in problem for name in named), problem
