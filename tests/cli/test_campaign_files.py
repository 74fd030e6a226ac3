"""Files and times that `proactrec campaign` is given."""

from pathlib import Path

import pytest

from proactrec.cli.campaign import _time, _written
from proactrec.cli.keys import opened
from proactrec.errors import InvalidInputError, StoreError


@pytest.mark.parametrize("content", [b"a: [1", b"[1, 2]", b"hello", b"name: Zo\xeb"])
def test_a_file_that_says_nothing_of_a_campaign_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"^--from must name a "):
        _written(path)


def test_a_file_of_settings_is_read(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    path.write_bytes(b"\xef\xbb\xbfgoal: {category: Drama}\r\n")
    assert _written(path) == {"goal": {"category": "Drama"}}


@pytest.mark.parametrize("given", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_times_that_no_campaign_has_are_refused(given: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^--at must be from 1980 to 2100, got "):
        _time(given)


@pytest.mark.parametrize("given", ["1790000000", "2026-12-01", "2026-12-01T02:00:00", ""])
def test_a_time_is_told_with_its_zone(given: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^--at must be a time with its zone, got "):
        _time(given)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id\n" * 500)
    with pytest.raises(StoreError, match="is no database"), opened(str(path)):
        pass
