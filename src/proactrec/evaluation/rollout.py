"""Policy meets simulated users: the one hot loop, batched over (user, target) pairs."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Dataset, Histories
from proactrec.errors import InvalidInputError
from proactrec.evaluation.log import GuidanceLog
from proactrec.evaluation.oracles import ReadsMinds
from proactrec.policies.base import (
    Bounds,
    Decision,
    Evidence,
    Learns,
    MovesUsers,
    Observation,
    Past,
    Policy,
    encoded_again,
)
from proactrec.policies.guarded import Guarded
from proactrec.policies.shared_rails import SharedRails
from proactrec.progress import Progress, silent
from proactrec.rng import generator
from proactrec.simulator.environment import Environment, Feedback, KeptShare
from proactrec.simulator.world import World
from proactrec.types import BoolArray, FloatArray, IntArray

BLOCK_SCORES = 1_500_000
"""Scores (pairs × items) of a block: masks and scores of a block take about 10 bytes each."""
MAX_BLOCK_PAIRS = 4096


class RolloutOptions(Options):
    """How guidance is played."""

    n_rounds: int = Field(20, ge=1, description="items shown to every user")
    exclude: Literal["shown", "accepted"] = Field(
        "shown", description="never show again what was shown, or only what was accepted (D10)"
    )
    padding: Literal["left", "right"] = Field(
        "left", description="side of the padding in the first history; the code's is right (D21)"
    )
    n_traced: int = Field(10, ge=0, description="pairs, drawn at random, whose vectors are kept")


class Trace(NamedTuple):
    """Hidden vectors of some pairs over the rounds, for showing how they move."""

    pairs: IntArray  # (n_traced,), rows of the log
    vectors: FloatArray  # (n_traced, n_rounds + 1, d)


class RolloutResult(NamedTuple):
    """Log and trace of a rollout, and how many owners of a target were left out."""

    log: GuidanceLog
    trace: Trace
    n_dropped_owners: int


class Pairs(NamedTuple):
    """Users and their targets; a target's users stand together."""

    user_idx: IntArray
    target_idx: IntArray

    @classmethod
    def of(cls, user_idx: IntArray, targets: IntArray) -> "Pairs":
        """Every user with every target."""
        return cls(np.tile(user_idx, len(targets)), np.repeat(targets, len(user_idx)))


def rollout(
    policy: Policy,
    world: World,
    dataset: Dataset,
    targets: IntArray,
    options: RolloutOptions | None = None,
    *,
    user_idx: IntArray | None = None,
    n_workers: int | None = None,
    progress: Progress = silent,
) -> RolloutResult:
    """Guide users toward every target and log what happens.

    Guidance starts from the train histories. Block size, worker count and order change nothing
    but rounding: a pair's luck belongs to (seed, user, target, round).

    Parameters
    ----------
    targets : int array, shape (n_targets,)
    user_idx : int array, optional
        Users to guide; everybody by default.
    n_workers : int, optional
        Threads that play blocks side by side; one per core by default on the CPU.
    """
    options = options or RolloutOptions()
    if user_idx is None:
        user_idx = np.arange(dataset.n_users)
    if not len(targets):
        raise InvalidInputError("targets must hold at least one item, got none")
    pairs, n_owners = guided_pairs(world, user_idx, targets)
    play = _Player(policy, world, dataset, options, pairs)
    size = min(MAX_BLOCK_PAIRS, max(1, BLOCK_SCORES // (dataset.n_items + 1)))
    blocks = [slice(at, at + size) for at in range(0, len(pairs.user_idx), size)]
    with _map_for(world.device, n_workers) as map_blocks:
        shared = policy.shared(pairs.user_idx) if isinstance(policy, Guarded) else None
        if shared is not None or isinstance(policy, Learns):
            _play_together(play, policy, shared, blocks, map_blocks, progress)
        else:
            for done, _ in enumerate(map_blocks(play.whole, blocks), start=1):
                progress("guidance", done, len(blocks))
    return RolloutResult(play.log, Trace(play.traced, play.trace_vectors), n_owners)


def guided_pairs(world: World, user_idx: IntArray, targets: IntArray) -> tuple[Pairs, int]:
    """Every user with every target, less owners where the world drops them, and their number.

    Raises
    ------
    InvalidInputError
        If that leaves nobody.
    """
    pairs = Pairs.of(user_idx, targets)
    if world.options.owners != "drop":
        return pairs, 0
    owns = _owns(world.owned, pairs, len(world.item_vectors))
    if owns.all():
        raise InvalidInputError("every user already has every target: nobody can be guided")
    return Pairs(pairs.user_idx[~owns], pairs.target_idx[~owns]), int(owns.sum())


MapBlocks = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


@contextmanager
def _map_for(device: torch.device, n_workers: int | None) -> Iterator[MapBlocks]:
    """`map`; on the CPU in threads of one core each, since torch frees the lock."""
    n_cores = torch.get_num_threads()
    n_workers = n_workers or (n_cores if device.type == "cpu" else 1)
    if n_workers == 1:
        yield map
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(n_workers) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(n_cores)


class Told(NamedTuple):
    """What a block is told before a round by those who hear of all blocks."""

    knowledge: Any = None  # of a policy that learns
    bounds: Bounds | None = None  # of rails that span users


Game = Generator[Any, Any, None]
"""A block of pairs in play, see :meth:`_Player.rounds`."""


def _play_together(
    play: "_Player",
    policy: Policy,
    shared: SharedRails | None,
    blocks: list[slice],
    map_blocks: MapBlocks,
    progress: Progress,
) -> None:
    """Play round by round, all blocks at once in memory.

    Everybody is told what was learned, and what rails that span users leave to them.
    """
    knowledge, n_rounds = (
        policy.prior() if isinstance(policy, Learns) else None,
        play.options.n_rounds,
    )
    device = play.world.device
    games = [play.rounds(block, knowledge) for block in blocks]
    heard = list(map_blocks(next, games))

    def told() -> Iterator[Told]:
        for block in blocks:
            yield Told(knowledge, None if shared is None else shared.bounds(block, device))

    def tell(messages: Iterable[Any]) -> list[Any]:
        return list(map_blocks(_send, zip(games, messages, strict=True)))

    if shared is not None:
        shared.choose(torch.cat(heard))
        heard = tell(told())
    for number in range(1, n_rounds + 1):
        if shared is not None:
            while (again := shared.settle(_joined(heard))).any():
                heard = tell(
                    (torch.from_numpy(again[b]), shared.bounds(b, device, is_again=True))
                    for b in blocks
                )
            heard = tell(None for _ in blocks)
        progress("guidance", number, n_rounds)
        if number < n_rounds:
            if isinstance(policy, Learns):
                columns = zip(*(evidence_of(*answers) for answers in heard), strict=True)
                everybody = Evidence(*(torch.cat(column) for column in columns))
                knowledge = policy.learned(knowledge, everybody)
            heard = tell(told())


def _send(call: tuple[Game, Any]) -> Any:
    game, message = call
    return game.send(message)


def _joined(decisions: list[Decision]) -> Decision:
    """What all blocks decided, leaving features aside."""
    guided = [d.is_guided for d in decisions if d.is_guided is not None]
    item_idx, score = (torch.cat(part) for part in zip(*(d[:2] for d in decisions), strict=True))
    return Decision(item_idx, score, is_guided=torch.cat(guided))


class _Player:
    """Plays blocks of pairs and writes each into its rows of the log."""

    def __init__(
        self, policy: Policy, world: World, dataset: Dataset, options: RolloutOptions, pairs: Pairs
    ) -> None:
        self.policy, self.world, self.options, self.pairs = policy, world, options, pairs
        # The code's padding (D21) is a matter of its encoders.
        side = options.padding if policy.needs_encoder else "left"
        histories = dataset.before("train").padded(policy.history_length, side=side)
        self.item_seq = torch.from_numpy(histories).to(world.device)
        # Everybody starts from the same history with every target: encode it once.
        everybody = torch.arange(dataset.n_users, device=world.device)
        no_target = torch.zeros_like(everybody)
        shown = everybody.new_zeros(dataset.n_users, options.n_rounds)
        self.start_vectors = (
            policy.encode(Past(self.item_seq, everybody, no_target, shown, shown.bool(), 1))
            if policy.encodes == "history"
            else None
        )
        n_pairs, n_rounds = len(pairs.user_idx), options.n_rounds
        n_traced = min(options.n_traced, n_pairs)
        self.traced = np.sort(generator(world.seed, "traced").choice(n_pairs, n_traced, False))
        self.trace_vectors = np.zeros((n_traced, n_rounds + 1, world.user_vectors.shape[1]))
        self.log = GuidanceLog(
            *pairs,
            item_idx=np.zeros((n_pairs, n_rounds), np.int64),
            accept_prob=np.full((n_pairs, n_rounds), np.nan),
            accepted=np.zeros((n_pairs, n_rounds), bool),
            interest=np.zeros((n_pairs, n_rounds + 1)),
            rank=np.zeros((n_pairs, n_rounds + 1), np.int64),
            is_counted=np.ones(n_pairs, bool),
            slate=np.zeros((n_pairs, n_rounds, world.options.n_slots), np.int64),
            guided=np.zeros((n_pairs, n_rounds), bool),
        )

    def whole(self, block: slice) -> None:
        """Play all rounds of a block."""
        for _ in self.rounds(block):
            pass

    @torch.no_grad()
    def rounds(self, block: slice, knowledge: Any = None) -> Game:
        """Play a block; gives each round's answers, and takes what it is :class:`Told` then.

        A generator that is sent nothing goes on with what is known. Under rails that span users
        it first gives what guiding each pair is worth, and takes what it is told; then, in
        every round before anything is shown, decisions (see :meth:`_settled`).
        """
        world, options = self.world, self.options
        user_idx, target_idx = self.pairs.user_idx[block], self.pairs.target_idx[block]
        environment = Environment(world)
        environment.reset(user_idx, target_idx, n_rounds=options.n_rounds)
        users, targets = (torch.from_numpy(x).to(world.device) for x in (user_idx, target_idx))
        self.log.is_counted[block] = ~environment.is_owner.cpu().numpy()
        rank = environment.rank(torch.arange(len(users), device=world.device))
        self._note_state(block, 0, environment, rank)
        all_shown = users.new_zeros(len(users), options.n_rounds)
        is_guided = all_shown.bool()
        past = Past(
            self.item_seq[users],
            users,
            targets,
            all_shown,
            all_shown.bool(),
            1,
            knowledge,
            guided=is_guided,
        )
        if self.start_vectors is None:
            user_vectors = self.policy.encode(past)
        else:
            user_vectors = self.start_vectors[users]
        penalty = environment.owned_penalty.clone()
        is_active = torch.ones(len(users), dtype=torch.bool, device=world.device)
        stops = world.options.after_success == "stop"
        bounds = None
        if isinstance(self.policy, Guarded) and self.policy.options.spans_users:
            left = options.n_rounds - 1
            first = Observation(users, targets, user_vectors, penalty, 1, left, knowledge, past)
            bounds = (yield self.policy.worth(first)).bounds
        for number in range(1, options.n_rounds + 1):
            left = options.n_rounds - number
            seen = Observation(
                users, targets, user_vectors, penalty, number, left, past.knowledge, past, bounds
            )
            decisions = yield from self._slate(seen, environment, is_active)
            slate = torch.stack([d.item_idx for d in decisions], 1) * is_active[:, None]
            feedback = environment.step(slate, _policy_share(self.policy, seen))
            accepted, item_idx = feedback.accepted, feedback.item_idx
            decision = _decided(decisions, feedback.slot)
            self._note_round(block, number, slate, feedback)
            changed = accepted.nonzero()[:, 0]
            if len(changed):
                rank[changed] = environment.rank(changed)
                newest = torch.cat([past.item_seq[changed, 1:], item_idx[changed, None]], 1)
                past.item_seq[changed] = newest
            past.shown[:, number - 1], past.accepted[:, number - 1] = item_idx, accepted
            chosen = item_idx > 0
            if decision.is_guided is not None:
                chosen &= decision.is_guided
            is_guided[:, number - 1] = chosen
            self.log.guided[block, number - 1] = chosen.cpu().numpy()
            self._note_state(block, number, environment, rank)
            if stops:
                is_active &= ~(accepted & (item_idx == targets))
            is_active &= ~environment.has_left
            shown = slate if options.exclude == "shown" else (item_idx * accepted)[:, None]
            penalty.scatter_(1, shown, -torch.inf)  # nothing shown: padding once more
            told = (yield decision, item_idx, accepted) or Told(past.knowledge)
            past, bounds = past._replace(round=number + 1, knowledge=told.knowledge), told.bounds
            stale = self._stale(accepted, item_idx > 0, is_active)
            if number < options.n_rounds and len(stale):
                before = past._replace(vectors=user_vectors)
                user_vectors[stale] = self.policy.encode(before.of(stale))

    def _stale(self, accepted: Tensor, is_shown: Tensor, is_active: Tensor) -> Tensor:
        """Rows of the block that the policy has to encode again."""
        return (encoded_again(self.policy, accepted, is_shown) & is_active).nonzero()[:, 0]

    def _slate(
        self, seen: Observation, environment: Environment, is_active: Tensor
    ) -> Generator[Decision, Any, list[Decision]]:
        """The decision for every slot, each without what stands in those before."""
        decisions = [(yield from self._settled(seen, environment, is_active))]
        for _ in range(1, self.world.options.n_slots):
            taken = decisions[-1].item_idx[:, None]
            seen = seen._replace(penalty=seen.penalty.scatter(1, taken, -torch.inf))
            decisions.append(self._decide(seen, environment))
        return decisions

    def _settled(
        self, seen: Observation, environment: Environment, is_active: Tensor
    ) -> Generator[Decision, Any, Decision]:
        """The block's decisions; under rails that span users, once all pairs agree.

        Gives decisions, `is_guided` only where something is shown, and takes None, or who has to
        decide again (B,) and within which :class:`Bounds`.
        """
        decision = self._decide(seen, environment)
        while seen.bounds is not None and decision.is_guided is not None:
            ruled = yield decision._replace(is_guided=decision.is_guided & is_active)
            if ruled is None:
                break
            again, bounds = ruled
            rows = again.to(is_active.device).nonzero()[:, 0]
            if len(rows):
                other = self._decide(seen._replace(bounds=bounds).of(rows), environment, rows)
                decision = _replaced(decision, rows, other)
        return decision

    def _decide(
        self, seen: Observation, environment: Environment, rows: Tensor | None = None
    ) -> Decision:
        """What the policy decides; `seen` is of these rows of the block only, or of all."""
        if isinstance(self.policy, ReadsMinds):
            minds = environment.minds()
            return self.policy.decide_knowing(seen, minds if rows is None else minds.of(rows))
        return self.policy.decide(seen)

    def _note_round(self, block: slice, number: int, slate: Tensor, feedback: Feedback) -> None:
        self.log.slate[block, number - 1] = slate.cpu().numpy()
        self.log.item_idx[block, number - 1] = feedback.item_idx.cpu().numpy()
        self.log.accepted[block, number - 1] = feedback.accepted.cpu().numpy()
        self.log.accept_prob[block, number - 1] = feedback.accept_prob.cpu().numpy()

    def _note_state(
        self, block: slice, number: int, environment: Environment, rank: Tensor
    ) -> None:
        self.log.interest[block, number] = environment.interest().cpu().numpy()
        self.log.rank[block, number] = rank.cpu().numpy()
        is_here = (self.traced >= block.start) & (self.traced < block.stop)
        rows = torch.from_numpy(self.traced[is_here] - block.start).to(self.world.device)
        self.trace_vectors[is_here, number] = environment.user_vectors[rows].cpu().numpy()


def _decided(decisions: list[Decision], slot: Tensor) -> Decision:
    """What was decided for one slot (B,) of every slate."""
    if len(decisions) == 1:
        return decisions[0]
    rows = torch.arange(len(slot), device=slot.device)
    columns: Any = zip(*decisions, strict=True)
    chosen: Any = (None if c[0] is None else torch.stack(c)[slot, rows] for c in columns)
    return Decision(*chosen)


def _replaced(decision: Decision, rows: Tensor, other: Decision) -> Decision:
    """A decision with these rows as in another."""
    parts: dict[str, Any] = {
        name: None if old is None else old.index_copy(0, rows, getattr(other, name))
        for name, old in decision._asdict().items()
    }
    return Decision(**parts)


def evidence_of(decision: Decision, item_idx: Tensor, accepted: Tensor) -> Evidence:
    """What a policy that learns is told of a round: rows in which an item was shown."""
    rows = item_idx.nonzero()[:, 0]
    features = decision.features
    kept = item_idx.new_empty(len(rows), 0) if features is None else features[rows]
    return Evidence(item_idx[rows], kept, accepted[rows])


def _policy_share(policy: Policy, seen: Observation) -> KeptShare | None:
    """Asks the policy for its users' kept share, if it has a say (ITMPRec's TIAC)."""
    if not isinstance(policy, MovesUsers):
        return None

    def of_rows(rows: Tensor) -> Tensor:
        return policy.kept_share(seen.of(rows))

    return of_rows


def _owns(owned: Histories, pairs: Pairs, n_rows: int) -> BoolArray:
    """Whether a pair's user has its target: (n_pairs,)."""
    have = owned.user_idx * n_rows + owned.item_idx
    return np.isin(pairs.user_idx * n_rows + pairs.target_idx, have)
