"""Tables of `category_goals.py`."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from shared.tables import interval, table

Row = dict[str, Any]
COLUMNS = {
    "one@5": ("users with one @5", 3),
    "one@20": ("@20", 3),
    "led@20": ("by a target @20", 3),
    "accepted@20": ("items accepted", 2),
    "hr@20": ("HR", 3),
    "ioi@20": ("IoI in the category", 4),
    "shown": ("of it shown", 1),
    "targets": ("targets", 1),
}
NAMES = {
    "one@5": "users with one @5",
    "one@20": "@20",
    "led@20": "by a target @20",
    "accepted@20": "items accepted",
    "hr@20": "HR",
    "ioi@20": "IoI in the category",
}
TWICE = {f"twice {name}": NAMES[name] for name in ("one@5", "one@20", "led@20", "accepted@20")}
EXPLAINED = (
    "One journey a user: 20 rounds, one item shown in each, whoever guides. *Users with one*: "
    "share of users who accepted at least one item of the category, as target or on the way, by "
    "round 5 and by round 20; *by a target*: who accepted one that they were led to at the time. "
    "*Items accepted*: of the category, mean a user. *HR*: accepted share of all that was shown. "
    "*IoI in the category*: what the hidden users' mean interest in all its items gained. *Of it "
    "shown*: items of the category among the 20. *Targets*: that a user was led to, one after the "
    "other.\n\n"
    "*Pre-matched* is the paper's way with one simulation a user: the item of the category with "
    "the best pre-match score $\\sum_u e_i^\\top e_u$, of those that the user does not have, for "
    "good. *Nearest* is the same by the user's own score $e_i^\\top e_u$. Both go by the vectors "
    "that the simulated users themselves have. *Chosen*: the item that promises most over the "
    "rounds left, by Foresight's belief, chosen anew once it was accepted or refused; *by "
    "relevance*: the most relevant by the encoder; *others follow*: Foresight counts on "
    "another target after each (`targets_follow`). `target-now` shows the target at once; "
    "`next-item` leads nowhere.\n\n"
    "Intervals of means are over seeds (Student's t), of differences a bootstrap over users, who "
    "have the same luck in every row, which goes by (seed, user, round); categories are as they "
    "are."
)


def body_of(content: dict[str, Any]) -> str:
    """The page below its title."""
    rows, differences = content["rows"], content["differences"]
    parts = [EXPLAINED]
    if content["missing"]:
        parts.append(f"**Not played:** {'; '.join(content['missing'])}.")
    for category in dict.fromkeys(row["category"] for row in reversed(rows)):
        of = [row for row in rows if row["category"] == category]
        less = [one for one in differences if one["category"] == category]
        title = "All categories" if category == "all" else category
        parts += [f"## {title}", _means(of), _differences(less)]
    return "\n\n".join(part for part in parts if part)


def _means(rows: Sequence[Row]) -> str:
    heads = ["policy", "target", *(head for head, _ in COLUMNS.values())]
    body = []
    for row in rows:
        figures = row["figures"]
        is_whole = row["category"] == "all"
        cells = [
            f"{fmean(figures[name]):.{places}f}" if is_whole else interval(figures[name], places)
            for name, (_, places) in COLUMNS.items()
        ]
        body.append([row["policy"], row["way"], *cells])
    return table(heads, body)


def _differences(found: Sequence[Row]) -> str:
    """What is chosen less what is fixed; in bold where the interval is on one side of 0."""
    if not found:
        return ""
    beside = dict.fromkeys((one["policy"], one["way"], one["fixed"]) for one in found)
    plain, twice = [], []
    for policy, way, fixed in beside:
        place = (policy, way, fixed)
        of = [one for one in found if (one["policy"], one["way"], one["fixed"]) == place]
        own = {one["figure"]: one["difference"] for one in of}
        plain.append([policy, f"{way} − {fixed}", *(_text(own[name]) for name in NAMES)])
        twice.append([policy, f"{way} − 2 × {fixed}", *(_text(own[name]) for name in TWICE)])
    heads = ["policy", "difference"]
    tables = table([*heads, *NAMES.values()], plain), table([*heads, *TWICE.values()], twice)
    return "\n\n".join(tables)


def _text(difference: Sequence[float]) -> str:
    mean, low, high = difference
    text = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"**{text}**" if low > 0 or high < 0 else text
