"""The README's picture and table: three policies with the same users of the demo world.

Usage: python benchmarks/demo.py PAGE.md
Same users as `make demo`, whose finished stages in runs/demo are used if they are there: 5 % of
them leave after each round.
"""

from pathlib import Path

import numpy as np

from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.protocols import CAMPAIGN
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.results import Figure as Measured
from proactrec.measurement.sums import floats
from proactrec.report.drawing import BLUE, MUTED, VERMILION, save_figure, styled
from proactrec.report.line_labels import end_labels
from proactrec.report.plots import accepted_rounds, banded_line, bootstrap_band, round_axis
from shared.page import origin, page_parser, write_page

COLOURS = {"next-item": MUTED, "itmprec": VERMILION, "foresight": BLUE}
CHANGES = {
    "protocol.targets.n_targets": 20,
    "protocol.world.leaving": 0.05,
    "encoder_options": {"stopping": {"patience": 5}},
}
COLUMNS = (
    ("hr", 20, "HR@20"),
    ("target_accepted", 5, "target accepted@5"),
    ("target_accepted", 10, "@10"),
    ("target_accepted", 20, "@20"),
    ("ioi", 20, "IoI@20"),
    ("worth", 20, "worth@20"),
)


def main() -> None:
    """Run the three policies and write page and picture."""
    page: Path = page_parser(__doc__).parse_args().page
    heads = ["policy", *(head for _, _, head in COLUMNS)]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    results, logs = {}, {}
    for name in COLOURS:
        options = ExperimentOptions(policy=name, protocol=CAMPAIGN).changed(CHANGES)
        experiment = Experiment(options, Path("runs/demo/artefacts"))
        result = experiment.result()
        results[name], logs[name] = result.content(), experiment.log
        texts = [text(result.metrics[metric][number]) for metric, number, _ in COLUMNS]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    draw(logs, page.with_suffix(".png"))
    body = "\n".join([*lines, "", "In brackets: 95 % bootstrap interval over users."])
    print(body)
    title = "The demo world: three policies, the same users"
    write_page(page, title, {"origin": origin(), "results": results}, body)


def text(figure: Measured) -> str:
    """A figure with its interval."""
    return f"{figure.mean:.3f} ({figure.low:.3f}–{figure.high:.3f})"


def draw(logs: dict[str, GuidanceLog], path: Path) -> None:
    """Share of users and targets by round whose target was accepted: a line a policy."""
    with styled("Targets accepted while 5 % of users leave after each round") as (figure, axes):
        ends = []
        for name, log in logs.items():
            band = bootstrap_band(floats(accepted_rounds(log)), log.user_idx)
            banded_line(axes, np.arange(log.n_rounds + 1), band, COLOURS[name])
            ends.append((float(band.mean[-1]), name, COLOURS[name]))
        end_labels(axes, log.n_rounds, ends)
        round_axis(axes, log.n_rounds)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("share of users and targets")
    save_figure(figure, path)


if __name__ == "__main__":
    main()
