"""The page of the hour: latencies every five minutes, memory, errands, what the database held."""

from typing import Any

from serving import is_error

HEAD = (
    "| minutes | decisions | p50 | p99 | events p50 | p99 | errors "
    "| instances, MiB | worker, MiB | database, MiB |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- | ---: |",
)
NOTE = (
    "Latencies in ms, from when a request was due; memory at the end of those minutes, of every "
    "process, of the database's together."
)


def body(found: dict[str, Any], before: dict[str, Any] | None) -> str:
    """Markdown."""
    parts = found["parts"]
    about = f"{found['setting']}, {found['kind']}, {found['rate']} decisions and as many events a "
    lines = [f"{about}second. {NOTE}", "", *HEAD, *_rows(parts), "", *_verdict(parts, before), ""]
    lines += ["| beside it | asked | statuses | p50 | p99 | longest |"]
    lines += ["| --- | ---: | --- | ---: | ---: | ---: |", *_errands(parts), ""]
    held = found["checks"]
    lines.append(
        f"The database held {held['decisions']:,} decisions and {held['events']:,} events; "
        f"acknowledged, in parts that were played to their end, were "
        f"{held['acknowledged']['ask']:,} and {held['acknowledged']['report']:,}. Budget used "
        f"{held['budget_used']:,}, guided and not expired {held['guided']:,}; items counted wrong: "
        f"{held['items_counted_wrong']}."
    )
    return "\n".join(lines)


def _rows(parts: list[dict[str, Any]]) -> list[str]:
    rows, start = [], 0.0
    for part in parts:
        end = start + part["minutes"]
        ask, report, mib = part["ask"]["due"], part["report"]["due"], part["looks"][-1]["mib"]
        n_errors = sum(n for what, n in part["counts"].items() if is_error(what))
        memory = (" ".join(f"{x:.0f}" for x in mib[k]) for k in ("service", "worker", "database"))
        times = (ask["p50"], ask["p99"], report["p50"], report["p99"])
        cells = [f"{start:g} to {end:g}", f"{ask['n']:,}", *(f"{one:.1f}" for one in times)]
        rows.append(f"| {' | '.join([*cells, str(n_errors), *memory])} |")
        start = end
    return rows


def _verdict(parts: list[dict[str, Any]], before: dict[str, Any] | None) -> list[str]:
    p99 = sorted(part["ask"]["due"]["p99"] for part in parts)
    middle = p99[len(p99) // 2]
    told = f"p99 of decisions: {middle:.1f} ms in the median part, {p99[-1]:.1f} in the worst"
    if before is None:
        return [f"{told}. The load test has no cell of the same setting and rate."]
    old = before["ask"]["due"]["p99"]
    return [f"{told}; the load test alone had {old:.1f}: {middle / old - 1:+.0%} in the median."]


def _errands(parts: list[dict[str, Any]]) -> list[str]:
    rows = []
    for name in parts[0]["errands"]:
        of_it = [part["errands"][name] for part in parts]
        if all(one["is_missing"] for one in of_it if one["n"]):
            rows.append(f"| {name} | | this version has no such route | | | |")
            continue
        of_it = [one for one in of_it if one["n"]]
        statuses: dict[str, int] = {}
        for one in of_it:
            for status, n in one["statuses"].items():
                statuses[str(status)] = statuses.get(str(status), 0) + n
        told = ", ".join(f"{status}: {n}" for status, n in sorted(statuses.items()))
        most = [max(one[kind] for one in of_it) for kind in ("p50", "p99", "most")]
        n = sum(one["n"] for one in of_it)
        rows.append(f"| {name} | {n:,} | {told} | {' | '.join(f'{x:.1f}' for x in most)} |")
    return rows
