"""What kind of image file some bytes are, told by their signature: also those that can't be decoded, so that they
can be called by name.
"""

import re
import struct
import zlib
from dataclasses import dataclass

from mxspark.settings.job import FormatName


@dataclass(frozen=True)
class FileKind:
    """`name` is for people; `format` is one of input.formats, None where nothing here decodes the kind."""

    name: str
    format: FormatName | None = None


# (offset, bytes, or any of several) to what it is; the first that fits counts.
_SIGNATURES: tuple[tuple[int, bytes | tuple[bytes, ...], FileKind], ...] = (
    (0, b"\xff\xd8\xff", FileKind("JPEG", "JPEG")),
    (12, b"CgBI", FileKind("PNG as Xcode packs it (CgBI)")),  # with red and blue in each other's places
    (0, b"\x89PNG\r\n\x1a\n", FileKind("PNG", "PNG")),
    (0, (b"GIF87a", b"GIF89a"), FileKind("GIF", "GIF")),
    (0, b"BM", FileKind("BMP", "BMP")),
    (8, b"CR\2\0", FileKind("CR2 (Canon raw)")),
    (0, (b"II*\0", b"MM\0*"), FileKind("TIFF", "TIFF")),
    (0, b"II+\0", FileKind("BigTIFF", "TIFF")),
    (0, b"MM\0+", FileKind("big-endian BigTIFF")),
    (8, b"WEBP", FileKind("WebP", "WEBP")),
    (0, (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), FileKind("JPEG 2000", "JPEG2000")),
    (0, (b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\x0a"), FileKind("JPEG XL")),
    (0, b"II\xbc\1", FileKind("JPEG XR")),
    (0, b"8BPS", FileKind("PSD (Photoshop)")),
    (0, b"%PDF-", FileKind("PDF")),
    (0, (b"%!PS", b"\xc5\xd0\xd3\xc6"), FileKind("PostScript")),
    (0, b"FUJIFILMCCD-RAW", FileKind("RAF (Fujifilm raw)")),
    (0, b"IIU\0", FileKind("RW2 (Panasonic raw)")),
    (0, (b"IIRO", b"IIRS", b"MMOR"), FileKind("ORF (Olympus raw)")),
    (0, b"FOVb", FileKind("X3F (Sigma raw)")),
    (0, b"\0MRM", FileKind("MRW (Minolta raw)")),
    (0, b"v/1\1", FileKind("OpenEXR")),
    (0, b"#?R", FileKind("Radiance HDR")),
    (0, b"P7\n", FileKind("PAM")),
    (0, b"qoif", FileKind("QOI")),
    (0, b"DDS ", FileKind("DDS")),
    (0, b"gimp xcf", FileKind("XCF (GIMP)")),
    (0, b"icns", FileKind("ICNS")),
    (0, b"\x8aMNG\r\n\x1a\n", FileKind("MNG")),
    (0, b"\x8bJNG\r\n\x1a\n", FileKind("JNG")),
    (0, b"BPG\xfb", FileKind("BPG")),
    (0, b"FLIF", FileKind("FLIF")),
    (0, b"AT&TFORM", FileKind("DjVu")),
    (0, b"\x97JB2\r\n\x1a\n", FileKind("JBIG2")),
    (0, (b"SDPX", b"XPDS"), FileKind("DPX")),
    (0, b"SIMPLE  =", FileKind("FITS")),
    (128, b"DICM", FileKind("DICOM")),
    (0, b"\xd7\xcd\xc6\x9a", FileKind("WMF")),
    (40, b" EMF", FileKind("EMF")),
    (0, b"\x59\xa6\x6a\x95", FileKind("Sun raster")),
    (6, b"HEAPCCDR", FileKind("CRW (Canon raw)")),
    (0, (b"/* XPM */", b"! XPM2"), FileKind("XPM")),
    (0, b"PF\n", FileKind("PFM in colour")),
    (0, b"P7 332", FileKind("thumbnail of XV")),
    (0, (b"PG ML ", b"PG LM "), FileKind("PGX")),
    (0, b"\xb1\x68\xde\x3a", FileKind("DCX")),
    (0, (b"BLP1\0\0\0", b"BLP2\1\0\0\0"), FileKind("BLP")),
    (0, b"VTF\0", FileKind("VTF")),
    (0, b"\xabKTX ", FileKind("KTX")),
    (0, b"\x13\xab\xa1\x5c", FileKind("ASTC")),
    (0, b"farbfeld", FileKind("farbfeld")),
    (0, b"id=ImageMagick", FileKind("MIFF (ImageMagick)")),
    (2048, b"PCD_IPI", FileKind("Photo CD")),
    (0, b"\x80\x2a\x5f\xd7", FileKind("Cineon")),
    (0, b"\0\0\0\x0cJXS \r\n\x87\n", FileKind("JPEG XS")),
    (522, b"\0\x11\2\xff\x0c\0", FileKind("PICT (QuickDraw)")),
    (344, b"n+1\0", FileKind("NIfTI")),
    (0, (b"\1\xda\0", b"\1\xda\1"), FileKind("SGI")),
    (0, (b"DanM", b"LinS"), FileKind("MSP (Microsoft Paint)")),
    (0, b"FTEX", FileKind("FTEX")),
    (0, b"\x80\xe8\0\0", FileKind("PIXAR")),
    (0, b"Paint Shop Pro Image File\n\x1a", FileKind("PSP (Paint Shop Pro)")),
    (0, b"PDN3", FileKind("PDN (Paint.NET)")),
    (0, b"CSFCHUNK", FileKind("CLIP (Clip Studio Paint)")),
    (30, b"mimetypeimage/openraster", FileKind("OpenRaster")),
    (30, b"mimetypeapplication/x-krita", FileKind("Krita")),
    (0, b"NRRD000", FileKind("NRRD")),
    (0, b"ObjectType = Image", FileKind("MetaImage")),
    (0, b"LBLSIZE=", FileKind("VICAR")),
    (0, b"NITF0", FileKind("NITF")),
    (0, b"ZISRAWFILE", FileKind("CZI (Zeiss)")),
    (0, b"\xda\xce\xbe\x0a", FileKind("ND2 (Nikon)")),
    (0, b"\xffWPC", FileKind("WPG (WordPerfect)")),
    (0, b"PVR\3", FileKind("PVR")),
    (0, b"IIN1", FileKind("NIFF")),
    (-18, b"TRUEVISION-XFILE.\0", FileKind("TGA", "TGA")),  # at the end of the file
)
_ICON = re.compile(rb"\0\0([\x01\x02])\0[^\0]\0")
_PPM = re.compile(rb"P[1-6f]\s+(#[^\n]*\n\s*)*\d")
# Of the others, (pattern at the start, what it is).
_PATTERNS = (
    (
        rb"[\x28\x34\x38\x40\x6c\x7c]\x00{3}.{8}\x01\x00[\x01\x04\x08\x10\x18\x20]\x00[\x00-\x06]\x00{3}",
        "Windows DIB without file header",
    ),
    (rb"\x0c\x00{3}.{4}\x01\x00[\x01\x04\x08\x18]\x00", "Windows DIB without file header"),
    (rb"\x0a[\x00\x02-\x05][\x00\x01][\x01\x02\x04\x08]", "PCX"),
    (rb"\s*(/\*[^*]*\*/\s*)?#define[ \t]+\w*width[ \t]+\d+\s+#define[ \t]+\w*height[ \t]+\d", "XBM"),
    (rb"(\xef\xbb\xbf)?[\s\x00]*%PDF-", "PDF"),
    (rb"(\xef\xbb\xbf)?[\s\x00]*%!PS", "PostScript"),
    (rb"\x00{3}.\x00{3}[\x01-\x03].{12}GIMP", "GBR (a GIMP brush)"),
    (rb"FORM.{4}(ILBM|PBM )", "ILBM (Amiga)"),
    (rb"RIFF.{4}ACON", "ANI (an animated cursor)"),
    (rb"(?=.{511}\x1a)([A-Za-z][^\r\n:]{0,40}:[ \t]+[^\r\n]{0,200}\r?\n){2}", "IM (IFUNC)"),
    (rb".{4}[\x11\x12]\xaf.{6}\x08\x00[\x00\x03]\x00", "FLI (an animation)"),
)
_HEAD_BYTES = 4096
# The contents of a SPIDER file: a picture or a volume, or their Fourier transforms.
_SPIDER_FORMS = (1, 3, -11, -12, -21, -22)
_PALM_DEPTHS = (1, 2, 4, 8, 16)
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"))


def file_kind(data: bytes) -> FileKind | None:
    """What the bytes say that they are, whether the rest holds together or not; None for no image known here."""
    if data[4:8] == b"ftyp":
        return _of_brands(data)
    for offset, signature, kind in _SIGNATURES:
        start = offset if offset >= 0 else len(data) + offset
        if start >= 0 and data.startswith(signature, start):
            return kind
    if icon := _ICON.match(data):
        return FileKind("ICO", "ICO") if icon[1] == b"\1" else FileKind("CUR (a cursor)")
    if _PPM.match(data):
        return FileKind("PPM", "PPM")
    head = data[:_HEAD_BYTES]
    for pattern, name in _PATTERNS:
        if re.match(pattern, head, re.DOTALL):
            return FileKind(name)
    if _is_svg(head):
        return FileKind("SVG")
    if _is_spider(data):
        return FileKind("SPIDER")
    if _is_palm(data):
        return FileKind("bitmap of Palm OS")
    return _of_gzip(head) if data.startswith(b"\x1f\x8b") else None


def _of_gzip(head: bytes) -> FileKind | None:
    try:
        inner = file_kind(zlib.decompressobj(31).decompress(head, _HEAD_BYTES))
    except zlib.error:
        return None
    return FileKind(f"{inner.name} compressed with gzip") if inner else None


def _is_spider(data: bytes) -> bool:
    """Whether the data begin with a header of SPIDER, all of it floats:
    https://spider.wadsworth.org/spider_doc/spider/docs/image_doc.html.
    """
    if len(data) < 4 * 27:
        return False
    for order in "<>":
        slices, rows, _, _, form, *_ = header = struct.unpack(f"{order}27f", data[: 4 * 27])
        records, columns, length, record = header[12], header[11], header[21], header[22]
        numbers = (slices, rows, columns, records, length, record)
        if form in _SPIDER_FORMS and all(number.is_integer() and number != 0 for number in numbers):
            return bool(length == records * record and rows > 0 and columns > 0 and 4 * 27 <= length <= len(data))
    return False


def _is_palm(data: bytes) -> bool:
    """Whether it is an uncompressed bitmap of Palm OS, without a signature: its numbers have to give its length."""
    if len(data) < 16:
        return False
    columns, rows, row_bytes, flags, depth, version = struct.unpack(">HHHHBB", data[:10])
    colours = 2 + 4 * int.from_bytes(data[16:18], "big") if flags & 0x4000 else 0
    is_consistent = (
        depth in _PALM_DEPTHS and version <= 3 and columns > 0 and 0 <= row_bytes - columns * depth // 8 <= 4
    )
    return is_consistent and rows > 0 and len(data) == 16 + colours + rows * row_bytes


def _is_svg(head: bytes) -> bool:
    # Of UTF-16 only the ASCII characters matter.
    head = (head[2:].replace(b"\0", b"") if head[:2] in (b"\xff\xfe", b"\xfe\xff") else head).lower()
    starts = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg"))
    return starts and b"<svg" in head and b"<html" not in head


def _of_brands(data: bytes) -> FileKind | None:
    """ISO's container of images and films (HEIF, AVIF, MP4 …): its first box lists what can read it."""
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    brands = {box[:4], *(box[start : start + 4] for start in range(8, len(box), 4))}
    if brands & {b"avif", b"avis"}:
        return FileKind("AVIF", "AVIF")
    if brands & _HEIC_BRANDS:
        return FileKind("HEIC", "HEIF")
    return FileKind("CR3 (Canon raw)") if b"crx " in brands else None


def boxes_are_cut(data: bytes) -> bool:
    """Whether HEIF, AVIF or JPEG 2000 is shorter than its boxes say, or a codestream of JPEG 2000 has no end."""
    if data.startswith(b"\xff\x4f"):
        return not data.rstrip(b"\0").endswith(b"\xff\xd9")
    position = 0
    while position + 16 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if length == 1:  # the true one stands behind the name
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        if length < 8:  # 0: up to the end
            return False
        position += length
    return position > len(data)


def gif_has_palette(data: bytes) -> bool:
    """Whether there are colours for the first frame of a GIF."""
    has_colours = 0x80
    if data[10:11] >= bytes([has_colours]):
        return True
    position = 13
    while data[position : position + 1] == b"!":  # an extension: its kind, then blocks, each behind its length
        position += 2
        while length := data[position : position + 1].strip(b"\0"):
            position += 1 + length[0]
        position += 1
    return data[position + 9 : position + 10] >= bytes([has_colours])
