"""What happens in a campaign now: figures, courses, and why users are not guided."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from proactrec.console import words
from proactrec.console.charts import Lines
from proactrec.console.elements import Facts, Field, Handler, Table, box, note, text
from proactrec.serving.courses import By, Course, CourseBin
from proactrec.serving.schemas import ArmCounts, CampaignNow
from proactrec.serving.words import NOT_GUIDED
from proactrec.store.campaign import HOLD_OUT

FEW = 10
"""Answers of an hour or day below which no share is drawn."""
LAST: Mapping[By, int] = {"hour": 48, "day": 90}
ARMS = ("Arm", "#Users", "#Decisions", "#Guided", "#Answered", "#Accepted", "#Targets accepted")


class Live:
    """All that moves, in place: whoever reads is not disturbed.

    Parameters
    ----------
    zone : ZoneInfo
        In which hours are told; days are those of the campaign.
    again : callable
        Looks once more, after another course was chosen.
    """

    def __init__(self, zone: ZoneInfo, again: Handler) -> None:
        self._zone = zone
        self._nothing = note("No user has asked yet: figures appear with the first decisions.")
        self._facts = Facts()
        self._counted_at = text("p", "", "hint")
        self._charts = box()
        with self._charts:
            names: dict[str, str] = {by: f"the last {last} {by}s" for by, last in LAST.items()}
            self._by = Field("Over time", "hour", choices=names, on_change=again)
            self._accepted_by = text("h3")
            self._accepted = Lines("Share of answers that accept, over time, by arm", " %")
            text(
                "p",
                f"Nothing is drawn of fewer than {FEW} answers; the last one isn't over.",
                "hint",
            )
            self._counted_by = text("h3")
            self._counted = Lines("Decisions, guided ones and targets accepted, over time")
        self._arms = Table("By arm", ARMS)
        _glossary()
        self._not_guided = box()
        with self._not_guided:
            text("h3", "Why users were not guided")
            self._because = Table("", ("Because", "#Decisions", "#Share of them"))

    @property
    def by(self) -> By:
        """How the course is wanted."""
        return "day" if self._by.value == "day" else "hour"

    def show(self, now: CampaignNow, course: Course) -> None:
        """What was counted last."""
        self._nothing.visible = not any(arm.decisions for arm in now.arms.values())
        self._facts.show(_facts(now, course))
        at = words.when(course.kept_at, self._zone)
        self._counted_at.set_text(f"Counted at {at} ({self._zone.key}).")
        self._charts.visible = bool(course.bins)
        if course.bins:
            self._draw(course, now.campaign.budget.zone)
        self._arms.show(_arms(now, course))
        self._show_not_guided(now.arms)

    def _draw(self, course: Course, days_of: ZoneInfo) -> None:
        names = list(dict.fromkeys(one.arm for one in course.bins))
        by_place = {(_begin(one, course.by, days_of), one.arm): one for one in course.bins}
        at = steps(min(by_place)[0], max(by_place)[0], course.by)
        rows = [[by_place.get((one, name)) for name in names] for one in at]
        times = (
            [f"{one.astimezone(self._zone):%m-%d %H:%M}" for one in at]
            if course.by == "hour"
            else [f"{one:%m-%d}" for one in at]
        )
        shares = {name: [_share(row[column]) for row in rows] for column, name in enumerate(names)}
        self._accepted_by.set_text(f"Acceptance by {course.by}")
        self._accepted.show(times, shares)
        self._counted_by.set_text(f"Decisions by {course.by}")
        self._counted.show(times, {name: [of(row) for row in rows] for name, of in SUMS.items()})

    def _show_not_guided(self, arms: Mapping[str, ArmCounts]) -> None:
        counts: dict[str, int] = {}
        for arm in arms.values():
            for because, n in arm.not_guided_because.items():
                counts[because] = counts.get(because, 0) + n
        total = sum(counts.values())
        self._not_guided.visible = bool(total)
        self._because.name(f"{words.count(total)} decisions")
        self._because.show(
            [NOT_GUIDED.get(because, because), words.count(n), words.share_of(n, total)]
            for because, n in sorted(counts.items(), key=lambda item: -item[1])
        )


def _begin(one: CourseBin, by: By, days_of: ZoneInfo) -> datetime:
    """Of an hour, or of a day as its zone's calendar has it: some have 23 hours."""
    if by == "hour":
        return one.at
    return one.at.astimezone(days_of).replace(tzinfo=None, hour=0)


def steps(first: datetime, last: datetime, by: By) -> list[datetime]:
    """Every hour or day from the first to the last, also those in which there was nothing."""
    step = timedelta(**{f"{by}s": 1})
    return [first + n * step for n in range((last - first) // step + 1)]


Row = Sequence[CourseBin | None]
"""Arms of an hour or day; None: there was nothing."""
SUMS: Mapping[str, Callable[[Row], float]] = {
    "decisions": lambda row: sum(one.decisions for one in row if one),
    "guided": lambda row: sum(one.guided for one in row if one),
    "targets accepted": lambda row: sum(one.targets_accepted for one in row if one),
}


def _share(one: CourseBin | None) -> float | None:
    """Of answers that accept, in hundredths; None: too few."""
    if one is None or one.answered < FEW:
        return None
    return round(100 * one.accepted / one.answered, 2)


def _facts(now: CampaignNow, course: Course) -> list[tuple[str, str, str]]:
    arms, out = now.arms, now.arms.get(HOLD_OUT, ArmCounts())
    guided = {name: arm for name, arm in arms.items() if name != HOLD_OUT}
    users = sum(arm.users for arm in guided.values())
    targets = sum(arm.targets_accepted for arm in guided.values())
    first = next((course.arms[name] for name in guided if name in course.arms), None)
    accepted, sure = words.known(first)
    against, sure_out = words.known(course.arms.get(HOLD_OUT))
    shown = [
        ("Users", words.count(users), f"and {words.count(out.users)} held out"),
        (
            "Decisions",
            words.count(sum(arm.decisions for arm in arms.values())),
            f"{words.count(sum(arm.guided for arm in arms.values()))} guided",
        ),
        ("Acceptance", accepted, sure),
        ("Acceptance, held out", against, sure_out),
        ("Targets accepted", words.count(targets), words.each(targets, users)),
        ("Targets, held out", words.count(out.targets_accepted), _each(out)),
        ("Budget used", *_budget(now)),
    ]
    if now.share < 1:
        shown.append(("Of its audience", words.percent(now.share, 0), words.TERMS["ramp"]))
    if now.apprentice is not None:
        agreed = words.share_of(now.apprentice.agreed, now.apprentice.decisions)
        shown.append(("Apprentice agrees", agreed, words.TERMS["apprentice"]))
    return shown


def _each(arm: ArmCounts) -> str:
    """Accepted targets, of arms of any size."""
    return words.each(arm.targets_accepted, arm.users)


def _budget(now: CampaignNow) -> tuple[str, str]:
    """Guided items that were offered, in all and today; none are counted without a limit."""
    budget, used = now.campaign.budget, now.budget_used
    if budget.total is None and budget.per_day is None:
        return "no limit", ""
    total = _used(used.total, budget.total)
    return total or "no limit in all", f"today {_used(used.today, budget.per_day) or 'no limit'}"


def _used(n: int | None, most: int | None) -> str:
    return "" if n is None or most is None else f"{words.count(n)} of {words.count(most)}"


def _arms(now: CampaignNow, course: Course) -> list[list[str]]:
    rows = []
    for name, arm in now.arms.items():
        value, sure = words.known(course.arms.get(name))
        rows.append(
            [
                name,
                words.count(arm.users),
                words.count(arm.decisions),
                words.count(arm.guided),
                words.count(arm.answered),
                f"{value} {f'({sure})' if sure else ''}",
                f"{words.count(arm.targets_accepted)} ({_each(arm)})",
            ]
        )
    return rows


def _glossary() -> None:
    with box("details"):
        text("summary", "What these words mean")
        with box("dl"):
            for term in ("arm", "hold-out", "guided", "target", "acceptance", "interest"):
                text("dt", term, "soft")
                text("dd", words.TERMS[term])
