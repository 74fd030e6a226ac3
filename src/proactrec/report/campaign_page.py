"""One self-contained HTML page of a campaign, for those who have no console."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from proactrec.report.page import settings_text, template
from proactrec.report.tables import MISSING, percent_text
from proactrec.report.time_lines import Figure, Line, figure
from proactrec.serving.brought import ArmMeasured, MeasurementNow
from proactrec.serving.courses import Course, CourseBin, Share
from proactrec.serving.schemas import CampaignNow, CampaignVersion
from proactrec.serving.words import NOT_GUIDED

MEASURED = {
    "target": "took a target",
    "target_share": "targets among items taken",
    "taken": "items taken",
    "purchases": "purchases",
    "objections": "opted out or complained",
    "acceptance": "accepted answers",
}


LEAST_ANSWERS = 10
"""Of fewer no share is drawn: it would say nothing."""
NO_ANSWERS = Share(n=0, k=0, value=None, low=None, high=None)


class ArmRow(NamedTuple):
    """An arm's counts as text."""

    name: str
    counts: list[str]
    acceptance: str
    interval: str


class Why(NamedTuple):
    """A reason for not guiding, and how often it held, by arm."""

    sentence: str
    counts: list[str]


class Effect(NamedTuple):
    """An arm less the one that it is compared with, in one figure, as text."""

    figure: str
    value: str
    baseline: str
    difference: str
    interval: str
    is_shown: bool


class Change(NamedTuple):
    """What a version changed."""

    at: str
    version: CampaignVersion
    what: list[tuple[str, str, str]]  # name, before, after


def campaign_page(
    now: CampaignNow,
    course: Course,
    brought: MeasurementNow,
    versions: Sequence[CampaignVersion],
) -> str:
    """The page.

    Parameters
    ----------
    now : CampaignNow
    course : Course
        From the beginning, or as far back as it is to be drawn.
    brought : MeasurementNow
    versions : sequence of CampaignVersion
        All of them, the first one first.
    """
    zone = now.campaign.budget.zone

    def time(at: datetime) -> str:
        return at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")

    said = now.campaign
    return template("campaign.html.j2").render(
        now=now,
        goal=said.goal.category or ", ".join(said.goal.items),
        times={"counted": time(now.counted_at), "measured": time(brought.at), "said": time(now.at)},
        tiles=_tiles(now, course),
        budget=_budget(now),
        arms=[_arm(now, name, course.arms.get(name, NO_ANSWERS)) for name in now.arms],
        figures=[one for one in _figures(course, list(now.arms), zone) if one],
        reasons=_reasons(now),
        brought=brought,
        measured=[(one, _effects(one)) for one in brought.arms],
        changes=[Change(time(one.at), one, what) for one, what in _changes(versions)],
        settings=settings_text(_said(now)),
    )


def _tiles(now: CampaignNow, course: Course) -> list[tuple[str, str, str]]:
    """Headline figures: label, value, and what to know of it."""
    arms = now.arms.values()
    users, decisions = sum(arm.users for arm in arms), sum(arm.decisions for arm in arms)
    guided, targets = sum(arm.guided for arm in arms), sum(arm.targets_accepted for arm in arms)
    return [
        ("users", f"{users:,}", "for whom anything was decided"),
        ("decisions", f"{decisions:,}", f"{_share(guided, decisions)} of them guided"),
        ("targets accepted", f"{targets:,}", "in all arms, whoever was held out included"),
        *(
            (f"accepted, {name}", percent_text(share.value, 1), f"of {share.n:,} answers")
            for name, share in list(course.arms.items())[:2]
        ),
    ]


def _budget(now: CampaignNow) -> list[tuple[str, str]]:
    """Limits of guided items, and what is used of them."""
    said, used = now.campaign.budget, now.budget_used
    limits = (("in all", used.total, said.total), ("today", used.today, said.per_day))
    return [
        (what, "without a limit" if n is None or most is None else f"{n:,} of {most:,}")
        for what, n, most in limits
    ]


def _arm(now: CampaignNow, name: str, share: Share) -> ArmRow:
    one = now.arms[name]
    counts = [one.users, one.decisions, one.guided, one.answered, one.accepted]
    texts = [f"{n:,}" for n in (*counts, one.targets_accepted)]
    interval = (
        ""
        if share.low is None
        else f"{percent_text(share.low, 1)} to {percent_text(share.high, 1)}"
    )
    return ArmRow(name, texts, percent_text(share.value, 1), interval)


def _reasons(now: CampaignNow) -> list[Why]:
    """The most frequent first."""
    arms = [arm.not_guided_because for arm in now.arms.values()]
    codes = {code for counts in arms for code in counts}
    ordered = sorted(codes, key=lambda code: (-sum(one.get(code, 0) for one in arms), code))
    return [
        Why(NOT_GUIDED.get(code, code), [f"{one.get(code, 0):,}" for one in arms])
        for code in ordered
    ]


def _figures(course: Course, arms: Sequence[str], zone: ZoneInfo) -> Iterator[Figure | None]:
    by_arm: dict[str, list[tuple[datetime, CourseBin]]] = {name: [] for name in arms}
    for one in course.bins:
        by_arm.setdefault(one.arm, []).append((one.at.astimezone(zone), one))
    how: dict[str, Any] = {"by_day": course.by == "day"}
    yield figure(
        f"Accepted of answered decisions, by {course.by}",
        f"Of the decisions of each {course.by}, as far as they are answered by now; left out where "
        f"fewer than {LEAST_ANSWERS} are.",
        [
            Line(
                name,
                [
                    (at, one.accepted / one.answered)
                    for at, one in bins
                    if one.answered >= LEAST_ANSWERS
                ],
            )
            for name, bins in by_arm.items()
        ],
        is_share=True,
        **how,
    )
    yield figure(
        f"Decisions, by {course.by}",
        "Guided or not, by the arm that was drawn for the user.",
        [
            Line(name, [(at, float(one.decisions)) for at, one in bins])
            for name, bins in by_arm.items()
        ],
        is_share=False,
        **how,
    )


def _effects(one: ArmMeasured) -> list[Effect]:
    return [
        Effect(
            MEASURED.get(name, name),
            _signed(f"{found.value:.4g}"),
            _signed(f"{found.baseline:.4g}"),
            _signed(f"{found.difference:+.3g}"),
            _signed(f"{found.low:+.3g} to {found.high:+.3g}"),
            found.shown,
        )
        for name, found in one.effects.items()
    ]


def _changes(
    versions: Sequence[CampaignVersion],
) -> Iterator[tuple[CampaignVersion, list[tuple[str, str, str]]]]:
    """Every version with what it changed, the newest first."""
    pairs = [*pairwise(versions)]
    for before, after in reversed(pairs):
        old, new = _flat(before), _flat(after)
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        yield after, [(n, old.get(n, MISSING), new.get(n, MISSING)) for n in names]
    for first in versions[:1]:
        yield first, []


def _flat(version: CampaignVersion) -> Mapping[str, str]:
    """What a version says, by dotted names, as text."""
    found = {"state": version.state, "share of the audience": percent_text(version.share)}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{name}.{key}" if name else key, inner)
        else:
            found[name] = str(value)

    walk("", _said(version))
    return found


def _said(version: CampaignVersion) -> dict[str, Any]:
    """What a campaign says beside its defaults; of the users that it means only how many."""
    said = version.campaign.model_dump(mode="json", exclude_defaults=True)
    if users := version.campaign.audience.users:
        said["audience"]["users"] = f"{len(users):,}, not named here"
    return said


def _share(n: int, of: int) -> str:
    return percent_text(n / of if of else None)


def _signed(text: str) -> str:
    """A figure with a true minus sign."""
    return text.replace("-", "\N{MINUS SIGN}")
