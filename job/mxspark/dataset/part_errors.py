"""Errors of parts that aren't what their run wrote."""

from mxspark.errors import MxsparkError


class PartError(MxsparkError):
    """A part isn't what its run wrote."""

    def __init__(self, problem: str, hint: str = "Remove it and run the same command again.") -> None:
        super().__init__(problem, hint)


class EmptyPartError(PartError):
    """A part has no bytes: some stores make an object of an upload that broke off. `part` is its name in the store."""

    def __init__(self, store_name: str, part: str) -> None:
        super().__init__(f"{store_name}/{part} is empty")
        self.part = part
