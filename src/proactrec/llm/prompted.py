"""A model with a prompt and the cache of its answers: what click agent and path planner share."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from proactrec.llm.cache import Answer, AnswerCache
from proactrec.llm.client import LLMClient
from proactrec.llm.messages import Feature, Message
from proactrec.llm.options import LLMOptions
from proactrec.llm.prompting import HISTORY_LEN, Kind, load_prompt
from proactrec.progress import Progress

ReadT = TypeVar("ReadT")
DECIDES = ("model", "temperature", "seed", "max_answer_tokens", "n_top_logprobs")
"""Options that decide answers; the others decide how fast, and at what price, they come."""


class PromptedOptions(LLMOptions):
    """The model, what it is told, and where its answers are kept."""

    domain: str = Field("generic", description="prompts: generic, movies, music or games")
    prompt_folder: Path | None = Field(None, description="prompts of your own, DOMAIN/KIND.txt")
    history_len: int = Field(
        HISTORY_LEN, ge=1, le=HISTORY_LEN, description="newest items it is told"
    )
    replay: bool = Field(
        False, description="never ask the language model: all its answers must be in the store"
    )
    cache: Path | None = Field(None, description="file of answers; in the store by default")


class PromptedModel:
    """Asks with one prompt, and reads the answers.

    Parameters
    ----------
    kind : {"click", "plan"}
        Which prompt of the domain.
    cache : Path
        File of answers, if the options name none.
    """

    def __init__(
        self, options: PromptedOptions, kind: Kind, cache: Path, progress: Progress
    ) -> None:
        self.prompt = load_prompt(options.domain, kind, folder=options.prompt_folder)
        self._cache = AnswerCache(options.cache or cache)
        self.client = LLMClient(options, self._cache, replay=options.replay, progress=progress)

    def read(
        self,
        prompts: Sequence[tuple[Message, ...]],
        reader: Callable[[Answer], ReadT | None],
        once_more: str,
        *,
        wants: Sequence[Feature] = (),
    ) -> list[ReadT | None]:
        """What `reader` makes of the answers, in order.

        Where it makes None, the model is shown its answer and told `once_more`; None after that
        stays.
        """
        answers = self.client.ask(prompts, wants=wants)
        found = [reader(answer) for answer in answers]
        again = [place for place, value in enumerate(found) if value is None]
        if again:
            more = [
                (
                    *prompts[place],
                    Message("assistant", answers[place].text),
                    Message("user", once_more),
                )
                for place in again
            ]
            second = self.client.ask(more, wants=wants)
            for place, answer in zip(again, second, strict=True):
                found[place] = reader(answer)
        return found

    def usage(self) -> dict[str, Any]:
        """What the client sent and paid, in this process."""
        return asdict(self.client.usage)

    def close(self) -> None:
        """Close connections and cache."""
        self.client.close()
        self._cache.close()


def fingerprint(options: PromptedOptions, kind: Kind) -> dict[str, Any]:
    """What tells the answers of one model and prompt from another's."""
    prompt = load_prompt(options.domain, kind, folder=options.prompt_folder)
    return {
        **options.model_dump(include={*DECIDES}),
        "prompt": hashlib.sha256(repr(prompt.turns).encode()).hexdigest()[:16],
        "history_len": options.history_len,
    }
