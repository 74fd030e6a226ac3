"""The README is read on PyPI too: it leads to the repository by whole addresses that exist."""

import re
import tomllib

from .blocks import ROOT

README = (ROOT / "README.md").read_text()
LEADS = re.findall(r"\]\(([^)]+)\)", README)
RAW = "https://raw.githubusercontent.com/"


def repository() -> str:
    """Its address, as pyproject.toml says it."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    found = urls.get("Source", urls["Documentation"])
    assert isinstance(found, str)
    return found


def test_all_links_are_whole_and_lead_to_what_is_there() -> None:
    own, raw = f"{repository()}/blob/main/", f"{RAW}{repository().split('.com/')[1]}/main/"
    assert LEADS
    for lead in LEADS:
        inside = lead.removeprefix(own).removeprefix(raw)
        assert inside != lead, f"{lead} leads out of the repository, or is no whole address"
        assert (ROOT / inside.partition("#")[0]).exists(), lead


def test_it_is_short_with_one_picture_and_one_table() -> None:
    assert len(README.splitlines()) < 110
    assert README.count("![") == 1
    assert len(re.findall(r"^\| ---", README, re.M)) == 1
