"""The README's picture and table: three policies with the same users of the demo world.

Usage: python benchmarks/demo.py PAGE.md
Same settings as `make demo`, whose finished stages in runs/demo are used if they are there.
"""

import sys
from pathlib import Path

from page import origin, write_page
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.protocols import COMMON
from proactrec.report.drawing import save_figure
from proactrec.report.plots import interest_plot

POLICIES = ("next-item", "ipg", "itmprec")
PROTOCOL = COMMON.model_copy(
    update={"targets": COMMON.targets.model_copy(update={"n_targets": 20})}
)
TRAINING = {"stopping": {"patience": 5}}


def main() -> None:
    """Run the three policies and write page and picture."""
    page = Path(sys.argv[1])
    lines = [
        "| policy | HR@20 | IoI@20 | IoR@20 (ranks cut at 200) | target accepted |",
        "| --- | --- | --- | --- | --- |",
    ]
    results = {}
    for name in POLICIES:
        options = ExperimentOptions(policy=name, protocol=PROTOCOL, encoder_options=TRAINING)
        experiment = Experiment(options, Path("runs/demo/artefacts"))
        result = experiment.result()
        results[name] = result.content()
        figures = [result.metrics[figure][20] for figure in ("hr", "ioi", "ior200")]
        figures.append(result.outcome["target_accepted"])
        texts = [
            f"{x.mean:.{d}f} ({x.low:.{d}f}–{x.high:.{d}f})"
            for x, d in zip(figures, (3, 3, 1, 3), strict=True)
        ]
        lines.append(f"| {name} | {' | '.join(texts)} |")
        if name == "itmprec":
            save_figure(interest_plot(experiment.log), page.with_suffix(".png"))
    body = "\n".join([*lines, "", "In brackets: 95 % bootstrap interval over users."])
    print(body)
    title = "The demo world: three policies, the same users"
    write_page(page, title, {"origin": origin(), "results": results}, body)


if __name__ == "__main__":
    main()
