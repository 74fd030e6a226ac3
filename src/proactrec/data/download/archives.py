"""Chosen files out of a ZIP archive that somebody else made, which may be meant to do harm."""

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from proactrec.errors import DownloadError

MAX_BYTES = 20 << 30
MAX_RATIO = 100
"""Text is packed to a tenth or so; what swells a hundredfold is no data set."""
HARMLESS_BYTES = 64 << 20
"""Up to here nobody minds how well something was packed."""


def unpack(archive: Path, names: tuple[str, ...], folder: Path) -> None:
    """Write the named files of an archive into a folder, without the folders they lie in.

    The whole archive is refused if any name in it leads out of it or is a link, and before a byte
    is written.

    Raises
    ------
    DownloadError
        If it is no ZIP archive or a damaged one, lacks a file, wants to write elsewhere, or holds
        more than `MAX_BYTES` or than `MAX_RATIO` times its own size.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                _check_place(member, archive)
            members = [_member(opened, name, archive) for name in names]
            _check_size(members, archive)
            folder.mkdir(parents=True, exist_ok=True)
            for member, name in zip(members, names, strict=True):
                with opened.open(member) as packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
                    os.fsync(file.fileno())
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, DownloadError):
            raise
        raise DownloadError(f"{archive} is not a whole ZIP archive: {error}") from error


def _check_place(member: zipfile.ZipInfo, archive: Path) -> None:
    # orig_filename is what the archive says; filename was cleaned of NULs and back slashes already.
    path = PurePosixPath(member.orig_filename.replace("\\", "/"))
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    has_drive = bool(path.parts) and path.parts[0].endswith(":")
    if path.is_absolute() or ".." in path.parts or has_drive or is_link:
        what = "is a link" if is_link else "leads out of it"
        raise DownloadError(
            f"{archive} holds {member.orig_filename!r}, which {what}: nothing was unpacked"
        )


def _member(opened: zipfile.ZipFile, name: str, archive: Path) -> zipfile.ZipInfo:
    found = [one for one in opened.infolist() if PurePosixPath(one.filename).name == name]
    if not found:
        raise DownloadError(f"{archive} does not hold {name}; it holds {opened.namelist()[:10]}")
    return min(found, key=lambda one: one.filename.count("/"))


def _check_size(members: list[zipfile.ZipInfo], archive: Path) -> None:
    n_bytes = sum(member.file_size for member in members)
    if n_bytes > MAX_BYTES or n_bytes > max(HARMLESS_BYTES, MAX_RATIO * archive.stat().st_size):
        raise DownloadError(
            f"{archive} would swell from {archive.stat().st_size:,} to {n_bytes:,} bytes: "
            "nothing was unpacked"
        )
    free = shutil.disk_usage(archive.parent).free
    if n_bytes > free:
        raise DownloadError(f"{archive} needs {n_bytes:,} bytes unpacked, {free:,} are free")
