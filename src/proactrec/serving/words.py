"""What a decision is told as: its reason in words and figures, and why nobody guided."""

from collections.abc import Sequence

from proactrec.serving.requests import Answer, Noted, Outcome, Plain, Refused, Report
from proactrec.serving.schemas import (
    Decision,
    EventReport,
    EventsTaken,
    PastDecision,
    RefusedEvent,
    micros,
    moment,
)

NOT_GUIDED = {
    "no_campaign": "no campaign is running that this user could be part of",
    "unknown_campaign": "there is no campaign of the id that was asked for",
    "not_in_audience": "the user is not one of those whom the campaign means",
    "opted_out": "the user does not want to be guided",
    "excluded_group": "the user is in a group that is never guided",
    "ramp": "the campaign grows step by step and has not come to this user yet",
    "campaign_draft": "the campaign has not started",
    "campaign_paused": "the campaign is paused",
    "campaign_finished": "the campaign has finished",
    "campaign_stopped": "the campaign was stopped",
    "finished": "the user has, or refused for good, every target, or had all rounds",
    "hold_out": "the user is held out, to compare those who are guided with",
    "apprentice": "the campaign is an apprentice: it only notes what it would have shown",
    "daily_cap": "the user was guided often enough today",
    "budget_spent": "the budget of guided items is used up",
    "pacing": "the day's budget is spread evenly, and more of it comes later",
    "item_cap": "others were guided to this item often enough",
    "plain_share": "rails keep some rounds of every user free of guidance, and this is one",
    "paused": "the user refused too often in a row: rails pause guidance",
    "stopped": "the user refused so often in a row that nothing more is shown",
    "not_chosen": "others have more to gain",
    "nothing_passes": "rails leave no item to guide with",
    "overruled": "rails overruled what guidance chose",
    "unknown_candidates": "none of the candidates is known",
    "nothing_left": "nothing is left to be shown",
    "store_unavailable": "the database can't be reached: report nothing of this decision",
    "overloaded": "others asked for this user over and over: nothing is kept of this decision",
    "failed": "deciding failed and was logged: nothing is kept of this decision",
}
"""Every code of `not_guided_because`, in a sentence."""

SHARES = ("target", "target_share", "objections", "acceptance")
"""Figures of a measurement that are shares."""


def figure(name: str, value: float, *, signed: bool = False) -> str:
    """A figure of a measurement with its unit; differences of shares in points."""
    sign = "+" if signed else ""
    if name in SHARES:
        unit = " points" if signed else " %"
        return f"{100 * value:{sign}.2f}{unit}"
    return f"{value:{sign}.3f}"


def told(answer: Answer | Plain) -> Decision:
    """The decision as it goes to the caller."""
    if isinstance(answer, Plain):
        return _plain(answer)
    made, version = answer.decided.made, answer.version
    guided = bool(made.guided)
    return Decision(
        decision_id=answer.decision_id if answer.is_kept else None,
        item_id=made.item_id or None,
        title=answer.title or None,
        guided=guided,
        campaign_id=made.campaign_id or None,
        arm=made.arm or None,
        target_id=made.target_id or None,
        reason=reason_of(answer),
        not_guided_because=None if guided else answer.decided.not_guided_because,
        label=version.said.label if guided and version is not None else None,
        probability=answer.probability,
        expires_at=moment(made.expires_at),
    )


def past(answer: Answer, reported: Sequence[str]) -> PastDecision:
    """The decision as the log has it, and kinds of the events that answer it."""
    decided, made = answer.decided, answer.decided.made
    return PastDecision(
        decision_id=answer.decision_id,
        number=made.number,
        campaign_id=made.campaign_id or None,
        version=made.version or None,
        arm=made.arm or None,
        target_id=made.target_id or None,
        target_title=answer.target_title or None,
        item_id=made.item_id or None,
        title=answer.title or None,
        guided=bool(made.guided),
        not_guided_because=decided.not_guided_because or None,
        why=reason_of(answer),
        among=None if decided.among is None else tuple(decided.among),
        knowledge=made.knowledge,
        guide=decided.guide,
        at=moment(made.at),
        expires_at=moment(made.expires_at),
        reported=tuple(reported),
    )


def taken(event_ids: Sequence[str], outcomes: Sequence[Outcome]) -> EventsTaken:
    """What became of events, in their order."""
    noted = [one for one in outcomes if isinstance(one, Noted)]
    n_repeated = sum(one.is_repeated for one in noted)
    refused = tuple(
        RefusedEvent(event_id=event_id, why=outcome.why)
        for event_id, outcome in zip(event_ids, outcomes, strict=True)
        if isinstance(outcome, Refused)
    )
    return EventsTaken(accepted=len(noted) - n_repeated, repeated=n_repeated, refused=refused)


def reason_of(answer: Answer) -> str:
    """Why a user is shown an item, in a sentence."""
    decided = answer.decided
    if not decided.made.guided:
        return _not_guided(decided.not_guided_because)
    category = None if answer.version is None else answer.version.said.goal.category
    target = f"'{answer.target_title}'" + (f" ({category})" if category else "")
    is_target = decided.made.item_id == decided.made.target_id
    what = f"the target {target} itself" if is_target else f"a step toward {target}"
    n_drawn = len(decided.among or ())
    drawn = f", drawn among {n_drawn} that are nearly as good" if n_drawn > 1 else ""
    if answer.chance is None:
        return what + drawn
    return f"{what}: accepted with a chance of {100 * answer.chance:.0f} %, as believed{drawn}"


def report_of(event: EventReport) -> Report:
    """What a host is told of an event."""
    at = None if event.at is None else micros(event.at)
    return Report(event.user_id, event.event_id, event.kind, event.item_id, event.decision_id, at)


def _not_guided(code: str) -> str:
    return f"what suits best without guidance: {NOT_GUIDED[code]}"


def _plain(plain: Plain) -> Decision:
    return Decision(
        decision_id=None,
        item_id=plain.item_id or None,
        title=plain.title or None,
        guided=False,
        campaign_id=None,
        arm=None,
        target_id=None,
        reason=_not_guided(plain.because),
        not_guided_because=plain.because,
        label=None,
        probability=1.0,
        expires_at=None,
    )
