"""Images that are good, however odd: plain ones of every kind, extreme sizes, all orientations, many frames."""

import struct
from functools import cache

import numpy as np
from PIL import Image
from tests.faults import containers
from tests.faults.containers import grey_tiff, jpeg_segment, tiff, with_chunks
from tests.faults.specimens import FORMATS, MANY_FRAMES, OK, Files, Specimen, Specimens, each, picture, saved
from tests.unit.pictures import exif, heic_encoded, noise, opencv_encoded, pillow_encoded, png_chunk, smooth, turned


@cache
def jpegs() -> Files:
    plain = saved("JPEG")
    cmyk = saved("JPEG", "CMYK")
    return {
        "plain.jpg": plain,
        "grey.jpg": saved("JPEG", "L"),
        "cmyk.jpg": cmyk,
        "ycck.jpg": containers.ycck(cmyk),
        "progressive.jpg": saved("JPEG", progressive=True),
        "progressive grey.jpg": saved("JPEG", "L", progressive=True),
        "full colour.jpg": saved("JPEG", subsampling=0),
        "half colour.jpg": saved("JPEG", subsampling=1),
        "worst quality.jpg": saved("JPEG", quality=1),
        "best quality.jpg": saved("JPEG", quality=100),
        "restarts.jpg": saved("JPEG", restart_marker_rows=1),
        "keeps rgb.jpg": saved("JPEG", keep_rgb=True),
        "odd sides.jpg": opencv_encoded(noise(41, 37), ".jpg"),
        "mpo.jpg": saved("MPO", save_all=True, append_images=[picture()]),
        "garbage after the end.jpg": plain + noise(20, 20).tobytes(),
        "another image after the end.jpg": plain + saved("JPEG", "L"),
        "fill bytes.jpg": containers.after_start(plain, b"\xff" * 20),
        "comments.jpg": containers.after_start(plain, jpeg_segment(0xFE, b"hello " * 1000) * 50),
        "hundred scans.jpg": containers.jpeg_of_many_scans(flat_jpeg(64), 100),
    }


def flat_jpeg(side: int) -> bytes:
    return pillow_encoded(Image.new("L", (side, side)), "JPEG", progressive=True)


@cache
def pngs() -> Files:
    plain = saved("PNG")
    deep = noise(48, 64).astype(np.uint16) * 257
    return {
        "plain.png": plain,
        "black and white.png": saved("PNG", "1"),
        "grey.png": saved("PNG", "L"),
        "grey with alpha.png": saved("PNG", "LA"),
        "alpha.png": saved("PNG", "RGBA"),
        "palette.png": saved("PNG", "P"),
        "palette with transparency.png": saved("PNG", "P", transparency=3),
        "palette with many transparencies.png": saved("PNG", "P", transparency=bytes(range(200))),
        "palette of 2 bits.png": pillow_encoded(picture().quantize(4), "PNG", bits=2),
        "palette of 4 bits.png": pillow_encoded(picture().quantize(16), "PNG", bits=4),
        "transparent colour.png": saved("PNG", transparency=(1, 2, 3)),
        "16 bits grey.png": opencv_encoded(deep[..., 0], ".png"),
        "16 bits.png": opencv_encoded(deep, ".png"),
        "interlaced.png": containers.png_interlaced(smooth(48, 64)),
        "interlaced one pixel.png": containers.png_interlaced(smooth(1, 1)),
        "garbage after the end.png": plain + noise(20, 20).tobytes(),
        "data in crumbs.png": _in_crumbs(plain),
        "chunk of its own.png": with_chunks(plain, png_chunk(b"prVt", b"mine")),
        "two palettes.png": with_chunks(saved("PNG", "P"), png_chunk(b"PLTE", bytes(768))),
        "gamma.png": with_chunks(plain, png_chunk(b"gAMA", struct.pack(">I", 0))),
    }


def _in_crumbs(png: bytes) -> bytes:
    """The PNG with its data in chunks of one byte."""
    start, end = png.index(b"IDAT") - 4, png.index(b"IEND") - 4
    return png[:start] + b"".join(png_chunk(b"IDAT", bytes([byte])) for byte in png[start + 8 : end - 4]) + png[end:]


@cache
def tiffs() -> Files:
    deep = noise(48, 64).astype(np.uint16) * 257
    compressed = {
        f"{name}.tiff": saved("TIFF", compression=name)
        for name in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "zstd")
    }
    modes = {
        f"{mode} as it is.tiff": saved("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "LAB", "YCbCr")
    }
    return {
        **compressed,
        **modes,
        "plain.tiff": saved("TIFF"),
        "group 3.tiff": saved("TIFF", "1", compression="group3"),
        "group 4.tif": saved("TIFF", "1", compression="group4"),
        "big.tiff": saved("TIFF", big_tiff=True),
        "16 bits grey.tiff": opencv_encoded(deep[..., 0], ".tiff"),
        "16 bits.tiff": opencv_encoded(deep, ".tiff"),
        "predictor.tiff": saved("TIFF", compression="tiff_lzw", tiffinfo={317: 2}),
        "small strips.tiff": saved("TIFF", compression="tiff_lzw", strip_size=64),
        "by hand.tiff": tiff(grey_tiff(64, 48, 64 * 48), data=noise(48, 64)[..., 0].tobytes()),
    }


@cache
def others() -> Files:
    """GIF, WebP and BMP."""
    flat = bytes([20, 7, 0, 0]) * 48
    return {
        "plain.gif": saved("GIF"),
        "transparent.gif": saved("GIF", "P", transparency=5),
        "straight.gif": saved("GIF", interlace=0),
        "two colours.gif": saved("GIF", "1"),
        "comment.gif": saved("GIF", comment=b"hello " * 1000),
        "by hand.gif": containers.gif((64, 48), containers.gif_frame(0, 0, 64, 48, containers.zeros_in_lzw(64 * 48))),
        "smaller frame.gif": containers.gif((64, 48), containers.gif_frame(9, 7, 20, 10, containers.zeros_in_lzw(200))),
        "plain.webp": saved("WEBP"),
        "lossless.webp": saved("WEBP", lossless=True),
        "alpha.webp": saved("WEBP", "RGBA"),
        "lossless alpha.webp": saved("WEBP", "RGBA", lossless=True),
        "worst quality.webp": saved("WEBP", quality=0),
        "extended.webp": saved("WEBP", exif=exif(turned(1)), icc_profile=b"no profile"),
        "plain.bmp": saved("BMP"),
        "black and white.bmp": saved("BMP", "1"),
        "grey.bmp": saved("BMP", "L"),
        "palette.bmp": saved("BMP", "P"),
        "alpha.bmp": saved("BMP", "RGBA"),
        "top down.bmp": containers.bmp(64, -48, 8, 0, noise(48, 64)[..., 0].tobytes()),
        "run lengths.bmp": containers.bmp(20, 48, 8, 1, flat + b"\0\1"),
        "16 bits.bmp": containers.bmp(64, 48, 16, 0, noise(48, 64)[..., :2].tobytes()),
    }


def newer() -> Files:
    """Of formats that came later, under the names that they are often given."""
    return {
        "avif.webp": saved("AVIF"),
        "avif with alpha.webp": saved("AVIF", "RGBA"),
        "heic.webp": heic_encoded(picture()),
        "jpeg 2000.tif": saved("JPEG2000"),
        "grey jpeg 2000.tif": saved("JPEG2000", "L"),
    }


def whole() -> Specimens:
    yield from each("whole", {**jpegs(), **pngs(), **tiffs(), **others(), **newer()}, OK)


def doubtful() -> Specimens:
    """Samples of which nobody knows the value of white."""
    numbers = {"not a number": np.nan, "infinite": np.inf, "a million": 1e6}
    files = {
        f"{name}.tiff": pillow_encoded(Image.fromarray(np.full((48, 64), value, np.float32)), "TIFF")
        for name, value in numbers.items()
    }
    modes = {f"{mode} as it is.tiff": saved("TIFF", mode) for mode in ("I", "F")}
    yield from each("doubtful", {**files, **modes}, frozenset({"unsupported_pixels"}))


def sizes() -> Specimens:
    longest = {"WEBP": 16_383}
    for image_format, suffix in FORMATS.items():
        length = longest.get(image_format, 20_000)
        for width, height in ((1, 1), (2, 3), (length, 1), (1, length), (200, 200)):
            yield Specimen(
                f"sizes/{width} x {height}.{suffix}", pillow_encoded(picture(height, width), image_format), OK
            )


def orientations() -> Specimens:
    for image_format in ("JPEG", "PNG", "TIFF", "WEBP"):
        for orientation in range(1, 9):
            tags = Image.Exif()
            tags[0x0112] = orientation
            name = f"orientations/{orientation}.{FORMATS[image_format]}"
            yield Specimen(name, pillow_encoded(picture(), image_format, exif=tags), OK)


def frames(number: int) -> list[Image.Image]:
    return [Image.fromarray(noise(32, 40, seed)) for seed in range(number)]


def animations() -> Specimens:
    first, *others = frames(5)
    webp = saved("WEBP")
    frame = containers.webp_frame(webp, 0, 0, 64, 48)
    dot = containers.gif_frame(0, 0, 8, 8, containers.zeros_in_lzw(64))
    page = grey_tiff(8, 8, 64)
    few = {
        f"five.{FORMATS[kind]}": pillow_encoded(first, kind, save_all=True, append_images=others)
        for kind in ("GIF", "PNG", "TIFF", "WEBP")
    }
    many = {
        "three hundred.webp": containers.riff(containers.webp_canvas(64, 48, 2), (b"ANIM", bytes(6)), *[frame] * 300),
        "fifty thousand.gif": containers.gif((8, 8), *[dot] * 50_000),
        "two thousand pages.tiff": tiff(*[page] * 2_000, data=bytes(64)),
    }
    yield from each("animations", few, OK)
    yield from each("animations", many, MANY_FRAMES)
