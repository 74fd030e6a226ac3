"""Journeys against slow loops, one row at a time."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.data.dataset import Side
from proactrec.journeys import ACCEPTED, REFUSED, UNKNOWN, Journeys, Users, hash_of
from proactrec.rng import keys_of
from proactrec.testing.toys import histories_of

N_ITEMS = 30


def users_of(histories: list[list[int]], *, opted_out: tuple[int, ...] = ()) -> Users:
    everybody = np.arange(len(histories))
    return Users(
        keys_of(map(str, everybody)),
        everybody,
        histories_of(histories),
        np.isin(everybody, opted_out),
    )


@st.composite
def journeys(draw: st.DrawFn) -> Journeys:
    """Some journeys of some users in any mix of rounds; users may have several, or none."""
    items = st.integers(1, N_ITEMS)
    users = users_of(draw(st.lists(st.lists(items, max_size=7), min_size=1, max_size=4)))
    n, n_rounds = draw(st.integers(1, 6)), draw(st.integers(1, 5))

    def column(values: st.SearchStrategy[int], length: int = n) -> torch.Tensor:
        return torch.tensor(draw(st.lists(values, min_size=length, max_size=length)))

    def table(values: st.SearchStrategy[int]) -> torch.Tensor:
        return column(values, n * n_rounds).view(n, n_rounds)

    begun = Journeys.begun(
        users, column(st.integers(0, len(users.key) - 1)), column(items), n_rounds
    )
    shown = table(st.integers(0, N_ITEMS))
    answer = table(st.sampled_from([ACCEPTED, REFUSED, UNKNOWN]))
    whole = begun._replace(
        shown=shown,
        answer=answer.masked_fill(shown == 0, UNKNOWN).to(torch.int8),
        guided=table(st.integers(0, 1)).bool() & (shown > 0),
        round=begun.round + n_rounds,
        rounds_left=begun.rounds_left - n_rounds,
    )
    return whole.before(column(st.integers(1, n_rounds + 1)))


def slow_sequence(some: Journeys, row: int, length: int, side: Side) -> list[int]:
    """One row, item by item: the start as it is padded, then what was accepted pushes it on."""
    history = some.users.history.of(int(some.user[row])).tolist()[-length:]
    padding = [0] * (length - len(history))
    found = padding + history if side == "left" else history + padding
    for item, answer in zip(some.shown[row].tolist(), some.answer[row].tolist(), strict=True):
        if answer == ACCEPTED:
            found = [*found[1:], item]
    return found


@settings(deadline=None, max_examples=150)
@given(journeys(), st.integers(1, 9), st.sampled_from(["left", "right"]))
def test_a_sequence_is_the_history_and_what_was_accepted(
    some: Journeys, length: int, side: Side
) -> None:
    found = some.sequence(length, side)
    expected = [slow_sequence(some, row, length, side) for row in range(len(some.user))]
    assert found.tolist() == expected


def test_right_padding_gives_way_to_accepted_items_only() -> None:
    """D21: newest last once enough was accepted; refused and unknown answers push nothing."""
    begun = Journeys.begun(users_of([[1, 2]]), torch.tensor([0]), torch.tensor([9]), 4)
    shown, answer = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[1, 0, -1, 1]], dtype=torch.int8)
    some = begun._replace(shown=shown, answer=answer)
    assert some.sequence(5, "right").tolist() == [[0, 0, 0, 5, 8]]
    assert some.sequence(5, "left").tolist() == [[0, 1, 2, 5, 8]]
    assert begun.sequence(5, "right").tolist() == [[1, 2, 0, 0, 0]]
    late = some._replace(answer=torch.tensor([[1, 0, 1, 1]], dtype=torch.int8))
    assert late.sequence(5, "left").tolist() == [[1, 2, 5, 7, 8]]  # in its round's place


def same(one: Journeys, other: Journeys) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one[1:], other[1:], strict=True))


@settings(deadline=None, max_examples=100)
@given(journeys(), st.data())
def test_before_a_round_is_how_it_was_then(some: Journeys, data: st.DataObject) -> None:
    highest = some.round.tolist()
    numbers = torch.tensor([data.draw(st.integers(1, high)) for high in highest])
    then = some.before(numbers)
    total = some.round + some.rounds_left
    assert torch.equal(then.round, numbers)
    assert torch.equal(then.round + then.rounds_left, total)
    for row, number in enumerate(numbers.tolist()):
        past = slice(0, number - 1)
        for name, nothing in (("shown", 0), ("answer", UNKNOWN), ("guided", False)):
            now, old = getattr(then, name)[row], getattr(some, name)[row]
            assert torch.equal(now[past], old[past])
            assert (now[number - 1 :] == nothing).all()
    assert same(some.before(some.round), some)
    if len(set(numbers.tolist())) == 1:
        assert same(some.before(int(numbers[0])), then)


@settings(deadline=None, max_examples=100)
@given(journeys(), st.data())
def test_after_a_round_only_its_column_is_new(some: Journeys, data: st.DataObject) -> None:
    some = some.of((some.round <= some.n_rounds).nonzero()[:, 0])
    n = len(some.user)

    def column(values: st.SearchStrategy[int]) -> torch.Tensor:
        return torch.tensor(data.draw(st.lists(values, min_size=n, max_size=n)), dtype=torch.int64)

    item_idx = column(st.integers(0, N_ITEMS))
    accepted, guided = (column(st.integers(0, 1)).bool() & (item_idx > 0) for _ in range(2))
    after = some.after(item_idx, accepted, guided)
    at = (some.round - 1)[:, None]
    assert torch.equal(after.shown.gather(1, at)[:, 0], item_idx)
    assert torch.equal(after.guided.gather(1, at)[:, 0], guided)
    expected = [
        UNKNOWN if not item else ACCEPTED if yes else REFUSED
        for item, yes in zip(item_idx.tolist(), accepted.tolist(), strict=True)
    ]
    assert after.answer.gather(1, at)[:, 0].tolist() == expected
    assert after.answer.dtype == torch.int8
    assert torch.equal(after.round, some.round + 1)
    assert torch.equal(after.rounds_left, some.rounds_left - 1)
    assert same(after.before(some.round), some)


def test_what_else_was_shown_is_kept_beside() -> None:
    begun = Journeys.begun(users_of([[1]]), torch.tensor([0, 0]), torch.tensor([9, 8]), 3)
    nothing = torch.tensor([False, False])
    first = begun.after(torch.tensor([2, 3]), nothing, nothing, torch.tensor([[2, 4], [5, 3]]))
    second = first.after(torch.tensor([6, 7]), nothing, nothing, torch.tensor([[6, 0], [7, 8]]))
    assert second.also_shown.tolist() == [[2, 4, 6, 0], [5, 3, 7, 8]]
    assert second.of(torch.tensor([1])).also_shown.tolist() == [[5, 3, 7, 8]]
    assert begun.also_shown.shape == (2, 0)


@settings(deadline=None, max_examples=60)
@given(journeys(), st.data(), st.integers(1, 8))
def test_some_rows_are_those_rows(some: Journeys, data: st.DataObject, length: int) -> None:
    n = len(some.user)
    rows = torch.tensor(data.draw(st.lists(st.integers(0, n - 1), max_size=8)), dtype=torch.int64)
    part = some.of(rows)
    assert part.users is some.users
    for ours, whole in zip(part[1:], some[1:], strict=True):
        assert torch.equal(ours, whole[rows])
    assert torch.equal(part.sequence(length, "left"), some.sequence(length, "left")[rows])
    assert same(some.of(slice(0, n)), some)
    mask = some.round > 1
    assert same(some.of(mask), some.of(mask.nonzero()[:, 0]))


@settings(deadline=None, max_examples=60)
@given(journeys())
def test_columns_say_what_was_accepted_refused_and_who_arrived(some: Journeys) -> None:
    for row in range(len(some.user)):
        shown, answer = some.shown[row].tolist(), some.answer[row].tolist()
        rounds = list(zip(shown, answer, strict=True))
        assert some.accepted[row].tolist() == [a == ACCEPTED for a in answer]
        assert some.refused[row].tolist() == [i if a == REFUSED else 0 for i, a in rounds]
        target = int(some.target_idx[row])
        assert some.has_arrived[row] == any(i == target and a == ACCEPTED for i, a in rounds)


def test_begun_journeys_have_all_rounds_to_come() -> None:
    begun = Journeys.begun(
        users_of([[1], [2]]), torch.tensor([1, 0, 1]), torch.tensor([5, 5, 6]), 4
    )
    assert begun.round.tolist() == [1, 1, 1]
    assert begun.rounds_left.tolist() == [3, 3, 3]
    assert begun.number.tolist() == [0, 1, 2]
    for nothing in (begun.shown, begun.guided, begun.is_over):
        assert not nothing.any()
    assert (begun.answer == UNKNOWN).all()


def test_values_of_users_are_handed_to_their_journeys() -> None:
    users = users_of([[1], [2], [3]], opted_out=(2,))
    begun = Journeys.begun(users, torch.tensor([2, 0, 2]), torch.tensor([4, 4, 5]), 2)
    assert begun.at(users.opted_out).tolist() == [True, False, True]
    item_key = keys_of(map(str, range(6)))
    user_key, target_key = begun.drawing(item_key)
    assert user_key.tolist() == keys_of(["2", "0", "2"]).tolist()
    assert target_key.tolist() == keys_of(["4", "4", "5"]).tolist()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(1, 9), max_size=5), min_size=2, max_size=5))
def test_hashes_tell_histories_apart_by_what_is_in_them(histories: list[list[int]]) -> None:
    hashes = hash_of(histories_of(histories))
    for a, one in zip(hashes, histories, strict=True):
        for b, other in zip(hashes, histories, strict=True):
            assert (a == b) == (sorted(one) == sorted(other))


def test_hashes_do_not_depend_on_who_stands_beside() -> None:
    alone = hash_of(histories_of([[7, 3, 5]]))[0]
    among = hash_of(histories_of([[1, 2], [5, 7, 3], []]))
    assert among[1] == alone
    assert among[2] == 0
    assert users_of([[3, 5, 7]]).history_hash.tolist() == [alone]
