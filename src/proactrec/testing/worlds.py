"""What holds for every world of simulated users.

::

    from proactrec.testing.worlds import WorldContract

    class TestMine(WorldContract):
        def make(self, toy):
            return toy.world(WorldOptions(patience=3))
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from proactrec.rng import generator
from proactrec.simulator.environment import Environment, Feedback
from proactrec.simulator.world import World
from proactrec.testing.toys import N_ROUNDS, Toy, toy
from proactrec.types import IntArray


class Played(NamedTuple):
    """Rounds of some pairs; columns are rounds."""

    answers: Feedback  # (n, n_rounds) each
    interest: Tensor  # (n, n_rounds + 1)
    vectors: Tensor  # (n, n_rounds + 1, d)
    has_left: Tensor  # (n, n_rounds), after every round


class WorldContract:
    """Checks of one world; a subclass makes it."""

    def make(self, toy: Toy) -> World:
        """The world, of these users and items, with the toy's targets."""
        raise NotImplementedError

    def test_a_pair_has_the_same_luck_in_any_block(self) -> None:
        """Together, one by one (every third), in blocks and in any order."""
        world = self.make(toy())
        user_idx, target_idx, slates = pairs(), targets(), shown(world)
        together = played(world, user_idx, target_idx, slates)
        rows = torch.arange(len(user_idx))
        mixed = torch.from_numpy(generator(0, "order").permutation(len(user_idx)))
        for part in (*rows[::3].split(1), *rows.split(7), mixed):
            at = part.numpy()
            found = played(world, user_idx[at], target_idx[at], slates[part])
            for ours, whole in zip(found.answers, together.answers, strict=True):
                torch.testing.assert_close(ours, whole[part], equal_nan=True)
            torch.testing.assert_close(found.interest, together.interest[part])

    def test_a_game_once_more_is_the_same_game(self) -> None:
        """To the last bit; an environment begun anew remembers nothing."""
        world = self.make(toy())
        environment = Environment(world)
        first, again = (
            played(world, pairs(), targets(), shown(world), environment) for _ in range(2)
        )
        assert torch.equal(first.interest, again.interest)
        assert torch.equal(first.answers.accepted, again.answers.accepted)

    def test_only_an_accepted_item_moves_a_user(self) -> None:
        """What was accepted was shown; refusals, and rounds without an item, change nothing.

        Unless a law of the world says that they do.
        """
        world = self.make(toy())
        slates = shown(world)
        slates[::4, 1::2] = 0
        found = played(world, pairs(), targets(), slates)
        accepted = found.answers.accepted
        assert accepted.any()
        assert not accepted.all()
        item_idx = found.answers.item_idx
        assert (item_idx[accepted] > 0).all()
        assert (slates == item_idx[:, :, None]).any(2)[accepted].all()
        stays = (found.vectors[:, 1:] == found.vectors[:, :-1]).all(2)
        laws = world.options.laws
        moves = accepted | laws.moves_by_time | (laws.moves_by_refusal & (item_idx > 0))
        assert stays[~moves].all()
        is_free = ~world.is_owner(pairs(), targets())
        if laws.moves_without_acceptance:
            assert not stays[is_free[:, None] & moves & ~accepted].all()
        assert not stays.all()

    def test_chances_are_chances_of_what_was_shown(self) -> None:
        """Between 0 and 1, and none where nothing was shown."""
        world = self.make(toy())
        slates = shown(world)
        slates[::4, 1::2] = 0
        answers = played(world, pairs(), targets(), slates).answers
        chance, is_shown = answers.accept_prob, answers.item_idx > 0
        assert ((chance >= 0) & (chance <= 1))[is_shown].all()
        assert chance[~is_shown].isnan().all()

    def test_who_accepted_the_target_is_moved_no_more(self) -> None:
        """Unless the world lets them go on; nor is an owner of it, ever."""
        world = self.make(toy())
        slates = shown(world)
        slates[:, 1] = torch.from_numpy(targets())[:, None]
        found = played(world, pairs(), targets(), slates)
        item_idx, accepted = found.answers.item_idx, found.answers.accepted
        arrived = accepted & (item_idx == torch.from_numpy(targets())[:, None])
        assert arrived[:, 1].any()
        is_done = arrived.cumsum(1) > 0
        stays = (found.vectors[:, 1:] == found.vectors[:, :-1]).all(2)
        goes_on = world.options.after_success == "continue"
        assert stays[:, 1:][is_done[:, :-1]].all() != goes_on
        assert stays[world.is_owner(pairs(), targets())].all()

    def test_who_left_is_shown_nothing(self) -> None:
        """And does not come back."""
        world = self.make(toy())
        found = played(world, pairs(), targets(), shown(world))
        left = found.has_left[:, :-1]
        assert (found.has_left[:, 1:] >= left).all()
        assert not found.answers.item_idx[:, 1:][left].any()
        assert left.any() or (world.options.patience or N_ROUNDS) >= N_ROUNDS - 1


def pairs() -> IntArray:
    """Users: (n,)."""
    return toy().begun().user_rows


def targets() -> IntArray:
    """Their targets: (n,)."""
    target_idx: IntArray = toy().begun().target_idx.numpy()
    return target_idx


def shown(world: World) -> Tensor:
    """Slates of every round (n, n_rounds, n_slots); no item twice in one."""
    draw, n_items = generator(0, "slates"), len(world.item_vectors) - 1
    orders = draw.permuted(np.tile(np.arange(1, n_items + 1), (len(pairs()), N_ROUNDS, 1)), axis=2)
    return torch.from_numpy(orders[:, :, : world.options.n_slots].copy())


def played(
    world: World,
    user_idx: IntArray,
    target_idx: IntArray,
    slates: Tensor,
    environment: Environment | None = None,
) -> Played:
    """These pairs through all their rounds, whatever they answer."""
    environment = environment or Environment(world)
    environment.reset(user_idx, target_idx, n_rounds=slates.shape[1])
    interest, vectors = [environment.interest()], [environment.user_vectors]
    answers, has_left = [], []
    for slate in slates.unbind(1):
        answers.append(environment.step(slate))
        interest.append(environment.interest())
        vectors.append(environment.user_vectors)
        has_left.append(environment.has_left)
    columns = (torch.stack(column, 1) for column in zip(*answers, strict=True))
    return Played(
        Feedback(*columns),
        torch.stack(interest, 1),
        torch.stack(vectors, 1),
        torch.stack(has_left, 1),
    )
