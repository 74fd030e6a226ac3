"""Tables of `worth.py`."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from shared.tables import interval, table
from worth_parts.cases import RIVALS, WORLDS

Row = dict[str, Any]
COLUMNS = {
    "target_accepted@5": "target @5", "target_accepted@10": "@10", "target_accepted@15": "@15",
    "target_accepted@20": "@20", "worth@20": "worth@20", "rounds_to_target@20": "rounds to target",
    "ioi@5": "IoI@5", "ioi@10": "@10", "ioi@20": "@20", "hr@20": "HR@20",
}  # fmt: skip
HEADLINE = ("target_accepted@20", "worth@20")
OF_INTEREST = ("ioi@5", "ioi@10", "ioi@20")


def body_of(content: dict[str, Any], pictures: Iterable[str]) -> str:
    """The page below its title."""
    rows, differences = content["rows"], content["differences"]
    parts = [EXPLAINED]
    if content["missing"]:
        parts.append(f"**Not finished ({len(content['missing'])}):** {_missing(content)}")
    parts += [f"![Targets accepted by round]({name})" for name in pictures]
    parts += _grid(rows, differences) + _interest(rows, differences)
    parts += _part("hazard", "What is assumed of leaving", rows, differences)
    parts += _part("ablation", "Without each part", rows, differences)
    parts += _rails(rows, differences)
    return "\n\n".join(parts)


EXPLAINED = (
    "Shares of journeys whose target was accepted by a round; worth (1 an accepted target, 0.004 "
    "an accepted item, 0.2 a unit of interest); the restricted mean round of the target's "
    "acceptance (who never accepts it counts 20); increase of interest; hit ratio. Means and 95 % "
    "intervals over seeds (Student's t). Differences are paired: the same users, targets and luck, "
    "with 95 % intervals by a bootstrap over users and targets; in bold where Foresight is below a "
    "method that knows no minds. Users go on being moved after they accepted the target, unless "
    "said otherwise. ITMPRec, IPG, nearest-to-target, target-now and next-item neither know of "
    "leaving nor learn: what they did where nobody leaves is cut where users leave, by the same "
    "luck."
)


def _missing(content: dict[str, Any]) -> str:
    names = content["missing"]
    more = f" and {len(names) - 40} more" if len(names) > 40 else ""
    return "; ".join(names[:40]) + more


def _of(rows: Sequence[Row], **wanted: str) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _figures(row: Row, names: Sequence[str]) -> list[str]:
    return [interval(row["figures"][name], 1 if "rounds" in name else 3) for name in names]


def _difference(found: Sequence[float], second: str) -> str:
    """With its interval; in bold where that is below 0 beside no oracle."""
    mean, low, high = found
    text = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"**{text}**" if high < 0 and "oracle" not in second else text


def _mean(row: Row, name: str) -> float:
    return fmean(row["figures"][name])


def _ratio(first: Row, second: Row, name: str) -> str:
    """First over second, as a percentage, of the seeds that both have."""
    seeds = [seed for seed in first["seeds"] if seed in second["seeds"]]
    top, bottom = (
        sum(row["figures"][name][row["seeds"].index(seed)] for seed in seeds)
        for row in (first, second)
    )
    return f"{top / bottom:.0%}" if bottom else "–"


def _compared(
    rows: Sequence[Row], differences: Sequence[Row], names: Sequence[str]
) -> list[list[str]]:
    """A line per leaving and other method: differences, and the first one's share of it."""
    lines = []
    for other in dict.fromkeys((found["leaving"], found["second"]) for found in differences):
        found = _of(differences, leaving=other[0], second=other[1])
        values = {one["figure"]: one["difference"] for one in found}
        first = _of(rows, leaving=other[0], method=found[0]["first"])[0]
        second = _of(rows, leaving=other[0], method=other[1])[0]
        shown = [(_difference(values[n], other[1]), _ratio(first, second, n)) for n in names]
        lines.append([*other, *(text for pair in shown for text in pair)])
    return lines


def _heads(names: Sequence[str], first: str) -> list[str]:
    pairs = [(f"{first} less it, {name}", "as share of it") for name in names]
    return ["leaving", "method", *(text for pair in pairs for text in pair)]


def _tables(rows: Sequence[Row], differences: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Figures, then differences, of one part and world."""
    lines = [[r["leaving"], r["method"], *_figures(r, list(COLUMNS))] for r in rows]
    tables = [table(["leaving", "method", *COLUMNS.values()], lines)]
    if differences:
        first = differences[0]["first"]
        compared = _compared(rows, differences, names)
        tables.append(table(_heads(names, first), compared))
    return tables


def _grid(rows: Sequence[Row], differences: Sequence[Row]) -> list[str]:
    own, less = _of(rows, part="grid"), _of(differences, part="grid")
    if not own:
        return []
    parts = ["## Worlds and leaving", _verdicts(less), _shares(own)]
    for world in WORLDS:
        if found := _of(own, world=world):
            parts += [f"### {world}", *_tables(found, _of(less, world=world), HEADLINE)]
    return parts


def _verdicts(differences: Sequence[Row]) -> str:
    """In how many cells Foresight is above and below each other method."""
    lines = []
    for name in dict.fromkeys(found["second"] for found in differences):
        for figure in HEADLINE:
            found = _of(differences, second=name, figure=figure)
            above = sum(one["difference"][1] > 0 for one in found)
            below = [f"{o['world']} {o['leaving']}" for o in found if o["difference"][2] < 0]
            open_ = len(found) - above - len(below)
            lines.append(
                [name, figure, str(above), str(open_), ", ".join(below) if below else "none"]
            )
    heads = ["Foresight beside", "figure", "cells above", "interval holds 0", "below in"]
    return table(heads, lines)


def _shares(rows: Sequence[Row]) -> str:
    """Foresight as a share of the oracle and of ITMPRec: a line per world, a column per leaving."""
    leaving = list(dict.fromkeys(row["leaving"] for row in rows))
    lines = []
    for world in dict.fromkeys(row["world"] for row in rows):
        for other in ("oracle-worth", "ITMPRec"):
            for figure in HEADLINE:
                shown = []
                for share in leaving:
                    found = _of(rows, world=world, leaving=share)
                    both = [_of(found, method=name) for name in ("Foresight", other)]
                    shown.append(_ratio(both[0][0], both[1][0], figure) if all(both) else "–")
                lines.append([world, other, figure, *shown])
    return table(["world", "Foresight as share of", "figure", *leaving], lines)


def _interest(rows: Sequence[Row], differences: Sequence[Row]) -> list[str]:
    own, less = _of(rows, part="interest"), _of(differences, part="interest")
    if not own:
        return []
    lines, compared = [], []
    for world in dict.fromkeys(row["world"] for row in own):
        found = _of(own, world=world)
        oracle, first = (_of(found, method=m) for m in ("oracle-lookahead", "Foresight"))
        for row in found:
            shares = [_ratio(row, oracle[0], n) if oracle else "–" for n in OF_INTEREST]
            accepted = _figures(row, HEADLINE[:1])
            lines.append(
                [world, row["method"], *_figures(row, OF_INTEREST), " / ".join(shares), *accepted]
            )
        if first:
            compared += _beside_rivals(world, found, _of(less, world=world))
    heads = ["world", "method", "IoI@5", "@10", "@20", "share of oracle-lookahead", "target @20"]
    beside = ["world", "Foresight less", "IoI@5", "@10", "@20"]
    return [
        "## Interest, where success counts against nobody",
        "Foresight serves interest alone. Nobody leaves; the last rows are the protocol `common`, "
        "in which a journey ends with the target.",
        table(heads, lines),
        table(beside, compared),
    ]


def _beside_rivals(world: str, rows: Sequence[Row], less: Sequence[Row]) -> list[list[str]]:
    """Foresight less nearest-to-target, and less the best rival of each round."""

    def told(name: str, figure: str) -> str:
        found = _of(less, second=name, figure=figure)
        return _difference(found[0]["difference"], name) if found else "–"

    rivals = [row for row in rows if row["method"] in RIVALS]
    if not rivals:
        return []
    best = {n: max((_mean(row, n), row["method"]) for row in rivals)[1] for n in OF_INTEREST}
    nearest = [told("nearest-to-target", figure) for figure in OF_INTEREST]
    others = [f"{told(best[figure], figure)} ({best[figure]})" for figure in OF_INTEREST]
    return [[world, "nearest-to-target", *nearest], [world, "the best rival", *others]]


def _part(part: str, title: str, rows: Sequence[Row], differences: Sequence[Row]) -> list[str]:
    own, less = _of(rows, part=part), _of(differences, part=part)
    return [f"## {title}", *_tables(own, less, HEADLINE)] if own else []


def _rails(rows: Sequence[Row], differences: Sequence[Row]) -> list[str]:
    found = _part("rails", "Within guard rails", rows, differences)
    if not found:
        return []
    own = _of(rows, part="rails")
    lines = [[r["leaving"], r["method"], *(f"{x:.2f}" for x in r["curve"])] for r in own]
    heads = ["leaving", "method", *map(str, range(1, len(own[0]["curve"]) + 1))]
    about = (
        "Relevance floor 0.1, plain share 0.25, pauses of 2 rounds after 3 refusals, at most 10 "
        "guided rounds. Share whose target was accepted, by round:"
    )
    return [*found, about, table(heads, lines)]
