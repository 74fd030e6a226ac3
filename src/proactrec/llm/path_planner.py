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

from proactrec.config import MOST_LEN, Options
from proactrec.data.items import Items
from proactrec.encoders.base import Encoder
from proactrec.journeys import Journeys
from proactrec.llm.answers import path_titles
from proactrec.llm.messages import Message
from proactrec.llm.prompted import PromptedModel, PromptedOptions, fingerprint
from proactrec.llm.prompting import plan_prompt
from proactrec.llm.titles import FUZZY_THRESHOLD, TitleMatcher
from proactrec.policies.base import Decision, EncoderPolicy, View, next_planned
from proactrec.policies.ingredients import Ingredients
from proactrec.progress import Progress, silent

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
    path_len: int = Field(20, ge=2, le=MOST_LEN, description="items of a path, the target last")
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

    The encoder fills up paths; `cache` is the file of answers.
    """

    name: ClassVar[str] = "llm-ipp"
    options_type: ClassVar[type[Options]] = LLMIPPOptions
    knows_target = True

    def __init__(
        self,
        encoder: Encoder,
        items: Items,
        options: LLMIPPOptions,
        cache: Path,
        progress: Progress = silent,
    ) -> None:
        super().__init__(encoder)
        self.options, self._titles = options, ["", *items.titles]
        self.renewed_by = "refusal" if options.replan == "on_reject" else "never"
        self._matcher = TitleMatcher(items.titles, threshold=options.fuzzy_threshold)
        self._model = PromptedModel(options, "plan", cache, progress)
        self._counts = Counter(dict.fromkeys(COUNTED, 0))
        self._lock = threading.Lock()  # blocks of journeys are played in threads

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy of a run."""
        options = ingredients.policy_options(LLMIPPOptions)
        return cls(
            ingredients.encoder,
            ingredients.items,
            options,
            ingredients.answers,
            ingredients.progress,
        )

    @classmethod
    def fingerprint(cls, options: Any) -> dict[str, Any]:
        """Model, prompt, and what becomes of paths."""
        ours = {"path_len", "replan", "fill", "fuzzy_threshold"}
        return {**fingerprint(options, "plan"), **options.model_dump(include=ours)}

    def place(self, journeys: Journeys) -> Tensor:
        """Planned items as floats (n, n_rounds), in the columns of the rounds from the plan on.

        The plan is that of the beginning, or of the time after the last refusal.
        """
        number = torch.ones_like(journeys.round)
        if self.renewed_by == "refusal":
            columns = torch.arange(2, journeys.n_rounds + 2, device=number.device)
            number = ((journeys.refused > 0) * columns).max(1).values.clamp(min=1)
        then = journeys.before(number)
        paths, fills = self._paths(then), self._next_items(then)
        planned = torch.zeros(then.shown.shape, device=number.device)
        rows = zip(paths, fills, then.target_idx.tolist(), number.tolist(), strict=True)
        for row, (path, fill, target, first) in enumerate(rows):
            n_left = then.n_rounds - first + 1
            led = [*path, target] if path or n_left == 1 else []
            items = [*led, *(item for item in fill if item not in led)][:n_left]
            self._count(Counter(filled=max(0, len(items) - len(led))))
            planned[row, first - 1 : first - 1 + len(items)] = planned.new_tensor(items)
        return planned

    def decide(self, view: View) -> Decision:
        """The planned item, or the next of its path that may be shown."""
        return next_planned(view)

    def notes(self) -> dict[str, Any]:
        """How many paths were planned, and what became of the names in them."""
        return {"paths": dict(self._counts)}

    def usage(self) -> dict[str, Any]:
        """What was asked and paid."""
        return self._model.usage()

    def close(self) -> None:
        """Close connections and cache."""
        self._model.close()

    def _paths(self, journeys: Journeys) -> list[list[int]]:
        """Items on the way to the target, without it; none in the last round."""
        n_left = journeys.n_rounds - journeys.round + 1
        n_items = (n_left.clamp(max=self.options.path_len) - 1).tolist()
        columns = (self._sequence(journeys), journeys.target_idx, journeys.refused)
        rows = zip(*(x.tolist() for x in columns), n_items, strict=True)
        asked = [row for row, n in enumerate(n_items) if n > 0]
        prompts = [self._prompt(*row[:3], path_len=row[3]) for row in rows if row[3] > 0]
        answers = self._model.read(prompts, lambda answer: path_titles(answer.text), ONCE_MORE)
        may_not = self._penalty(journeys) < 0
        paths: list[list[int]] = [[] for _ in n_items]
        for row, names in zip(asked, answers, strict=True):
            paths[row] = self._matched(names, may_not[row], n_items[row])
        return paths

    def _sequence(self, journeys: Journeys) -> Tensor:
        return journeys.sequence(self.encoder.options.max_seq_len, journeys.users.padding)

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

    def _next_items(self, journeys: Journeys) -> list[list[int]]:
        """The encoder's best items for every journey, best first, as many as there are rounds."""
        if self.options.fill == "stop":
            return [[] for _ in journeys.target_idx]
        users = self.encoder.encode(self._sequence(journeys))
        scores = self.encoder.score(users) + self._penalty(journeys)
        best = scores.topk(min(journeys.n_rounds, scores.shape[1]), dim=1)
        allowed = best.values > -torch.inf
        return [
            [item for item, is_allowed in zip(*pair, strict=True) if is_allowed]
            for pair in zip(best.indices.tolist(), allowed.tolist(), strict=True)
        ]

    def _penalty(self, journeys: Journeys) -> Tensor:
        """-inf for what a path may not hold: known, shown, and the target itself."""
        penalty = journeys.penalties(len(self._titles))
        shown = torch.cat([journeys.shown, journeys.target_idx[:, None]], 1)
        return penalty.scatter_(1, shown, -torch.inf)

    def _count(self, counts: Counter[str]) -> None:
        with self._lock:
            self._counts.update(counts)
