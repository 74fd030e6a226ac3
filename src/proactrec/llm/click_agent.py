"""The language model as a click model: would this user accept this item?

Source: ITMPRec, section 4.6: a task with worked examples, the user's newest 20 items, the shown
item, answer 1 or 0. Where the endpoint tells the first token's probabilities, a click is a
probability.
"""

import hashlib
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from proactrec.data.dataset import Dataset
from proactrec.llm.answers import click_probability
from proactrec.llm.cache import AnswerCache
from proactrec.llm.client import LLMClient, LLMOptions, Message
from proactrec.llm.prompting import click_prompt, load_prompt
from proactrec.progress import Progress, silent
from proactrec.simulator.response import N_RECENT, Shown

DECIDES = ("model", "temperature", "seed", "max_answer_tokens", "n_top_logprobs", "reads")
"""Options that decide answers; the others decide how fast, and at what price, they come."""
ONCE_MORE = "Answer with a single digit, 1 or 0, and nothing else."


class ClickAgentOptions(LLMOptions):
    """The model, and how it is asked."""

    domain: str = Field("generic", description="prompts: generic, movies, music or games")
    prompt_folder: Path | None = Field(None, description="prompts of your own, DOMAIN/click.txt")
    history_len: int = Field(N_RECENT, ge=1, le=N_RECENT, description="newest items it is told")
    reads: Literal["probability", "text"] = Field(
        "probability",
        description="the answer token's probability where the endpoint tells it, or the digit",
    )
    replay: bool = Field(False, description="never ask: every answer must be in the cache")
    cache: Path | None = Field(None, description="file of answers; in the store by default")


class ClickAgent:
    """Users played by a language model; a :class:`~proactrec.simulator.response.Response`.

    An answer that can't be read is asked for once more; then there is none, which counts as a
    refusal and is counted.

    Parameters
    ----------
    dataset : Dataset
        Titles of items.
    options : ClickAgentOptions
    cache : Path
        File of answers.
    """

    options_type = ClickAgentOptions

    def __init__(
        self,
        dataset: Dataset,
        options: ClickAgentOptions,
        cache: Path,
        progress: Progress = silent,
    ) -> None:
        self.options, self._titles = options, ["", *dataset.titles]
        self._prompt = load_prompt(options.domain, "click", folder=options.prompt_folder)
        self._cache = AnswerCache(options.cache or cache)
        self.client = LLMClient(options, self._cache, replay=options.replay, progress=progress)

    @classmethod
    def build(
        cls, dataset: Dataset, options: ClickAgentOptions, cache: Path, progress: Progress
    ) -> Self:
        """The click model of a run."""
        return cls(dataset, options, cache, progress)

    @staticmethod
    def decides(options: ClickAgentOptions) -> dict[str, Any]:
        """What tells one agent's answers from another's."""
        prompt = load_prompt(options.domain, "click", folder=options.prompt_folder)
        text = repr(prompt.turns).encode()
        return {
            **options.model_dump(include={*DECIDES}),
            "prompt": hashlib.sha256(text).hexdigest()[:16],
            "history_len": options.history_len,
        }

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
        found, texts = self._ask(prompts)
        again = [place for place, prob in enumerate(found) if prob is None]
        if again:
            more = [
                (
                    *prompts[place],
                    Message("assistant", texts[place]),
                    Message("user", ONCE_MORE),
                )
                for place in again
            ]
            for place, prob in zip(again, self._ask(more)[0], strict=True):
                found[place] = prob
        return found

    def prompt(self, history: list[int], item: int) -> tuple[Message, ...]:
        """What the model is told of a user's items (newest last, 0 = none) and of the shown one."""
        titles = [self._titles[i] for i in history if i]
        return click_prompt(
            self._prompt,
            history=titles,
            item=self._titles[item],
            history_len=self.options.history_len,
        )

    def describe(self) -> dict[str, Any]:
        """Model and prompt."""
        return {"kind": "llm", **self.decides(self.options), "domain": self.options.domain}

    def close(self) -> None:
        """Close connections and cache."""
        self.client.close()
        self._cache.close()

    def _ask(self, prompts: list[tuple[Message, ...]]) -> tuple[list[float | None], list[str]]:
        wants = self.options.reads == "probability"
        answers = self.client.ask(prompts, wants_logprobs=wants)
        return [click_probability(answer) for answer in answers], [a.text for a in answers]
