"""Headers, chunks and directories that say what isn't so."""

import struct
import zlib

from tests.faults import containers
from tests.faults.containers import ASCII, LONG, SHORT, SIGNATURE, changed, grey_tiff, jpeg_segment, tiff, with_chunks
from tests.faults.good_images import frames
from tests.faults.specimens import (
    NO_IMAGE,
    OK,
    SIDE,
    TOO_MANY_PIXELS,
    UNUSABLE,
    Files,
    Specimen,
    Specimens,
    each,
    saved,
)
from tests.unit.pictures import pillow_encoded, png_chunk


def lying_headers() -> Specimens:
    """Sizes other than the pixels', below the limit and above."""
    png, jpeg, progressive, bmp = saved("PNG"), saved("JPEG"), saved("JPEG", progressive=True), saved("BMP")
    sizes = {
        "larger": (700, 700, UNUSABLE | OK),
        "one row more": (64, 49, UNUSABLE | OK),
        "smaller": (20, 20, UNUSABLE | OK),
        "none": (0, 0, NO_IMAGE),
        "flat": (64, 0, NO_IMAGE),
        "huge": (SIDE, SIDE, TOO_MANY_PIXELS),
        "wide": (60_000, 48, TOO_MANY_PIXELS),
        "tall": (64, 60_000, TOO_MANY_PIXELS),
    }
    for what, (width, height, statuses) in sizes.items():
        files = {
            f"{what}.png": containers.with_header(png, width, height),
            f"{what}.jpg": containers.jpeg_of_size(jpeg, width, height),
            f"{what} progressive.jpg": containers.jpeg_of_size(progressive, width, height),
            f"{what} top down.bmp": containers.bmp(width, -height, 8, 0, bytes(64 * 48)),
            f"{what}.bmp": bmp[:18] + struct.pack("<ii", width, height) + bmp[26:],
            f"{what}.gif": containers.gif((width, height), containers.gif_frame(0, 0, width, height, b"\x44\x01")),
            f"{what}.tiff": tiff(grey_tiff(width, height, 64 * 48), data=bytes(64 * 48)),
        }
        yield from each("lying headers", files, statuses, bomb=statuses == TOO_MANY_PIXELS)


def lying_webps() -> Specimens:
    lossy, lossless = saved("WEBP"), saved("WEBP", lossless=True)
    for what, (width, height) in {
        "larger": (700, 700),
        "smaller": (20, 20),
        "wide": (16_000, 48),
        "huge": (16_000, 16_000),
    }.items():
        files = {
            f"{what}.webp": containers.webp_of_size(lossy, width, height),
            f"{what} lossless.webp": containers.webp_of_size(lossless, width, height),
        }
        yield from each(
            "lying headers", files, TOO_MANY_PIXELS if what == "huge" else UNUSABLE | OK, bomb=what == "huge"
        )


def lying_chunks() -> Specimens:
    """Lengths, counts and checksums that are wrong."""
    yield from each(
        "lying chunks", {**_lying_png_chunks(), **_lying_segments(), **_lying_riffs(), **_lying_blocks()}, UNUSABLE | OK
    )
    png = saved("PNG")
    for what, at in {"header": 20, "header's checksum": 30, "data": png.index(b"IDAT") + 20}.items():
        damaged = png[:at] + bytes([png[at] ^ 0xFF]) + png[at + 1 :]
        yield Specimen(f"lying chunks/damaged {what}.png", damaged, UNUSABLE)


def _lying_png_chunks() -> Files:
    png = saved("PNG")
    data = png.index(b"IDAT")
    animated = pillow_encoded(frames(1)[0], "PNG", save_all=True, append_images=frames(3)[1:])
    control = animated.index(b"acTL") + 4
    return {
        "length 0.png": png[: data - 4] + bytes(4) + png[data:],
        "length 2 GiB.png": png[: data - 4] + b"\x7f\xff\xff\xff" + png[data:],
        "length 4 GiB.png": png[: data - 4] + b"\xff\xff\xff\xff" + png[data:],
        "no header.png": SIGNATURE + png[33:],
        "header last.png": SIGNATURE + png[33:-12] + png[8:33] + containers.END,
        "two headers.png": png[:33] + containers.ihdr(9, 9, 8, 2) + png[33:],
        "no end.png": png[:-12],
        "no data.png": png[: data - 4] + containers.END,
        "too much data.png": with_chunks(png, png_chunk(b"IDAT", zlib.compress(bytes(100_000))), b"IEND"),
        "not packed.png": png[: data - 4] + png_chunk(b"IDAT", bytes(9000)) + containers.END,
        "unknown colour.png": containers.with_header(png, 64, 48, 8, 7),
        "unknown depth.png": containers.with_header(png, 64, 48, 99),
        "no palette.png": containers.with_header(png, 64, 48, 8, 3),
        "needs what is unknown.png": with_chunks(png, png_chunk(b"ABCD", b"?")),
        "frames without end.png": animated[:control] + b"\xff\xff\xff\xff" + animated[control + 4 :],
        "no frames.png": animated[:control] + bytes(4) + animated[control + 4 :],
        "frame outside.png": animated.replace(b"\0\0\0\x28\0\0\0\x20\0\0\0\0", b"\x7f\xff\xff\xff\0\0\0\x20\0\0\0\x28"),
    }


def _lying_segments() -> Files:
    jpeg = saved("JPEG")
    frame = jpeg.index(b"\xff\xc0")
    return {
        "segment 0.jpg": containers.after_start(jpeg, jpeg_segment(0xE1, b"", 0)),
        "segment beyond.jpg": containers.after_start(jpeg, jpeg_segment(0xE1, b"Exif\0\0", 65_535)),
        "two frame headers.jpg": jpeg[:frame] + jpeg[frame : frame + 19] + jpeg[frame:],
        "no tables.jpg": jpeg.replace(b"\xff\xdb", b"\xff\xe9").replace(b"\xff\xc4", b"\xff\xe9"),
        "255 components.jpg": jpeg[: frame + 9] + b"\xff" + jpeg[frame + 10 :],
        "12 bits.jpg": jpeg[: frame + 4] + b"\x0c" + jpeg[frame + 5 :],
        "arithmetic.jpg": jpeg.replace(b"\xff\xc0", b"\xff\xc9"),
        "lossless.jpg": jpeg.replace(b"\xff\xc0", b"\xff\xc3"),
        "no scan.jpg": jpeg[: jpeg.index(b"\xff\xda")] + b"\xff\xd9",
        "restarts everywhere.jpg": _after_scan_header(jpeg) + b"\xff\xd0\xff\xd5" * 5000 + b"\xff\xd9",
    }


def _lying_riffs() -> Files:
    webp = saved("WEBP")
    return {
        "size 0.webp": webp[:4] + bytes(4) + webp[8:],
        "size 4 GiB.webp": webp[:4] + b"\xff\xff\xff\xff" + webp[8:],
        "frame of 4 GiB.webp": webp[:16] + b"\xff\xff\xff\xff" + webp[20:],
        "canvas without a frame.webp": containers.riff(containers.webp_canvas(64, 48)),
        "animation without a frame.webp": containers.riff(containers.webp_canvas(64, 48, 2), (b"ANIM", bytes(6))),
        "frame outside.webp": webp_animation(64, 48, containers.webp_frame(webp, 5000, 5000, 64, 48)),
        "frame of another size.webp": webp_animation(64, 48, containers.webp_frame(webp, 0, 0, 9, 9)),
        "frame in frame.webp": webp_animation(
            64, 48, (b"ANMF", webp_animation(64, 48, containers.webp_frame(webp, 0, 0, 64, 48)))
        ),
    }


def _lying_blocks() -> Files:
    """Of BMP and GIF."""
    bmp, palette = saved("BMP"), saved("BMP", "P")
    return {
        "palette of 2 billion.bmp": palette[:46] + struct.pack("<I", 2**31) + palette[50:],
        "pixels far away.bmp": bmp[:10] + b"\xff\xff\xff\x7f" + bmp[14:],
        "0 bits.bmp": containers.bmp(64, 48, 0, 0, bytes(9000)),
        "unknown packing.bmp": containers.bmp(64, 48, 8, 77, bytes(9000)),
        "header of 4 GiB.bmp": bmp[:14] + b"\xff\xff\xff\xff" + bmp[18:],
        "runs beyond.bmp": containers.bmp(20, 48, 8, 1, b"\xff\7" * 5000),
        "jumps beyond.bmp": containers.bmp(20, 48, 8, 1, b"\0\2\xff\xff" * 5000),
        "codes beyond.gif": containers.gif((64, 48), containers.gif_frame(0, 0, 64, 48, b"\xff" * 2000)),
        "only clears.gif": containers.gif((64, 48), containers.gif_frame(0, 0, 64, 48, b"\x24\x49\x92" * 700)),
        "no frame.gif": containers.gif((64, 48)),
        "comments only.gif": containers.gif((64, 48), b"\x21\xfe\x03abc\0" * 5000),
        "code of 255 bits.gif": containers.gif(
            (64, 48), containers.gif_frame(0, 0, 64, 48, b"\x44\x01").replace(b"\x02\x02", b"\xff\x02")
        ),
    }


def _after_scan_header(jpeg: bytes) -> bytes:
    """The JPEG up to where the data of its first scan begins."""
    start = jpeg.index(b"\xff\xda")
    return jpeg[: start + 2 + struct.unpack_from(">H", jpeg, start + 2)[0]]


def webp_animation(width: int, height: int, *frames: tuple[bytes, bytes]) -> bytes:
    return containers.riff(containers.webp_canvas(width, height, 2), (b"ANIM", bytes(6)), *frames)


def lying_tiffs() -> Specimens:
    """Directories that lead in circles or nowhere, and values that can't be."""
    entries, pixels = grey_tiff(64, 48, 64 * 48), bytes(64 * 48)
    plain = tiff(entries, data=pixels)
    circle = tiff(entries, entries, data=pixels, next_directory=8 + len(pixels))
    changes: dict[str, tuple[int, int, list[int]]] = {
        "256 samples": (277, SHORT, [256]), "65535 samples": (277, SHORT, [65_535]), "no samples": (277, SHORT, [0]),
        "99 bits": (258, SHORT, [99]), "0 bits": (258, SHORT, [0]), "a thousand depths": (258, SHORT, [8] * 1000),
        "unknown packing": (259, SHORT, [31_337]), "old jpeg": (259, SHORT, [6]), "jpeg without "
        "tables": (259, SHORT, [7]),
        "lzw that is none": (259, SHORT, [5]), "deflate that is none": (259, SHORT, [8]), "group 3 "
        "that is none": (259, SHORT, [3]),
        "strip far away": (273, LONG, [2**32 - 1]), "strip of 4 GiB": (279, LONG, [2**32 - 1]), "no "
        "strip": (279, LONG, [0]),
        "thousands of strips": (273, LONG, [8] * 5000), "rows of strip 0": (278, LONG, [0]),
        "rows of strip 4 billion": (278, LONG, [2**32 - 1]),
        "unknown colours": (262, SHORT, [12_345]), "palette without one": (262, SHORT, [3]), "planes "
        "apart": (284, SHORT, [2]),
        "text as width": (256, ASCII, [64]), "float samples": (339, SHORT, [3]), "orientation 999": (274, SHORT, [999]),
        "no fill order": (266, SHORT, [2]),
    }  # fmt: skip
    files = {f"{what}.tiff": tiff(changed(entries, entry), data=pixels) for what, entry in changes.items()}
    packed = {
        f"{what} unpacked by libtiff.tiff": tiff(changed(_deflated(), entry), data=DEFLATED)
        for what, entry in changes.items()
    }
    by_hand = {
        "directory names itself.tiff": tiff(entries, data=pixels, next_directory=8 + len(pixels)),
        "directories in a circle.tiff": circle,
        "directory far away.tiff": plain[:4] + b"\xff\xff\xff\xff" + plain[8:],
        "directory is the header.tiff": plain[:4] + bytes(4) + plain[8:],
        "directory of 65535 entries.tiff": plain.replace(b"\x09\0\0\1", b"\xff\xff\0\1"),
        "empty directory.tiff": tiff([], data=pixels),
        "directory below is itself.tiff": tiff([*entries, (330, LONG, [8 + len(pixels)])], data=pixels),
        "exif is itself.tiff": tiff([*entries, (34665, LONG, [8 + len(pixels)])], data=pixels),
        "every entry twice.tiff": tiff([*entries, *entries], data=pixels),
        "value of 4 billion.tiff": plain.replace(
            struct.pack("<HHI", 256, LONG, 1), struct.pack("<HHI", 256, LONG, 2**32 - 1)
        ),
        "unknown types.tiff": plain.replace(struct.pack("<HHI", 262, LONG, 1), struct.pack("<HHI", 262, 99, 1)),
    }
    yield from each("lying tiffs", {**files, **packed, **by_hand}, UNUSABLE | OK)
    tiles = {f"tiles of {side} a side.tiff": _tiled(side) for side in (0, 16, 64, 17, 4096, 65_536, 2**31 - 16)}
    yield from each("lying tiffs", tiles, UNUSABLE | OK)


DEFLATED = zlib.compress(bytes(64 * 48))


def _deflated() -> list[containers.Entry]:
    return grey_tiff(64, 48, len(DEFLATED), compression=8)


def _tiled(side: int) -> bytes:
    """An image of 64 x 48 in tiles of that size, packed."""
    untiled = [entry for entry in _deflated() if entry[0] not in (273, 278, 279)]
    tiles: list[containers.Entry] = [
        (322, LONG, [side]),
        (323, LONG, [side]),
        (324, LONG, [8] * 12),
        (325, LONG, [len(DEFLATED)] * 12),
    ]
    return tiff([*untiled, *tiles], data=DEFLATED)
