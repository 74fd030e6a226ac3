"""Figures, times and terms in words for people."""

from datetime import datetime
from zoneinfo import ZoneInfo

from proactrec.serving.courses import Share
from proactrec.store.campaign import Audience, Goal, Guardrails

STATES = {
    "draft": "not started",
    "running": "running",
    "paused": "paused",
    "finished": "finished",
    "stopped": "stopped",
}
TERMS = {
    "guided": "Guided items are steps that the campaign chose, on the way to a target.",
    "hold-out": "Held-out users are never guided: what they do shows what would have happened "
    "without the campaign.",
    "target": "A target is an item that users are led to; each user is led to the one that suits "
    "them best.",
    "promoted": "Whoever shows a guided item must say beside it that it is promoted, if the label "
    "says so.",
    "not yet decided": "An interval that still holds 0 says neither that the campaign helps nor "
    "that it does not. It may be looked at as often as you like.",
    "measured": "A user is measured once the window after the first decision is over.",
    "ramp": "The campaign begins with a share of the audience and grows step by step.",
    "rails": "Rails are limits that guidance never leaves, whatever it would gain.",
    "acceptance": "The share of shown items that users took, of those that they answered.",
    "interest": "How well the targets suit users by what they accepted, as the worlds of the "
    "forecast measure it; with real users, targets accepted and acceptance stand for it.",
    "arm": "An arm is one way of guiding, drawn for a share of the users.",
    "apprentice": "An apprentice decides and notes it, but users see what you would have shown "
    "anyway.",
    "off-policy": "How often the next item had been accepted, had another policy chosen among the "
    "items that were drawn from: of one step, not of whole journeys.",
}
METRICS = {
    "target_acceptance": "users who accept a target",
    "acceptance": "shown items that are accepted",
    "interest_gained": "interest in the target",
}
FIGURES = {
    "target": "users who take a target",
    "taken": "items a user takes",
    "purchases": "purchases of a user",
    "objections": "users who opt out or complain",
    "acceptance": "answers that accept",
}
PARTS = ("target", "objections", "acceptance")
"""Figures that are shares."""


def count(n: float) -> str:
    """1,234."""
    return f"{n:,.0f}"


def percent(share: float | None, digits: int = 1) -> str:
    """12.3 %, or a dash where there is nothing."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def share_of(k: int, n: int) -> str:
    """Of n."""
    return percent(k / n) if n else "–"


def each(k: int, n_users: int) -> str:
    """Of how many a user has in the mean."""
    return f"{k / n_users:.2f} a user" if n_users else "nobody has come yet"


def between(low: float | None, high: float | None) -> str:
    """An interval of shares."""
    return "" if low is None or high is None else f"95 %: {percent(low)} to {percent(high)}"


def known(share: Share | None) -> tuple[str, str]:
    """A share, and how sure it is."""
    if share is None or share.value is None:
        return "–", "nobody has answered yet"
    return percent(share.value), between(share.low, share.high) or f"of {count(share.n)} answers"


def figure(name: str, value: float, *, signed: bool = False) -> str:
    """A figure of the measurement with its unit; differences of shares in points."""
    sign = "+" if signed else ""
    if name in PARTS:
        unit = " points" if signed else " %"
        return f"{100 * value:{sign}.2f}{unit}"
    return f"{value:{sign}.3f}"


def when(at: datetime | None, zone: ZoneInfo) -> str:
    """A time in somebody's zone, to the minute."""
    return "–" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def who(by: str) -> str:
    """Who changed something."""
    return {"worker": "the service itself"}.get(by, by)


def headed(sentence: str) -> str:
    """With a capital letter."""
    return sentence[:1].upper() + sentence[1:]


def goal(said: Goal) -> str:
    """Where a campaign leads."""
    if said.category is not None:
        most = f", {said.n_targets} items at most" if said.n_targets else ""
        return f"category {said.category}{most}"
    n = len(said.items)
    return f"item {said.items[0]}" if n == 1 else f"{n} items"


def guardrails(said: Guardrails) -> list[str]:
    """When a campaign stops by itself."""
    losses = {
        "acceptance falls by more than": said.acceptance,
        "users more opt out or complain than": said.opt_outs,
        "guided items are never shown, more than": said.errors,
    }
    found = [
        f"it stops by itself if {what} {percent(most)}, credibly"
        for what, most in losses.items()
        if most is not None
    ]
    return found or ["no guardrails: it stops only if somebody stops it"]


def audience(said: Audience) -> str:
    """Who takes part."""
    parts = ["everybody"] if said.everybody else []
    if said.users:
        parts.append(f"{count(len(said.users))} named users")
    if said.groups:
        parts.append(f"groups {', '.join(said.groups)}")
    if said.except_groups:
        parts.append(f"without groups {', '.join(said.except_groups)}")
    if said.least_items:
        parts.append(f"with at least {said.least_items} items")
    if said.most_items is not None:
        parts.append(f"with at most {said.most_items} items")
    return ", ".join(parts)
