"""LLM-IPP: a language model names the items that lead from a user's history to the target.

Source: Wang et al. 2024, arXiv:2409.04827. The prompt, how names become items, what replaces those
that the catalogue lacks, and when a path is planned anew are ours: none of it is published.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Encoder
from proactrec.llm.answers import path_titles
from proactrec.llm.client import Message
from proactrec.llm.prompted import PromptedModel, PromptedOptions, decides
from proactrec.llm.prompting import plan_prompt
from proactrec.llm.titles import FUZZY_THRESHOLD, TitleMatcher
from proactrec.policies.base import (
    Decision,
    EncoderPolicy,
    Ingredients,
    Observation,
    Past,
    next_planned,
)
from proactrec.progress import Progress, silent
from proactrec.ranking import penalties

ONCE_MORE = "Answer with one JSON list of names, as strings, and nothing else."
COUNTED = (
    "paths",
    "unreadable",
    "named",
    "exact",
    "normalised",
    "fuzzy",
    "hallucinated",
    "repeated",
    "known",
    "filled",
)


class LLMIPPOptions(PromptedOptions):
    """The model, and what becomes of its paths."""

    temperature: float = Field(0.1, ge=0, le=2, description="spread of the answers")
    max_answer_tokens: int = Field(512, ge=1, description="longest answer, in tokens")
    path_len: int = Field(20, ge=2, description="items of a path, the target last")
    replan: Literal["on_reject", "never"] = Field(
        "on_reject", description="a new path after every refusal, or only the one before round 1"
    )
    fill: Literal["backbone", "stop"] = Field(
        "backbone", description="after the path: the encoder's next items, or nothing"
    )
    fuzzy_threshold: float = Field(
        FUZZY_THRESHOLD, gt=0, le=1, description="least likeness of a name and a title"
    )


class LLMIPP(EncoderPolicy):
    """Shows the items of a path that a language model planned, then the target.

    Named items that the user knows, that were shown, or that stand in the path already are left
    out, as are names that mean no item of the catalogue. A path of which nothing is left is no
    path: the encoder's next items take its place, without the target.

    Parameters
    ----------
    encoder : Encoder
        Fills up paths.
    dataset : Dataset
        Titles, and what users know.
    options : LLMIPPOptions
    cache : Path
        File of answers.
    """

    name: ClassVar[str] = "llm-ipp"
    options_type: ClassVar[type[Options]] = LLMIPPOptions

    def __init__(
        self,
        encoder: Encoder,
        dataset: Dataset,
        options: LLMIPPOptions,
        cache: Path,
        progress: Progress = silent,
    ) -> None:
        super().__init__(encoder)
        self.options, self._titles = options, ["", *dataset.titles]
        self.encodes = "refused" if options.replan == "on_reject" else "once"
        self._known = dataset.before("train")
        self._matcher = TitleMatcher(dataset.titles, threshold=options.fuzzy_threshold)
        self._model = PromptedModel(options, "plan", cache, progress)
        self._counts = Counter(dict.fromkeys(COUNTED, 0))
        self._lock = threading.Lock()  # blocks of pairs are played in threads

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy of a run."""
        options = ingredients.policy_options(LLMIPPOptions)
        return cls(
            ingredients.encoder,
            ingredients.dataset,
            options,
            ingredients.answers,
            ingredients.progress,
        )

    @classmethod
    def decides(cls, options: Any) -> dict[str, Any]:
        """Model, prompt, and what becomes of paths."""
        ours = {"path_len", "replan", "fill", "fuzzy_threshold"}
        return {**decides(options, "plan"), **options.model_dump(include=ours)}

    def encode(self, past: Past) -> Tensor:
        """Planned items as floats (n, n_rounds), in the columns of the rounds that come."""
        paths, fills = self._paths(past), self._next_items(past)
        targets, n_left = past.target_idx.tolist(), past.refused.shape[1] - past.round + 1
        planned = torch.zeros(past.refused.shape, device=past.item_seq.device)
        counts = Counter[str]()
        for row, (path, fill) in enumerate(zip(paths, fills, strict=True)):
            led = [*path, targets[row]] if path or n_left == 1 else []
            rest = [item for item in fill if item not in led]
            items = [*led, *rest][:n_left]
            counts["filled"] += max(0, len(items) - len(led))
            columns = slice(past.round - 1, past.round - 1 + len(items))
            planned[row, columns] = torch.tensor(items, dtype=planned.dtype)
        self._count(counts)
        return planned

    def decide(self, observation: Observation) -> Decision:
        """The planned item, or the next of its path that may be shown."""
        return next_planned(observation)

    def notes(self) -> dict[str, Any]:
        """How many paths were planned, and what became of the names in them."""
        return {"paths": dict(self._counts)}

    def usage(self) -> dict[str, Any]:
        """What was asked and paid."""
        return self._model.usage()

    def close(self) -> None:
        """Close connections and cache."""
        self._model.close()

    def _paths(self, past: Past) -> list[list[int]]:
        """Items on the way to the target, without it; none in the last round."""
        n_items = min(self.options.path_len, past.refused.shape[1] - past.round + 1) - 1
        if n_items < 1:
            return [[] for _ in past.target_idx]
        columns = (past.item_seq, past.target_idx, past.refused)
        rows = zip(*(x.tolist() for x in columns), strict=True)
        prompts = [self._prompt(*row, path_len=n_items) for row in rows]
        answers = self._model.read(prompts, lambda answer: path_titles(answer.text), ONCE_MORE)
        may_not = self._penalty(past) < 0
        return [self._matched(names, may_not[row], n_items) for row, names in enumerate(answers)]

    def _prompt(
        self, history: list[int], target: int, refused: list[int], *, path_len: int
    ) -> tuple[Message, ...]:
        return plan_prompt(
            self._model.prompt,
            history=[self._titles[item] for item in history if item],
            target=self._titles[target],
            skipped=[self._titles[item] for item in refused if item],
            path_len=path_len,
            history_len=self.options.history_len,
        )

    def _matched(self, names: Sequence[str] | None, may_not: Tensor, n_items: int) -> list[int]:
        """Items that the names mean and that may be shown, each once."""
        counts = Counter(paths=1, unreadable=int(names is None))
        path: list[int] = []
        for name in names or ():
            item, kind, _ = self._matcher.match(name)
            counts["named"] += 1
            counts["hallucinated" if item is None else kind] += 1
            if item is None:
                continue
            if item in path:
                counts["repeated"] += 1
            elif may_not[item]:
                counts["known"] += 1
            else:
                path.append(item)
        self._count(counts)
        return path[:n_items]

    def _next_items(self, past: Past) -> list[list[int]]:
        """The encoder's best items for every pair, best first, as many as there are rounds."""
        if self.options.fill == "stop":
            return [[] for _ in past.target_idx]
        scores = self.encoder.score(self.encoder.encode(past.item_seq)) + self._penalty(past)
        best = scores.topk(min(past.refused.shape[1], scores.shape[1]), dim=1)
        allowed = best.values > -torch.inf
        return [
            [item for item, is_allowed in zip(*pair, strict=True) if is_allowed]
            for pair in zip(best.indices.tolist(), allowed.tolist(), strict=True)
        ]

    def _penalty(self, past: Past) -> Tensor:
        """-inf for what a path may not hold: known, shown, and the target itself."""
        penalty = penalties(
            self._known, past.user_idx.cpu().numpy(), len(self._titles), past.item_seq.device
        )
        shown = torch.cat([past.item_seq, past.refused, past.target_idx[:, None]], 1)
        return penalty.scatter_(1, shown, -torch.inf)

    def _count(self, counts: Counter[str]) -> None:
        with self._lock:
            self._counts.update(counts)
