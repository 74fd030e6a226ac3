"""A whole set from a mirror on this machine: licence, checksum, place, and no network at all."""

import gzip
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import pytest

from proactrec.cli.main import main
from proactrec.data import download as module
from proactrec.data.download import accept, download, is_accepted
from proactrec.data.load import load_dataset
from proactrec.data.sources import SOURCES
from proactrec.errors import DataWarning, DownloadError, InvalidInputError, UnknownIdError

from .conftest import Publisher, answering

RATINGS = "".join(
    f"{user},{film},4.0,{film + user}\n" for user in range(1, 6) for film in range(1, 6)
)
FILES = {
    "ratings.csv": "userId,movieId,rating,timestamp\n" + RATINGS,
    "movies.csv": "movieId,title,genres\n"
    + "".join(f"{film},Film {film},Drama|War\n" for film in range(1, 6)),
    "tags.csv": "userId,movieId,tag,timestamp\n1,1,old,5\n",
}


def archive_of(files: dict[str, str], folder: str = "ml-latest-small") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{folder}/{name}", text)
    return packed.getvalue()


@pytest.fixture
def root(publisher: Publisher, tmp_path: Path) -> Path:
    """An empty data folder, and a publisher that has MovieLens latest-small."""
    content = archive_of(FILES)
    checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
    publisher.files["/m/ml-latest-small.zip"] = content
    publisher.files["/m/ml-latest-small.zip.md5"] = f"MD5 (x.zip) = {checksum}\n".encode()
    accept("ml-latest-small", tmp_path)
    return tmp_path


def fetch(name: str, root: Path, publisher: Publisher, **options: str) -> list[str]:
    return download(name, root, mirror=f"{publisher.url}/m/", **options)[1]


def test_set_is_fetched_checked_and_can_be_loaded(root: Path, publisher: Publisher) -> None:
    assert fetch("ml-latest-small", root, publisher) == list(FILES)
    dataset = load_dataset("ml-latest-small", data_dir=root, filter="none")
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (5, 5, 25)
    assert sorted(p.name for p in root.iterdir() if p.name[0] != ".") == ["ml-latest-small"]
    assert [path.name for path in (root / module.WORK).iterdir()] == [".lock"]


def test_set_that_is_there_is_not_fetched_again(root: Path, publisher: Publisher) -> None:
    fetch("ml-latest-small", root, publisher)
    n_requests = len(publisher.requests)
    assert fetch("ml-latest-small", root, publisher) == []
    assert len(publisher.requests) == n_requests


def test_wrong_bytes_are_thrown_away(root: Path, publisher: Publisher) -> None:
    right = publisher.files["/m/ml-latest-small.zip"]
    publisher.files["/m/ml-latest-small.zip"] = archive_of({**FILES, "ratings.csv": "other"})
    with pytest.raises(DownloadError, match=r"has the MD5 checksum \w{32}, its publisher says"):
        fetch("ml-latest-small", root, publisher)
    assert not (root / "ml-latest-small").exists()
    publisher.files["/m/ml-latest-small.zip"] = right
    assert fetch("ml-latest-small", root, publisher) == list(FILES)


def test_wrong_bytes_of_a_set_with_a_known_checksum_are_refused(
    root: Path, publisher: Publisher
) -> None:
    publisher.files["/m/ml-1m.zip"] = archive_of({"ratings.dat": "x", "movies.dat": "y"})
    accept("ml-1m", root)
    with pytest.raises(DownloadError, match="its publisher says c4d9eecfca2ab87c1945afe126590906"):
        fetch("ml-1m", root, publisher)


def test_page_instead_of_the_file_is_refused(root: Path, publisher: Publisher) -> None:
    page = b"<!DOCTYPE html><p>Please log in"
    publisher.files["/m/ml-latest-small.zip"] = page
    with pytest.raises(DownloadError, match=re.escape("is no .zip file, it begins with b'<!DOC")):
        fetch("ml-latest-small", root, publisher)
    publisher.files["/m/ratings.dat"] = page
    with pytest.raises(DownloadError, match=re.escape("is no .dat file, it begins with")):
        fetch("movietweetings", root, publisher)


def test_archive_that_leads_out_places_nothing(root: Path, publisher: Publisher) -> None:
    content = archive_of({**FILES, "../../evil": "x"})
    publisher.files["/m/ml-latest-small.zip"] = content
    checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
    publisher.files["/m/ml-latest-small.zip.md5"] = checksum.encode()
    with pytest.raises(DownloadError, match="leads out of it: nothing was unpacked"):
        fetch("ml-latest-small", root, publisher)
    assert not (root / "ml-latest-small").exists()
    assert not list(root.rglob("evil"))


def test_missing_checksum_is_a_warning(root: Path, publisher: Publisher) -> None:
    del publisher.files["/m/ml-latest-small.zip.md5"]
    with pytest.warns(DataWarning, match="no checksum could be had"):
        assert fetch("ml-latest-small", root, publisher) == list(FILES)


def test_checksum_that_is_none_is_refused(root: Path, publisher: Publisher) -> None:
    publisher.files["/m/ml-latest-small.zip.md5"] = b"<html>"
    with pytest.raises(DownloadError, match="holds no MD5 checksum, got '<html>'"):
        fetch("ml-latest-small", root, publisher)


def test_single_files_are_placed_one_by_one(root: Path, publisher: Publisher) -> None:
    publisher.files["/m/ratings.dat"] = b"1::0110912::9::1375657563\n"
    with pytest.raises(DownloadError, match=re.escape("movies.dat answers 404")):
        fetch("movietweetings", root, publisher)
    assert [path.name for path in (root / "movietweetings").iterdir()] == ["ratings.dat"]
    publisher.files["/m/movies.dat"] = b"0110912::Pulp Fiction (1994)::Crime|Thriller\n"
    assert fetch("movietweetings", root, publisher) == ["movies.dat"]


def test_part_of_a_set_is_asked_for_by_name(root: Path, publisher: Publisher) -> None:
    accept("amazon-2023", root)
    for name in ("All_Beauty.jsonl.gz", "meta_All_Beauty.jsonl.gz"):
        publisher.files[f"/m/{name}"] = gzip.compress(b"{}\n")
    assert len(fetch("amazon-2023", root, publisher, part="All_Beauty")) == 2
    for part in (None, "../x", "a/b"):
        with pytest.raises(InvalidInputError, match="amazon-2023 comes in parts: name one"):
            download("amazon-2023", root, mirror=publisher.url, part=part)
    with pytest.raises(InvalidInputError, match="movietweetings does not come in parts"):
        download("movietweetings", root, part="x")


def test_without_a_network_the_file_and_its_place_are_named(
    root: Path, publisher: Publisher
) -> None:
    content = publisher.files["/m/ml-latest-small.zip"]
    publisher.close()
    message = (
        "Without a network: fetch ml-latest-small.zip on another machine, put it at "
        f"{root / 'ml-latest-small.zip'} and give this command again; or name a mirror"
    )
    with pytest.raises(DownloadError, match=re.escape(message)):
        fetch("ml-latest-small", root, publisher)
    (root / "ml-latest-small.zip").write_bytes(content)
    with pytest.warns(DataWarning, match="no checksum could be had"):
        assert fetch("ml-latest-small", root, publisher) == list(FILES)
    assert (root / "ml-latest-small.zip").exists()


def test_without_a_network_a_single_file_belongs_into_the_folder(
    root: Path, publisher: Publisher
) -> None:
    publisher.close()
    place = root / "movietweetings" / "ratings.dat"
    with pytest.raises(DownloadError, match=re.escape(f"put it at {place}; or name a mirror")):
        fetch("movietweetings", root, publisher)


def test_licence_is_accepted_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_accepted("movietweetings", tmp_path)
    with pytest.raises(InvalidInputError, match=r"comes under a licence: .*--accept-licence"):
        download("ml-100k", tmp_path)
    accept("ml-100k", tmp_path)
    accept("lastfm", tmp_path)
    assert is_accepted("ml-100k", tmp_path)
    changed = SOURCES["ml-100k"]._replace(licence="other words")
    monkeypatch.setitem(SOURCES, "ml-100k", changed)
    assert not is_accepted("ml-100k", tmp_path)
    assert is_accepted("lastfm", tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "no JSON"])
def test_damaged_list_of_licences_asks_again(text: str, tmp_path: Path) -> None:
    (tmp_path / module.LICENCES).write_text(text)
    assert not is_accepted("ml-100k", tmp_path)


def test_set_behind_a_login_names_page_files_and_place(tmp_path: Path) -> None:
    message = (
        "get moviereviews_cleaned.txt, movies_cleaned.txt from https://www.kaggle.com/datasets"
    )
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        download("douban-movie", tmp_path)
    with pytest.raises(UnknownIdError, match="data set 'netflix' is not published"):
        download("netflix", tmp_path)


def test_command_fetches_and_says_where(
    root: Path,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["proactrec", "data", "download", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code))

    (root / module.LICENCES).unlink()
    rest = ["ml-latest-small", "--data-dir", str(root), "--mirror", f"{publisher.url}/m"]
    assert command(*rest) == 2
    outcome = capsys.readouterr()
    assert "ml-latest-small comes under a licence: research use" in outcome.err
    assert "Traceback" not in outcome.err
    assert command(*rest, "--accept-licence") == 0
    assert f"{root / 'ml-latest-small'}: ratings.csv, movies.csv, tags.csv" in (
        capsys.readouterr().out
    )
    assert json.loads((root / module.LICENCES).read_text())["ml-latest-small"]["date"]
    assert command(*rest) == 0
    assert "nothing new" in capsys.readouterr().out
    publisher.replies = [answering(404)]
    assert command("movietweetings", *rest[1:]) == 2
    assert "answers 404" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if source.remotes])
def test_addresses_are_encrypted_and_checksums_look_like_ones(name: str) -> None:
    for remote in SOURCES[name].remotes:
        assert remote.url.startswith("https://")
        assert remote.md5 is None or re.fullmatch(r"[0-9a-f]{32}", remote.md5)
        assert set(remote.members) <= {*SOURCES[name].files, *SOURCES[name].optional}
