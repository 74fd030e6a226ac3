"""`proactrec compare`: which of two methods of a benchmark is better."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from proactrec.cli import console, options, results
from proactrec.cli.streams import say

if TYPE_CHECKING:
    from proactrec.measurement.comparison import Difference


def compare(
    first: Annotated[str, typer.Argument(help="A method of the benchmark.")],
    second: Annotated[str, typer.Argument(help="The method that it is compared with.")],
    out: Annotated[
        Path, typer.Option(help="Folder of a benchmark, as given to `proactrec benchmark`.")
    ] = Path("runs/latest"),
    json: options.Json = False,
) -> None:
    """Say whether one method is better than another, and in which worlds.

    Paired: the same users, targets and luck; 95 % bootstrap interval over users and targets.
    Better means that the interval is above 0 (below 0 for the rounds to the target) and every seed
    agrees.

    Example: proactrec compare ITMPRec IPG --out runs/table4
    """
    from proactrec.evaluation.comparison import compare_in, method_in

    first, second = (method_in(out, name) for name in (first, second))
    found = compare_in(out, first, second)
    if json:
        rows = [
            {"world": world, **d._asdict(), "estimate": d.estimate.as_dict(), "verdict": d.verdict}
            for world, differences in found.items()
            for d in differences
        ]
        results.print_json(rows)
        return
    terminal = console.Terminal()
    for world, differences in found.items():
        terminal.print(_table(world, differences, f"{first} − {second}"))
    for sentence in _verdicts(found, first, second):
        say(sentence)


def _table(world: str, differences: "list[Difference]", head: str) -> Table:
    """A row for every metric and round; each seed by itself where there are several."""
    has_seeds = any(len(d.per_seed) > 1 for d in differences)
    table = Table(title=world, title_justify="left", box=None, pad_edge=False)
    for name in ("metric", head, "95 % interval", "each seed", ""):
        if name != "each seed" or has_seeds:
            table.add_column(name, overflow="fold")
    for d in differences:
        low, high = (f"{end:+.4g}" for end in d.estimate[1:])
        row = [f"{d.metric}@{d.round}", f"{d.estimate.mean:+.4g}", f"{low} to {high}"]
        if has_seeds:
            row.append(", ".join(f"{value:+.3g}" for value in d.per_seed))
        table.add_row(*row, d.verdict)
    return table


def _verdicts(found: "Mapping[str, list[Difference]]", first: str, second: str) -> list[str]:
    """A sentence for every metric at the last round."""
    sentences = []
    for metric in dict.fromkeys(d.metric for differences in found.values() for d in differences):
        worlds: dict[str, list[str]] = {}
        for world, differences in found.items():
            of_it = [d for d in differences if d.metric == metric]
            if of_it:  # not every protocol has every metric
                worlds.setdefault(of_it[-1].verdict, []).append(world)
        parts = [
            f"{verdict} than {second} in {'; '.join(names)}"
            if verdict != "no difference shown"
            else f"not shown to differ from {second} in {'; '.join(names)}"
            for verdict, names in worlds.items()
        ]
        sentences.append(f"{metric}: {first} is {', and '.join(parts)}.")
    return sentences
