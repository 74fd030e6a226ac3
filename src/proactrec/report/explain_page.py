"""One self-contained HTML page that tells a user why items were shown, and how to end it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proactrec.files import write_text
from proactrec.report.page import template


def write_explanations(path: Path, content: Mapping[str, Any]) -> Path:
    """Write the page and return its path; the file appears whole or not at all.

    Parameters
    ----------
    content : mapping
        What `proactrec explain --json` prints.
    """
    rounds = [one for way in content["paths"] for one in way["explanations"]]
    tiles = [
        ("items shown", len(rounds)),
        ("of them promoted", sum(one["is_promoted"] for one in rounds)),
        ("taken", sum(one["accepted"] for one in rounds)),
        ("targets", len(content["paths"])),
    ]
    page = template("explain.html.j2").render(
        content=content,
        tiles=tiles,
        paths=[{**way, **_summary(way)} for way in content["paths"]],
        knows_policy=all(one["knows_policy"] for one in rounds),
    )
    return write_text(path, page)


def _summary(way: Mapping[str, Any]) -> dict[str, Any]:
    """How a path ended, and how far each round's similarity to the target is along it, 0 to 100."""
    shown = way["explanations"]
    reached = [one["round"] for one in shown if one["is_target"] and one["accepted"]]
    taken = sum(one["accepted"] for one in shown)
    found = [one["figures"].get("similarity_now") for one in shown]
    known = [value for value in found if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    shares = [None if v is None else 100 * (v - low) / ((high - low) or 1.0) for v in found]
    ending = f"you took the target in round {reached[0]}" if reached else "target not taken"
    return {"ending": f"{len(shown)} shown, {taken} taken; {ending}", "shares": shares}
