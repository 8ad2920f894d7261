"""Lists of images that somebody wrote: the keys in them, one for each line or row.

Bytes that are not UTF-8 come out escaped, as those of file names do.
"""

import codecs
import csv
import gzip
import io
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, cast

from mxspark import storage
from mxspark.errors import UsageError, one_line
from mxspark.storage import Access, TooLargeError
from mxspark.text import delimited
from mxspark.text.words import listed

HINT = "Write UTF-8 text with one key a line (.txt), or a table with a column `key` (.csv, .tsv, .parquet)."
UNPACK = (
    "Unpack it: name the folder or prefix with its images, or a list of them (.txt, .csv, .tsv, .lst, .parquet; "
    ".txt.gz)."
)
SUFFIXES = (".txt", ".csv", ".tsv", ".lst", ".parquet")
TEXTS = SUFFIXES[:-1]  # which may be packed by gzip
PACKED = ".gz"
# Names of lists, tables and archives that people have, and nobody's images: one taken for an image would be a row, and
# no list.
_OTHERS = {
    r"json|jsonl|ndjson|yaml|yml|xml|xlsx|xls|ods|orc|avro|feather|arrow|db|sqlite": HINT,
    r"gz|bz2|xz|zst|lz4|zip|7z|rar|tar|tgz|tbz2|txz|rec|idx|tfrecord": UNPACK,
}
LONGEST_LINE = 2**16  # characters; a key of S3 has 1,024 at most, and what is longer than this is no list
# The user and password of an address, which no plan, table or log may have. A password may have a slash in it that
# should be escaped; digits before a slash are a port.
_USER = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)([^/]*@|[^/:@\[]+:\d*[^\d/@][^@]*@)")
HIDDEN_USER = "…@"  # what stands for them in a key
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # how UTF-16 and UTF-32 begin
_GZIP = b"\x1f\x8b"  # how it begins
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def is_manifest(place: str) -> bool:
    """Whether a place is a manifest by its name."""
    name = place.lower()
    return name.endswith(SUFFIXES) or (name.endswith(PACKED) and name.removesuffix(PACKED).endswith(TEXTS))


def why_not_read(place: str) -> str | None:
    """What to do instead, where a place is by its name a list that isn't read or an archive; None where it may be
    images.
    """
    if is_manifest(place):
        return None
    return next((hint for kinds, hint in _OTHERS.items() if re.search(rf"\.({kinds})\Z", place.lower())), None)


def hides_user(key: str) -> bool:
    """Whether a key's line is an address with a user or a password."""
    return f"://{HIDDEN_USER}" in key


def read(path: str, access: Access, no_key: Callable[[], None], limit: int) -> Iterator[str]:
    """The keys in a manifest of `limit` bytes at most, in its order; `no_key` is called for each row of a table that
    has none.

    Raises StorageError where it can't be read, UsageError where it is no manifest.
    """
    with tempfile.TemporaryFile() as file:
        try:
            storage.download(path, access, file, limit)
        except TooLargeError as error:
            raise UsageError(
                f"{path}: {error.problem} by input.max_manifest_bytes", "Check the manifest's place, or raise it."
            ) from None
        file.seek(0)
        if path.lower().endswith(".parquet"):
            from mxspark.dataset import parquet  # only here: who asks what a manifest is called need not load Arrow

            keys: Iterator[str | None] = parquet.read_column(file, "key", path)
        else:
            keys = _text_keys(file, path)
        for key in keys:
            if key and len(key) > LONGEST_LINE:
                raise UsageError(f"{path}: not a manifest: a key has more than {LONGEST_LINE:,} characters", HINT)
            if key:
                yield _USER.sub(rf"\1{HIDDEN_USER}", storage.escape_bytes(key))
            else:
                no_key()


def _text_keys(file: IO[bytes], path: str) -> Iterator[str | None]:
    kind = path.lower().removesuffix(PACKED).rpartition(".")[2]
    with _text(file, path) as lines:
        if kind in ("csv", "tsv"):
            yield from _table_keys(lines, path)
            return
        # Trailing blanks are unintended; quotes keep them.
        whole = (line.rstrip("\r\n") for line in lines)
        keys: Iterator[str | None] = (
            _im2rec_keys(whole, path) if kind == "lst" else (line.rstrip(" \t") for line in whole)
        )
        yield from (_unquoted(key) if key else None for key in keys if key != "")


def _unquoted(line: str) -> str:
    """A line as a CSV reader sees its one field: what stands in quotes is the key to the letter."""
    quoted = _QUOTED.fullmatch(line)
    return quoted[1].replace('""', '"') if quoted else line


def _im2rec_keys(lines: Iterator[str], path: str) -> Iterator[str | None]:
    """The last column of MXNet's own lists: number, labels and path, with tabs between them, None where the path is
    missing.

    A line without tabs is a key.
    """
    for number, line in enumerate(lines, start=1):
        *before, key = line.rstrip(" \t").split("\t")
        numbers = [*before, key] if line.endswith("\t") or len(before) == 1 else []
        if numbers and all(map(_is_number, numbers)):
            yield None
            continue
        if before and not (len(before) > 1 and all(map(_is_number, before))):
            raise UsageError(
                f"{path}: line {number} is not of MXNet's form: {line[:80]!r}",
                "Write number, label and path with tabs between them, as im2rec does; or call the file .txt, with one "
                "key a line.",
            )
        yield key


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text.strip()) is not None


def _table_keys(lines: Iterator[str], path: str) -> Iterator[str | None]:
    """The column `key`. The delimiter is the one by which the first line has such a column."""
    first = next(lines, "")
    delimiter, names = delimited.header(first, "key")
    if names.count("key") != 1:
        has = "several columns `key`" if "key" in names else f"no column `key`, only {listed(names) or 'an empty line'}"
        raise UsageError(
            f"{path}: has {has}",
            "Name one column `key` in the first line; where each line is a key, call the file .txt.",
        )
    position = names.index("key")
    rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=f"{delimiter} " in first, strict=True)
    try:
        for row in rows:
            if len(row) > len(names):
                raise UsageError(
                    f"{path}: line {rows.line_num + 1} has {len(row)} fields, the first line only {len(names)}",
                    "Put keys with commas between double quotes; where each line is a key, call the file .txt.",
                )
            if any(row):
                yield row[position].rstrip(" \t") if len(row) > position else None
    except csv.Error as error:  # of a quote that nobody closed, the lines after it would be lost
        raise UsageError(f"{path}: line {rows.line_num + 1} is not CSV: {error}", HINT) from None


@contextmanager
def _text(file: IO[bytes], path: str) -> Iterator[Iterator[str]]:
    """The lines with their ends, of a file that may be packed by gzip, whatever it is called."""
    is_packed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    whole = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if is_packed else file
    try:
        if not _is_text(whole.read(LONGEST_LINE)):
            raise UsageError(f"{path}: not a manifest: it is not UTF-8 text", HINT)
        whole.seek(0)
        with io.TextIOWrapper(whole, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            yield _lines(text, path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{path}: broken gzip: {one_line(error)}", "Write or upload it again.") from None


def _is_text(head: bytes) -> bool:
    """Whether a file that begins so is a list with at most some damaged lines: those have a NUL, and are rows that
    can't be read.

    With NULs it is UTF-16 or UTF-32 where it says so or a quarter are NULs, and binary where a line with one isn't
    UTF-8 either.
    """
    if b"\0" not in head:
        return True
    if head.startswith(_WIDE) or head.count(b"\0") * 4 >= len(head):
        return False
    lines = head.split(b"\n")
    whole = lines[:-1] if len(head) == LONGEST_LINE else lines  # the last may be cut within a character
    return all(map(_is_utf8, (line for line in whole if b"\0" in line)))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _lines(text: IO[str], path: str) -> Iterator[str]:
    number = 0
    while line := text.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise UsageError(f"{path}: not a manifest: line {number} has more than {LONGEST_LINE:,} characters", HINT)
        yield line
