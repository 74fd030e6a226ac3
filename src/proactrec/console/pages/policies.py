"""Ways of guiding: arms of a campaign, what other policies would have had, the apprentice."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from nicegui import ui

from proactrec.console import words
from proactrec.console.elements import Field, attributes, box, button, facts, note, table, text
from proactrec.console.frame import page_of, problem, shown
from proactrec.console.pages.choosing import Seen, chosen, seen
from proactrec.console.pages.jobs import Work
from proactrec.console.sessions import Session
from proactrec.errors import ProactrecError
from proactrec.serving.schemas import CampaignNow, CampaignVersion
from proactrec.serving.studies import PolicySeen

ESTIMATES = {
    "ips": "weighted by chances",
    "snips": "the same, weights normalised",
    "dr": "doubly robust",
}


def build() -> None:
    """The page `/policies`."""

    @ui.page("/policies")
    async def policies(request: Request, campaign: str = "") -> None:
        with page_of(request, "Policies") as session:
            if session is not None:
                await shown(
                    lambda: session.ask(seen),
                    lambda found: _show(session, found, campaign),
                    "Asking for policies and campaigns …",
                )


def _show(session: Session, found: Seen, campaign_id: str) -> None:
    one = chosen(found.campaigns, campaign_id, "/policies")
    if one is not None:
        text("h2", "Arms")
        text("p", words.TERMS["arm"])
        place = box()
        ui.timer(0.05, lambda: _arms(session, one.id, place), once=True)
        text("h2", "Had another policy chosen")
        text("p", words.TERMS["off-policy"])
        _off_policy(session, one, found.policies)
    text("h2", "Policies of the guide")
    rows = [[p.name, p.about, "yes" if p.own else ""] for p in found.policies]
    table("An arm may have any of these", ("Policy", "What it does", "The guide's own"), rows)


async def _arms(session: Session, campaign_id: str, place: Any) -> None:
    try:
        now = await session.ask(lambda client: client.campaign(campaign_id))
    except ProactrecError as error:
        with place:
            problem(error)
        return
    with place:
        _show_arms(now)


def _show_arms(now: CampaignNow) -> None:
    said = now.campaign
    policy = {arm.name: arm.policy or "the guide's own" for arm in said.arms}
    rows = []
    for name, share in said.shares.items():
        arm = now.arms[name]
        rows.append(
            [
                name,
                policy.get(name, "none: plain items"),
                words.percent(share, 0),
                words.count(arm.users),
                words.share_of(arm.accepted, arm.answered),
                words.each(arm.targets_accepted, arm.users),
            ]
        )
    head = ("Arm", "Policy", "#Share", "#Users", "#Accepted", "#Targets accepted")
    table(said.name, head, rows)
    note(
        "These are counts: which arm is better, and how sure that is, is said on the campaign's "
        "page under “What it brought”."
    )
    if now.apprentice is not None:
        agreed = words.share_of(now.apprentice.agreed, now.apprentice.decisions)
        below = f"in {words.count(now.apprentice.decisions)} decisions"
        facts([("The apprentice agrees with you", agreed, below)])
        text("p", words.TERMS["apprentice"])
    else:
        text("p", f"It is no apprentice. {words.TERMS['apprentice']}", "hint")


def _off_policy(session: Session, one: CampaignVersion, policies: Sequence[PolicySeen]) -> None:
    if not one.campaign.explore.share:
        note(
            "This campaign draws nothing at random (`explore`), so its log says nothing of other "
            "policies."
        )
        return
    choices = {policy.name: policy.name for policy in policies}
    with box("div", "row-of"):
        field = Field("Policy", next(iter(choices), ""), choices=choices)
        if session.may("operate"):
            button("Estimate", lambda: work.again(), "second")
    place = attributes(box(), aria_live="polite")
    work = Work(
        place,
        lambda: session.ask(lambda client: client.study_seen(one.id, "off-policy")),
        lambda: session.ask(lambda c: c.study(one.id, "off-policy", policy=field.value)),
        _show_off_policy,
    )


def _show_off_policy(result: Mapping[str, Any]) -> None:
    told = (
        f"{words.count(result['n_decisions'])} drawn decisions of "
        f"{words.count(result['n_users'])} users are worth "
        f"{words.count(result['effective_size'])} of “{result['policy']}”."
    )
    if result["refused"]:
        note(f"Refused: {result['refused']}. {told}", "bad")
        return
    text("p", told)
    rows = [
        [
            ESTIMATES.get(name, name),
            words.percent(one["mean"]),
            f"{words.percent(one['low'])} to {words.percent(one['high'])}",
        ]
        for name, one in result["estimates"].items()
    ]
    table("Acceptance of the next item", ("Estimate", "#Mean", "#95 %"), rows)
