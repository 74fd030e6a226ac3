"""The contract of guides over every policy that is served, with rails and without."""

from pathlib import Path
from typing import Any

import pytest

from proactrec.guidance.course import Rails
from proactrec.guidance.guide import Guide
from proactrec.guidance.rails import RailsOptions
from proactrec.policies.next_item import NextItem
from proactrec.policies.registry import SERVED, policy_type
from proactrec.testing.guides import GuideContract
from proactrec.testing.toys import TINY_IRN, TINY_PRORL, Toy

OPTIONS = {"n_models": 1, "view_dim": 4, "model": TINY_IRN, "mode": "replan"}
"""Of whichever policy has them."""
RAILS = {
    "plain": {"plain_share": 0.4, "relevance_floor": 0.5, "opt_out_share": 0.2},
    "tired": {"pause_after": 1, "pause_rounds": 1, "stop_after": 3, "guided_budget": 3},
    "few": {"item_cap": 1, "category_caps": {"all": 3}, "daily_cap": 1, "rounds_per_day": 2},
    "liked": {"acceptance_floor": 0.25, "pause_after": 2},
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in SERVED},
    **{f"itmprec, {name}": ("itmprec", RAILS[name]) for name in ("plain", "tired", "few")},
    **{f"foresight, {name}": ("foresight", rails) for name, rails in RAILS.items()},
    "random, plain": ("random", RAILS["plain"]),
}


class TestEveryGuide(GuideContract):
    shows_again = False

    @pytest.fixture(autouse=True, params=CASES)
    def _case(self, request: pytest.FixtureRequest, tmp_path_factory: Any) -> None:
        self.name, self.rails = CASES[request.param]
        self.folder: Path = tmp_path_factory.getbasetemp() / "models"

    def make(self, toy: Toy) -> Guide:
        options = OPTIONS
        if self.name == "prorl":
            toy, options = toy.sorted(), {**OPTIONS, "model": TINY_PRORL}
        policy = policy_type(self.name).build(toy.ingredients(self.folder, **options))
        rails = Rails(RailsOptions(**self.rails), toy.items) if self.rails else None
        recommender = NextItem(toy.encoder) if self.rails else None
        return Guide(policy, toy.items, rails, recommender, self.shows_again)


class TestThatShowRefusedItemsAgain(TestEveryGuide):
    shows_again = True
