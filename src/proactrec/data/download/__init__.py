"""Fetching a published data set: licence, transfer, checksum, unpacking, and its place."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from proactrec.data.download.archives import unpack
from proactrec.data.download.transfer import UnreachableError, check_url, fetch, fetch_text
from proactrec.data.sources import PART, SOURCES, Remote, Source
from proactrec.errors import DataWarning, DownloadError, InvalidInputError, UnknownIdError
from proactrec.files import write_text
from proactrec.progress import Progress, silent

WORK = ".downloads"
LICENCES = ".licences.json"
MAGIC = {".zip": b"PK", ".gz": b"\x1f\x8b"}


def source_of(name: str) -> Source:
    """The published data set of a name that can be fetched.

    Raises
    ------
    UnknownIdError
        If there is none.
    InvalidInputError
        If its publisher wants a login, naming the page and the files.
    """
    if name not in SOURCES:
        raise UnknownIdError(f"data set {name!r} is not published; there are {', '.join(SOURCES)}")
    source = SOURCES[name]
    if not source.remotes:
        raise InvalidInputError(
            f"{name} cannot be fetched without a login: get {', '.join(source.files)} from "
            f"{source.home} and put them into ROOT/{source.folder or name}/"
        )
    return source


def is_accepted(name: str, root: Path) -> bool:
    """Whether the licence, as it reads now, was accepted for this data folder, or needs not be."""
    source = SOURCES[name]
    return source.is_free or _accepted(root).get(name, {}).get("licence") == source.licence


def accept(name: str, root: Path) -> None:
    """Keep in the data folder that a set's licence was accepted today."""
    given = {"licence": SOURCES[name].licence, "date": date.today().isoformat()}
    content = json.dumps({**_accepted(root), name: given}, indent=1, ensure_ascii=False)
    write_text(root / LICENCES, content)


def download(
    name: str,
    root: Path,
    *,
    mirror: str | None = None,
    part: str | None = None,
    progress: Progress = silent,
) -> tuple[Path, list[str]]:
    """Fetch what a data folder lacks of a published set; its files appear whole and checked.

    Parameters
    ----------
    root : Path
        The data folder. An archive that was put there by hand is used instead of fetching it.
    mirror : str, optional
        Address of a folder that has the same files, instead of the publisher's.
    part : str, optional
        Which part of a set that comes in parts, e.g. All_Beauty of amazon-2023.

    Returns
    -------
    Path
        The set's folder.
    list of str
        Names of the files that are new there.

    Raises
    ------
    UnknownIdError, InvalidInputError
        As :func:`source_of`; also if the licence was not accepted, or a part is missing or odd.
    DownloadError
        If a file cannot be had, or is not what the publisher gave away.
    """
    source = source_of(name)
    if not is_accepted(name, root):
        raise InvalidInputError(
            f"{name} comes under a licence: {source.licence}. Read {source.home}, and accept it "
            "once with --accept-licence"
        )
    remotes = [_addressed(remote, mirror, part, name) for remote in source.remotes]
    folder, fresh = root / (source.folder or name), []
    with _alone(root / WORK):
        for remote in remotes:
            fresh += _provide(remote, root, folder, progress)
    return folder, fresh


def _provide(remote: Remote, root: Path, folder: Path, progress: Progress) -> list[str]:
    """Bring a remote's files into the folder, and say which are new."""
    file_name = _file_name(remote.url)
    names = remote.members or (file_name,)
    if all((folder / name).exists() for name in names):
        return []
    by_hand, work = root / file_name, root / WORK / file_name
    path = by_hand if remote.members and by_hand.exists() else work
    if not path.exists():
        try:
            fetch(remote.url, path, progress=progress)
        except UnreachableError as error:
            raise DownloadError(f"{error}. {_without_network(remote, root, folder)}") from error
    ready = root / WORK / f"{file_name}.unpacked" if remote.members else work.parent
    try:
        _check(path, remote)
        if remote.members:
            unpack(path, remote.members, ready)
    except DownloadError:
        work.unlink(missing_ok=True)  # what was put there by hand stays
        raise
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        os.replace(ready / name, folder / name)
    if remote.members:
        shutil.rmtree(ready)
        work.unlink(missing_ok=True)
    return list(names)


def _check(path: Path, remote: Remote) -> None:
    """Refuse what is not the publisher's file."""
    with path.open("rb") as file:
        start = file.read(64)
    magic = MAGIC.get(path.suffix)
    is_page = magic is None and start.lstrip().lower().startswith((b"<!doctype", b"<html"))
    fault = ""
    if is_page or (magic is not None and not start.startswith(magic)):
        fault = f"is no {path.suffix or 'data'} file, it begins with {start[:20]!r}"
    elif wanted := remote.md5 or _published_md5(remote):
        found = _md5(path)
        if found != wanted:
            fault = f"has the MD5 checksum {found}, its publisher says {wanted}"
    if fault:
        raise DownloadError(f"{path.name} of {remote.url} {fault}: it is not used")


def _published_md5(remote: Remote) -> str | None:
    if not remote.has_md5_file:
        return None
    try:
        text = fetch_text(f"{remote.url}.md5")
    except DownloadError as error:
        warnings.warn(f"no checksum could be had: {error}", DataWarning, stacklevel=2)
        return None
    found = re.search(r"\b[0-9a-f]{32}\b", text.lower())
    if found is None:
        raise DownloadError(f"{remote.url}.md5 holds no MD5 checksum, got {text[:40]!r}")
    return found[0]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _addressed(remote: Remote, mirror: str | None, part: str | None, name: str) -> Remote:
    """The remote at the mirror, with the part that is asked for."""
    url = remote.url
    if PART in url:
        if part is None or not re.fullmatch(r"\w+", part):
            raise InvalidInputError(
                f"{name} comes in parts: name one as on {SOURCES[name].home}, e.g. "
                f"--part All_Beauty, got {part!r}"
            )
        url = url.replace(PART, part)
    elif part is not None:
        raise InvalidInputError(f"{name} does not come in parts, got --part {part}")
    if mirror is not None:
        check_url(mirror)
        url = f"{mirror.rstrip('/')}/{_file_name(url)}"
    return remote._replace(url=url)


def _without_network(remote: Remote, root: Path, folder: Path) -> str:
    file_name = _file_name(remote.url)
    place = root / file_name if remote.members else folder / file_name
    again = " and give this command again" if remote.members else ""
    return (
        f"Without a network: fetch {file_name} on another machine, put it at {place}{again}; "
        "or name a mirror with --mirror"
    )


def _file_name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


def _accepted(root: Path) -> dict[str, dict[str, str]]:
    try:
        content = json.loads((root / LICENCES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Hold the folder of unfinished downloads, waiting for whoever has it."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / ".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
