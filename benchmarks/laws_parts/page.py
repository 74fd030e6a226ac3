"""Figures of `laws.py` by world and method, and their tables."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from proactrec.evaluation.benchmark.grid import Cell
from proactrec.measurement.comparison import paired_differences
from shared.kept import ROUNDS, Kept, means_of, sums_of
from shared.tables import interval, table

ORACLE, BESIDE = "oracle-lookahead", "ITMPRec"
SHOWN = ("ioi@5", "ioi@10", "ioi@20", "hr@20", "target_accepted@20")
COMPARED = ("ioi@20", "target_accepted@20")
Row = dict[str, Any]
BySeed = Mapping[int, Mapping[str, Any]]


def content_of(cells: Sequence[Cell], kept: Kept) -> dict[str, Any]:
    """A row for every world and method, and which cells are missing."""
    found: dict[tuple[str, str], BySeed] = {
        place: {cell.options.seed: one for cell in own if (one := kept.of(cell)) is not None}
        for place, own in _by_place(cells).items()
    }
    rows = [
        _row(world, method, of, found.get((world, ORACLE), {}), found.get((world, BESIDE), {}))
        for (world, method), of in found.items()
        if of
    ]
    missing = [
        cell.text for cell in cells if cell.options.seed not in found[cell.world, cell.method]
    ]
    return {"missing": missing, "rows": rows}


def _by_place(cells: Sequence[Cell]) -> dict[tuple[str, str], list[Cell]]:
    """Cells by world and method, those of a place by seed."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.options.seed):
        found.setdefault((cell.world, cell.method), []).append(cell)
    return found


def _row(world: str, method: str, of: BySeed, oracle: BySeed, beside: BySeed) -> Row:
    """Figures by seed; share of the oracle's gain; paired differences."""
    by_seed = {seed: means_of(one) for seed, one in of.items()}
    whole = {seed: means_of(one)["ioi@20"] for seed, one in oracle.items() if seed in of}
    row: Row = {
        "world": world,
        "method": method,
        "seeds": list(of),
        "cpu_seconds": [one["cpu_seconds"] for one in of.values()],
        "figures": {name: [means[name] for means in by_seed.values()] for name in SHOWN},
        "share": [by_seed[seed]["ioi@20"] / all_of_it for seed, all_of_it in whole.items()],
    }
    if method != BESIDE:
        row["less"] = _less(of, beside)
    return row


def _less(of: BySeed, beside: BySeed) -> dict[str, Any]:
    """Differences to a method over the seeds that both have: mean, interval and verdict."""
    seeds = sorted(set(of) & set(beside))
    if not seeds:
        return {}
    a, b = ({seed: sums_of(kept[seed]) for seed in seeds} for kept in (of, beside))
    found = {f"{one.metric}@{one.round}": one for one in paired_differences(a, b, ROUNDS)}
    return {name: [*found[name].estimate, found[name].verdict] for name in COMPARED}


EXPLAINED = (
    "Increase of interest (IoI), hit ratio (HR) and share of journeys whose target was accepted: "
    "means, with 95 % intervals over seeds (Student's t). Share: of what `oracle-lookahead` gains "
    "by round 20, which reads users' minds and knows the law."
)
COMPARISON = (
    " Differences to ITMPRec are paired, the same users, targets and luck, with 95 % bootstrap "
    "intervals over users; a † says that the interval holds no 0 and every seed agrees."
)


def body_of(content: Mapping[str, Any]) -> str:
    """The page below its title."""
    rows = content["rows"]
    worlds = list(dict.fromkeys(row["world"] for row in rows))
    is_compared = any(row.get("less") for row in rows)
    parts = [EXPLAINED + COMPARISON * is_compared]
    if missing := content["missing"]:
        parts.append(f"**Not finished ({len(missing)}):** {'; '.join(missing[:20])}")
    parts += ["## Share of the oracle's gain", _shares(rows, worlds)]
    if is_compared:
        parts += ["## Beside ITMPRec", _verdicts(rows)]
    for world in worlds:
        parts += [f"## {world}", _of_world([row for row in rows if row["world"] == world])]
    return "\n\n".join(parts)


def _shares(rows: Sequence[Row], worlds: Sequence[str]) -> str:
    """A line per world, a column per method; the last line is the mean over worlds."""
    methods = list(dict.fromkeys(row["method"] for row in rows if row["method"] != ORACLE))
    shares = {(row["world"], row["method"]): fmean(row["share"]) for row in rows if row["share"]}

    def line(name: str, of: Sequence[str]) -> list[str]:
        found = [[shares[x, method] for x in of if (x, method) in shares] for method in methods]
        return [name, *(f"{fmean(one):.0%}" if one else "–" for one in found)]

    lines = [line(world, [world]) for world in worlds]
    return table(["world", *methods], [*lines, line("mean", worlds)])


def _verdicts(rows: Sequence[Row]) -> str:
    """In how many worlds each method gains more than ITMPRec, and where less."""
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows if row.get("less")):
        own = [row for row in rows if row["method"] == method and row.get("less")]
        verdicts = {row["world"]: row["less"]["ioi@20"][3] for row in own}
        worse = [world for world, verdict in verdicts.items() if verdict == "worse"]
        n_better = sum(verdict == "better" for verdict in verdicts.values())
        n_open = len(own) - n_better - len(worse)
        lines.append([method, str(n_better), str(n_open), str(len(worse)), ", ".join(worse) or "–"])
    return table(["method", "worlds above", "no difference shown", "below", "below in"], lines)


def _of_world(rows: Sequence[Row]) -> str:
    heads = ["method", "IoI@5", "@10", "@20", "HR@20", "target @20", "share of oracle"]
    lines = []
    for row in rows:
        figures = [interval(row["figures"][name], 3) for name in SHOWN]
        share = interval([100 * x for x in row["share"]], 0) + " %" if row["share"] else "–"
        lines.append([row["method"], *figures, share])
    if any(row.get("less") for row in rows):
        heads += [f"less {BESIDE}, IoI@20", "target @20"]
        for row, line in zip(rows, lines, strict=True):
            line += [_difference(row.get("less", {}).get(name)) for name in COMPARED]
    return table(heads, lines)


def _difference(found: Sequence[Any] | None) -> str:
    if found is None:
        return ""
    mean, low, high, verdict = found
    mark = "" if verdict == "no difference shown" else "†"
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]{mark}"
