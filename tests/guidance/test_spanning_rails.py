"""Rails that span users: scarce items, days and campaigns, settled between all journeys."""

import re
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proactrec.errors import InvalidInputError
from proactrec.evaluation.oracles import OracleGreedy
from proactrec.guidance import guide as guide_module
from proactrec.guidance.rails import RailsOptions, groups_of
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.policies.base import Decision, Policy, View
from proactrec.simulator.minds import Minds

from .toys import N_ITEMS, N_ROUNDS, POLICIES, READ, SPANNING, TARGETS, Toy, assert_same


@pytest.mark.parametrize("name", POLICIES)
def test_rails_that_span_users_depend_on_neither_blocks_nor_threads(
    toy: Toy, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = toy.guide(name, SPANNING)
    whole, _, _, told = toy.played(guide)
    assert min(told["decided_again"], told["not_chosen"], told["daily_cap"]) > 0
    for size, n_workers in ((5, 1), (5, 3), (1, 2)):
        monkeypatch.setattr(guide_module, "MAX_BLOCK", size)
        again = toy.played(guide, n_workers=n_workers)
        assert_same(again.log, whole)
        assert again.rails == told


class Wishful(Policy):
    """All want the same items, some more than others."""

    name: ClassVar[str] = "wishful"

    def decide(self, view: View) -> Decision:
        is_left = view.candidates.penalty == 0
        item_idx = is_left.int().argmax(1)  # the first
        score = (view.journeys.user * 5 + view.target_idx) % 4 / 4
        return Decision(item_idx.masked_fill(~is_left.any(1), 0), score)


@pytest.mark.parametrize("cap", [1, 2, 3])
def test_a_scarce_item_goes_to_those_with_the_highest_score(toy: Toy, cap: int) -> None:
    """The first round by hand: who asks for a full item asks for the next one then."""
    rails = RailsOptions(item_cap_per_round=cap)
    log = toy.play(toy.guide(Wishful(), rails))
    known, closed = toy.dataset.before("train"), set[int]()
    pairs = list(zip(log.user_idx.tolist(), log.target_idx.tolist(), strict=True))

    def first(pair: int) -> int:
        gone = closed | set(known.of(pairs[pair][0]).tolist())
        return next((i for i in range(1, N_ITEMS + 1) if i not in gone), 0)

    wanted = {pair: first(pair) for pair in range(len(pairs))}
    while True:
        losers = []
        for item in set(wanted.values()) - {0}:
            asking = [pair for pair, wish in wanted.items() if wish == item]
            asking.sort(key=lambda pair: (-((pairs[pair][0] * 5 + pairs[pair][1]) % 4), pair))
            losers += asking[cap:]
            closed |= {item} if asking[cap:] else set()
        if not losers:
            break
        wanted |= {pair: first(pair) for pair in losers}
    assert 0 not in wanted.values()
    assert log.item_idx[:, 0].tolist() == [wanted[pair] for pair in range(len(pairs))]


def test_the_day_of_a_user_goes_to_the_first_target(toy: Toy) -> None:
    rails = RailsOptions(daily_cap=1, rounds_per_day=1)
    log, free = toy.play(toy.guide("random", rails)), toy.play("random")
    plain = toy.play("next-item")
    is_first = log.target_idx == TARGETS[0]
    np.testing.assert_array_equal(log.item_idx[is_first], free.item_idx[is_first])
    first_users = log.user_idx[is_first].tolist()
    n_rounds_played = {
        int(user): int((log.item_idx[row] > 0).sum())
        for row, user in zip(np.flatnonzero(is_first), first_users, strict=True)
    }
    for row in np.flatnonzero(~is_first):
        n_held = n_rounds_played.get(int(log.user_idx[row]), 0)
        held = slice(0, n_held)
        np.testing.assert_array_equal(log.item_idx[row, held], plain.item_idx[row, held])


@pytest.mark.parametrize("name", ["ipg", "foresight"])
def test_the_campaigns_with_most_to_gain_are_guided(toy: Toy, name: str) -> None:
    log = toy.play(toy.guide(name, RailsOptions(guided_pairs=7)))
    seqs = torch.from_numpy(toy.dataset.before("train").padded(READ)[log.user_idx])
    targets = toy.encoder.item_vectors[torch.from_numpy(log.target_idx)]
    nearness = F.cosine_similarity(toy.encoder.encode(seqs), targets)
    plain = toy.play("next-item")
    differs = (log.item_idx != plain.item_idx).any(1)
    assert set(np.flatnonzero(differs)) == set(nearness.argsort()[:7].tolist())


def test_no_group_is_guided_much_more_than_another(toy: Toy) -> None:
    groups = {user_id: "xyz"[n % 3] for n, user_id in enumerate(toy.dataset.user_ids)}
    for most in (0.4, 0.7, 13):
        rails = RailsOptions(guided_pairs=most, equal_groups=groups, opt_out=("u04",))
        log, _, _, counts = toy.played(toy.guide("random", rails))
        plain, told = toy.play("next-item"), counts["groups"]
        is_guided = (log.item_idx != plain.item_idx).any(1)
        named = np.array([groups[toy.dataset.user_ids[user]] for user in log.user_idx])
        may = log.user_idx != toy.dataset.user_ids.index("u04")
        shares = {}
        for name in "xyz":
            n_may, n_guided = (
                int((may & (named == name)).sum()),
                int(is_guided[named == name].sum()),
            )
            assert told[name] == {"campaigns": n_may, "guided": n_guided}
            shares[name] = n_guided / n_may
        assert 0 < max(shares.values()) <= 1.1 * min(shares.values())
        assert is_guided.sum() <= (most * len(may) if most < 1 else most)


def test_thirds_by_activity(toy: Toy) -> None:
    names, group = groups_of(RailsOptions(guided_pairs=1, equal_groups="activity"), toy.dataset)
    lengths = toy.dataset.before("train").lengths
    assert len(names) == 3
    assert all(lengths[group == g].size for g in range(3))
    assert lengths[group == 0].max() < lengths[group == 1].min()
    assert lengths[group == 1].max() < lengths[group == 2].min()


def test_a_budget_too_small_for_all_groups_is_refused(toy: Toy) -> None:
    rails = RailsOptions(guided_pairs=2, equal_groups="activity")
    sentence = "enough to treat the groups of rails.equal_groups alike, got 2 campaigns for"
    with pytest.raises(InvalidInputError, match=re.escape(sentence)):
        toy.play(toy.guide("random", rails))


def test_nobody_plays_past_the_rails_in_a_loop_of_his_own(toy: Toy) -> None:
    users, one = train_users(toy.dataset), torch.tensor([1])
    journeys = Journeys.begun(users, one, one, N_ROUNDS)
    sentence = "rails that span users need their ledger"
    with pytest.raises(InvalidInputError, match=re.escape(sentence)):
        toy.guide("random", SPANNING).decide(journeys)


class Telepath(Policy):
    """Reads minds without being one of our oracles."""

    name: ClassVar[str] = "telepath"

    def reading(self, minds: Minds) -> Policy:
        return OracleGreedy().reading(minds)

    def decide(self, view: View) -> Decision:
        raise AssertionError("it is to be asked what it knows")


@pytest.mark.parametrize("rails", [RailsOptions(plain_share=0.3), SPANNING], ids=["one", "all"])
def test_whoever_reads_minds_does_so_within_rails(toy: Toy, rails: RailsOptions) -> None:
    log = toy.play(toy.guide(Telepath(), rails))
    assert_same(log, toy.play(toy.guide("oracle", rails)))
