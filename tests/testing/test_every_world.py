"""The contract of worlds over every kind of simulated user, those of the list among them."""

from typing import Any

import pytest

from proactrec.simulator.world import World, WorldOptions
from proactrec.simulator.worlds import WORLDS
from proactrec.testing.toys import Toy
from proactrec.testing.worlds import WorldContract

DRIFTS: dict[str, float] = {
    **{"returning": 0.1, "reactance": 0.2, "exposure": 0.1},
    **{"diminishing": 0.3, "wandering": 0.2},
}
ANSWERS: dict[str, float] = {
    **{"appeal": 1.0, "user_bias": 0.5, "user_slope": 0.3},
    **{"day": 0.5, "lapses": 0.1, "ceiling": 0.9},
}
CASES: dict[str, dict[str, Any]] = {
    "medium": {},
    "steep": {"world": "steep"},
    "official": {"world": "official", "random_numbers": "shared_stream", "noise": "per_target"},
    "arousal": {"receptivity": "arousal"},
    "per user": {"receptivity": "per-user"},
    "owners": {"owners": "zero", "after_success": "freeze"},
    "bored": {"boredom": 2.0, "patience": 2},
    "slates": {"n_slots": 3, "position_decay": 0.7, "patience": 1},
    "all drifts": {"laws": DRIFTS, "receptivity": "per-user", "leaving": 0.05},
    "all answers": {"laws": {**ANSWERS, "returning": 0.1}, "boredom": 1.0, "n_slots": 2},
    **{name: world.options.model_dump() for name, world in WORLDS.items()},
}


class TestEveryWorld(WorldContract):
    @pytest.fixture(autouse=True, params=CASES)
    def _case(self, request: pytest.FixtureRequest) -> None:
        self.options = WorldOptions(**CASES[request.param])

    def make(self, toy: Toy) -> World:
        return toy.world(self.options)
