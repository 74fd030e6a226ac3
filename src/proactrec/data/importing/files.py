"""Which files an import reads, what kind each is, and plain UTF-8 text of those that are text."""

import codecs
import glob
import gzip
import shutil
import zlib
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import IO, Literal, NamedTuple

from proactrec.data.imported import SETTINGS
from proactrec.errors import DataError, InvalidInputError

Kind = Literal["text", "jsonl", "parquet"]
KINDS: dict[str, Kind] = {
    ".csv": "text",
    ".tsv": "text",
    ".txt": "text",
    ".dat": "text",
    ".data": "text",
    ".tab": "text",
    ".log": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
CHUNK = 1 << 24
BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Lines(NamedTuple):
    """What a look at the bytes of a text file tells."""

    n_lines: int
    n_quotes: int


def find(patterns: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Files that patterns name, in the order of their names, and those of no known kind.

    A folder stands for all that lies in it and below, but for hidden files, those whose name
    begins with an underscore (`_SUCCESS`), and what earlier imports wrote into folders below.

    Raises
    ------
    InvalidInputError
        If a pattern names nothing, or a single file is of no known kind.
    """
    found, ignored = [], []
    for pattern in patterns:
        paths, is_named = _paths(pattern)
        for path in paths:
            if kind_of(path):
                found.append(path)
            elif is_named:
                raise InvalidInputError(
                    f"{path} must end in {', '.join(KINDS)} (text also with .gz), to tell its type"
                )
            else:
                ignored.append(path)
        if not any(kind_of(path) for path in paths):
            raise InvalidInputError(f"{pattern} holds no file that ends in {', '.join(KINDS)}")
    return list(dict.fromkeys(found)), ignored


def kind_of(path: Path) -> Kind | None:
    """What a file is, by its name."""
    is_packed = path.suffix.lower() == ".gz"
    kind = KINDS.get((path.with_suffix("") if is_packed else path).suffix.lower())
    return None if is_packed and kind == "parquet" else kind


def plain(path: Path, encoding: str, folder: Path) -> Path:
    """The file itself if it is UTF-8 text, else an unpacked UTF-8 copy in `folder`.

    Raises
    ------
    DataError
        If the file is empty, not a whole gzip file, or not text of this encoding.
    InvalidInputError
        If there is no such encoding.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty")
    try:
        "".encode(encoding)  # of what is no encoding of text, as hex, that is refused
        is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
    except (LookupError, ValueError) as error:
        raise InvalidInputError(f"encoding {encoding!r} does not exist for text") from error
    is_packed = path.suffix.lower() == ".gz"
    if not is_packed and is_utf8:
        _refuse_utf16(path, path)
        return path
    copy = folder / f"{len(list(folder.iterdir()))}-{path.stem}"
    try:
        with gzip.open(path) if is_packed else path.open("rb") as source, copy.open("wb") as out:
            if is_utf8:
                shutil.copyfileobj(source, out, CHUNK)
            else:
                _recode(source, out, path, encoding)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}") from error
    if copy.stat().st_size == 0:
        raise DataError(f"{path} is empty")
    if is_utf8:
        _refuse_utf16(copy, path)
    return copy


def look(path: Path) -> Lines:
    """Lines and quotes of a text file, at the speed of the disk."""
    n_lines = n_quotes = 0
    last = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            n_lines += chunk.count(b"\n")
            n_quotes += chunk.count(b'"')
            last = chunk[-1:]
    return Lines(n_lines + (last not in (b"\n", b"")), n_quotes)


def _paths(pattern: str) -> tuple[list[Path], bool]:
    path = Path(pattern)
    if path.is_dir():
        inside = [p for p in sorted(path.rglob("*")) if p.is_file()]
        ours = {p.parent for p in inside if p.name == SETTINGS and p.parent != path}
        return [
            p for p in inside if p.parent not in ours and not _is_hidden(p.relative_to(path))
        ], False
    if path.exists():
        return [path], True
    if glob.has_magic(pattern):
        return [Path(p) for p in sorted(glob.glob(pattern, recursive=True)) if Path(p).is_file()], (
            False
        )
    raise InvalidInputError(f"{path} does not exist")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _refuse_utf16(path: Path, called: Path) -> None:
    with path.open("rb") as file:
        start = file.read(2)
    if start in BYTE_ORDER_MARKS:
        raise DataError(f"{called} is {BYTE_ORDER_MARKS[start]} text: give --encoding utf-16")


def _recode(
    source: BufferedReader | gzip.GzipFile, out: IO[bytes], path: Path, encoding: str
) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    n_lines = 0
    while True:
        chunk = source.read(CHUNK)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line = n_lines + error.object[: error.start].count(b"\n") + 1
            raise DataError(
                f"{path} is not {encoding} text: {error.reason} in line {line}"
            ) from error
        except UnicodeError as error:  # as where UTF-16 does not begin with its mark
            raise DataError(f"{path} is not {encoding} text: {error}") from error
        out.write(text.encode())
        n_lines += text.count("\n")
        if not chunk:
            return
