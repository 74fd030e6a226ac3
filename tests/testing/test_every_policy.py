"""The contract of policies over every entry of the registry.

LLM-IPP, which asks a server, is held to it in `tests/llm/test_contract.py`.
"""

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from proactrec.evaluation.oracles import ReadsMinds
from proactrec.policies.base import Policy
from proactrec.policies.laws import PRIORS
from proactrec.policies.registry import POLICIES, policy_type
from proactrec.testing.policies import PolicyContract
from proactrec.testing.toys import N_ROUNDS, TINY_IRN, TINY_PRORL, Toy

RAW = {"guidance": "dot", "relevance_link": "raw", "intent_link": "raw", "intent_weight": 3.0}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        name: (name, {})
        for name in POLICIES
        if name not in ("foresight", "irn", "prorl", "llm-ipp")
    },
    "ipg, product": ("ipg", {"no_gain": "product"}),
    "ipg, raw": ("ipg", RAW),
    "itmprec, product": ("itmprec", {"no_gain": "product"}),
    "itmprec, raw": ("itmprec", RAW),
    "irn, plan once": (
        "irn",
        {"model": TINY_IRN, "mode": "plan_once", "n_rounds": N_ROUNDS},
    ),
    "irn, replan": ("irn", {"model": TINY_IRN, "mode": "replan"}),
    "prorl, plan once": ("prorl", {"model": TINY_PRORL, "n_rounds": N_ROUNDS}),
    "prorl, replan": ("prorl", {"model": TINY_PRORL, "mode": "replan"}),
    "foresight": ("foresight", {"n_models": 1, "view_dim": 4}),
    "foresight, laws": (
        "foresight",
        {"n_models": 1, "view_dim": 4, "laws": tuple(PRIORS)},
    ),
    "foresight, one round": ("foresight", {"n_models": 1, "depth": 1, "other_views": ()}),
    "oracle-lookahead, three candidates": ("oracle-lookahead", {"n_candidates": 3}),
}


class TestEveryPolicy(PolicyContract):
    @pytest.fixture(autouse=True, params=CASES)
    def _case(self, request: pytest.FixtureRequest, tmp_path_factory: Any) -> None:
        self.case = request.param
        self.folder: Path = tmp_path_factory.getbasetemp() / "models"

    @property
    def may_run_out(self) -> bool:  # type: ignore[override]
        return self.case.endswith("plan once")

    def make(self, toy: Toy) -> Policy:
        name, options = CASES[self.case]
        toy = toy.sorted() if name == "prorl" else toy
        policy = policy_type(name).build(toy.ingredients(self.folder, **options))
        return policy.reading(toy.minds()) if isinstance(policy, ReadsMinds) else policy


class TestAsOnAGPU(TestEveryPolicy):
    """Tensors of the CPU that say they are on one: what is done otherwise there is done."""

    @pytest.fixture(autouse=True)
    def _there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Tensor, "is_cuda", property(lambda _: True), raising=False)


def test_every_policy_stands_in_the_table() -> None:
    assert {name for name, _ in CASES.values()} == set(POLICIES) - {"llm-ipp"}
