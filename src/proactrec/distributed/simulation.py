"""What is done with the journeys of a shard: users are simulated, and what happened is kept.

A journey's luck belongs to (seed, user, target, round), so shards need nothing of each other,
unless guidance learns from everybody's answers or rails count journeys together.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import torch

from proactrec.data.dataset import Dataset
from proactrec.distributed.versions import check_versions, versions
from proactrec.errors import InvalidInputError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.pairs import Pairs
from proactrec.evaluation.rollout import rollout
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.policies.base import Policy
from proactrec.threads import one_thread
from proactrec.types import BoolArray, IntArray

STEPS, OUTCOMES = "steps", "outcomes"
RAILS = "rails"
"""In the metadata of a file of outcomes: what rails did, counted, as JSON."""
ALONE = "simulate them in one process, without --shard-size, --users, --processes and --ray"


@dataclass(frozen=True)
class Simulation:
    """Whose guidance meets which users.

    Parameters
    ----------
    options : ExperimentOptions
        Targets are named by id: nothing is chosen any more.
    dataset : Dataset
    folder : Path
        The store.
    files : tuple of Path
        All of trained models in it: nothing is trained any more.
    encoder_folder : Path, optional
        A trained encoder that was brought along.
    made_by : mapping
        Versions of packages; who has others may not do it.
    """

    options: ExperimentOptions
    dataset: Dataset
    folder: Path
    files: tuple[Path, ...]
    encoder_folder: Path | None = None
    made_by: Mapping[str, str] = field(default_factory=versions)

    @classmethod
    def of(cls, experiment: Experiment, encoder_folder: Path | None = None) -> Self:
        """The simulation of an experiment, whose models are trained here if they are not yet.

        Raises
        ------
        InvalidInputError
            If journeys bear on each other, or a language model or a GPU takes part.
        """
        check_apart(experiment)
        data, store = experiment.dataset, experiment.store
        target_ids = tuple(data.item_ids[item - 1] for item in experiment.targets.item_idx)
        _ = experiment.guide, experiment.world  # asks for all that there is to train
        files = sorted(path for folder in store.asked for path in folder.iterdir())
        options = experiment.options.changed({"target_items": target_ids})
        return cls(options, data, store.root, tuple(files), encoder_folder)

    def opened(self, folder: Path) -> "Simulated":
        """Guide and users, ready to meet.

        Raises
        ------
        ArtefactError
            If packages here have other versions than where the simulation was asked for.
        """
        check_versions(self.made_by)
        with one_thread():
            experiment = Experiment(self.options, folder, encoder_folder=self.encoder_folder)
            experiment.fitting.dataset = self.dataset  # raw files are where it was asked for
            return Simulated(experiment)


def check_apart(experiment: Experiment) -> None:
    """Look whether journeys can be played apart, before anything is trained.

    Raises
    ------
    InvalidInputError
        If they bear on each other, or a language model or a GPU takes part.
    """
    kind, rails = experiment.fitting.policy_kind, experiment.options.rails
    if hasattr(kind, "learned"):
        raise InvalidInputError(
            f"journeys of policy {kind.name}, which learns from everybody's answers round by "
            f"round, can't be played in shards: {ALONE}"
        )
    if experiment.options.goal.is_on:
        raise InvalidInputError(
            "journeys to a goal (goal.target must be every, got "
            f"{experiment.options.goal.target!r}) can't be played in shards: {ALONE}"
        )
    if rails.spans_users:
        raise InvalidInputError(
            f"journeys within rails that count them together ({', '.join(rails.said())}) can't be "
            f"played in shards: {ALONE}"
        )
    if experiment.options.response or kind.close is not Policy.close:
        raise InvalidInputError(f"journeys that ask a language model can't be sharded: {ALONE}")
    if experiment.device != "cpu":
        raise InvalidInputError(
            f"shards are simulated on the CPU, got device {experiment.device!r}: {ALONE}"
        )


class Simulated:
    """Plays the journeys of a shard: what comes out depends on them and on the experiment alone.

    All is done in one thread: where sums are cut would show in the last digits.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._dataset, self._world = experiment.dataset, experiment.world
        self._guide, self._targets = experiment.guide, experiment.targets.item_idx
        how = experiment.protocol.rollout
        self._options = how.model_copy(update={"n_traced": 0})
        self._users = train_users(self._dataset, self._guide, how.padding)
        one, target = torch.zeros(1, dtype=torch.int64), torch.from_numpy(self._targets[:1])
        anybody = Journeys.begun(self._users, one, target, how.n_rounds)
        self._places = self._guide.places_of_users(anybody)

    def __call__(self, rows: pl.DataFrame) -> tuple[bytes, bytes]:
        """The contents of two Parquet files: of :func:`steps_of` and of :func:`outcomes_of`.

        Parameters
        ----------
        rows : DataFrame
            `user_idx` and `target_idx` of the journeys.
        """
        pairs = Pairs(
            *(rows[name].cast(pl.Int64).to_numpy(writable=True) for name in Pairs._fields)
        )
        with one_thread():
            played = rollout(
                self._guide,
                self._world,
                self._dataset,
                self._targets,
                self._options,
                pairs=pairs,
                users=self._users,
                places=self._places,
                n_workers=1,
            )
        outcomes = outcomes_of(played.log, self._dataset)
        return _parquet(steps_of(played.log)), _parquet(outcomes, played.rails)


def steps_of(log: GuidanceLog) -> pl.DataFrame:
    """The table of a log, `guided` and `left_after` always being there: shards are alike."""
    table = log.to_table()
    usual = {"guided": pl.col("item_idx") > 0, "left_after": pl.lit(0, pl.Int16)}
    missing = {name: values for name, values in usual.items() if name not in table.columns}
    order = [*(name for name in table.columns if name not in usual), *usual]
    return table.with_columns(**missing).select(order)


def outcomes_of(log: GuidanceLog, dataset: Dataset) -> pl.DataFrame:
    """A row a journey: whose, where to, and what became of it.

    Columns: `user_id`, `target_id`; numbers of items `shown`, of them `guided` and `accepted`;
    `target_round` in which the target was accepted and `left_after` which round the user left
    (null: never); `interest` and `rank` of the target before and after; `is_counted`.
    """
    hits = log.is_target_accepted

    def or_none(rounds: IntArray) -> pl.Series:
        return pl.Series(rounds, dtype=pl.Int16).replace(0, None)

    def count(of: BoolArray) -> pl.Series:
        return pl.Series(of.sum(axis=1), dtype=pl.Int32)

    return pl.DataFrame(
        {
            "user_id": [dataset.user_ids[row] for row in log.user_idx],
            "target_id": [dataset.item_ids[item - 1] for item in log.target_idx],
            "shown": count(log.is_shown),
            "guided": count(log.guided),
            "accepted": count(log.accepted),
            "target_round": or_none(np.where(hits.any(1), hits.argmax(1) + 1, 0)),
            "left_after": or_none(log.left_after),
            "interest_before": log.interest[:, 0].astype(np.float32),
            "interest_after": log.interest[:, -1].astype(np.float32),
            "rank_before": log.rank[:, 0].astype(np.int32),
            "rank_after": log.rank[:, -1].astype(np.int32),
            "is_counted": log.is_counted,
        }
    )


def _parquet(table: pl.DataFrame, rails: Mapping[str, int] | None = None) -> bytes:
    content = io.BytesIO()
    told = {RAILS: json.dumps(dict(sorted((rails or {}).items())))}
    table.write_parquet(content, metadata=told)
    return content.getvalue()
