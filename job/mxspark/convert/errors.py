"""Why a network can't be converted."""

from pathlib import Path

from mxspark.errors import UsageError


class UnsupportedError(Exception):
    """Something has no counterpart in MXNet; `reason` is for a person, and names no node."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def not_computed(path: Path, reason: str) -> UsageError:
    """What is raised where MXNet refuses the converted network."""
    return UsageError(
        f"{path}: MXNet can't compute the converted network: {reason}",
        "MXNet has limits that ONNX has not (docs/onnx.md): export it without that operator, or with fewer axes.",
    )
