"""The page of what faults did."""

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from shared.tables import table


def body(parts: Mapping[str, Any], load: float) -> str:
    """Markdown: what was kept, how soon all was well again, and what was answered meanwhile."""
    return "\n".join(
        [
            "## What was acknowledged, and what is in the database",
            "",
            table(
                ("part", "decisions", "events", "guided", "given back", "budgets spent",
                 "item caps reached", "daily caps reached", "wrong"),
                (_kept(name, part) for name, part in parts.items()),
            ),
            "",
            "Wrong: acknowledged and missing, there twice, there with another content, there and "
            "told nobody, a limit exceeded, a row unlike `campaign rebuild --check`, an answer "
            "unlike an earlier one, never acknowledged.",
            "",
            "## How soon all was well again",
            "",
            table(
                ("part", "fault", "times", "ready after, median s", "slowest s",
                 "slowest answer s", "median answer before, ms"),
                (row for name, part in parts.items() for row in _faults(name, part["faults"])),
            ),
            "",
            "Ready: `/readyz` says 200, and a decision that was asked for after the fault (after "
            "its end, of outages) is kept.",
            "",
            "## What was answered",
            "",
            table(
                ("part", "fault", "answers"),
                (row for name, part in parts.items() for row in _answers(name, part)),
            ),
            "",
            f"Load of the machine before: {load:.1f}.",
        ]
    )  # fmt: skip


def _kept(name: str, part: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("decisions", "events", "guided", "given_back", "budgets_reached", "item_caps_reached",
             "daily_caps_reached", "n_wrong")  # fmt: skip
    return (name, *(f"{part[one]:,}" for one in names))


def _faults(name: str, rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    by_fault: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_fault.setdefault(row["fault"], []).append(row)
    return [
        (
            name,
            fault,
            str(len(of_it)),
            f"{median(row['ready_after'] for row in of_it):.2f}",
            f"{max(row['ready_after'] for row in of_it):.2f}",
            f"{max(max(one['slowest'] for one in _phases(row)) for row in of_it):.2f}",
            f"{1000 * median(row['median_before'] for row in of_it):.0f}",
        )
        for fault, of_it in by_fault.items()
    ]


def _answers(name: str, part: Mapping[str, Any]) -> list[tuple[str, ...]]:
    found: dict[str, Counter[str]] = {}
    for row in [*part["faults"], *part.get("restarts", ())]:
        counts = found.setdefault(row["fault"], Counter())
        for phase in _phases(row):
            counts.update(phase["answers"])
    return [
        (name, fault, ", ".join(f"{kind}: {n:,}" for kind, n in counts.most_common()))
        for fault, counts in found.items()
    ]


def _phases(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """While it was broken and after it, of outages; all at once, of others."""
    return [row[one] for one in ("during", "after")] if "during" in row else [row]
