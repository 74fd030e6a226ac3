"""A slow judge of rails: from the log alone, one pair and one round at a time."""

import math
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import torch

from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import RailsOptions, opted_out

from .toys import CATEGORIES, N_ITEMS, READ, Toy

NEAR = 1e-4
"""Scores closer than this are equal: batches round differently."""


def of(categories: tuple[str, ...]) -> set[int]:
    return {i for i, names in enumerate(CATEGORIES, start=1) if set(names) & set(categories)}


def relevance(log: GuidanceLog, toy: Toy) -> np.ndarray:
    """The encoder's score of every item before every round: (n_pairs, n_rounds, n_items + 1)."""
    known = toy.dataset.before("train")
    seqs = []
    for pair, user in enumerate(log.user_idx):
        seq = known.of(int(user)).tolist()
        for item, accepted in zip(log.item_idx[pair], log.accepted[pair], strict=True):
            seqs.append(([0] * READ + seq)[-READ:])
            seq = [*seq, int(item)] if accepted else seq
    with torch.no_grad():
        scores = toy.encoder.score(toy.encoder.encode(torch.tensor(seqs)))
    return scores.view(*log.item_idx.shape, -1).double().numpy()


class Seen(NamedTuple):
    """A round of one pair."""

    item: int
    accepted: bool
    may: list[int]  # items that rails and history leave
    place: int  # of the item among them by relevance, equal ones apart

    @property
    def looks_plain(self) -> bool:
        return self.place == 0


def journey(
    log: GuidanceLog, pair: int, score: np.ndarray, toy: Toy, rails: Any, exclude: str = "shown"
) -> list[Seen]:
    """Rounds of a pair; what may be shown as the rails that hold for every round say."""
    owned = set(toy.dataset.before("train").of(int(log.user_idx[pair])).tolist())
    forbidden, shown, seen = of(rails.forbidden_categories), list[int](), []
    never_again = set[int]()
    for number, item in enumerate(log.item_idx[pair].tolist()):
        gone = owned | forbidden | never_again
        may = [
            i
            for i in range(1, N_ITEMS + 1)
            if i not in gone and not is_over(i, shown, int(log.target_idx[pair]), rails)
        ]
        place = sum(score[number, i] > score[number, item] + NEAR for i in may) if item else 0
        seen.append(Seen(item, bool(log.accepted[pair, number]), may, place))
        shown += [item] * (item > 0)
        if exclude == "shown" or log.accepted[pair, number]:
            never_again.add(item)
    return seen


def is_over(item: int, shown: list[int], target: int, rails: RailsOptions) -> bool:
    """Whether an item would go beyond a cap, or take the target's place under it."""
    for category, cap in rails.category_caps.items():
        if category in CATEGORIES[item - 1]:
            keeps = category in CATEGORIES[target - 1] and target not in (item, *shown)
            if sum(category in CATEGORIES[i - 1] for i in shown) + keeps >= cap:
                return True
    return rails.item_cap is not None and shown.count(item) >= rails.item_cap


def violations(
    log: GuidanceLog, toy: Toy, rails: RailsOptions, seed: int = 0, exclude: str = "shown"
) -> set[str]:
    """Names of the rails that were broken."""
    score, found = relevance(log, toy), set[str]()
    is_out = opted_out(rails, toy.dataset.user_ids, seed=seed)
    free = RailsOptions(forbidden_categories=rails.forbidden_categories)
    guided = np.zeros(log.item_idx.shape, bool)
    for pair in range(len(log.user_idx)):
        seen = journey(log, pair, score[pair], toy, free, exclude)
        is_usual = all(one.looks_plain and one.item in one.may for one in seen if one.item)
        if is_out[log.user_idx[pair]]:
            if not is_usual:
                found.add("opt_out")
            continue
        if rails.guided_pairs is not None and is_usual:
            continue  # it may be one that is left out
        seen = journey(log, pair, score[pair], toy, rails, exclude)
        guided[pair] = [one.item > 0 and not one.looks_plain for one in seen]
        found |= broken_in_rounds(seen, rails) | broken_over_rounds(seen, rails)
        reached = bool(log.reached[pair])
        if rails.stop_after is None and not reached and any(s.may and not s.item for s in seen):
            found.add("left out in the cold")
    return found | broken_over_pairs(log, guided, rails)


def broken_over_pairs(log: GuidanceLog, guided: np.ndarray, rails: RailsOptions) -> set[str]:
    """The rails that span users; `guided` (n_pairs, n_rounds) is true where it must have been."""
    per_round, total, today, found = Counter(), Counter(), Counter(), set()
    for pair, number in np.argwhere(guided).tolist():
        item, user = int(log.item_idx[pair, number]), int(log.user_idx[pair])
        per_round[item, number] += 1
        total[item] += 1
        today[user, number // (rails.rounds_per_day or 1)] += 1
    for name, counts in (
        ("item_cap_per_round", per_round),
        ("item_cap_total", total),
        ("daily_cap", today),
    ):
        cap = getattr(rails, name)
        if cap is not None and any(n > cap for n in counts.values()):
            found.add(name)
    most = rails.guided_pairs
    if most is not None:
        n_most = math.floor(most * len(guided) + 1e-9) if most <= 1 else most
        if guided.any(1).sum() > n_most:
            found.add("guided_pairs")
    return found


def broken_in_rounds(seen: list[Seen], rails: RailsOptions) -> set[str]:
    items = Counter(one.item for one in seen if one.item)
    found = {"item_cap"} if any(n > (rails.item_cap or 99) for n in items.values()) else set()
    return found | broken_by_categories(seen, rails)


def broken_by_categories(seen: list[Seen], rails: RailsOptions) -> set[str]:
    found, protected = set(), of(rails.protected_categories)
    forbidden, counts = of(rails.forbidden_categories), dict.fromkeys(rails.category_caps, 0)
    for one in (s for s in seen if s.item):
        if one.item in forbidden:
            found.add("forbidden_categories")
        if one.item in protected and not one.looks_plain:
            found.add("protected_categories")
        for name in counts:
            counts[name] += name in CATEGORIES[one.item - 1]
        if rails.relevance_floor is not None:
            n_best = max(1, math.ceil(rails.relevance_floor * len(one.may) - 1e-9))
            if one.place >= n_best:
                found.add("relevance_floor")
    if any(n > rails.category_caps[name] for name, n in counts.items()):
        found.add("category_caps")
    return found


def broken_over_rounds(seen: list[Seen], rails: RailsOptions) -> set[str]:
    found = set()
    played = [s for s in seen if s.item]
    guided = [not s.looks_plain for s in played]
    if rails.guided_budget is not None and sum(guided) > rails.guided_budget:
        found.add("guided_budget")
    for start in range(len(played)):
        for end in range(start + 1, len(played) + 1):
            n_plain = sum(not g for g in guided[start:end])
            if n_plain < math.floor(rails.plain_share * (end - start)):
                found.add("plain_share")
    return found | broken_by_refusals(played, rails)


def broken_by_refusals(played: list[Seen], rails: RailsOptions) -> set[str]:
    found = set()
    if rails.pause_after is not None:
        guided = [not s.looks_plain for s in played]
        tired = [g and not s.accepted for g, s in zip(guided, played, strict=True)]
        for end in range(rails.pause_after, len(played)):
            pause = guided[end : end + rails.pause_rounds]
            if all(tired[end - rails.pause_after : end]) and any(pause):
                found.add("pause_after")
    if rails.stop_after is not None:
        in_a_row = 0
        for one in played:
            if in_a_row >= rails.stop_after:
                found.add("stop_after")
            in_a_row = 0 if one.accepted else in_a_row + 1
    return found
