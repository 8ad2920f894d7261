"""Why a network can't be converted."""


class UnsupportedError(Exception):
    """An operator, or what it is told to do, has no counterpart in MXNet; `reason` is for a person, and names no
    node.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
