"""A results page from a finished `proactrec run`.

Usage: python benchmarks/run_page.py RUN docs/results/NAME.md
"""

from pathlib import Path

from proactrec.measurement.results import RunResult
from shared.page import origin, page_parser, write_page

LABELS = {"hr": "HR", "ioi": "IoI", "ior": "IoR", "ior200": "IoR (ranks cut at 200)"}


def main() -> None:
    """Write the page and its JSON."""
    arguments = page_parser(__doc__, "run").parse_args()
    result = RunResult.opened(Path(arguments.run))
    body = "\n".join([*facts(result), *figures(result), *next_item(result)])
    title = f"{result.policy} on {result.dataset}, protocol {result.protocol}"
    write_page(arguments.page, title, {"origin": origin(), "run": result.content()}, body)
    print(body)


def facts(result: RunResult) -> list[str]:
    """What was run, on what."""
    pairs, accepted = result.pairs, result.outcome["target_accepted"].mean
    seconds = ", ".join(f"{kind} {value:.0f} s" for kind, value in result.seconds.items())
    titles = ", ".join(target.title for target in result.targets)
    memory = f"; {result.peak_memory_mb / 1000:.1f} GB at the most" if result.peak_memory_mb else ""
    return [
        f"`{result.command}`",
        "",
        f"{result.n_users:,} users, {result.n_items:,} items, "
        f"{result.n_interactions:,} interactions; category {result.category}, "
        f"{len(result.targets)} targets ({titles}).",
        f"{pairs.n_pairs:,} pairs of user and target, {pairs.n_owners_left_out:,} owners "
        f"left out; the target was accepted by {accepted:.1%}. {seconds}{memory}.",
        "",
    ]


def figures(result: RunResult) -> list[str]:
    """HR, IoI and IoR with their intervals over users."""
    rounds = result.rounds
    lines = [
        f"| | {' | '.join(f'@{number}' for number in rounds)} |",
        f"| --- | {'---: | ' * len(rounds)}",
    ]
    for metric, label in LABELS.items():
        decimals = 1 if metric.startswith("ior") else 3
        cells = [
            f"{e.mean:.{decimals}f} ({e.low:.{decimals}f} to {e.high:.{decimals}f})"
            for e in result.metrics[metric].values()
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return [*lines, "", "In brackets: 95 % bootstrap interval over users; one seed.", ""]


def next_item(result: RunResult) -> list[str]:
    """How well the encoder and popularity predict the test item."""
    if not result.next_item:
        return []
    names = list(result.next_item["test"])
    lines = [
        f"| test item | {' | '.join(name.upper() for name in names)} |",
        f"| --- | {'---: | ' * len(names)}",
    ]
    for label, by_split in (
        (result.encoder, result.next_item),
        ("popularity", result.popularity),
    ):
        cells = " | ".join(f"{by_split['test'][name]:.4f}" for name in names)
        lines.append(f"| {label} | {cells} |")
    return lines


if __name__ == "__main__":
    main()
