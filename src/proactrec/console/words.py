"""Figures, times and terms in words for people."""

from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

from proactrec.serving.courses import Share
from proactrec.store.campaign import Audience, Budget, Goal, Guardrails

MOST_NAMED = 3
"""Items of a goal that are told by name."""
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
    "target": "A target is an item that users are led to: each user to the one that promises most, "
    "and once they took it to the next.",
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
    "round": "A round is one visit of a user, at which one item is shown.",
    "world": "A world is one way in which users might really answer, as far as the data leave it "
    "open: a forecast plays the campaign in many of them.",
    "points": "Points are differences of shares: from 5 % to 7 % are 2 points.",
    "arm": "An arm is one way of guiding, drawn for a share of the users.",
    "apprentice": "An apprentice decides and notes it, but users see what you would have shown "
    "anyway.",
    "off-policy": "How often the next item had been accepted, had another policy chosen among the "
    "items that were drawn from: of one step, not of whole journeys.",
}
RAILS = {
    "daily_cap": "guided items a user sees a day, at most",
    "item_cap_per_day": "times an item is guided to a day, at most",
    "acceptance_floor": "least chance of being accepted, as it is foretold",
    "plain_share": "share of rounds that stay free of guidance",
    "pause_after": "refusals in a row after which it pauses",
}
EVENTS = {
    "impression": "shown",
    "expired": "the offer ran out",
    "lapsed": "no answer came in time",
    "accept": "accepted",
    "purchase": "bought",
    "skip": "refused",
    "complaint": "complained of",
}
"""What is reported of an item that was offered, as one follows from the other."""
PERSON = "oidc:"
"""Begins the ids of people whom an issuer knows."""
WITHOUT_KEY = {
    "worker": "the service itself",
    "command line": "the command line",
    "erasure": "an erasure",
    "restore": "a restored backup",
}
"""What changes something without a key."""
METRICS = {
    "target_acceptance": "users who accept a target",
    "acceptance": "shown items that are accepted",
    "interest_gained": "interest in the target",
}
FIGURES = {
    "target": "users who take a target",
    "target_share": "targets among items taken",
    "taken": "items a user takes",
    "purchases": "purchases of a user",
    "objections": "users who opt out or complain",
    "acceptance": "answers that accept",
}


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


def when(at: datetime | None, zone: ZoneInfo) -> str:
    """A time in somebody's zone, to the minute."""
    return "–" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def who(by: str, own: str) -> str:
    """Who changed something, for whoever is signed in with the key `own`."""
    if by == own:
        return "you"
    if by.startswith(PERSON):
        return by.removeprefix(PERSON)
    return WITHOUT_KEY.get(by, f"key {by}")


def happened(reported: Collection[str]) -> str:
    """What was reported of a shown item, in the order in which it happens."""
    own = [said for kind, said in EVENTS.items() if kind in reported]
    return ", ".join([*own, *(kind for kind in reported if kind not in EVENTS)]) or "offered"


def rail(name: str, value: object) -> tuple[str, str]:
    """A limit of guidance, and how much it is."""
    said = percent(value) if isinstance(value, float) else str(value)
    return RAILS.get(name, name.replace("_", " ")), said


def headed(sentence: str) -> str:
    """With a capital letter."""
    return sentence[:1].upper() + sentence[1:]


def goal(said: Goal, titles: Mapping[str, str] = MappingProxyType({})) -> str:
    """Where a campaign leads."""
    if said.category is not None:
        most = f", {said.n_targets} items at most" if said.n_targets else ""
        return f"category {said.category}{most}"
    n = len(said.items)
    named = ", ".join(titles.get(one, one) for one in said.items[:MOST_NAMED])
    more = f" and {n - MOST_NAMED} more" if n > MOST_NAMED else ""
    return f"{'item' if n == 1 else 'items'} {named}{more}"


def budget(said: Budget) -> list[str]:
    """How many guided items there may be."""
    limits = ((said.total, "in all"), (said.per_day, "a day"))
    found = [f"guided items {what}, at most: {count(n)}" for n, what in limits if n is not None]
    even = ", spread evenly over each" if said.pacing == "even" else ""
    return [*(found or ["no budget of guided items"]), f"days are those of {said.time_zone}{even}"]


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
