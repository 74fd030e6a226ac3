"""Campaigns that grow, stop or end by themselves, each time as a new version with its reason."""

import logging

from sqlalchemy import Connection

from proactrec.errors import CampaignStateError
from proactrec.measurement.sequences import at_least, difference_at_least
from proactrec.store import campaigns
from proactrec.store.budgets import ALL, TOTAL, Limit
from proactrec.store.campaigns import Version
from proactrec.store.database import Database, Hot
from proactrec.store.leases import offered
from proactrec.store.people import SECOND
from proactrec.worker.firsts import Firsts, firsts

logger = logging.getLogger(__name__)
BY = "worker"
HOUR = 3600 * SECOND
OPEN = (
    "SELECT 1 FROM decisions d WHERE d.tenant = ? AND d.campaign_id = ? AND d.guided = 1 "
    "AND NOT EXISTS (SELECT 1 FROM events e WHERE e.tenant = d.tenant AND e.user_id = d.user_id "
    "AND e.decision = d.number) ORDER BY d.at DESC LIMIT 1"
)
"""An offer of which nothing is told yet, not even that it expired; mostly of the newest ones."""


def steer(database: Database, now: int) -> int:
    """Look at every running campaign, and change those whose time has come; how many."""
    with database.reading() as connection:
        versions = [
            version
            for tenant in campaigns.tenants(connection)
            for version in campaigns.all_current(connection, tenant)
            if version.state == "running"
        ]
    return sum(_steered(database, version, now) for version in versions)


def _steered(database: Database, version: Version, now: int) -> bool:
    with database.reading() as connection:
        found = _change(connection, version, now)
    if found is None:
        return False
    try:
        with database.writing() as connection:
            campaigns.changed(connection, version, by=BY, at=now, **found)
    except CampaignStateError as error:  # somebody was quicker: the next look sees what they did
        logger.info("campaign %s is left alone: %s", version.campaign_id, error)
        return False
    logger.warning("campaign %s: %s", version.campaign_id, found["reason"])
    return True


def _change(connection: Connection, version: Version, now: int) -> campaigns.Changes | None:
    """What is to become of a campaign; None: it goes on."""
    hot, said = Hot(connection), version.said
    if is_spent(hot, version):
        return {"state": "finished", "reason": f"all {said.budget.total} of the budget are used"}
    guards = said.guardrails
    is_guarded = any(one is not None for one in (guards.acceptance, guards.opt_outs, guards.errors))
    is_growing = version.ramp_step < len(said.ramp.steps) - 1
    if not (is_guarded or is_growing):
        return None
    seen = firsts(hot, version.tenant, version.campaign_id, guards.first_answers)
    if reason := alarm(version, seen):
        return {"state": "paused", "reason": reason}
    if is_growing and is_ripe(connection, version, seen, now):
        step = version.ramp_step + 1
        share = said.ramp.steps[step]
        return {"ramp_step": step, "reason": f"the ramp goes on to {share:.3g} of the audience"}
    return None


def alarm(version: Version, seen: Firsts) -> str:
    """Why guided users are credibly worse off than is borne; empty: they are not."""
    guards = version.said.guardrails
    limits = (guards.acceptance, guards.opt_outs, guards.errors)
    # Each may raise a false alarm: together they may as often as one was allowed to.
    alpha = guards.alpha / max(1, sum(limit is not None for limit in limits))
    own, out = seen.accepted(held_out=False), seen.accepted(held_out=True)
    against, also = seen.objecting(held_out=False), seen.objecting(held_out=True)
    unseen = seen.unseen()
    found = (
        ("acceptance", guards.acceptance, difference_at_least(out, own, alpha=alpha),
         f"guided users accept {own.mean:.3g} of their first items, held-out ones {out.mean:.3g}"),
        ("opt_outs", guards.opt_outs, difference_at_least(against, also, alpha=alpha),
         f"{against.mean:.3g} of guided users opt out or complain, {also.mean:.3g} of others"),
        ("errors", guards.errors, at_least(unseen, alpha=alpha),
         f"{unseen.mean:.3g} of what guided users were to get first was never shown"),
    )  # fmt: skip
    return "; ".join(
        f"guardrail {name}: {sentence} (credibly {least:.3g} more, {limit:.3g} is borne)"
        for name, limit, least, sentence in found
        if limit is not None and least > limit
    )


def is_ripe(connection: Connection, version: Version, seen: Firsts, now: int) -> bool:
    """Whether a step of the ramp has lasted, and enough users of it are known."""
    ramp = version.said.ramp
    since = began_at(campaigns.history(connection, version.tenant, version.campaign_id))
    return now - since >= ramp.hold_hours * HOUR and seen.n_known >= ramp.least_users


def began_at(history: list[Version]) -> int:
    """When the step of the newest version began; time in which it was paused does not count."""
    newest = history[-1]
    begun = newest.at
    for version in reversed(history):
        if (version.state, version.ramp_step) != (newest.state, newest.ramp_step):
            break
        begun = version.at
    return begun


def is_spent(hot: Hot, version: Version) -> bool:
    """Whether the whole budget was offered, and none of it may come back any more."""
    total, limit = version.said.budget.total, Limit(version.campaign_id, ALL, TOTAL)
    if total is None or offered(hot, version.tenant, [limit])[limit] < total:
        return False
    return not hot.rows(OPEN, (version.tenant, version.campaign_id))
