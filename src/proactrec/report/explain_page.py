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
        What `proactrec explain --json` prints, for staff or for the customer. Folders of the
        machine are left out: the page is handed on.
    """
    rounds = [one for way in content["paths"] for one in way["explanations"]]
    tiles = [
        ("items shown", len(rounds)),
        ("of them promoted", sum(one["is_promoted"] for one in rounds)),
        ("taken", sum(one["accepted"] for one in rounds)),
        ("targets" if content["for"] == "staff" else "led toward", len(content["paths"])),
    ]
    page = template("explain.html.j2").render(
        content=content,
        is_staff=content["for"] == "staff",
        tags=_tags(content),
        tiles=tiles,
        paths=[{**way, **_summary(way)} for way in content["paths"]],
        knows_policy=all(one["knows_policy"] for one in rounds),
    )
    return write_text(path, page)


def _tags(content: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """How the run was made; files of one's own by their names, not their places."""
    made = [(key, content.get(key)) for key in ("dataset", "policy", "protocol", "seed")]
    known = [(key, value) for key, value in made if value is not None]
    return [(key, Path(value).name if isinstance(value, str) else value) for key, value in known]


def _summary(way: Mapping[str, Any]) -> dict[str, Any]:
    """How a path ended, and how far each round's similarity to the target is along it, 0 to 100."""
    shown = way["explanations"]
    reached = [one["round"] for one in shown if one["is_target"] and one["accepted"]]
    taken = sum(one["accepted"] for one in shown)
    found = [one.get("figures", {}).get("similarity_now") for one in shown]
    known = [value for value in found if value is not None]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    shares = [None if v is None else 100 * (v - low) / ((high - low) or 1.0) for v in found]
    ending = f"you took the target in round {reached[0]}" if reached else "target not taken"
    return {"ending": f"{len(shown)} shown, {taken} taken; {ending}", "shares": shares}
