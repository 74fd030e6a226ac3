"""The language model as a click model: would this user accept this item?

Source: ITMPRec, section 4.6: a task with worked examples, the user's newest 20 items, the shown
item, answer 1 or 0. Where the endpoint tells the first token's probabilities, a click is a
probability.
"""

import copy
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from proactrec.data.dataset import Dataset
from proactrec.llm.answers import click_probability
from proactrec.llm.client import LLMClient
from proactrec.llm.messages import Feature, Message
from proactrec.llm.prompted import PromptedModel, PromptedOptions, fingerprint
from proactrec.llm.prompting import click_prompt
from proactrec.progress import Progress, silent
from proactrec.simulator.response import Shown

ONCE_MORE = "Answer with a single digit, 1 or 0, and nothing else."
Reads = Literal["probability", "json", "text"]
WANTS: dict[Reads, tuple[Feature, ...]] = {
    "probability": ("logprobs", "digit schema"),
    "json": ("digit schema",),
    "text": (),
}


class ClickAgentOptions(PromptedOptions):
    """The model, and how it is asked."""

    reads: Reads = Field(
        "probability",
        description="the answer token's probability; where the endpoint refuses to tell it, or by "
        "choice, a digit held to JSON; where it refuses that, or by choice, the digit in the text",
    )


class ClickAgent:
    """Users played by a language model; a :class:`~proactrec.simulator.response.Response`.

    An answer that can't be read is asked for once more; then there is none, which counts as a
    refusal and is counted.
    """

    options_type = ClickAgentOptions

    def __init__(
        self, dataset: Dataset, options: ClickAgentOptions, cache: Path, progress: Progress = silent
    ) -> None:
        self.options, self._titles = options, ["", *dataset.titles]
        self._model = PromptedModel(options, "click", cache, progress)

    @staticmethod
    def fingerprint(options: ClickAgentOptions) -> dict[str, Any]:
        """What tells one agent's answers from another's."""
        return {**fingerprint(options, "click"), "reads": options.reads}

    def reading(self, mode: Reads) -> "ClickAgent":
        """The same agent, with its connections, limits and cache, that reads in another way."""
        other = copy.copy(self)
        other.options = self.options.model_copy(update={"reads": mode})
        return other

    @property
    def client(self) -> LLMClient:
        """Who asks, and knows what was paid."""
        return self._model.client

    def respond(self, shown: Shown) -> Tensor:
        """Chance of acceptance (B,), NaN where there is no answer."""
        prob = torch.full(shown.item_idx.shape, torch.nan, dtype=torch.float64)
        asked = (shown.item_idx > 0).nonzero()[:, 0].cpu()
        if len(asked):
            items, recent = shown.item_idx.tolist(), shown.recent.tolist()
            found = self.probabilities([(recent[row], items[row]) for row in asked.tolist()])
            prob[asked] = torch.tensor(
                [torch.nan if p is None else p for p in found], dtype=torch.float64
            )
        return prob.to(shown.item_idx.device)

    def probabilities(self, asked: list[tuple[list[int], int]]) -> list[float | None]:
        """Chance that whoever has these items (newest last, 0 = none) accepts this one."""
        prompts = [self.prompt(history, item) for history, item in asked]
        wants = WANTS[self.options.reads]
        return self._model.read(prompts, click_probability, ONCE_MORE, wants=wants)

    def prompt(self, history: list[int], item: int) -> tuple[Message, ...]:
        """What the model is told of a user's items (newest last, 0 = none) and of the shown one."""
        titles = [self._titles[i] for i in history if i]
        return click_prompt(
            self._model.prompt,
            history=titles,
            item=self._titles[item],
            history_len=self.options.history_len,
        )

    def describe(self) -> dict[str, Any]:
        """Model and prompt."""
        return {"kind": "llm", **self.fingerprint(self.options), "domain": self.options.domain}

    def usage(self) -> dict[str, Any]:
        """What was asked and paid."""
        return self._model.usage()

    def close(self) -> None:
        """Close connections and cache."""
        self._model.close()
