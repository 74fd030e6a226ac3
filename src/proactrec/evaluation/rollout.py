"""A guide meets simulated users: the one hot loop, batched over journeys."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.evaluation.oracles import MovesUsers, ReadsMinds
from proactrec.evaluation.pairs import Pairs, guided_pairs
from proactrec.guidance.decision import RailCounts, Ruled
from proactrec.guidance.guide import Guide, Places
from proactrec.guidance.ledger import FREE, Ledger, MemoryLedger
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.recorded import ledger_of, train_users
from proactrec.journeys import Journeys, Users
from proactrec.policies.base import EncoderPolicy, Evidence, Learner, Policy
from proactrec.progress import Progress, silent
from proactrec.rng import generator
from proactrec.simulator.environment import Environment, Feedback, KeptShare
from proactrec.simulator.minds import Minds
from proactrec.simulator.world import World
from proactrec.threads import MapBlocks, block_map, n_threads, spare_cores
from proactrec.types import FloatArray, IntArray

BUSY_ENOUGH = 0.8
"""Share of their time that blocks must keep workers busy; else these share out encoding in a block,
which changes no byte, as smaller blocks would: rounding goes by who stands together."""


class RolloutOptions(Options):
    """How guidance is played."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"end"})

    n_rounds: int = Field(20, ge=1, description="items shown to every user")
    exclude: Literal["shown", "accepted"] = Field(
        "shown", description="never show again what was shown, or only what was accepted (D10)"
    )
    padding: Literal["left", "right"] = Field(
        "left", description="side of the padding in the first history; the code's is right (D21)"
    )
    end: Literal["known", "unknown"] = Field(
        "known", description="whether policies are told how many rounds are left"
    )
    n_traced: int = Field(10, ge=0, description="journeys, drawn at random, whose vectors are kept")

    def told(self, guide: Guide) -> Guide:
        """The guide with what is settled here."""
        again, knows_end = self.exclude == "accepted", self.end == "known"
        return replace(guide, shows_again=again, knows_end=knows_end)


class Trace(NamedTuple):
    """Hidden vectors of some journeys over the rounds, for showing how they move."""

    pairs: IntArray  # (n_traced,), rows of the log
    vectors: FloatArray  # (n_traced, n_rounds + 1, d)


class RolloutResult(NamedTuple):
    """Log and trace of a rollout, how many owners of a target were left out, what rails did."""

    log: GuidanceLog
    trace: Trace
    n_dropped_owners: int
    rails: dict[str, Any]
    """Counts, see :class:`proactrec.guidance.decision.RailCounts`; empty without rails."""


def rollout(
    guide: Guide | Policy,
    world: World,
    dataset: Dataset,
    targets: IntArray,
    options: RolloutOptions | None = None,
    *,
    user_idx: IntArray | None = None,
    pairs: Pairs | None = None,
    users: Users | None = None,
    n_workers: int | None = None,
    progress: Progress = silent,
) -> RolloutResult:
    """Guide users toward every target and log what happens.

    Guidance starts from the train histories. Block size, worker count and order change nothing
    but rounding: a journey's luck belongs to (seed, user, target, round).

    Parameters
    ----------
    guide : Guide or Policy
        A policy guides without rails. Whether it shows again what was refused, `options` say.
    targets : int array, shape (n_targets,)
    user_idx : int array, optional
        Users to guide; everybody by default.
    pairs : Pairs, optional
        Who is guided to what; by default all of them to every target that they don't have.
    users : Users, optional
        Everybody of the data set as the guide knows them, if it was fitted on others too.
    n_workers : int, optional
        Threads that play blocks side by side; on the CPU as :mod:`proactrec.threads` says.
    """
    options = options or RolloutOptions()
    if user_idx is None:
        user_idx = np.arange(dataset.n_users)
    if not len(targets):
        raise InvalidInputError("targets must hold at least one item, got none")
    n_owners = 0
    if pairs is None:
        pairs, n_owners = guided_pairs(world, user_idx, targets)
    if isinstance(guide, Policy):
        guide = Guide(guide, dataset.items)
    guide = options.told(guide)
    users = users or train_users(dataset, guide, options.padding)
    notes = _Notes(world, pairs, options)
    user, target = (torch.from_numpy(x).to(world.device) for x in pairs)
    journeys = Journeys.begun(users, user, target, options.n_rounds)
    n_workers = n_workers or (n_threads() if world.device.type == "cpu" else 1)
    with block_map(world.device, n_workers) as side_by_side, ExitStack() as stack:
        of_users = guide.places_of_users(journeys)
        map_blocks: MapBlocks = side_by_side
        is_shared_out = isinstance(guide.policy, EncoderPolicy)
        if is_shared_out and not _keeps_busy(len(user), guide.block_size, n_workers):
            map_blocks = map
            stack.enter_context(spare_cores(side_by_side))
        if guide.is_shared:
            play = _Play(guide, world, journeys, of_users, notes, slice(0, len(user)))
            plays, extra = [play], _play_together(play, dataset, map_blocks, progress)
        else:
            n_pairs, size, extra = len(user), guide.block_size, {}
            plays = []
            blocks = [slice(at, min(at + size, n_pairs)) for at in range(0, n_pairs, size)]

            def whole(block: slice) -> _Play:
                play = _Play(guide, world, journeys, of_users, notes, block)
                for _ in range(options.n_rounds):
                    play.round()
                return play.over()

            for play in map_blocks(whole, blocks):
                plays.append(play)
                progress("guidance", len(plays), len(blocks))
    rails = {} if guide.rails is None else {**_total(plays), **extra}
    return RolloutResult(notes.log, Trace(notes.traced, notes.trace), n_owners, rails)


def _keeps_busy(n: int, size: int, n_workers: int) -> bool:
    """Whether blocks of so many of the n journeys keep all workers busy, most of the time."""
    n_turns = -(-n // (size * n_workers))
    return n >= BUSY_ENOUGH * n_turns * size * n_workers


def _play_together(
    play: "_Play", dataset: Dataset, map_blocks: MapBlocks, progress: Progress
) -> dict[str, Any]:
    """Play all journeys round by round: for a policy that learns, and rails that span users.

    Gives what the ledger notes.
    """
    learner, n_rounds = play.guide.policy, play.notes.options.n_rounds
    ledger = ledger_of(play.guide, dataset, play.notes.pairs.user_idx)
    if isinstance(ledger, MemoryLedger):
        ledger.choose(play.guide.room(play.journeys, play.places))
    for number in range(1, n_rounds + 1):
        evidence = play.round(ledger, map_blocks)
        progress("guidance", number, n_rounds)
        if isinstance(learner, Learner) and number < n_rounds:
            play.guide = play.guide.knowing(learner.learned(play.guide.knowledge, evidence))
    play.over()
    return ledger.notes() if isinstance(ledger, MemoryLedger) else {}


class _Notes:
    """The log and the trace of a rollout, which plays fill row by row."""

    def __init__(self, world: World, pairs: Pairs, options: RolloutOptions) -> None:
        self.pairs, self.options = pairs, options
        n_pairs, n_rounds = len(pairs.user_idx), options.n_rounds
        n_traced = min(options.n_traced, n_pairs)
        self.traced = np.sort(generator(world.seed, "traced").choice(n_pairs, n_traced, False))
        self.trace = np.zeros((n_traced, n_rounds + 1, world.user_vectors.shape[1]))
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
            left_after=np.zeros(n_pairs, np.int64),
        )

    def round(
        self, rows: slice, number: int, slate: Tensor, feedback: Feedback, guided: Tensor
    ) -> None:
        """What was shown in a round, and how it was answered."""
        log, at = self.log, number - 1
        log.slate[rows, at] = slate.cpu().numpy()
        log.item_idx[rows, at] = feedback.item_idx.cpu().numpy()
        log.accepted[rows, at] = feedback.accepted.cpu().numpy()
        log.accept_prob[rows, at] = feedback.accept_prob.cpu().numpy()
        log.guided[rows, at] = guided.cpu().numpy()

    def left(self, rows: slice, number: int, leaves: Tensor) -> None:
        """Who left after a round."""
        self.log.left_after[rows][leaves.cpu().numpy()] = number

    def state(self, rows: slice, number: int, environment: Environment, rank: Tensor) -> None:
        """Where users stand after a round."""
        self.log.interest[rows, number] = environment.interest().cpu().numpy()
        self.log.rank[rows, number] = rank.cpu().numpy()
        is_here = (self.traced >= rows.start) & (self.traced < rows.stop)
        at = torch.from_numpy(self.traced[is_here] - rows.start).to(rank.device)
        self.trace[is_here, number] = environment.user_vectors[at].cpu().numpy()


class _Block:
    """Some simulated users of a play, and their rows in it and in the log."""

    def __init__(self, world: World, notes: _Notes, part: slice, start: int) -> None:
        self.part, self.rows = part, slice(start + part.start, start + part.stop)
        self.environment, self._notes = Environment(world), notes
        pairs = notes.pairs.user_idx[self.rows], notes.pairs.target_idx[self.rows]
        self.environment.reset(*pairs, n_rounds=notes.options.n_rounds)
        notes.log.is_counted[self.rows] = ~self.environment.is_owner.cpu().numpy()
        self.rank = self.environment.rank(torch.arange(len(pairs[0]), device=world.device))
        notes.state(self.rows, 0, self.environment, self.rank)

    def step(self, number: int, slate: Tensor, guided: Tensor, share: KeptShare | None) -> Feedback:
        """Show a slate (B, n_slots), note what happens, and give the answers."""
        feedback = self.environment.step(slate, share)
        changed = feedback.accepted.nonzero()[:, 0]
        if len(changed):
            self.rank[changed] = self.environment.rank(changed)
        rows = torch.arange(len(slate), device=slate.device)
        chose = guided[rows, feedback.slot] & (feedback.item_idx > 0)
        self._notes.round(self.rows, number, slate, feedback, chose)
        self._notes.state(self.rows, number, self.environment, self.rank)
        return feedback


class _Play:
    """Some journeys of a rollout on their way, in one or several blocks of simulated users."""

    def __init__(
        self,
        guide: Guide,
        world: World,
        journeys: Journeys,
        of_users: Places,
        notes: _Notes,
        rows: slice,
    ) -> None:
        self.guide, self.world, self.notes, self.counts = guide, world, notes, RailCounts()
        self._rows = rows
        n, size = rows.stop - rows.start, guide.block_size
        parts = [slice(at, min(at + size, n)) for at in range(0, n, size)]
        self._blocks = [_Block(world, notes, part, rows.start) for part in parts]
        own = torch.arange(n, device=world.device)
        self.journeys = journeys.of(rows)._replace(number=own)
        self.places = guide.first_places(self.journeys, of_users)
        self._accepted: Tensor | None = None  # of the round before, if places are not renewed yet

    def round(self, ledger: Ledger = FREE, map_blocks: MapBlocks = map) -> Evidence:
        """Play a round; gives what a policy that learns is told of it."""
        self._renew(map_blocks)
        number = int(self.journeys.round[0])
        slots = self._slots(ledger, map_blocks)
        slate = torch.stack([ruled.item_idx for ruled in slots], 1)
        guided = torch.stack([ruled.guided for ruled in slots], 1)

        def step(block: _Block) -> Feedback:
            part = block.part
            return block.step(number, slate[part], guided[part], self._policy_share(part))

        answers: Any = zip(*map_blocks(step, self._blocks), strict=True)
        feedback = Feedback(*(torch.cat(column) for column in answers))
        ruled = _of_slot(slots, feedback.slot)
        if self.guide.rails is not None:
            self.counts.note(self.journeys, ruled)
        stayed = self._answered(slate, ruled, feedback)
        return evidence_of(ruled, feedback.item_idx, feedback.accepted, stayed)

    def over(self) -> "_Play":
        """Let go of what only rounds need."""
        self._blocks = []
        return self

    def _answered(self, slate: Tensor, ruled: Ruled, feedback: Feedback) -> Tensor:
        """Note the answers; gives who is still there: (n,)."""
        chose = ruled.guided & (feedback.item_idx > 0)
        beside = slate if slate.shape[1] > 1 else None
        after = self.journeys.after(feedback.item_idx, feedback.accepted, chose, beside)
        has_left = torch.cat([block.environment.has_left for block in self._blocks])
        number = int(self.journeys.round[0])
        self.notes.left(self._rows, number, has_left & ~after.is_over)
        is_over = after.is_over | has_left
        if self.world.options.after_success == "stop":
            is_over |= feedback.accepted & (feedback.item_idx == after.target_idx)
        self.journeys, self._accepted = after._replace(is_over=is_over), feedback.accepted
        return ~has_left

    def _renew(self, map_blocks: MapBlocks) -> None:
        """Make places anew that the last answers made stale, with what is known by now."""
        accepted = self._accepted
        if accepted is None:
            return

        def renew(block: _Block) -> None:
            part = block.part  # slices share memory with the whole
            self.guide.renewed(self.places.of(part), self.journeys.of(part), accepted[part])

        list(map_blocks(renew, self._blocks))

    def _slots(self, ledger: Ledger, map_blocks: MapBlocks) -> list[Ruled]:
        """The decision for every slot, each without what stands in those before."""
        guide, policy = self.guide, self.guide.policy
        if isinstance(policy, ReadsMinds):
            minds = Minds.joined([block.environment.minds() for block in self._blocks])
            guide = replace(guide, policy=policy.reading(minds))
        slots: list[Ruled] = []
        for _ in range(self.world.options.n_slots):
            before = torch.stack([r.item_idx for r in slots], 1) if slots else None
            slots.append(
                guide.decide(
                    self.journeys, ledger, places=self.places, without=before, map_blocks=map_blocks
                )
            )
        return slots

    def _policy_share(self, part: slice) -> KeptShare | None:
        """Asks the policy for its users' kept share, if it has a say (ITMPRec's TIAC)."""
        policy = self.guide.policy
        if not isinstance(policy, MovesUsers):
            return None
        journeys, places = self.journeys.of(part), self.places.of(part)

        def of_rows(rows: Tensor) -> Tensor:
            return policy.kept_share(self.guide.view(journeys.of(rows), places.of(rows)))

        return of_rows


def _of_slot(slots: list[Ruled], slot: Tensor) -> Ruled:
    """What was decided for one slot (n,) of every slate."""
    if len(slots) == 1:
        return slots[0]
    rows = torch.arange(len(slot), device=slot.device)
    columns: Iterable[Any] = zip(*slots, strict=True)
    chosen: Any = (None if c[0] is None else torch.stack(c)[slot, rows] for c in columns)
    return Ruled(*chosen)


def evidence_of(
    decided: Ruled, item_idx: Tensor, accepted: Tensor, stayed: Tensor | None = None
) -> Evidence:
    """What a policy that learns is told of a round: rows in which an item was shown."""
    rows = item_idx.nonzero()[:, 0]
    features = decided.features
    kept = item_idx.new_empty(len(rows), 0) if features is None else features[rows]
    return Evidence(item_idx[rows], kept, accepted[rows], None if stayed is None else stayed[rows])


def _total(plays: list[_Play]) -> dict[str, int]:
    """What rails did in all of them."""
    total = RailCounts()
    for play in plays:
        total.counts.update(play.counts.counts)
    return dict(total.counts)
