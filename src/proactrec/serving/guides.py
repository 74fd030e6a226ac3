"""The guides of a host: one for every arm of every campaign, on what is known by now."""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from proactrec.config import merged
from proactrec.data.catalogue import Catalogue
from proactrec.errors import InvalidInputError, ProactrecError, UnknownIdError
from proactrec.guidance.course import Rails
from proactrec.guidance.guide import Guide
from proactrec.guidance.rails import RailsOptions, check_targets, targets_in
from proactrec.guidance.saved import SavedGuide, built_policy, guide_name, open_guide
from proactrec.plugins import is_file
from proactrec.policies.base import Learner, Policy
from proactrec.policies.exploring import exploring
from proactrec.policies.registry import SERVED
from proactrec.serving.shelf import Shelf
from proactrec.store.campaign import Arm, Campaign
from proactrec.store.campaigns import Version
from proactrec.store.care import Care
from proactrec.types import IntArray

MOST_GUIDES, MOST_POLICIES = 200, 20
"""Arms that are kept ready, and policies by name and worth, from which others are made."""


@dataclass(frozen=True, eq=False)
class Live:
    """A version of a campaign, prepared for deciding."""

    version: Version
    targets: IntArray  # inside indices

    @cached_property
    def arms(self) -> frozenset[str]:
        """Names, the hold-out's too."""
        return frozenset(self.version.said.shares)

    @cached_property
    def users(self) -> frozenset[str]:
        """Named in the audience."""
        return frozenset(self.version.said.audience.users)

    @cached_property
    def groups(self) -> frozenset[str]:
        """Likewise."""
        return frozenset(self.version.said.audience.groups)

    @cached_property
    def except_groups(self) -> frozenset[str]:
        """Groups that are left alone."""
        return frozenset(self.version.said.audience.except_groups)


Key = tuple[str, ...]
"""Of a guide that is kept ready."""


class Ready(NamedTuple):
    """A guide, with what that of an arm was made of."""

    guide: Guide
    knowledge: Any = None
    made_of: tuple[Any, ...] = ()


class Guides:
    """What a guide's folder makes of campaigns.

    Parameters
    ----------
    folder : Path
        Of the saved guide, or a link to it, which may lead to another one later.
    later_items : Catalogue, optional
        What there is to show now; new ones stand where their content puts them.
    unavailable : frozenset of str
        Ids of items that are sold out.
    """

    def __init__(
        self,
        folder: Path,
        later_items: Catalogue | None = None,
        unavailable: frozenset[str] = frozenset(),
    ) -> None:
        self.given, self.folder = folder, folder.resolve()
        self._later_items = later_items
        self.name = guide_name(self.folder)
        """Of the guide: what was learned with another one is none of its knowledge."""
        self.saved: SavedGuide = open_guide(self.folder, later_items)
        if guide_name(self.folder) != self.name:
            raise InvalidInputError(f"{folder} was replaced while it was opened: open it again")
        self.items = self.saved.guide.items
        index = self.items.index
        self.unavailable = frozenset(index[one] for one in unavailable if one in index)
        self.knowledge: Mapping[str, tuple[int, Any]] = {}  # newest version, by tenant
        self._policies: OrderedDict[tuple[Any, ...], Policy] = OrderedDict()
        self._ready: OrderedDict[Key, Ready] = OrderedDict()

    @cached_property
    def shelf(self) -> Shelf:
        """Its items, to look for."""
        return Shelf(self.saved)

    def selling(self, unavailable: frozenset[str]) -> Self:
        """The same, with other items sold out."""
        other, index = copy.copy(self), self.items.index
        other.unavailable = frozenset(index[one] for one in unavailable if one in index)
        return other

    @cached_property
    def policies(self) -> Mapping[str, str]:
        """Names of those that arms may have, the guide's own first, with a line on each."""
        own = self.saved.recipe.policy
        found = {own: _line_on(self.saved.guide.policy)}
        for name in SERVED:
            if name != own:
                with suppress(ProactrecError):  # it needs a model that the folder doesn't hold
                    found[name] = _line_on(built_policy(self.folder, name, {}, self.saved))
        return found

    def prepare(self, versions: Iterable[Version]) -> None:
        """Have the guides of running campaigns ready before anybody asks."""
        self.plain()
        for version in versions:
            if version.state != "running":
                continue
            with suppress(ProactrecError):  # of one that can't guide any more, which hosts tell
                self.plain(version)
                for arm in version.said.arms:
                    self.of(version, arm.name)

    def learned(
        self, tenant: str, version: int, knowledge: Any, ready: Mapping[Key, Ready] | None = None
    ) -> None:
        """Take up what a tenant's users have taught, with guides that know it already."""
        self.knowledge = {**self.knowledge, tenant: (version, knowledge)}
        for key, one in (ready or {}).items():
            self._keep(key, one)

    def knowing_all(
        self, versions: Iterable[Version], care: Care, knowledge: Any
    ) -> dict[Key, Ready]:
        """Guides of the arms of running campaigns with other knowledge, made beforehand."""
        found = {}
        for version in versions:
            if version.state != "running":
                continue
            with suppress(ProactrecError):  # of one that can't guide any more, which hosts tell
                version = self.live(version, care).version
                for arm in version.said.arms:
                    found[_key(version, arm.name)] = self._knowing(version, arm.name, knowledge)
        return found

    def knowledge_of(self, tenant: str) -> int:
        """Version of what is known of a tenant's users; 0: what the guide was saved with."""
        return self.knowledge.get(tenant, (0, None))[0]

    def live(self, version: Version, care: Care) -> Live:
        """A campaign prepared for deciding, with what holds for all of its tenant."""
        said = care.on(version.said, self.items)
        return Live(version._replace(said=said), self.left(self.targets(version.said), care))

    def left(self, targets: IntArray, care: Care) -> IntArray:
        """Those targets to which care lets anybody be led."""
        excluded = self.items.carry(self.items.places_of(*care.excluded_categories))
        return targets[~excluded[targets]]

    def targets(self, said: Campaign) -> IntArray:
        """Items that a campaign leads to; of a category the most popular ones first.

        Raises
        ------
        UnknownIdError
            If the guide knows no such item or category.
        InvalidInputError
            If rails leave none of them.
        """
        if said.goal.category is None:
            missing = [one for one in said.goal.items if one not in self.items.index]
            if missing:
                raise UnknownIdError(f"goal.items: the guide knows no item {missing[0]!r}")
            found = np.array([self.items.index[one] for one in said.goal.items], np.int64)
            check_targets(said.rails, self.items, found)
            return found
        found = targets_in(said.rails, self.items, said.goal.category)
        order = np.argsort(-self.items.train_counts[found], kind="stable")
        return found[order][: said.goal.n_targets]

    def check(self, said: Campaign, *, keeps: bool = True) -> None:
        """Refuse a campaign that could not be decided: with the errors of its parts.

        What is built for it is kept for deciding by, or may be dropped if it is only looked at.
        """
        self.targets(said)
        for arm in said.arms:
            self._made(said, arm, keeps=keeps)

    def plain(self, version: Version | None = None) -> Guide:
        """What users get who are not guided, within the rails of a campaign."""
        rails = RailsOptions()
        if version is not None:
            floors = {"acceptance_floor", "relevance_floor"}
            rails = RailsOptions(**version.said.rails.of_journey.model_dump(exclude=floors))
        key = "plain", rails.model_dump_json()
        ready = self._ready.get(key)
        if ready is None:
            recommender = self.saved.guide.recommender
            assert recommender is not None
            guide = replace(self.saved.guide, policy=recommender, rails=self._rails(rails))
            ready = Ready(guide)
            self._keep(key, ready)
        return ready.guide

    def of(self, version: Version, arm: str) -> Guide:
        """The guide of an arm, with the newest knowledge."""
        _, knowledge = self.knowledge.get(version.tenant, (0, None))
        key = _key(version, arm)  # what is outdated gives way: guides are large
        ready = self._ready.get(key)
        if (
            ready is None
            or ready.knowledge is not knowledge
            or ready.made_of != _made_of(version.said, arm)
        ):
            ready = self._knowing(version, arm, knowledge)
            self._keep(key, ready)
        return ready.guide

    def _knowing(self, version: Version, arm: str, knowledge: Any) -> Ready:
        guide = self.knowing(version, arm, knowledge)
        return Ready(guide, knowledge, _made_of(version.said, arm))

    def knowing(self, version: Version, arm: str, knowledge: Any) -> Guide:
        """The guide of an arm with this knowledge; None: what it was saved with."""
        guide = self._made(version.said, version.said.arm(arm))
        knows = knowledge is not None and isinstance(guide.policy, Learner)
        return guide.knowing(knowledge) if knows else guide

    def _made(self, said: Campaign, arm: Arm, *, keeps: bool = True) -> Guide:
        policy = self._policy(said, arm, keeps)
        guide = replace(self.saved.guide, policy=policy, rails=self._rails(said.rails.of_journey))
        return replace(guide, shows_again=self.saved.guide.shows_again)

    def _policy(self, said: Campaign, arm: Arm, keeps: bool) -> Policy:
        own = self.saved.recipe
        name = arm.policy or own.policy
        if is_file(name) and name != own.policy:  # nobody who asks over HTTP may run code
            raise InvalidInputError(f"arms.policy must be a name or the guide's own, got {name!r}")
        changes = {} if said.worth is None else {"worth": said.worth.model_dump(mode="json")}
        options = merged(own.policy_options, changes) if name == own.policy else changes
        key = name, str(sorted(options.items()))
        policy = self._policies.get(key)
        if policy is None:
            policy = built_policy(self.folder, name, options, self.saved)
        if keeps or not changes:  # looks at many worths put nothing out
            self._policies.pop(key, None)
            self._policies[key] = policy  # used last
            while len(self._policies) > MOST_POLICIES:
                self._policies.popitem(last=False)
        if not said.explore.share:
            return policy
        return exploring(policy, said.explore, seed=self.saved.seed, item_key=self.items.key)

    def _rails(self, options: RailsOptions) -> Rails:
        return Rails(options, self.items, seed=self.saved.seed)

    def _keep(self, key: Key, ready: Ready) -> None:
        self._ready[key] = ready
        while len(self._ready) > MOST_GUIDES:
            self._ready.popitem(last=False)


def _key(version: Version, arm: str) -> Key:
    return version.tenant, version.campaign_id, arm


def _made_of(said: Campaign, arm: str) -> tuple[Any, ...]:
    """What of a campaign a guide is made of: a restored store gives numbers of versions again."""
    return said.arm(arm), said.worth, said.explore, said.rails


def _line_on(policy: Policy) -> str:
    """The first line of what is said of a policy."""
    return (inspect.getdoc(type(policy)) or "").partition("\n")[0]
