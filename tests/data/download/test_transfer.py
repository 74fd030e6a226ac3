"""One file from a real server on this machine that breaks off, lies and redirects."""

import random
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from proactrec.data.download import transfer
from proactrec.data.download.transfer import UnreachableError, fetch
from proactrec.errors import DownloadError, InvalidInputError

from .conftest import Publisher, Reply, answering

CONTENT = random.Random(5).randbytes(300_000)


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "CHUNK", 10_000)
    monkeypatch.setattr(transfer, "PAUSE_S", 0)


@pytest.fixture
def url(publisher: Publisher) -> str:
    publisher.files["/ml.zip"] = CONTENT
    return f"{publisher.url}/ml.zip"


def test_file_is_there_when_it_is_whole_and_alone(url: str, tmp_path: Path) -> None:
    told: list[tuple[str, int, int, str]] = []
    fetch(url, tmp_path / "deep" / "ml.zip", progress=lambda *step: told.append(step))
    assert (tmp_path / "deep" / "ml.zip").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["ml.zip"]
    assert told[-1][0] == "ml.zip"


def test_broken_transfer_goes_on_where_it_stopped(
    url: str, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.replies = [publisher.breaking_after(120_000), publisher.breaking_after(60_000)]
    fetch(url, tmp_path / "ml.zip")
    assert (tmp_path / "ml.zip").read_bytes() == CONTENT
    asked = [(request.range, request.condition) for request in publisher.requests]
    assert asked == [(None, None), ("bytes=120000-", '"v1"'), ("bytes=180000-", '"v1"')]


def test_later_call_goes_on_where_an_earlier_one_gave_up(
    url: str, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.replies = [publisher.breaking_after(20_000) for _ in range(5)]
    message = "ml.zip broke off after 100,000 of 300,000 bytes; the same command goes on from there"
    with pytest.raises(DownloadError, match=re.escape(message)):
        fetch(url, tmp_path / "ml.zip")
    assert not (tmp_path / "ml.zip").exists()
    fetch(url, tmp_path / "ml.zip")
    assert (tmp_path / "ml.zip").read_bytes() == CONTENT
    assert publisher.requests[-1].range == "bytes=100000-"


def test_file_that_changed_meanwhile_starts_again(
    url: str, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.replies = [publisher.breaking_after(120_000, tag='"v0"')]
    fetch(url, tmp_path / "ml.zip")
    assert (tmp_path / "ml.zip").read_bytes() == CONTENT
    assert publisher.requests[-1].condition == '"v0"'


def test_rest_of_another_address_is_not_continued(
    url: str, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.replies = [publisher.breaking_after(20_000) for _ in range(5)]
    publisher.files["/other.zip"] = b"other"
    with pytest.raises(DownloadError):
        fetch(url, tmp_path / "ml.zip")
    fetch(f"{publisher.url}/other.zip", tmp_path / "ml.zip")
    assert (tmp_path / "ml.zip").read_bytes() == b"other"


def test_rest_longer_than_the_file_is_thrown_away(
    url: str, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.replies = [publisher.breaking_after(200_000)]
    publisher.replies += [answering(503)] * 4
    with pytest.raises(DownloadError, match="answers 503"):
        fetch(url, tmp_path / "ml.zip")
    publisher.files["/ml.zip"] = CONTENT[:150_000]
    fetch(url, tmp_path / "ml.zip")
    assert (tmp_path / "ml.zip").read_bytes() == CONTENT[:150_000]


def test_server_without_tags_starts_again(url: str, publisher: Publisher, tmp_path: Path) -> None:
    publisher.replies = [answering(200, {"Content-Length": "300000"}, CONTENT[:5_000])]
    fetch(url, tmp_path / "ml.zip")
    assert (tmp_path / "ml.zip").read_bytes() == CONTENT
    assert publisher.requests[-1].range is None


def test_busy_server_is_asked_again(url: str, publisher: Publisher, tmp_path: Path) -> None:
    publisher.replies = [answering(503), answering(429), closing]
    fetch(url, tmp_path / "ml.zip")
    assert (tmp_path / "ml.zip").read_bytes() == CONTENT


def closing(handler: BaseHTTPRequestHandler) -> None:
    """Hang up without a word."""
    handler.close_connection = True


def test_redirects_are_followed(url: str, publisher: Publisher, tmp_path: Path) -> None:
    publisher.replies = [answering(302, {"Location": "/ml.zip"})]
    fetch(f"{publisher.url}/old.zip", tmp_path / "ml.zip")
    assert (tmp_path / "ml.zip").read_bytes() == CONTENT


CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


def chunked(body: bytes) -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        answering(200, {"Transfer-Encoding": "chunked", "Connection": "close"}, body)(handler)
        handler.close_connection = True

    return reply


def test_file_of_untold_length_is_fetched(url: str, publisher: Publisher, tmp_path: Path) -> None:
    publisher.replies = [chunked(CHUNKED)]
    fetch(url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"hello"


BAD_REPLIES = {
    "not there": (answering(404), "answers 404"),
    "forbidden": (answering(403), "answers 403"),
    "to a file": (answering(302, {"Location": "file:///etc/passwd"}), "answers 302"),
    "to another protocol": (
        answering(302, {"Location": "ftp://127.0.0.1/x"}),
        "redirects to ftp://127.0.0.1/x, which is not safe",
    ),
    "too large": (
        answering(200, {"Content-Length": "2000000"}),
        "would be 2,000,000 bytes, more than 1,000,000",
    ),
    "endless": (answering(200, {}, b"x" * 1_100_000), "sends more than 1,000,000 bytes"),
}


@pytest.mark.parametrize("kind", BAD_REPLIES)
def test_bad_reply_ends_in_one_sentence(
    kind: str, url: str, publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "MAX_BYTES", 1_000_000)
    reply, message = BAD_REPLIES[kind]
    publisher.replies = [reply]
    with pytest.raises(DownloadError, match=re.escape(message)) as caught:
        fetch(url, tmp_path / "x")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists()


BREAKING = {
    "chunks that break off": chunked(b"5\r\nhel"),
    "chunks that are none": chunked(b"zz\r\n"),
    "length that is too long": answering(200, {"Content-Length": "99"}, b"short"),
    "part that was not asked for": answering(206, {"Content-Range": "bytes 7-9/10"}, b"abc"),
    "part without a place": answering(206, {}, b"abc"),
    "hanging up": closing,
}


@pytest.mark.parametrize("kind", BREAKING)
def test_reply_that_is_never_whole_is_given_up(
    kind: str, url: str, publisher: Publisher, tmp_path: Path
) -> None:
    publisher.replies = [BREAKING[kind]] * 5
    with pytest.raises(DownloadError, match="the same command goes on from there"):
        fetch(url, tmp_path / "x")
    assert len(publisher.requests) == 5
    assert not (tmp_path / "x").exists()


def test_redirect_in_circles_ends(url: str, publisher: Publisher, tmp_path: Path) -> None:
    publisher.replies = [answering(302, {"Location": "/ml.zip"})] * 20
    with pytest.raises(DownloadError, match="answers 302"):
        fetch(url, tmp_path / "x")


def test_encrypted_address_is_never_left_for_an_open_one() -> None:
    handler = transfer._SafeRedirects()
    request = transfer.urllib.request.Request("https://a/x")
    with pytest.raises(DownloadError, match="redirects to http://a/x, which is not safe"):
        handler.redirect_request(request, None, 302, "", {}, "http://a/x")


def test_server_that_is_not_there_is_said_at_once(tmp_path: Path, publisher: Publisher) -> None:
    publisher.close()
    with pytest.raises(UnreachableError, match=r"cannot be reached \(.*refused"):
        fetch(f"{publisher.url}/x", tmp_path / "x")


def test_full_disk_is_noticed_before_anything_is_sent(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1_000})
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DownloadError, match=r"needs 300,000 bytes in .*, 1,000 are free"):
        fetch(url, tmp_path / "x")


def test_proxy_of_the_environment_is_used(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.files["http://files.example.org/x.dat"] = b"through the proxy"
    monkeypatch.setenv("http_proxy", publisher.url)
    monkeypatch.delenv("no_proxy", raising=False)
    fetch("http://files.example.org/x.dat", tmp_path / "x.dat")
    assert (tmp_path / "x.dat").read_bytes() == b"through the proxy"
    assert publisher.requests[0].path == "http://files.example.org/x.dat"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "/etc/passwd", "http:///x", ""])
def test_address_that_is_none_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="an address must begin with http:// or https://"):
        fetch(url, tmp_path / "x")
