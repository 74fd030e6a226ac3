"""What `worth.py` plays: every policy, kind of users and share of them that leaves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from proactrec.evaluation.benchmark.grid import Cell
from proactrec.evaluation.benchmark.suites import Changes
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.evaluation.protocols import CAMPAIGN
from proactrec.worth import ONLY_INTEREST

WORLDS: dict[str, Changes] = {
    "medium": {},
    "flat": {"protocol.world.world": "flat"},
    "steep": {"protocol.world.world": "steep"},
    "factors": {"hidden": "factors"},
    "content": {"hidden": "content"},
}
LEAVING = (0.0, 0.02, 0.05, 0.1)
AS_CAMPAIGN: Changes = {
    "protocol.name": CAMPAIGN.name,
    "protocol.world": CAMPAIGN.world.model_dump(),
    "protocol.worth": CAMPAIGN.worth.model_dump(),
}
FORESIGHT: Changes = {"policy": "foresight"}
RIVALS: dict[str, Changes] = {
    "ITMPRec": {"policy": "itmprec"},
    **{name: {"policy": name} for name in ("nearest-to-target", "target-now", "next-item")},
    "IPG": {"policy": "ipg"},
}
"""They know nothing of leaving and do not learn: played once, the rest is derived."""
INTEREST: dict[str, Changes] = {
    "Foresight": {**FORESIGHT, "policy_options.worth": ONLY_INTEREST.model_dump()},
    "oracle-lookahead": {"policy": "oracle-lookahead"},
}
ABLATION: dict[str, Changes] = {
    "whole": {},
    "waits one round at most": {"policy_options.longest_wait": 0},
    "believes that nobody leaves": {
        "policy_options.worth.leaving": 0.0,
        "policy_options.worth.learns_leaving": False,
    },
    "looks at one round": {"policy_options.depth": 1},
    "learns no acceptance": {"policy_options.learns": False},
    "takes the paper's law for granted": {"policy_options.laws": []},
    "one view": {"policy_options.other_views": []},
}
RAILS: Changes = {
    "rails.relevance_floor": 0.1,
    "rails.plain_share": 0.25,
    "rails.pause_after": 3,
    "rails.pause_rounds": 2,
    "rails.guided_budget": 10,
}
OF_LEAVING = ("leaving", "frailty")


class Case(NamedTuple):
    """One policy among some users, with one seed."""

    part: str
    world: str
    leaving: str
    method: str
    options: ExperimentOptions

    @property
    def is_derived(self) -> bool:
        """Whether its log is that of users who all stay, cut where they leave."""
        world = self.options.protocol.world
        return self.method in RIVALS and world.leaving > 0 and world.leaving_refused is None

    @property
    def played(self) -> ExperimentOptions:
        """The experiment whose log it needs."""
        if not self.is_derived:
            return self.options
        return self.options.changed({f"protocol.world.{name}": 0.0 for name in OF_LEAVING})

    @property
    def cell(self) -> Cell:
        """That experiment, to be run."""
        return Cell(self.method, self.played, f"{self.part}/{self.world}/{self.leaving}")


class Bases(NamedTuple):
    """What cases start from, and the kinds of users asked for."""

    common: ExperimentOptions
    worlds: tuple[str, ...]
    seed: int

    def case(
        self, place: tuple[str, str], leaving: float | str, method: str, *changes: Changes
    ) -> Case:
        """A case of a part and world, of users as a campaign has them."""
        part, world = place
        every = [WORLDS.get(world, {}), *changes]
        if not isinstance(leaving, str):
            every.append({"protocol.world.leaving": leaving})
            leaving = f"{leaving:.0%}"
        together = {name: value for some in every for name, value in some.items()}
        campaign = self.common.changed(AS_CAMPAIGN)  # by itself: what is nested would be changed
        options = campaign.changed({**together, "seed": self.seed})
        return Case(part, world, leaving, method, options)


def grid(bases: Bases) -> Iterator[Case]:
    """Everybody in all worlds."""
    aware = {"Foresight": FORESIGHT, "oracle-worth": {"policy": "oracle-worth"}}
    for world in bases.worlds:
        for leaving in LEAVING:
            for method, changes in {**aware, **RIVALS}.items():
                yield bases.case(("grid", world), leaving, method, changes)


def interest(bases: Bases) -> Iterator[Case]:
    """Interest alone, nobody leaves; and once as before: journeys end with the target."""
    for world in bases.worlds:
        for method, changes in {**INTEREST, **RIVALS}.items():
            yield bases.case(("interest", world), 0.0, method, changes)
    before = {"Foresight": FORESIGHT, **RIVALS}
    for method in ("Foresight", "ITMPRec", "nearest-to-target"):
        options = bases.common.changed({**before[method], "seed": bases.seed})
        yield Case("interest", "medium, ends with the target", "0%", method, options)


def hazard(bases: Bases) -> Iterator[Case]:
    """What Foresight assumes of leaving: right, wrong, learned; and leaving of other kinds."""
    place = ("hazard", "medium")
    for leaving in LEAVING[1:]:
        for name, factor in (("right", 1.0), ("half", 0.5), ("double", 2.0)):
            assumed = {
                "policy_options.worth.leaving": factor * leaving,
                "policy_options.worth.learns_leaving": False,
            }
            yield bases.case(place, leaving, f"assumed, {name}", FORESIGHT, assumed)
        yield bases.case(place, leaving, "learned", FORESIGHT)
        unknown = {"protocol.rollout.end": "unknown"}
        yield bases.case(place, leaving, "learned, unknown end", FORESIGHT, unknown)
    kinds: dict[str, Changes] = {
        "2%, 10% after refusals": {
            "protocol.world.leaving": 0.02,
            "protocol.world.leaving_refused": 0.1,
        },
        "5%, frailty 1": {"protocol.world.leaving": 0.05, "protocol.world.frailty": 1.0},
    }
    for name, kind in kinds.items():
        yield bases.case(place, name, "learned", FORESIGHT, kind)
        yield bases.case(place, name, "ITMPRec", RIVALS["ITMPRec"], kind)


def ablation(bases: Bases) -> Iterator[Case]:
    """Foresight without each of its parts."""
    for leaving in (0.0, 0.05):
        for method, changes in ABLATION.items():
            yield bases.case(("ablation", "medium"), leaving, method, FORESIGHT, changes)


def rails(bases: Bases) -> Iterator[Case]:
    """Within guard rails."""
    some = {name: RIVALS[name] for name in ("ITMPRec", "nearest-to-target")}
    for leaving in (0.0, 0.05):
        for method, changes in {"Foresight": FORESIGHT, **some}.items():
            yield bases.case(("rails", "medium"), leaving, method, changes, RAILS)


PARTS: Mapping[str, Callable[[Bases], Iterator[Case]]] = {
    "grid": grid,
    "interest": interest,
    "hazard": hazard,
    "ablation": ablation,
    "rails": rails,
}


def cases_of(bases: Bases, parts: Sequence[str]) -> list[Case]:
    """All cases of these parts, with one seed."""
    return [case for part in parts for case in PARTS[part](bases)]


def named(options: ExperimentOptions) -> dict[str, Any]:
    """What tells an experiment from others."""
    content: dict[str, Any] = options.model_dump(mode="json")
    return content
