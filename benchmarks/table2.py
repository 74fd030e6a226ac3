"""The paper's Table 2 beside ours: users, items and interactions after each filter.

Usage: python benchmarks/table2.py PAGE.md
"""

import warnings
from pathlib import Path

from proactrec.data.table2 import QUIRKS, Row, table2
from proactrec.errors import DataWarning
from shared.page import origin, page_parser, write_page


def main() -> None:
    """Count and write the page."""
    asked = page_parser(__doc__).parse_args()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        rows = table2()
    said = list(dict.fromkeys(_without_folder(str(warning.message)) for warning in caught))
    body = _body(rows, said)
    print(body)
    content = {
        "origin": origin(),
        "counts": {f"{row.dataset} {row.filter}": row.figures or row.missing for row in rows},
        "warnings": said,
    }
    write_page(asked.page, "Table 2: data sets", content, body)


def _body(rows: list[Row], said: list[str]) -> str:
    lines = [
        "| data set | filter | users | items | interactions | mean length | density |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_line(row) for row in rows]
    lines += ["", "Where the published figures contradict each other, and what else is odd:", ""]
    lines += [f"- **{name}**: {words}" for name, words in QUIRKS.items()]
    lines += ["", "What was counted as the files were read:", ""]
    return "\n".join([*lines, *(f"- {sentence}" for sentence in said)])


def _line(row: Row) -> str:
    if row.figures is None:
        return f"| {row.dataset} | {row.filter} | {_without_folder(row.missing)} | | | | |"
    counts = " | ".join(f"{row.figures[key]:,}" for key in ("n_users", "n_items", "n_interactions"))
    length, density = row.figures["mean_length"], row.figures["density"]
    return f"| {row.dataset} | {row.filter} | {counts} | {length:.2f} | {density:.4%} |"


def _without_folder(sentence: str) -> str:
    """Paths of this machine are nobody's business."""
    words = sentence.split(" ")
    return " ".join(Path(word).name if word.startswith("/") else word for word in words)


if __name__ == "__main__":
    main()
