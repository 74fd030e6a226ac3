"""LLM-IPP keeps the contract of policies, on paths that a server names."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proactrec.llm.path_planner import LLMIPP, LLMIPPOptions
from proactrec.testing.policies import PolicyContract
from proactrec.testing.toys import Toy

NAMED = json.dumps([str(item) for item in (7, 2, 11, 5, 99, 3)])
"""Items of the toy world are called by their number; there is no item 99."""


class TestLLMIPP(PolicyContract):
    may_run_out = True

    @pytest.fixture(autouse=True, params=["on_reject", "never"])
    def _served(
        self, request: pytest.FixtureRequest, serve: Callable[..., Any], tmp_path: Path
    ) -> Iterator[None]:
        self.options = {"url": serve(says=NAMED, latency_s=0.0).url, "replan": request.param}
        self.cache, self.made = tmp_path / "answers.sqlite", list[LLMIPP]()
        yield
        for policy in self.made:
            policy.close()

    def make(self, toy: Toy) -> LLMIPP:
        options = LLMIPPOptions(model="tiny", **self.options)
        self.made.append(LLMIPP(toy.encoder, toy.items, options, self.cache))
        return self.made[-1]
