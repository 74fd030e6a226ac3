"""Archives that mean harm: nothing is written, and one sentence says why."""

import io
import re
import stat
import zipfile
from pathlib import Path

import pytest

from proactrec.data.download import archives
from proactrec.data.download.archives import unpack
from proactrec.errors import DownloadError

Member = tuple[str | zipfile.ZipInfo, bytes]


def zipped(*members: Member) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


GOOD: Member = ("ml/ratings.dat", b"1::2::3::4\n")


def tampered(content: bytes) -> bytes:
    """The archive with another byte in its first file."""
    at = content.index(b"ml/ratings.dat") + len("ml/ratings.dat") + 3
    return content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :]


def with_stated_size(content: bytes, size: int) -> bytes:
    """The archive whose directory says that its first file is `size` bytes long."""
    at = content.rindex(b"PK\x01\x02") + 24
    return content[:at] + size.to_bytes(4, "little") + content[at + 4 :]


BAD = {
    "parent folder": (zipped(GOOD, ("../evil", b"x")), "'../evil', which leads out of it"),
    "parent folder inside": (zipped(GOOD, ("a/../../evil", b"x")), "which leads out of it"),
    "back slashes": (zipped(GOOD, ("..\\evil", b"x")), "which leads out of it"),
    "absolute": (zipped(GOOD, ("/etc/evil", b"x")), "'/etc/evil', which leads out of it"),
    "drive": (zipped(GOOD, ("C:/evil", b"x")), "which leads out of it"),
    "link": (zipped(GOOD, (link("ml/link"), b"/etc")), "'ml/link', which is a link"),
    "wanted file is a link": (zipped((link("ml/ratings.dat"), b"/etc")), "which is a link"),
    "file missing": (zipped(("ml/other.dat", b"x")), "does not hold ratings.dat"),
    "bomb": (zipped(("ml/ratings.dat", bytes(100 << 20))), "would swell from"),
    "no archive": (b"PK but no more", "is not a whole ZIP archive"),
    "empty": (b"", "is not a whole ZIP archive"),
    "cut off": (zipped(GOOD)[:-30], "is not a whole ZIP archive"),
    "damaged": (tampered(zipped(("ml/ratings.dat", b"abc" * 999))), "is not a whole ZIP archive"),
    "stated too small": (
        with_stated_size(zipped(("ml/ratings.dat", b"abc" * 999)), 10),
        "is not a whole ZIP archive",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_archive_writes_nothing(kind: str, tmp_path: Path) -> None:
    content, message = BAD[kind]
    archive, folder = tmp_path / "ml.zip", tmp_path / "deep" / "out"
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match=re.escape(message)) as caught:
        unpack(archive, ("ratings.dat",), folder)
    assert "\n" not in str(caught.value)
    evil = [path for path in tmp_path.rglob("*") if path.name in ("evil", "link")]
    assert not evil
    if "leads out" in message or "link" in message or "swell" in message:
        assert not folder.exists()


def test_named_files_are_written_without_their_folders(tmp_path: Path) -> None:
    archive = tmp_path / "ml.zip"
    other: Member = ("ml/deeper/movies.dat", b"not this one")
    archive.write_bytes(zipped(other, GOOD, ("ml/movies.dat", b"films"), ("ml/README", b"x")))
    unpack(archive, ("ratings.dat", "movies.dat"), tmp_path / "out")
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert found == {"ratings.dat": GOOD[1], "movies.dat": b"films"}


def test_archive_larger_than_allowed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 5)
    archive = tmp_path / "ml.zip"
    archive.write_bytes(zipped(GOOD))
    with pytest.raises(DownloadError, match="would swell"):
        unpack(archive, ("ratings.dat",), tmp_path)
