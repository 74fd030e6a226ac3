"""What a campaign would bring otherwise: by other policies, and without each of its rails.

Simulated users as in its forecast are played once more for each way, in the same worlds and with
the same luck, so that ways differ by what they show alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proactrec.errors import InvalidInputError
from proactrec.evaluation.prediction import MIN_WORLDS, Summary
from proactrec.fitting.artefacts import ArtefactStore
from proactrec.guidance.guide import Guide
from proactrec.policies.exploring_options import ExploringOptions
from proactrec.policies.next_item import NextItem
from proactrec.progress import Progress, silent
from proactrec.simulator.prior import PlausibleWorld
from proactrec.store.campaign import Campaign, CampaignRails
from proactrec.worker.forecasts import METRICS, Plan, Scene, compared, figures, played

PAUSE, LENGTH = "pause_after", "pause_rounds"
"""The length of a pause is no rail by itself."""


def worlds(
    plan: Plan,
    store: Path,
    policies: Sequence[str] = (),
    *,
    n_worlds: int = MIN_WORLDS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """The campaign as each of several policies would guide it, beside plain recommendation.

    Parameters
    ----------
    store : Path
        Folder of finished work, see :func:`proactrec.worker.forecasts.forecast`.
    policies : sequence of str, optional
        Names; by default those of its arms, and the guide's own.
    """
    scene = Scene(plan, ArtefactStore(store, progress), progress)
    said, names = plan.version.said, list(policies) or _own(plan)
    ways = [scene.plain, *(_guides(plan, _by(said, name), name) for name in names)]
    differences = [(way, 0) for way in range(1, len(ways))]
    found = _played(scene, ways, differences, {"policies": names}, n_worlds, progress)
    told = figures(found, plan, ["plain", *names], [("less", name) for name in names])
    return {
        "n_worlds": n_worlds,
        **scene.about(),
        "plain": told["plain"],
        "policies": {n: {"value": told[n], "difference": told["less", n]} for n in names},
        "by_interest": _by_interest(found, scene, names),
    }


def rails(
    plan: Plan, store: Path, *, n_worlds: int = MIN_WORLDS, progress: Progress = silent
) -> dict[str, Any]:
    """What each rail costs: the campaign without it, less the campaign as it is.

    Raises
    ------
    InvalidInputError
        If there is no rail that is a function of one journey.
    """
    said = plan.version.said
    names = [name for name in said.rails.of_journey.said() if name != LENGTH]
    if not names:
        raise InvalidInputError("the campaign has no rails of a journey: there is nothing to price")
    scene = Scene(plan, ArtefactStore(store, progress), progress)
    ways = [scene.guides, *(_guides(plan, _without(said, name), name) for name in names)]
    differences = [(way, 0) for way in range(1, len(ways))]
    found = _played(scene, ways, differences, {"rails": names}, n_worlds, progress)
    told = figures(found, plan, ["guided", *names], [("price", name) for name in names])
    of_rails = said.rails.said()
    return {
        "n_worlds": n_worlds,
        **scene.about(),
        "guided": told["guided"],
        "rails": {n: {"said": of_rails[n], "price": told["price", n]} for n in names},
        "not_played": sorted(set(of_rails) - set(said.rails.of_journey.said())),
    }


def _played(
    scene: Scene,
    ways: Sequence[Sequence[Guide]],
    differences: Sequence[tuple[int, int]],
    more: Mapping[str, Any],
    n_worlds: int,
    progress: Progress,
) -> list[Summary]:
    def play(world: PlausibleWorld) -> Summary:
        return compared(scene.sums(world, ways), differences)

    return played("campaign-study", play, scene, more, n_worlds, progress)


def _by_interest(
    found: Sequence[Summary], scene: Scene, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Mean differences from plain at the last round, in worlds with each kind of interest."""
    n_rounds = len(scene.plan.rounds)
    size = len(METRICS) * n_rounds
    means = np.stack([world.mean[0] for world in found])[:, size * (1 + len(names)) :]
    at_last = means.reshape(len(found), len(names), len(METRICS), n_rounds)[..., -1]
    kinds = [scene.world(number).hidden for number in range(len(found))]
    told = {}
    for kind in dict.fromkeys(np.ravel(kinds).tolist()):
        has = [kind in hidden for hidden in kinds]
        rows = zip(names, at_last[has].mean(0).tolist(), strict=True)
        differences = {name: dict(zip(METRICS, row, strict=True)) for name, row in rows}
        told[kind] = {"n_worlds": sum(has), "difference": differences}
    return told


def _own(plan: Plan) -> list[str]:
    """Policies of the arms, and the guide's own; the plain one is played beside them anyway."""
    own = plan.guides.saved.recipe.policy
    names = dict.fromkeys([*(arm.policy or own for arm in plan.version.said.arms), own])
    return [name for name in names if name != NextItem.name]


def _guides(plan: Plan, said: Campaign, what: str) -> list[Guide]:
    """Those of all arms of a campaign that says something else."""
    said = plan.care.on(said, plan.guides.items)
    other = plan.version._replace(campaign_id=f"{plan.version.campaign_id} {what}", said=said)
    return [plan.guides.of(other, arm.name) for arm in said.arms]


def _by(said: Campaign, policy: str) -> Campaign:
    """The campaign with another policy in all of its arms, which shows what it finds best."""
    arms = tuple(arm.model_copy(update={"policy": policy}) for arm in said.arms)
    return said.model_copy(update={"arms": arms, "explore": ExploringOptions()})


def _without(said: Campaign, rail: str) -> Campaign:
    """The campaign less one of its rails."""
    gone = {rail, LENGTH} if rail == PAUSE else {rail}
    left = CampaignRails(**said.rails.model_dump(exclude=gone))
    return said.model_copy(update={"rails": left})
