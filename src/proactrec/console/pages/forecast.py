"""What a forecast says, with its intervals and what it stands on; and what rails cost."""

from collections.abc import Mapping
from typing import Any

from proactrec.console import words
from proactrec.console.charts import intervals
from proactrec.console.elements import box, facts, table, text

NARROW, WIDE = "0.8", "0.95"
SHARES = ("target_acceptance", "acceptance")
GROUPS = {"guided": "guided", "plain": "without guidance"}


def show_forecast(result: Mapping[str, Any]) -> None:
    """Guided and plain users, round by round."""
    users, rounds = result["n_users"], [str(n) for n in result["rounds"]]
    last = rounds[-1]
    text("p", in_short(result, last))
    with_target = words.count(users["with_a_target"])
    facts(
        [
            (
                "Users in the audience",
                words.count(users["audience"]),
                f"{with_target} have a target",
            ),
            ("Guided", words.count(users["guided"]), f"{words.count(users['held_out'])} held out"),
            *(_fact(result, metric, last) for metric in words.METRICS),
        ]
    )
    for metric in SHARES:
        what = words.METRICS[metric]
        groups = {
            name: [ends(result[group][metric][number]) for number in rounds]
            for group, name in GROUPS.items()
        }
        text("h3", words.headed(what))
        label = f"{what}, by rounds, guided and without guidance, with 95 % intervals"
        intervals(label, [f"{number} rounds" for number in rounds], groups)
    _table(result, rounds)
    show_assumed(result)


def in_short(result: Mapping[str, Any], number: str) -> str:
    """What is gained in the end, in a sentence."""
    guided, plain = (result[group]["target_acceptance"][number]["mean"] for group in GROUPS)
    found = result["difference"]["target_acceptance"][number]
    given = (found["mean"], *found["intervals"][WIDE])
    mean, low, high = (told("target_acceptance", one) for one in given)
    return (
        f"After {number} rounds {words.percent(guided)} of guided users have accepted a target, "
        f"against {words.percent(plain)} of the same users without guidance: {mean} ({low} to "
        f"{high} in 95 of 100 worlds)."
    )


def show_assumed(result: Mapping[str, Any]) -> None:
    """When it may not hold, and what the worlds have in common."""
    if "caution" in result:
        text("p", result["caution"], "hint")
    with box("details"):
        text("summary", f"What is assumed ({result['n_worlds']} worlds), and what the words mean")
        with box("ul"):
            for sentence in (
                *result["assumed"],
                *(words.TERMS[term] for term in ("world", "round", "points", "interest")),
            ):
                text("li", sentence)


def _fact(result: Mapping[str, Any], metric: str, number: str) -> tuple[str, str, str]:
    """The difference that guidance makes in the end."""
    found = result["difference"][metric][number]
    low, high = found["intervals"][WIDE]
    below = f"95 %: {told(metric, low)} to {told(metric, high)}, after {number} rounds"
    return f"Difference: {words.METRICS[metric]}", told(metric, found["mean"]), below


def told(metric: str, value: float) -> str:
    """A difference of a figure, with its unit."""
    if metric in SHARES:
        return f"{round(100 * value, 1) + 0.0:+.1f} points"  # no minus before a zero
    return f"{round(value, 3) + 0.0:+.3f}"


def ends(found: Mapping[str, Any]) -> tuple[float, float, float]:
    """Mean, and where 95 % of worlds lie."""
    low, high = found["intervals"][WIDE]
    return found["mean"], low, high


def _table(result: Mapping[str, Any], rounds: list[str]) -> None:
    rows = []
    for metric, name in words.METRICS.items():
        for number in rounds:
            found = result["difference"][metric][number]
            low, high = found["intervals"][NARROW]
            lower, higher = found["intervals"][WIDE]
            rows.append(
                [
                    name,
                    number,
                    told(metric, found["mean"]),
                    f"{told(metric, low)} to {told(metric, high)}",
                    f"{told(metric, lower)} to {told(metric, higher)}",
                ]
            )
    with box("details"):
        text("summary", "As a table: guided less without guidance")
        head = ("What users do", "#Rounds", "#Difference", "#80 % of worlds", "#95 % of worlds")
        table("Guided users less the same users without guidance", head, rows)


def show_prices(result: Mapping[str, Any]) -> None:
    """What would be gained without each rail."""
    number = str(result["rounds"][-1])
    rows = [
        [
            *words.rail(name, found["said"]),
            *(cell(metric, found["price"][metric][number]) for metric in words.METRICS),
        ]
        for name, found in result["rails"].items()
    ]
    head = ("Rail", "Says", *(f"#Gain: {name}" for name in words.METRICS.values()))
    table(f"Without it, after {number} rounds, in {result['n_worlds']} worlds", head, rows)
    if result["not_played"]:
        names = ", ".join(name.replace("_", " ") for name in result["not_played"])
        text("p", f"Not played, as simulated users come all at once: {names}.", "hint")


def cell(metric: str, found: Mapping[str, Any]) -> str:
    """The same, with its interval."""
    low, high = found["intervals"][WIDE]
    span = f"{told(metric, low)} to {told(metric, high)}"
    return f"{told(metric, found['mean'])} ({span})"
