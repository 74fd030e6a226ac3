"""The page of the load test: a table by setting and rate, memory, what the database held."""

from collections.abc import Iterable
from typing import Any

HEAD = (
    "| service | asked about | rate | decisions p50 | p90 | p99 | events p50 | p99 "
    "| bare commit p50 | p99 | p99 added | CPU ms a decision: service | database | worker "
    "| errors | sustained |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: "
    "| ---: | ---: | --- |",
)
NOTE = (
    "Latencies in ms, from when a request was due. A bare commit is one row of 200 bytes by the "
    "same database on the same disk, twenty a second while the users came. What the service adds "
    "is the p99 of decisions less that of bare commits. CPU is of a decision and the event that "
    "goes with it, of all processes."
)


def body(groups: list[dict[str, Any]], pictures: Iterable[str]) -> str:
    """Markdown."""
    lines = [*HEAD, *(_row(group, cell) for group in groups for cell in group["cells"])]
    shown = [f"![Latency by rate]({name})" for name in pictures]
    lines += ["", NOTE, "", *shown, "", "## Highest rate sustained"]
    lines += ["", "| service | asked about | decisions a second, and as many events |"]
    lines += ["| --- | --- | ---: |", *map(_highest, groups)]
    lines += [
        "",
        "## Memory, MiB: at the beginning, in the middle, at the end of the last rate",
        "",
    ]
    lines += [
        "| service | asked about | instances | worker | database |",
        "| --- | --- " * 1 + "| --- | --- | --- |",
    ]
    lines += [*map(_memory, groups), "", "## What the database held", ""]
    lines += [
        "| service | asked about | decisions, acknowledged | events, acknowledged | guided, budget "
        "used | most of an item | items at their cap | `rebuild --check` | all right |",
        "| --- | --- | --- | --- | --- | ---: | ---: | --- | --- |",
    ]
    return "\n".join([*lines, *map(_checks, groups)])


def _name(group: dict[str, Any]) -> str:
    return f"| {group['setting']} | {group['kind']} |"


def _row(group: dict[str, Any], cell: dict[str, Any]) -> str:
    ask, report, bare = cell["ask"]["due"], cell["report"]["due"], cell["bare"]
    n = cell["ask"]["due"]["n"]
    cpu = [f"{cell['cpu'][kind] / n * 1000:.2f}" for kind in ("service", "database", "worker")]
    errors = sum(
        n
        for what, n in cell["counts"].items()
        if not what.startswith(("guided", "plain")) or "failed" in what or "unavailable" in what
    )
    times = [ask["p50"], ask["p90"], ask["p99"], report["p50"], report["p99"]]
    times += [bare["p50"], bare["p99"], ask["p99"] - bare["p99"]]
    values = [str(cell["rate"]), *(f"{one:.2f}" for one in times), *cpu, str(errors)]
    return f"{_name(group)} {' | '.join(values)} | {'yes' if cell['is_sustained'] else 'no'} |"


def _highest(group: dict[str, Any]) -> str:
    rates = [cell["rate"] for cell in group["cells"] if cell["is_sustained"]]
    return f"{_name(group)} {max(rates, default='none')} |"


def _memory(group: dict[str, Any]) -> str:
    looks = group["cells"][-1]["looks"]
    three = [looks[0], looks[len(looks) // 2], looks[-1]]
    parts = [
        ", ".join(" + ".join(f"{x:.0f}" for x in look["mib"][kind]) for look in three)
        for kind in ("service", "worker", "database")
    ]
    return f"{_name(group)} {' | '.join(parts)} |"


def _checks(group: dict[str, Any]) -> str:
    found = group["checks"]
    known = found["acknowledged"]
    values = [
        f"{found['decisions']:,}, {known['ask']:,}",
        f"{found['events']:,}, {known['report']:,}",
        f"{found['guided']:,}, {found['budget_used']:,}",
        f"{found['most_of_an_item']:,}",
        f"{found['items_at_their_cap']:,}",
        found["rebuild"] if found["rebuild"] == "equal" else "differs",
        "yes" if found["is_right"] else "no",
    ]
    return f"{_name(group)} {' | '.join(values)} |"
