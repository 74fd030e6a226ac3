"""The example of a policy of one's own keeps the contract, in three lines."""

from pathlib import Path

from proactrec.policies.base import Policy
from proactrec.policies.registry import policy_type
from proactrec.testing.policies import PolicyContract
from proactrec.testing.toys import Toy

MINE = Path(__file__).parents[2] / "examples" / "my_policy.py"


class TestMine(PolicyContract):
    def make(self, toy: Toy) -> Policy:
        return policy_type(str(MINE)).build(toy.ingredients(n_wanted=4))
