"""Some journeys of a run told round by round, for its page."""

from typing import NamedTuple

import numpy as np

from proactrec.data.dataset import Dataset, Histories
from proactrec.guidance.log import GuidanceLog
from proactrec.report import drawing, plots
from proactrec.report.tables import number_text, percent_text
from proactrec.types import FloatArray, IntArray

N_HISTORY = 5
"""Titles of a user's history in a journey."""


class Item(NamedTuple):
    """What is shown of an item."""

    title: str
    categories: tuple[str, ...]


class Round(NamedTuple):
    """One round of a journey; `share` places the interest between the journey's ends, 0 to 100."""

    number: int
    item: Item
    is_target: bool
    accepted: bool
    accept_prob: str
    interest: str
    share: float


class Journey(NamedTuple):
    """What happened to one user with one target."""

    user_id: str
    history: list[Item]  # oldest first
    target: Item
    rounds: list[Round]
    start: str
    end: str
    gain: str
    rank_start: int
    rank_end: int
    ending: str


def journeys_of(log: GuidanceLog, dataset: Dataset, traced_pairs: IntArray) -> list[Journey]:
    """The journeys in these rows of the log."""
    before = dataset.before("train")
    return [_journey(log, dataset, before, int(pair)) for pair in traced_pairs]


def _journey(log: GuidanceLog, dataset: Dataset, before: Histories, pair: int) -> Journey:
    user, target = int(log.user_idx[pair]), int(log.target_idx[pair])
    interest, rank = log.interest[pair], log.rank[pair] + 1
    low, high = float(interest.min()), float(interest.max())
    rounds = [
        Round(
            number=number,
            item=item_of(dataset, int(shown)),
            is_target=bool(log.is_target[pair, number - 1]),
            accepted=bool(log.accepted[pair, number - 1]),
            accept_prob=percent_text(float(log.accept_prob[pair, number - 1])),
            interest=number_text(float(interest[number]), 3),
            share=100 * (float(interest[number]) - low) / ((high - low) or 1.0),
        )
        for number, shown in enumerate(log.item_idx[pair], start=1)
        if shown
    ]
    return Journey(
        user_id=dataset.user_ids[user],
        history=[item_of(dataset, int(item)) for item in before.of(user)[-N_HISTORY:]],
        target=item_of(dataset, target),
        rounds=rounds,
        start=number_text(float(interest[0]), 3),
        end=number_text(float(interest[-1]), 3),
        gain=_signed(float(interest[-1] - interest[0])),
        rank_start=int(rank[0]),
        rank_end=int(rank[-1]),
        ending=_ending(log, pair),
    )


def heat_map(
    log: GuidanceLog,
    dataset: Dataset,
    traced_pairs: IntArray,
    vectors: FloatArray,
    target_vectors: FloatArray,
) -> tuple[str, str] | None:
    """(SVG, caption) of the traced pair whose interest grew most."""
    if not len(traced_pairs):
        return None
    gain = (log.interest[:, -1] - log.interest[:, 0])[traced_pairs]
    most = int(gain.argmax())
    pair = traced_pairs[most]
    caption = (
        f"User {dataset.user_ids[log.user_idx[pair]]} and "
        f"“{item_of(dataset, int(log.target_idx[pair])).title}”: of the {len(traced_pairs)} "
        f"journeys shown, the one whose interest moved most ({_signed(float(gain[most]))}). "
        f"Not a typical one; {_ending(log, int(pair))}."
    )
    drawn = plots.journey_heat_map(
        vectors[most],
        target_vectors[most],
        n_shown=_last_shown(log, int(pair)),
        accepted_at=_accepted_at(log, int(pair)),
    )
    return drawing.svg(drawn), caption


def item_of(dataset: Dataset, item_idx: int) -> Item:
    """What is shown of an item of the data set; of 0: of a goal of several."""
    if not item_idx:
        return Item("whichever item of the goal suits", ())
    return Item(dataset.titles[item_idx - 1], dataset.categories[item_idx - 1])


def _ending(log: GuidanceLog, pair: int) -> str:
    """How the journey ended, in a few words."""
    if not log.is_counted[pair]:
        return "had the target before, so nothing moves"
    accepted_at, last = _accepted_at(log, pair), _last_shown(log, pair)
    told = "target not accepted"
    if accepted_at is not None:
        told = f"accepted the target in round {accepted_at}"
    if last == log.n_rounds:
        return told
    if log.has_left[pair]:
        return f"{told}; the user left after round {log.left_after[pair]}"
    return told if last == accepted_at else f"{told}; nothing was left to show after round {last}"


def _accepted_at(log: GuidanceLog, pair: int) -> int | None:
    """Round in which the target was first accepted."""
    by_round = plots.accepted_rounds(log.of(np.array([pair])))[0]
    return int(by_round.argmax()) if by_round.any() else None


def _last_shown(log: GuidanceLog, pair: int) -> int:
    """Last round in which anything was shown, 0 where nothing ever was."""
    return int(log.is_shown[pair].nonzero()[0].max(initial=-1)) + 1


def _signed(value: float) -> str:
    text = number_text(value, 3)
    return text if text.startswith("−") else f"+{text}"
