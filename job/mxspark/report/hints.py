"""What to do about rows that failed; docs/operations.md says more."""

from mxspark.row_status import RowStatus

HINTS = {
    RowStatus.OK: "",
    RowStatus.MISSING: "Upload it, then run again with --retry-failed.",
    RowStatus.DENIED: "Give the right that the error names, then --retry-failed.",
    RowStatus.FETCH_ERROR: "Do what the error says, then --retry-failed.",
    RowStatus.TOO_LARGE: "Raise input.max_bytes, then --retry-failed.",
    RowStatus.EMPTY: "The object has no bytes: upload it again.",
    RowStatus.TOO_MANY_PIXELS: "Raise input.max_pixels, then --retry-failed.",
    RowStatus.TOO_MANY_FRAMES: "Raise input.max_frames, then --retry-failed.",
    RowStatus.NOT_AN_IMAGE: "Leave it out, or replace the object.",
    RowStatus.UNSUPPORTED_FORMAT: "Convert it, or add the format to input.formats, then --retry-failed.",
    RowStatus.UNSUPPORTED_PIXELS: "Say which values are black and white (preprocess.sample_range), or convert it.",
    RowStatus.TRUNCATED: "The file is not whole: upload it again.",
    RowStatus.DECODE_ERROR: "The file is broken: replace the object.",
    RowStatus.DECODER_CRASHED: "Treat it as hostile until you know better.",
    RowStatus.NOT_FINITE: "Check the model's preprocessing, or output.vector_type.",
}


def hint(status: str) -> str:
    """Empty for a status that no run of this version writes."""
    return HINTS[RowStatus(status)] if status in HINTS else ""
