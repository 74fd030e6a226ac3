"""How the service does: whether it is well first, then its figures since it started."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from proactrec.console import words
from proactrec.console.elements import Facts, Kept, Table, attributes, box, note, text
from proactrec.console.figures import Chore, Figures, Route

LATE_SECONDS = {"the lock": 120.0, "settling": 120.0}
"""Chores that are late if they were not done for so long."""
LATE_AT_ALL = 900.0
"""The same of all others: each rests ten times as long as it took."""
MANY = 500
"""Requests of an instance that wait: no batch takes more."""
FIRST = {
    "/v1/decisions": "Decisions",
    "/v1/decisions/batch": "Decisions, many at once",
    "/v1/events": "Events",
}
"""What shops wait for."""
CHORES = {
    "the lock": "sees to it that one worker alone is at work",
    "settling": "gives back offers that nobody saw, and closes those that nobody answered",
    "leases": "gives back what instances reserved of budgets and did not use",
    "steering": "lets campaigns grow, and ends or pauses them when it is time",
    "watching": "looks whether what was learned still foretells what users do",
    "learning": "learns from new answers",
    "jobs": "begins forecasts and studies that somebody asked for",
    "counting": "counts large campaigns, so that nobody waits for their figures",
}
ROUTES = ("Route", "#Requests", "#Half within", "#99 % within")


class Finding(NamedTuple):
    """What is not as it should be."""

    kind: str  # of the note: bad, or nothing for what is over
    sentence: str


def show_service(found: Figures) -> Callable[[Figures], None]:
    """Build it; what comes back shows later figures in the same places."""
    service = Service(found)
    service.show(found)
    return service.show


def findings(found: Figures) -> list[Finding]:
    """What is not well now, then what was not since the service started."""
    return [
        *(Finding("bad", one) for one in _now(found)),
        *(Finding("", one) for one in _before(found)),
    ]


def _now(found: Figures) -> Iterator[str]:
    n = sum(found.guides.values())
    if found.n_out:
        out = f"{found.n_out} of {words.count(n)}"
        yield (
            f"Instances that can't reach the database: {out}. They show plain items until they can."
        )
    if found.waiting > MANY * max(1, n):
        waiting = words.count(found.waiting)
        yield f"More is asked than is answered: {waiting} requests wait for those before them."
    for one in found.chores:
        if is_late(one):
            yield (
                f"The chore “{one.name}” is late: the worker fails at it, is busy or away "
                f"(failures: {words.count(one.failed)})."
            )


def _before(found: Figures) -> Iterator[str]:
    for one in found.chores:
        if one.failed and not is_late(one):
            failures = words.count(one.failed)
            yield f"The chore “{one.name}” failed (failures: {failures}), and was done since."
    if found.errors:
        errors, answers = words.count(found.errors), words.count(found.answers)
        share = words.percent(found.errors / found.answers)
        yield f"Answers with errors of the service (5xx): {errors} of {answers} ({share})."
    if found.makeshift:
        plain = f"{words.count(found.makeshift)} of {words.count(found.decisions)}"
        why = "failed, were overtaken or had no database, so that items were plain"
        yield f"Decisions that {why}: {plain}."


def is_late(one: Chore) -> bool:
    """Whether it should have been done meanwhile."""
    return one.age is None or one.age > LATE_SECONDS.get(one.name, LATE_AT_ALL)


class Service:
    """Figures that change in their places; what is unfolded stays so."""

    def __init__(self, found: Figures) -> None:
        self._findings = Kept(_tell)
        text("p", "Figures are of all instances together, since the service started.", "hint")
        self._facts = Facts()
        caption = "How long answers took: at most so long, in coarse steps"
        self._first = Table(caption, ROUTES)
        with box("details"):
            text("summary", "All routes")
            self._routes = Table(f"{caption}; the most asked first", ROUTES)
        chores = box("details")
        if any(is_late(one) or one.failed for one in found.chores):
            attributes(chores, open=True)
        with chores:
            text("summary", "Work beside it")
            self._chores = Table("", ("Chore", "What it does", "#Last done", "#Failed"))

    def show(self, found: Figures) -> None:
        """As they are now."""
        self._findings.show(findings(found))
        self._facts.show(_facts(found))
        by_route = {one.route: one for one in found.routes}
        self._first.show(
            _row(by_route.get(route, Route(route, 0, None, None)), f"{name} ({route})")
            for route, name in FIRST.items()
        )
        self._routes.show(_row(one, one.route) for one in found.routes)
        what = "the worker does again and again" if found.chores else "no worker tells of"
        self._chores.name(f"Chores that {what}")
        self._chores.show(
            [one.name, CHORES.get(one.name, ""), _ago(one.age), words.count(one.failed)]
            for one in found.chores
        )


def _tell(found: Sequence[Finding]) -> None:
    if not found:
        note("The service is well.", "good")
    elif not any(one.kind == "bad" for one in found):
        note("The service is well now. Since it started not everything was:", "good")
    for one in found:
        note(one.sentence, one.kind)


def _facts(found: Figures) -> list[tuple[str, str, str]]:
    guides = ", ".join(f"{name}: {n:.0f}" for name, n in found.guides.items()) or "none"
    return [
        ("Instances", words.count(sum(found.guides.values())), f"by guide: {guides}"),
        ("Decisions", words.count(found.decisions), f"{words.count(found.guided)} guided"),
        ("Events", words.count(found.events), f"{words.count(found.refused)} refused"),
        (
            "Answers with errors",
            words.count(found.errors),
            f"of {words.count(found.answers)}, by the service's fault (5xx)",
        ),
        ("Waiting", words.count(found.waiting), "requests that no batch has taken yet"),
    ]


def _row(one: Route, name: str) -> list[str]:
    return [name, words.count(one.n), _seconds(one, one.median), _seconds(one, one.p99)]


def _seconds(one: Route, found: float | None) -> str:
    if found is None:
        return "longer" if one.n else "–"
    return f"{1000 * found:g} ms" if found < 1 else f"{found:g} s"


def _ago(age: float | None) -> str:
    """In the largest unit of which it is two."""
    if age is None:
        return "never"
    for seconds, unit in ((3600, "h"), (60, "min")):
        if age >= 2 * seconds:
            return f"{age / seconds:.0f} {unit} ago"
    return f"{age:.0f} s ago"
