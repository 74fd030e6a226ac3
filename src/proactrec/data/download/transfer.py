"""One file over HTTP: goes on after a break, follows safe redirects, and is whole or not there."""

import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from proactrec.errors import DownloadError, InvalidInputError
from proactrec.progress import Progress, silent

CHUNK = 1 << 20
MAX_BYTES = 64 << 30
"""No published file is larger: a server that sends more sends something else."""
TIMEOUT_S = 30.0
N_ATTEMPTS = 5
PAUSE_S = 1.0
"""Before the second attempt; twice as long before each further one."""
SCHEMES = ("http", "https")
GONE_ON = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which it is worth asking again."""


class UnreachableError(DownloadError):
    """The server, or the way to it, cannot be reached at all."""


class _BrokenError(Exception):
    """A transfer ended before its end; what came is kept."""


class ServerAnswer(NamedTuple):
    """What a server says of the bytes that it is about to send."""

    start: int
    total: int | None
    validator: str | None


def fetch(url: str, target: Path, *, progress: Progress = silent) -> None:
    """Fetch a file to `target`, which appears when it is whole.

    Until then it grows as `target.part`; a later call goes on from there if the server still has
    the same file (its ETag or date is kept beside it). Broken transfers are taken up again
    `N_ATTEMPTS` times. Proxies come from the environment (`HTTPS_PROXY`, `NO_PROXY`, …).

    Raises
    ------
    UnreachableError
        If there is no way to the server.
    DownloadError
        If it refuses, redirects to where it must not, sends more than `MAX_BYTES`, or breaks off
        too often.
    """
    check_url(url)
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(N_ATTEMPTS):
        try:
            _go_on(url, part, progress)
            break
        except _BrokenError as error:
            if attempt + 1 == N_ATTEMPTS:
                again = "the same command goes on from there"
                raise DownloadError(f"{url} {error}; {again}") from error
            time.sleep(PAUSE_S * 2**attempt)
    os.replace(part, target)
    _about(part).unlink(missing_ok=True)


def fetch_text(url: str) -> str:
    """A short text, e.g. a checksum; raises as :func:`fetch`, without trying again."""
    check_url(url)
    try:
        with _open(urllib.request.Request(url)) as response:
            return str(response.read(1 << 16).decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise DownloadError(f"{url} cannot be read: {error}") from error


def check_url(url: str) -> None:
    """Raise :class:`InvalidInputError` unless it is an address of the web."""
    if urlsplit(url).scheme not in SCHEMES or not urlsplit(url).netloc:
        raise InvalidInputError(f"an address must begin with http:// or https://, got {url!r}")


def _go_on(url: str, part: Path, progress: Progress) -> None:
    start, validator = _kept(part, url)
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if start and validator:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", validator)
    try:
        with _open(request) as response:
            answer = _answer(response, start)
            _check_size(answer, part, url)
            _about(part).write_text(
                json.dumps({"url": url, "validator": answer.validator}), encoding="utf-8"
            )
            _receive(response, answer, part, progress, url)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            part.unlink(missing_ok=True)  # it cannot be what is there now
            raise _BrokenError("has changed since the transfer broke off") from error
        said = f"answers {error.code} {error.reason}"
        if error.code in GONE_ON:
            raise _BrokenError(said) from error
        raise DownloadError(f"{url} {said}") from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        n = part.stat().st_size if part.exists() else 0
        raise _BrokenError(f"broke off after {n:,} bytes ({type(error).__name__})") from error


def _receive(
    response: IO[bytes], answer: ServerAnswer, part: Path, progress: Progress, url: str
) -> None:
    with part.open("r+b" if answer.start else "wb") as file:
        file.truncate(answer.start)
        done = file.seek(0, os.SEEK_END)
        while chunk := response.read(CHUNK):
            done += file.write(chunk)
            if done > MAX_BYTES:
                raise DownloadError(f"{url} sends more than {MAX_BYTES:,} bytes")
            total = max((answer.total or done) >> 20, 1)
            progress(part.name.removesuffix(".part"), done >> 20, total, "MiB")
        file.flush()
        os.fsync(file.fileno())
    if answer.total is not None and done < answer.total:
        raise _BrokenError(f"broke off after {done:,} of {answer.total:,} bytes")


def _answer(response: Any, start: int) -> ServerAnswer:
    headers = response.headers
    validator = headers.get("ETag") or headers.get("Last-Modified")
    if validator and validator.startswith("W/"):
        validator = headers.get("Last-Modified")  # a weak tag does not promise the same bytes
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
    if response.status == 206 and span and int(span[1]) == start:
        return ServerAnswer(start, None if span[2] == "*" else int(span[2]), validator)
    if response.status == 206:
        raise _BrokenError(f"sends another part than asked for: {headers.get('Content-Range')}")
    length = headers.get("Content-Length", "")
    return ServerAnswer(0, int(length) if length.isdigit() else None, validator)


def _check_size(answer: ServerAnswer, part: Path, url: str) -> None:
    if answer.total is None:
        return
    if answer.total > MAX_BYTES:
        raise DownloadError(f"{url} would be {answer.total:,} bytes, more than {MAX_BYTES:,}")
    free = shutil.disk_usage(part.parent).free
    if answer.total - answer.start > free:
        raise DownloadError(
            f"{url} needs {answer.total - answer.start:,} bytes in {part.parent}, {free:,} are free"
        )


def _kept(part: Path, url: str) -> tuple[int, str | None]:
    """How much of the file is there from an earlier try, and by what the server knows it."""
    try:
        about = json.loads(_about(part).read_text(encoding="utf-8"))
        if about["url"] == url:
            return part.stat().st_size, about["validator"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return 0, None


def _about(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects to the web only, and never from an encrypted address to an open one."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in SCHEMES or (req.type == "https" and scheme != "https"):
            if fp is not None:
                fp.close()
            raise DownloadError(f"{req.full_url} redirects to {newurl}, which is not safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(request: urllib.request.Request) -> Any:
    request.add_header("User-Agent", "proactrec")
    try:
        return urllib.request.build_opener(_SafeRedirects).open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError:
        raise
    except urllib.error.URLError as error:
        raise UnreachableError(f"{request.full_url} cannot be reached ({error.reason})") from error
