"""Does `proactrec targets suggest` order categories as guidance then turns out?

Usage: python benchmarks/suggestions.py DATASET STORE PAGE.md [N_TARGETS]
"""

from pathlib import Path
from typing import Any

import numpy as np

from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.suggestions import Suggestion, suggest_categories
from proactrec.types import FloatArray
from shared.page import origin, page_parser, write_page

MEASURES = {"IoI@20": "ioi", "IoR@20": "ior", "HR@20": "hr"}


def main() -> None:
    """Guide toward every category, and write how the suggested order fares."""
    parser = page_parser(__doc__, "dataset", "store")
    parser.add_argument("n_targets", type=int, nargs="?", default=10)
    asked = parser.parse_args()
    name, store, n_targets = asked.dataset, Path(asked.store), asked.n_targets
    options = ExperimentOptions(policy="ipg").changed(
        {"dataset.name": name, "protocol.targets.n_targets": n_targets}
    )
    base = Experiment(options, store)
    suggested = suggest_categories(base.dataset, *base.interest, n_targets=n_targets)
    rows = [_measured(options, store, one) for one in suggested]
    correlations = {
        f"{measure} by {part}": _rank_correlation(
            [row[part] for row in rows], [row[measure] for row in rows]
        )
        for measure in MEASURES
        for part in ("score", "distance", "seen", "n_items")
    }
    body = _body(rows, correlations)
    print(body)
    content = {"origin": origin(), "rows": rows, "correlations": correlations}
    write_page(asked.page, f"Suggested categories on {name}", content, body)


def _measured(options: ExperimentOptions, store: Path, one: Suggestion) -> dict[str, Any]:
    result = Experiment(options.changed({"category": one.category}), store).result()
    figures = {label: result.metrics[key][20].mean for label, key in MEASURES.items()}
    print(one.category, figures, flush=True)
    return {**one._asdict(), **figures, "n_targets": len(result.targets)}


def _rank_correlation(first: list[float], second: list[float]) -> float:
    """Spearman's, without ties worth speaking of."""
    ranks: list[FloatArray] = [np.argsort(np.argsort(x)).astype(float) for x in (first, second)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _body(rows: list[dict[str, Any]], correlations: dict[str, float]) -> str:
    lines = [
        "| category | score | items | targets seen by | distance | IoI@20 | IoR@20 | HR@20 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['category']} | {row['score']:.3f} | {row['n_items']} | {row['seen']:.1%} "
        f"| {row['distance']:+.2f} | {row['IoI@20']:.3f} | {row['IoR@20']:.1f} "
        f"| {row['HR@20']:.3f} |"
        for row in rows
    ]
    lines += ["", "| rank correlation over categories | Spearman |", "| --- | --- |"]
    lines += [f"| {name} | {value:+.2f} |" for name, value in correlations.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
