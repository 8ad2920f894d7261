"""What a row says of its image."""

from enum import StrEnum


class RowStatus(StrEnum):
    """Every status that a row can have; docs/operations.md says what each means. All but OK count as failed."""

    OK = "ok"
    # The object could not be read.
    MISSING = "missing"
    DENIED = "denied"
    FETCH_ERROR = "fetch_error"
    TOO_LARGE = "too_large"
    # Its bytes could not be decoded, or were not under the limits.
    EMPTY = "empty"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNSUPPORTED_PIXELS = "unsupported_pixels"
    TRUNCATED = "truncated"
    DECODE_ERROR = "decode_error"
    DECODER_CRASHED = "decoder_crashed"
    # The network gave no numbers for it.
    NOT_FINITE = "not_finite"


# What a decoder may say of an image: whatever else a decoding process says is none of ours.
DECODERS = frozenset(RowStatus) - {
    RowStatus.OK,
    RowStatus.MISSING,
    RowStatus.DENIED,
    RowStatus.FETCH_ERROR,
    RowStatus.TOO_LARGE,
    RowStatus.NOT_FINITE,
}
