"""What happens in a campaign now: figures, courses, and why users are not guided."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from proactrec.console import words
from proactrec.console.charts import Lines
from proactrec.console.elements import box, facts, note, table, text
from proactrec.serving.courses import Course, CourseBin
from proactrec.serving.schemas import ArmCounts, CampaignNow
from proactrec.serving.words import NOT_GUIDED
from proactrec.store.campaign import HOLD_OUT

FEW = 10
"""Answers of an hour below which no share is drawn."""


class Live:
    """All that moves: figures are written anew, charts go on."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._figures = box()
        self._charts = box()
        with self._charts:
            self._accepted_by = text("h3")
            self._accepted = Lines("Share of answers that accept, over time, by arm", " %")
            self._counted_by = text("h3")
            self._counted = Lines("Decisions, guided ones and targets accepted, over time")
        self._rest = box()

    def show(self, now: CampaignNow, course: Course) -> None:
        """What was counted last."""
        self._figures.clear()
        with self._figures:
            if not any(arm.decisions for arm in now.arms.values()):
                note("No user has asked yet: figures appear here with the first decisions.")
            _facts(now, course)
            at = words.when(course.kept_at, self._zone)
            text("p", f"Counted at {at} ({self._zone.key}).", "hint")
        self._charts.visible = bool(course.bins)
        self._draw(course)
        self._rest.clear()
        with self._rest:
            _arms(now, course)
            _not_guided(now.arms)

    def _draw(self, course: Course) -> None:
        at = sorted({one.at for one in course.bins})
        names = list(dict.fromkeys(one.arm for one in course.bins))
        by_place = {(one.at, one.arm): one for one in course.bins}
        form = "%m-%d %H:%M" if course.by == "hour" else "%m-%d"
        times = [f"{one.astimezone(self._zone):{form}}" for one in at]
        rows = [[by_place.get((one, name)) for name in names] for one in at]
        accepted = {
            name: [_share(row[column]) for row in rows] for column, name in enumerate(names)
        }
        counts: dict[str, list[float | None]] = {
            "decisions": [sum(one.decisions for one in row if one) for row in rows],
            "guided": [sum(one.guided for one in row if one) for row in rows],
            "targets accepted": [sum(one.targets_accepted for one in row if one) for row in rows],
        }
        self._accepted_by.set_text(f"Acceptance by {course.by}")
        self._accepted.show(times, accepted)
        self._counted_by.set_text(f"Decisions by {course.by}")
        self._counted.show(times, counts)


def _share(one: CourseBin | None) -> float | None:
    """Of answers that accept, in hundredths; None: too few."""
    if one is None or one.answered < FEW:
        return None
    return round(100 * one.accepted / one.answered, 2)


def _facts(now: CampaignNow, course: Course) -> None:
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
        ("Budget used", *_budget(now)),
    ]
    if now.share < 1:
        shown.append(("Of its audience", words.percent(now.share, 0), words.TERMS["ramp"]))
    if now.apprentice is not None:
        agreed = words.share_of(now.apprentice.agreed, now.apprentice.decisions)
        shown.append(("Apprentice agrees", agreed, words.TERMS["apprentice"]))
    facts(shown)


def _budget(now: CampaignNow) -> tuple[str, str]:
    """Guided items that were offered, in all and today; none are counted without a limit."""
    budget, used = now.campaign.budget, now.budget_used
    if budget.total is None and budget.per_day is None:
        return "no limit", ""
    total = f" of {words.count(budget.total)}" if budget.total is not None else ""
    today = f" of {words.count(budget.per_day)}" if budget.per_day is not None else ""
    return f"{words.count(used.total)}{total}", f"today {words.count(used.today)}{today}"


def _arms(now: CampaignNow, course: Course) -> None:
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
                words.count(arm.targets_accepted),
            ]
        )
    head = ("Arm", "#Users", "#Decisions", "#Guided", "#Answered", "#Accepted", "#Targets accepted")
    table("By arm", head, rows)
    with box("details"):
        text("summary", "What these words mean")
        with box("dl"):
            for term in ("arm", "hold-out", "guided", "target", "acceptance", "interest"):
                text("dt", term, "soft")
                text("dd", words.TERMS[term])


def _not_guided(arms: Mapping[str, ArmCounts]) -> None:
    counts: dict[str, int] = {}
    for arm in arms.values():
        for because, n in arm.not_guided_because.items():
            counts[because] = counts.get(because, 0) + n
    if not counts:
        return
    total = sum(counts.values())
    rows = [
        [NOT_GUIDED.get(because, because), words.count(n), words.share_of(n, total)]
        for because, n in sorted(counts.items(), key=lambda item: -item[1])
    ]
    text("h3", "Why users were not guided")
    table(f"{words.count(total)} decisions", ("Because", "#Decisions", "#Share of them"), rows)
