"""What a run measured, as its files hold it: typed, and what older files lack has a default."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from proactrec.config import Options
from proactrec.errors import DataError, InvalidInputError

RESULT, ABOUT = "metrics.json", "run.json"
"""Files of a run's folder: what is the same whenever it is done again, and the rest."""
VOLATILE = (
    "seconds",
    "usage",
    "peak_memory_mb",
    "versions",
    "device",
    "threads",
    "options",
    "command",
)
"""What of a result may differ when the same run is done again."""
CELLS = "cells.json"
"""File of a benchmark's folder that lists its cells."""


class Figure(Options):
    """A figure, with its 95 % interval if it has one."""

    mean: float
    low: float | None = None
    high: float | None = None


class TargetItem(Options):
    """An item that was promoted."""

    item_idx: int
    item_id: str
    title: str
    score: float | None = Field(None, description="of pre-match; none where items were given")
    share_seen: float | None = Field(None, description="share of users who have it, in [0, 1]")


class PairCounts(Options):
    """Pairs of user and target."""

    n_pairs: int = 0
    n_accepted_target: int = 0
    n_already_first: int = Field(0, description="the target was at rank 0 before guidance")
    n_no_answer: int = Field(0, description="items shown that nobody answered for")
    n_nothing_left: int = Field(0, description="nothing was shown in the last round")
    n_owners_counted_as_zero: int = 0
    n_left: int | None = Field(None, description="users who left before the end, where any did")
    n_owners_left_out: int = 0


class GroupFigures(Options):
    """Users whom rails treat alike, at the last round."""

    n_users: int
    n_pairs: int
    hr: float | None = Field(None, description="none where nothing was shown")
    ioi: float | None = None
    clicks_lost: float | None = Field(None, description="share; none without clicks to lose")
    share_guided: float = 0.0


class CategoryFigures(Options):
    """A category that was watched, whatever was promoted."""

    n_items: int
    share_before: Figure = Field(description="of its items among all that users had before")
    interest_before: Figure | None = Field(None, description="hidden users' interest in it")
    metrics: dict[str, dict[int, Figure]] = Field(
        {},
        description="by round: share of users who accepted of it, its share of what was "
        "accepted, increase of interest in it",
    )


class Spent(Options):
    """What was asked of a language model, and paid."""

    n_requests: int = 0
    n_retries: int = 0
    n_cached: int = 0
    prompt_tokens: int | float = 0
    answer_tokens: int | float = 0
    cost: int | float = 0
    n_uncounted: int = 0
    failures: dict[str, int] = Field({}, description="of requests, by kind")

    @property
    def n_asked(self) -> int:
        """Prompts that were answered, by the model or from the cache."""
        return self.n_requests + self.n_cached


MetricFigures = dict[str, dict[int, Figure]]


class RunResult(Options):
    """All of `metrics.json` and `run.json`; fields stand in the order of the files."""

    dataset: str
    synthetic: bool = False
    n_users: int
    n_items: int
    n_interactions: int
    category: str | None = None
    policy: str
    policy_options: dict[str, Any] = Field({}, description="what of them decides")
    policy_notes: dict[str, Any] = Field({}, description="what the policy counted")
    reads_hidden_users: bool = False
    rails: dict[str, Any] = Field({}, description="those that are on")
    encoder: str | None = None
    without: tuple[str, ...] = ()
    protocol: str
    protocol_changes: dict[str, Any] = Field({}, description="against the protocol of that name")
    seed: int
    targets: tuple[TargetItem, ...] = ()
    metrics: MetricFigures = Field({}, description="by metric, then round")
    outcome: dict[str, Figure] = Field({}, description="of all rounds")
    pairs: PairCounts = PairCounts()
    groups: dict[str, GroupFigures] = Field({}, description="under the rail equal_groups")
    categories: dict[str, CategoryFigures] = Field({}, description="those that are watched")
    next_item: dict[str, dict[str, float]] = Field({}, description="of the encoder, by split")
    popularity: dict[str, dict[str, float]] = Field(
        {}, description="the same of the most popular items"
    )
    interest_vectors: dict[str, dict[str, float]] = Field({}, description="cosines, by pairs")
    interest_ranking: dict[str, float] = Field(
        {}, description="next-item figures of interest vectors"
    )
    response: dict[str, Any] = Field({}, description="the click model")
    seconds: dict[str, float] = Field({}, description="by stage")
    usage: dict[str, Spent] = Field({}, description="by what asks a language model")
    peak_memory_mb: float | None = None
    versions: dict[str, str] = Field({}, description="by package")
    device: str | None = None
    threads: int | None = None
    options: dict[str, Any] = Field({}, description="settings of the run")
    command: str | None = None

    @classmethod
    def opened(cls, folder: Path) -> Self:
        """Read the files of a run's folder; `run.json` may be missing."""
        content = _read(folder / RESULT, "run")
        about = _read(folder / ABOUT, "run") if (folder / ABOUT).is_file() else {}
        try:
            return cls(**content, **about)
        except (InvalidInputError, TypeError) as error:
            raise DataError(f"{folder / RESULT} is damaged: {error}") from error

    @property
    def rounds(self) -> list[int]:
        """Every round that a metric is given for, ascending."""
        return sorted({number for by_round in self.metrics.values() for number in by_round})

    def content(self) -> dict[str, Any]:
        """As it is written: what it was made of, and no defaults."""
        return self.model_dump(mode="json", exclude_unset=True)


class CellResult(Options):
    """What a benchmark notes of one of its cells."""

    method: str
    world: str
    metric_options: dict[str, Any] = Field({}, description="what exactly its metrics are")
    dataset: str
    protocol: str
    seed: int
    n_users: int | None = None
    n_items: int | None = None
    metrics: MetricFigures = Field({}, description="by metric, then round")
    outcome: dict[str, Figure] = Field({}, description="of all rounds")
    pairs: PairCounts = PairCounts()
    categories: dict[str, CategoryFigures] = Field({}, description="those that are watched")
    next_item: dict[str, dict[str, float]] = Field({}, description="of the encoder, by split")
    curves: dict[str, tuple[float, ...]] = Field(
        {}, description="mean interest and rank, share of targets accepted, at rounds 0, 1, …"
    )
    seconds: dict[str, float] = Field({}, description="by stage")
    reads_hidden_users: bool = False
    log: Path | None = Field(None, description="its guidance log")


class GuidanceFigures(Options):
    """What a study notes of guidance under one click model."""

    metrics: MetricFigures
    outcome: dict[str, Figure]
    pairs: PairCounts
    groups: dict[str, GroupFigures] = Field({}, description="under the rail equal_groups")
    categories: dict[str, CategoryFigures] = Field({}, description="those that are watched")
    curves: dict[str, tuple[Figure, ...]] = Field({}, description="IoI and IoR after every round")


def read_cells(folder: Path) -> list[CellResult]:
    """The cells of a benchmark's folder."""
    content = _read(folder / CELLS, "benchmark")
    try:
        return [CellResult(**cell) for cell in content.values()]
    except (InvalidInputError, TypeError) as error:
        raise DataError(
            f"{folder / CELLS} is damaged ({error}); run the benchmark again, finished cells are "
            "reused"
        ) from error


def _read(path: Path, kind: str) -> Mapping[str, Any]:
    if not path.is_file():
        raise DataError(f"{path.parent} holds no {kind}: {path} is missing")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: it must hold an object, got {content!r:.50}")
    return content
