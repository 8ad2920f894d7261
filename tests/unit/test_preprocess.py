"""Preprocessing: the pixels are those that another library (OpenCV) or the definition gives, and what is broken is a
BadImageError.
"""

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
import tifffile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile

from mxspark.decode.preprocess import BadImageError, ImageLimits, load_array
from mxspark.settings.job import FORMATS, FormatName
from mxspark.settings.model_spec import ModelInput, Preprocessing
from tests.unit.pictures import (
    Bytes,
    exif,
    gif_that_claims,
    heic_encoded,
    jpeg_with,
    noise,
    opencv_decoded,
    opencv_encoded,
    opencv_layers,
    pillow_encoded,
    png_chunk,
    png_that_claims,
    smooth,
    turned,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")  # pytest undoes what preprocess.py says of them

LIMITS = ImageLimits(max_pixels=1_000_000, max_frames=100, formats=FORMATS)
BACKGROUND = (10, 200, 90)


def loaded(data: bytes, height: int, width: int, **steps: Any) -> NDArray[np.float32]:
    """The image as (height, width, 3) in 0 to 255, as the steps say."""
    return load_array(data, LIMITS, ModelInput(height=height, width=width, layout="NHWC"), Preprocessing(**steps))


def unchanged(data: bytes, **steps: Any) -> NDArray[np.float32]:
    """The image in the size that it has (as OpenCV sees it), so that nothing is resampled."""
    height, width = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).shape[:2]
    return loaded(data, height, width, **steps)


def refusal(data: bytes, limits: ImageLimits = LIMITS, **steps: Any) -> BadImageError:
    with pytest.raises(BadImageError) as refused:
        load_array(data, limits, ModelInput(height=8, width=8), Preprocessing(**steps))
    return refused.value


def alike(found: NDArray[Any], expected: NDArray[Any], within: float = 0) -> bool:
    return found.shape == expected.shape and bool(np.abs(found - expected.astype(np.float64)).max() <= within)


# ---- decoding ----


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp"])
def test_pixels_come_out_exactly_as_they_were_saved(suffix: str) -> None:
    pixels = noise(7, 13)

    assert alike(unchanged(opencv_encoded(pixels, suffix)), pixels)


@pytest.mark.parametrize("size", [(16, 24), (17, 23), (1, 1)])
def test_a_jpeg_is_decoded_as_by_opencv(size: tuple[int, int]) -> None:
    data = opencv_encoded(smooth(*size), ".jpg")

    assert alike(unchanged(data), opencv_decoded(data), within=1)


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_any_kind_of_jpeg_is_decoded_as_by_opencv(options: dict[str, Any]) -> None:
    data = pillow_encoded(Image.fromarray(smooth(40, 30)), "JPEG", **options)

    assert alike(unchanged(data), opencv_decoded(data), within=2)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
def test_a_compressed_tiff_is_decoded_exactly(compression: str) -> None:
    pixels = noise(9, 5)

    assert alike(loaded(pillow_encoded(Image.fromarray(pixels), "TIFF", compression=compression), 9, 5), pixels)


def test_of_a_gif_the_first_frame_is_taken() -> None:
    first, second = (Image.fromarray(noise(6, 6, seed)).quantize(256) for seed in (1, 2))
    data = pillow_encoded(first, "GIF", save_all=True, append_images=[second])

    assert alike(loaded(data, 6, 6), np.asarray(first.convert("RGB")))


def test_of_an_animated_webp_the_first_frame_is_taken() -> None:
    first, second = (Image.fromarray(noise(6, 6, seed)) for seed in (1, 2))
    data = pillow_encoded(first, "WEBP", save_all=True, append_images=[second], lossless=True)

    assert alike(loaded(data, 6, 6), np.asarray(first))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".bmp"])
def test_grey_is_the_same_in_all_three_colours(suffix: str) -> None:
    data = opencv_encoded(smooth(8, 9)[..., 0], suffix)

    assert alike(unchanged(data), opencv_decoded(data))


def test_black_and_white_is_0_and_255() -> None:
    bits = noise(9, 11)[..., 0] > 127
    for image_format in ("PNG", "TIFF", "BMP", "GIF"):
        data = pillow_encoded(Image.fromarray(bits), image_format)

        assert alike(loaded(data, 9, 11), np.repeat(bits[..., None] * 255, 3, axis=2)), image_format


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("colours", [1, 3])
def test_sixteen_bits_are_scaled_to_eight(suffix: str, colours: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (6, 7, colours), dtype=np.uint16)

    assert alike(unchanged(opencv_encoded(deep.squeeze(), suffix)), np.broadcast_to(deep >> 8, (6, 7, 3)))


def test_sixteen_bits_with_the_high_byte_first_are_scaled_alike() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (6, 7), dtype=np.uint16)
    data = pillow_encoded(Image.frombytes("I;16B", (7, 6), deep.astype(">u2").tobytes()), "TIFF")

    assert alike(loaded(data, 6, 7), np.repeat((deep >> 8)[..., None], 3, axis=2))


def test_cmyk_is_seen_as_by_opencv() -> None:
    data = pillow_encoded(Image.fromarray(smooth(24, 16)).convert("CMYK"), "JPEG", quality=95)

    assert alike(unchanged(data), opencv_decoded(data), within=3)


def over_background(data: bytes) -> NDArray[np.float64]:
    colours, opacity = opencv_layers(data)
    return np.asarray(colours * opacity + np.asarray(BACKGROUND) * (1 - opacity))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_what_is_transparent_stands_on_the_background(suffix: str) -> None:
    colours, opacity = noise(8, 8, 1), noise(8, 8, 2)[..., :1]
    opacity[0], opacity[1] = 0, 255
    # OpenCV's order: BGR and opacity.
    data = opencv_encoded(np.concatenate([opacity, colours], axis=2), suffix)

    assert alike(unchanged(data, background=BACKGROUND), over_background(data), within=1)
    assert alike(unchanged(data, background=BACKGROUND)[0], np.broadcast_to(BACKGROUND, (8, 3)))


def test_grey_with_transparency_stands_on_the_background() -> None:
    grey, opacity = (Image.fromarray(noise(8, 8, seed)[..., 0]) for seed in (1, 2))
    data = pillow_encoded(Image.merge("LA", (grey, opacity)), "PNG")

    assert alike(unchanged(data, background=BACKGROUND), over_background(data), within=1)


def test_a_palette_with_transparent_colours_stands_on_the_background() -> None:
    image = Image.fromarray(noise(8, 8)).quantize(16)
    data = pillow_encoded(image, "PNG", transparency=bytes([0, 255, 128] + [255] * 13))

    assert (np.asarray(image) == 0).any()
    assert alike(unchanged(data, background=BACKGROUND), over_background(data), within=1)


def test_a_gif_with_a_transparent_colour_stands_on_the_background() -> None:
    image = Image.fromarray(noise(8, 8)).quantize(16)
    data = pillow_encoded(image, "GIF", transparency=3)
    hidden = np.asarray(image) == 3

    found = loaded(data, 8, 8, background=BACKGROUND)

    assert hidden.any()
    assert (found[hidden] == BACKGROUND).all()
    assert (found[~hidden] == np.asarray(image.convert("RGB"))[~hidden]).all()


@pytest.mark.parametrize(("mode", "hidden"), [("L", 128), ("RGB", (1, 2, 3)), ("1", 255)])
def test_one_colour_that_is_named_transparent_stands_on_the_background(mode: str, hidden: Any) -> None:
    image = Image.new(mode, (4, 4), hidden)
    image.putpixel((0, 0), 0)
    data = pillow_encoded(image, "PNG", transparency=hidden)

    found = loaded(data, 4, 4, background=BACKGROUND)

    assert (found[0, 0] == 0).all()
    assert (found[1:] == BACKGROUND).all()


def test_premultiplied_transparency_is_decoded_or_told() -> None:
    """TIFF's ExtraSamples 1, which Pillow opens in a mode that it converts to nothing else."""
    data = pillow_encoded(Image.merge("LA", (Image.new("L", (4, 4), 100), Image.new("L", (4, 4), 255))), "TIFF")
    unassociated, associated = (struct.pack("<HHIHH", 338, 3, 1, value, 0) for value in (2, 1))
    assert data.count(unassociated) == 1

    with suppress(BadImageError):
        assert (loaded(data.replace(unassociated, associated), 4, 4) == 100).all()


# ---- EXIF ----


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_opencv_turns_it(orientation: int) -> None:
    data = jpeg_with(exif(turned(orientation)), smooth(16, 32))
    expected = opencv_decoded(data)

    assert alike(loaded(data, *expected.shape[:2], exif_orientation=True), expected, within=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_left_as_it_is_where_the_model_does_not_ask(orientation: int) -> None:
    data = jpeg_with(exif(turned(orientation)), smooth(16, 32))

    assert alike(loaded(data, 16, 32), opencv_decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), within=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_is_turned_where_the_model_asks_and_a_heic_always(orientation: int) -> None:
    pixels = smooth(64, 96)
    expected = opencv_decoded(jpeg_with(exif(turned(orientation)), pixels))
    avif = pillow_encoded(
        Image.fromarray(pixels), "AVIF", exif=exif(turned(orientation)), quality=100, subsampling="4:4:4"
    )
    pillow_heif.register_heif_opener(thumbnails=False)
    heic = pillow_encoded(Image.fromarray(pixels), "HEIF", exif=exif(turned(orientation)), quality=-1, chroma=444)

    assert alike(loaded(avif, *expected.shape[:2], exif_orientation=True), expected, within=5)
    assert alike(loaded(avif, 64, 96), pixels, within=5)
    for exif_orientation in (False, True):
        assert alike(loaded(heic, *expected.shape[:2], exif_orientation=exif_orientation), expected, within=5)


@pytest.mark.parametrize(
    "entry",
    [
        (0x010E, 11, 1, struct.pack("<f", 1.5)),  # a description that is a number
        (0x0100, 5, 1, struct.pack("<II", 3, 2)),  # a width of one and a half
        (0x0100, 2, 4, b"abc\0"),  # a width in words
        (0x8769, 4, 1, struct.pack("<I", 10**6)),  # a directory that is nowhere
    ],
    ids=["number as text", "fraction as size", "text as size", "lost directory"],
)
def test_a_photograph_with_odd_exif_is_turned_all_the_same(entry: tuple[int, int, int, bytes]) -> None:
    data = jpeg_with(exif(turned(6), entry), smooth(16, 32))
    expected = opencv_decoded(data)

    assert expected.shape == (32, 16, 3)
    assert alike(loaded(data, 32, 16, exif_orientation=True), expected, within=1)


@pytest.mark.parametrize(
    "broken",
    [b"", b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0" + b"\xff" * 40, exif(turned(77)), exif((0x0112, 2, 4, b"six\0"))],
)
def test_a_photograph_with_broken_exif_stays_as_it_is(broken: bytes) -> None:
    pixels = smooth(16, 32)

    assert alike(
        loaded(jpeg_with(broken, pixels), 16, 32, exif_orientation=True),
        opencv_decoded(opencv_encoded(pixels, ".jpg")),
        within=1,
    )


# ---- resizing ----

sizes = st.integers(1, 40)


@given(sizes, sizes)
@settings(deadline=None, max_examples=40)
def test_an_image_of_the_size_that_is_wanted_is_not_touched_by_any_filter(height: int, width: int) -> None:
    pixels = noise(height, width)
    data = opencv_encoded(pixels, ".png")

    for filter_ in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"):
        assert alike(loaded(data, height, width, filter=filter_), pixels), filter_


@given(sizes, sizes, st.integers(2, 4), st.integers(2, 4))
@settings(deadline=None, max_examples=40)
def test_box_by_a_whole_factor_is_opencvs_area(height: int, width: int, down: int, right: int) -> None:
    pixels = noise(height * down, width * right)

    found = loaded(opencv_encoded(pixels, ".png"), height, width, filter="box")

    assert alike(found, cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), within=1)


@given(sizes, sizes, st.integers(2, 4), st.integers(2, 4))
@settings(deadline=None, max_examples=40)
def test_nearest_by_a_whole_factor_repeats_pixels_as_opencv_does(
    height: int, width: int, down: int, right: int
) -> None:
    pixels = noise(height, width)

    found = loaded(opencv_encoded(pixels, ".png"), height * down, width * right, filter="nearest")

    assert alike(found, cv2.resize(pixels, (width * right, height * down), interpolation=cv2.INTER_NEAREST))


@given(sizes, sizes, sizes, sizes)
@settings(deadline=None, max_examples=40)
def test_bilinear_to_a_larger_size_is_opencvs_linear(height: int, width: int, down: int, right: int) -> None:
    pixels = noise(height, width)

    found = loaded(opencv_encoded(pixels, ".png"), height + down, width + right, filter="bilinear")

    assert alike(found, cv2.resize(pixels, (width + right, height + down), interpolation=cv2.INTER_LINEAR), within=1.01)


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a = -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


# The filters by their definitions (distance to weight) and how far they reach, as Pillow's documentation names them.
KERNELS: dict[str, tuple[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "bilinear": (1, lambda x: np.clip(1 - x, 0, None)),
    "hamming": (1, lambda x: np.where(x < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0)),
    "bicubic": (2, _bicubic),
    "lanczos": (3, lambda x: np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0)),
}


def resampling(filter_: str, before: int, after: int) -> NDArray[np.float64]:
    """The matrix (after, before) that resamples a line, widened by the factor where it makes it shorter, so that
    nothing is skipped.
    """
    reach, weight = KERNELS[filter_]
    factor = before / after
    widened = max(factor, 1.0)
    centres = (np.arange(after)[:, None] + 0.5) * factor
    distance = np.abs(np.arange(before)[None] + 0.5 - centres) / widened
    weights = np.where(distance < reach, weight(distance), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def resized_by_definition(pixels: Bytes, height: int, width: int, filter_: str) -> NDArray[np.float64]:
    """The image as the definition of the filter has it."""
    rows, columns = resampling(filter_, pixels.shape[0], height), resampling(filter_, pixels.shape[1], width)
    return np.asarray(np.einsum("yh,xw,hwc->yxc", rows, columns, pixels, optimize=True))


def mild(height: int, width: int) -> Bytes:
    """Pixels that no filter drives below 0 or above 255, where it would matter in which order Pillow cuts them off."""
    return (96 + noise(height, width) // 4).astype(np.uint8)


@pytest.mark.parametrize("filter_", sorted(KERNELS))
@given(sizes, sizes, sizes, sizes)
@settings(deadline=None, max_examples=25)
def test_squash_resamples_by_the_definition_of_the_filter(
    filter_: str, height: int, width: int, to_height: int, to_width: int
) -> None:
    pixels = mild(height, width)

    found = loaded(opencv_encoded(pixels, ".png"), to_height, to_width, filter=filter_)

    assert alike(found, resized_by_definition(pixels, to_height, to_width, filter_), within=2)


@given(sizes, sizes, st.data())
@settings(deadline=None, max_examples=60)
def test_where_the_shorter_side_fits_already_the_crop_is_the_exact_centre(
    height: int, width: int, data: st.DataObject
) -> None:
    side = min(height, width)
    crop_height, crop_width = data.draw(st.integers(1, side)), data.draw(st.integers(1, side))
    pixels = noise(height, width)

    found = loaded(
        opencv_encoded(pixels, ".png"), crop_height, crop_width, resize="shorter_and_crop", shorter_side=side
    )

    top, left = round((height - crop_height) / 2), round((width - crop_width) / 2)
    assert alike(found, pixels[top : top + crop_height, left : left + crop_width])


@given(st.integers(4, 20), st.integers(4, 20), st.integers(2, 3))
@settings(deadline=None, max_examples=40)
def test_shorter_and_crop_is_the_centre_of_the_whole_resized_image(height: int, width: int, factor: int) -> None:
    side = min(height, width)
    pixels = noise(height * factor, width * factor)
    whole = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)

    found = loaded(
        opencv_encoded(pixels, ".png"), side, side, resize="shorter_and_crop", shorter_side=side, filter="box"
    )

    top, left = round((height - side) / 2), round((width - side) / 2)
    assert alike(found, whole[top : top + side, left : left + side], within=1)


@pytest.mark.parametrize("filter_", ["bilinear", "bicubic", "lanczos"])
@given(sizes, sizes, sizes)
@example(28, 34, 21)  # 25.5 pixels long
@settings(deadline=None, max_examples=25)
def test_shorter_and_crop_keeps_the_shape_to_the_nearest_pixel(
    filter_: str, height: int, width: int, side: int
) -> None:
    pixels = mild(height, width)
    shorter, longer = sorted((height, width))
    length = round(side * longer / shorter)
    to_height, to_width = (length, side) if height > width else (side, length)
    crop = max(1, side // 2)
    top, left = round((to_height - crop) / 2), round((to_width - crop) / 2)
    expected = resized_by_definition(pixels, to_height, to_width, filter_)[top : top + crop, left : left + crop]

    found = loaded(
        opencv_encoded(pixels, ".png"), crop, crop, resize="shorter_and_crop", shorter_side=side, filter=filter_
    )

    assert alike(found, expected, within=2)


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (2, 100_000)])
@pytest.mark.parametrize("steps", [{}, {"resize": "shorter_and_crop", "shorter_side": 300}])
def test_a_very_long_image_is_only_an_image(size: tuple[int, int], steps: dict[str, Any]) -> None:
    data = pillow_encoded(Image.new("RGB", size, (9, 8, 7)), "PNG")

    assert alike(loaded(data, 224, 224, **steps), np.broadcast_to((9, 8, 7), (224, 224, 3)))


# ---- from pixels to numbers ----

numbers = st.floats(-300, 300, allow_nan=False, width=32)
triples = st.tuples(numbers, numbers, numbers)
nonzero = st.floats(0.01, 100)


@given(
    scale=st.sampled_from([1.0, 1 / 255, 2 / 255]),
    mean=triples,
    std=st.tuples(nonzero, nonzero, nonzero),
    channels=st.sampled_from(["RGB", "BGR"]),
    layout=st.sampled_from(["NCHW", "NHWC"]),
)
@settings(deadline=None, max_examples=100)
def test_numbers_are_pixels_scaled_less_the_mean_by_the_deviation_in_the_order_asked_for(
    scale: float, mean: tuple[float, float, float], std: tuple[float, float, float], channels: Any, layout: Any
) -> None:
    pixels = noise(5, 6)
    steps = Preprocessing(scale=scale, mean=mean, std=std, channels=channels)
    ordered = pixels.astype(np.float64)[..., ::-1] if channels == "BGR" else pixels.astype(np.float64)
    expected = (ordered * scale - mean) / std

    found = load_array(opencv_encoded(pixels, ".png"), LIMITS, ModelInput(height=5, width=6, layout=layout), steps)

    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.shape == ((3, 5, 6) if layout == "NCHW" else (5, 6, 3))
    as_rows = found.transpose(1, 2, 0) if layout == "NCHW" else found
    np.testing.assert_allclose(as_rows, expected, rtol=1e-5, atol=1e-3)


def test_the_defaults_are_the_articles_raw_pixels_in_rgb() -> None:
    pixels = noise(224, 224)

    found = load_array(opencv_encoded(pixels, ".png"), LIMITS, ModelInput(), Preprocessing())

    assert alike(found, pixels.transpose(2, 0, 1))


# ---- limits and broken images ----


@pytest.mark.parametrize("data", [png_that_claims(100_000, 100_000), gif_that_claims(1, 60_000)], ids=["png", "gif"])
def test_a_small_file_that_claims_to_be_huge_is_refused_before_it_is_decoded(data: bytes) -> None:
    refused = refusal(data)

    assert refused.status == "too_many_pixels"
    assert "1,000,000" in refused.problem


def test_the_limit_on_pixels_is_the_last_size_that_is_taken() -> None:
    data = opencv_encoded(noise(10, 20), ".png")

    assert load_array(data, ImageLimits(200, 1, FORMATS), ModelInput(height=8, width=8), Preprocessing()).shape == (
        3,
        8,
        8,
    )
    assert refusal(data, ImageLimits(199, 1, FORMATS)).status == "too_many_pixels"


def test_a_format_that_is_not_allowed_is_not_decoded() -> None:
    refused = refusal(opencv_encoded(noise(4, 4), ".bmp"), ImageLimits(1000, 1, ("PNG", "JPEG")))

    assert (refused.status, refused.problem) == (
        "unsupported_format",
        "BMP, which is not among input.formats: PNG, JPEG",
    )


@pytest.mark.parametrize("image_format", ["ICO", "PPM", "TGA"])
def test_formats_for_which_one_has_to_ask_are_decoded_then_only(image_format: FormatName) -> None:
    pixels = noise(16, 16)
    data = pillow_encoded(Image.fromarray(pixels), image_format)

    refused = refusal(data)
    assert refused.status == "unsupported_format"
    assert refused.problem.startswith(f"{image_format}, which is not among input.formats: AVIF, BMP, ")
    asked = ImageLimits(1000, 1, (image_format, *FORMATS))
    assert alike(load_array(data, asked, ModelInput(height=16, width=16, layout="NHWC"), Preprocessing()), pixels)


def _directory_first() -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, noise(64, 64))
    return buffer.getvalue()


DIRECTORY_FIRST = _directory_first()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "empty"),
        (b"<html><body>404 Not Found</body></html>", "not_an_image"),
        (b"\0" * 1000, "not_an_image"),
        (opencv_encoded(noise(64, 64), ".png")[:-2000], "truncated"),
        (opencv_encoded(noise(64, 64), ".jpg")[:-2000], "truncated"),
        (opencv_encoded(noise(64, 64), ".bmp")[:-2000], "truncated"),
        (opencv_encoded(noise(64, 64), ".webp")[:-2000], "truncated"),
        (pillow_encoded(Image.fromarray(noise(64, 64)), "AVIF")[:-2000], "truncated"),
        (pillow_encoded(Image.fromarray(noise(64, 64)), "JPEG2000")[:-2000], "truncated"),
        (heic_encoded(Image.fromarray(noise(64, 64)))[:-2000], "truncated"),
        (pillow_encoded(Image.fromarray(noise(64, 64)), "TIFF", compression="tiff_lzw")[:-2000], "truncated"),
        (DIRECTORY_FIRST[:-2000], "truncated"),
    ],
    ids=[
        "empty",
        "text",
        "zeros",
        *(f"cut {name}" for name in ("PNG", "JPEG", "BMP", "WebP", "AVIF", "JPEG 2000", "HEIC", "TIFF", "TIFF 2")),
    ],
)
def test_what_is_wrong_with_an_image_is_said(data: bytes, status: str) -> None:
    refused = refusal(data)

    assert refused.status == status
    assert refused.problem


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_only_where_the_model_wants_it(orientation: int) -> None:
    pixels = smooth(16, 32)
    data = pillow_encoded(Image.fromarray(pixels), "TIFF", tiffinfo={0x0112: orientation})

    assert alike(loaded(data, 16, 32), pixels)
    upright = opencv_decoded(jpeg_with(exif(turned(orientation)), pixels))
    assert alike(loaded(data, *upright.shape[:2], exif_orientation=True), upright, within=12)  # for that one was a JPEG


def test_of_many_frames_the_first_counts_and_too_many_are_told() -> None:
    frames = [Image.fromarray(noise(4, 4)).quantize(16).rotate(90 * turn) for turn in range(3)]
    for image_format in ("GIF", "TIFF"):
        data = pillow_encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
        assert load_array(data, ImageLimits(16, 3, FORMATS), ModelInput(height=4, width=4), Preprocessing()).shape == (
            3,
            4,
            4,
        )
        refused = refusal(data, ImageLimits(16, 2, FORMATS))
        assert (refused.status, refused.problem) == ("too_many_frames", "3 frames, more than the 2 allowed")


def test_an_error_in_the_checksum_of_a_png_is_told() -> None:
    data = bytearray(opencv_encoded(noise(32, 32), ".png"))
    data[100] ^= 0xFF

    assert refusal(bytes(data)).status == "decode_error"


LARGE = zlib.compress(b"\0" * 50_000_000)


@pytest.mark.parametrize("way", [{}, {"exif_orientation": True}])
@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"zTXt", b"k\0\0" + LARGE),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE),
        png_chunk(b"tEXt", b"k\0" + b"x" * 5_000_000),
        png_chunk(b"zTXt", b"k\0\x09of no method that there is"),
        png_chunk(b"iCCP", b"k\0\0" + LARGE),
    ],
    ids=["zTXt", "iTXt", "tEXt", "broken", "profile"],
)
def test_no_text_in_a_png_costs_its_pixels(chunk: bytes, way: dict[str, Any]) -> None:
    data = opencv_encoded(noise(4, 4), ".png")

    for place in (33, len(data) - 12):  # before the pixels, and behind them
        assert alike(unchanged(data[:place] + chunk + data[place:], **way), noise(4, 4))


def _seeds() -> dict[str, bytes]:
    image = Image.fromarray(noise(9, 7))
    grey = image.convert("L")
    files = {suffix: opencv_encoded(noise(9, 7), suffix) for suffix in (".png", ".jpg", ".bmp", ".tiff", ".webp")}
    return {
        **files,
        "gif": pillow_encoded(image.quantize(16), "GIF", transparency=3),
        "animated gif": pillow_encoded(
            image.quantize(16), "GIF", save_all=True, append_images=[image.rotate(180).quantize(16)]
        ),
        "palette png": pillow_encoded(image.quantize(16), "PNG", transparency=3),
        "grey png": pillow_encoded(Image.merge("LA", (grey, grey)), "PNG"),
        "grey tiff": pillow_encoded(Image.merge("LA", (grey, grey)), "TIFF"),
        "black tiff": pillow_encoded(image.convert("1"), "TIFF", compression="group4"),
        "jpeg tiff": pillow_encoded(image, "TIFF", compression="jpeg"),
        "lzw tiff": pillow_encoded(image, "TIFF", compression="tiff_lzw"),
        "cmyk jpeg": pillow_encoded(image.convert("CMYK"), "JPEG"),
        "progressive jpeg": pillow_encoded(image, "JPEG", progressive=True),
        "turned jpeg": jpeg_with(
            exif(turned(6), (0x010E, 2, 8, b"a lion\0\0"), (0x011A, 5, 1, struct.pack("<II", 72, 1))), noise(9, 7)
        ),
        "turned png": pillow_encoded(image, "PNG", exif=exif(turned(5), (0x0100, 4, 1, struct.pack("<I", 7)))),
        "turned webp": pillow_encoded(image, "WEBP", exif=exif(turned(8), (0x8769, 4, 1, struct.pack("<I", 8)))),
        "avif": pillow_encoded(image, "AVIF"),
        "jpeg 2000": pillow_encoded(image, "JPEG2000"),
        "heic": heic_encoded(image.resize((64, 64))),
        "float tiff": pillow_encoded(Image.fromarray(noise(9, 7)[..., 0].astype(np.float32) / 255), "TIFF"),
        "profile": pillow_encoded(image, "PNG", icc_profile=ImageCmsProfile(createProfile("sRGB")).tobytes()),
        "deep png": opencv_encoded(noise(9, 7)[..., 0].astype(np.uint16) * 257, ".png"),
    }


SEEDS = _seeds()
WAYS = [
    {"exif_orientation": True},
    {"exif_orientation": True, "resize": "shorter_and_crop", "shorter_side": 8},
    {"icc": "srgb", "sample_range": (0, 1)},
]
STATUSES = {
    "empty",
    "not_an_image",
    "truncated",
    "decode_error",
    "too_many_pixels",
    "unsupported_format",
    "unsupported_pixels",
}


def is_an_array_or_a_bad_image(data: bytes, way: dict[str, Any]) -> None:
    try:
        found = load_array(data, LIMITS, ModelInput(height=8, width=8), Preprocessing(**way))
    except BadImageError as error:
        refused = error
    else:
        assert found.shape == (3, 8, 8)
        assert np.isfinite(found).all()
        return
    assert refused.status in STATUSES
    assert refused.problem
    assert "\n" not in refused.problem


@given(st.binary(max_size=300), st.sampled_from(WAYS))
@settings(deadline=None, max_examples=100)
def test_any_bytes_are_a_bad_image_at_worst(data: bytes, way: dict[str, Any]) -> None:
    is_an_array_or_a_bad_image(data, way)


@given(st.sampled_from(sorted(SEEDS)), st.floats(0, 1), st.sampled_from(WAYS))
@settings(deadline=None, max_examples=150)
def test_an_image_that_is_cut_anywhere_is_a_bad_image_at_worst(name: str, where: float, way: dict[str, Any]) -> None:
    data = SEEDS[name]

    is_an_array_or_a_bad_image(data[: int(where * len(data))], way)


edits = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 4), st.binary(max_size=4)), min_size=1, max_size=4
)


@given(st.sampled_from(sorted(SEEDS)), edits, st.sampled_from(WAYS))
@example("deep png", [(0.25, 0, b"A\n")], {"exif_orientation": True})  # the end of a line in a chunk's name
@settings(deadline=None, max_examples=600)
def test_an_image_with_any_bytes_changed_is_a_bad_image_at_worst(
    name: str, changes: list[tuple[float, int, bytes]], way: dict[str, Any]
) -> None:
    data = SEEDS[name]
    for where, removed, added in changes:
        position = int(where**2 * len(data))  # more often in the headers, where it matters
        data = data[:position] + added + data[position + removed :]

    is_an_array_or_a_bad_image(data, way)


# ---- JPEGs decoded at a part of their size ----


def scaled(data: bytes, side: int, **steps: Any) -> NDArray[np.float32]:
    return load_array(data, LIMITS, ModelInput(height=side, width=side), Preprocessing(**steps), is_exact=False)


def exact(data: bytes, side: int, **steps: Any) -> NDArray[np.float32]:
    return load_array(data, LIMITS, ModelInput(height=side, width=side), Preprocessing(**steps))


PHOTOGRAPH = np.clip(smooth(384, 512).astype(int) + np.random.default_rng(0).normal(0, 8, (384, 512, 1)), 0, 255)


@pytest.mark.parametrize("side", [96, 48, 24])  # so that a half, a quarter, an eighth are left
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"subsampling": 0}], ids=["plain", "progressive", "444"]
)
@pytest.mark.parametrize("steps", [{}, {"resize": "shorter_and_crop", "filter": "bicubic"}], ids=["squash", "crop"])
def test_a_large_jpeg_is_nearly_the_same_decoded_smaller(
    side: int, options: dict[str, Any], steps: dict[str, Any]
) -> None:
    data = pillow_encoded(Image.fromarray(PHOTOGRAPH.astype(np.uint8)), "JPEG", quality=92, **options)
    steps = steps | ({"shorter_side": side} if steps else {})

    difference = np.abs(scaled(data, side, **steps) - exact(data, side, **steps))

    assert 0 < difference.mean() < 1.5
    assert difference.max() < 12


@pytest.mark.parametrize(
    ("size", "side", "steps"),
    [((384, 512), 97, {}), ((385, 513), 96, {}), ((384, 512), 24, {"filter": "nearest"})],
    ids=["not so large", "sides that aren't whole", "single pixels that count"],
)
def test_any_other_jpeg_is_the_very_same(size: tuple[int, int], side: int, steps: dict[str, Any]) -> None:
    data = opencv_encoded(smooth(*size), ".jpg")

    assert alike(scaled(data, side, **steps), exact(data, side, **steps))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photograph_decoded_smaller_is_turned_all_the_same(orientation: int) -> None:
    data = jpeg_with(exif(turned(orientation)), smooth(384, 512))

    assert alike(scaled(data, 24, exif_orientation=True), exact(data, 24, exif_orientation=True), within=4)


@given(st.floats(0, 1))
@settings(deadline=None, max_examples=30)
def test_a_large_jpeg_that_is_cut_is_told_however_it_is_decoded(where: float) -> None:
    whole = opencv_encoded(PHOTOGRAPH.astype(np.uint8), ".jpg")
    data = whole[: int(where * (len(whole) - 2))]

    with pytest.raises(BadImageError) as one:
        exact(data, 24)
    with pytest.raises(BadImageError) as other:
        scaled(data, 24)
    assert one.value.status == other.value.status
