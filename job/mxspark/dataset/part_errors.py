"""Errors of parts that aren't what their run wrote."""

from mxspark.errors import MxsparkError, one_line


class PartError(MxsparkError):
    """A part isn't what its run wrote."""

    def __init__(self, problem: str, hint: str = "Remove it and run the same command again.") -> None:
        super().__init__(problem, hint)


class EmptyPartError(PartError):
    """A part has no bytes: some stores make an object of an upload that broke off. `part` is its name in the store."""

    def __init__(self, store_name: str, part: str) -> None:
        super().__init__(f"{store_name}/{part} is empty")
        self.part = part


def not_a_part(name: str, error: Exception | None = None) -> PartError:
    """The error of a part that can't be read, with the cause where one is given."""
    return PartError(f"{name}: not a part of this run{f': {one_line(error)}' if error else ''}")
