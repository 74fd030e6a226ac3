"""A guide meets simulated users: the one hot loop, batched over journeys."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from proactrec.config import MOST_ROUNDS, Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.evaluation.notes import Notes
from proactrec.evaluation.oracles import MovesUsers, ReadsMinds
from proactrec.evaluation.pairs import Pairs, guided_pairs, led_pairs
from proactrec.guidance.decision import RailCounts, Ruled
from proactrec.guidance.goals import Goal
from proactrec.guidance.guide import Guide, Places
from proactrec.guidance.ledger import FREE, Ledger, MemoryLedger
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.recorded import ledger_of, train_users
from proactrec.journeys import Journeys, Users
from proactrec.policies.base import EncoderPolicy, Evidence, Learner, Policy
from proactrec.progress import Progress, silent
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

    n_rounds: int = Field(20, ge=1, le=MOST_ROUNDS, description="items shown to every user")
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
    places: Places | None = None,
    watched: FloatArray | None = None,
    goal: Goal | None = None,
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
        Who is guided to what; by default all of them to every target that they don't have, or to
        the goal. With a goal: every user's first target.
    users : Users, optional
        Everybody of the data set as the guide knows them, if it was fitted on others too.
    places : Places, optional
        Where all users stand at first, see :meth:`Guide.places_of_users`, if that is known.
    watched : float array, shape (n_watched, n_items + 1), optional
        What items weigh in further interests that the log holds, e.g. in categories.
    goal : Goal, optional
        Of `targets`: every user has one journey, to whichever of them suits. Its luck belongs to
        (seed, user, round), whatever the targets.
    n_workers : int, optional
        Threads that play blocks side by side; on the CPU as :mod:`proactrec.threads` says.
    """
    options = options or RolloutOptions()
    if user_idx is None:
        user_idx = np.arange(dataset.n_users)
    if not len(targets):
        raise InvalidInputError("targets must hold at least one item, got none")
    guide = options.told(guide if isinstance(guide, Guide) else Guide(guide, dataset.items))
    if guide.rails is not None:
        guide = replace(guide, rails=guide.rails.to(world.device))
    users = users or train_users(dataset, guide, options.padding)
    n_owners = 0
    if pairs is None and goal is not None:
        pairs, n_owners = led_pairs(guide, goal, users, user_idx, options.n_rounds)
    elif pairs is None:
        pairs, n_owners = guided_pairs(world, user_idx, targets)
    notes = Notes(world, pairs, options.n_rounds, options.n_traced, watched, goal)
    journeys = _begun(users, pairs, notes, world.device)
    n_workers = n_workers or (n_threads() if world.device.type == "cpu" else 1)
    n_pairs = len(pairs.user_idx)
    with _shared_out(guide, world.device, n_pairs, n_workers) as map_blocks:
        of_users = places or guide.places_of_users(journeys)
        if guide.is_shared or notes.teaches:
            play = _Play(guide, world, journeys, of_users, notes, slice(0, n_pairs))
            plays, extra = [play], _play_together(play, dataset, map_blocks, progress)
        else:
            plays, size, extra = [], guide.played_at_once(journeys), {}
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
    trace = Trace(notes.traced, notes.trace.cpu().numpy())
    return RolloutResult(notes.log, trace, n_owners, rails)


@contextmanager
def _shared_out(guide: Guide, device: torch.device, n: int, n_workers: int) -> Iterator[MapBlocks]:
    """A `map` for blocks of n journeys; where they are few, cores share what is in a block."""
    with block_map(device, n_workers) as side_by_side:
        is_shared_out = isinstance(guide.policy, EncoderPolicy)
        if is_shared_out and not _keeps_busy(n, guide.play_size, n_workers):
            with spare_cores(side_by_side):
                yield map
        else:
            yield side_by_side


def _keeps_busy(n: int, size: int, n_workers: int) -> bool:
    """Whether blocks of so many of the n journeys keep all workers busy, most of the time."""
    n_turns = -(-n // (size * n_workers))
    return n >= BUSY_ENOUGH * n_turns * size * n_workers


def _begun(users: Users, pairs: Pairs, notes: Notes, device: torch.device) -> Journeys:
    """Journeys before their first round."""
    user, target = (torch.from_numpy(x).to(device) for x in pairs)
    begun = Journeys.begun(users, user, target, notes.n_rounds)
    return begun if notes.goal is None else begun._replace(drawn_by=torch.zeros_like(target))


def _play_together(
    play: "_Play", dataset: Dataset, map_blocks: MapBlocks, progress: Progress
) -> dict[str, Any]:
    """Play all journeys round by round: for a policy that learns, and rails that span users.

    Gives what the ledger notes.
    """
    learner, n_rounds = play.guide.policy, play.notes.n_rounds
    ledger = ledger_of(play.guide, dataset, play.notes.pairs.user_idx)
    if isinstance(ledger, MemoryLedger):
        ledger.choose(play.guide.room(play.journeys, play.places))
    for number in range(1, n_rounds + 1):
        evidence = play.round(ledger, map_blocks)
        progress("guidance", number, n_rounds)
        if evidence is not None and isinstance(learner, Learner) and number < n_rounds:
            play.guide = play.guide.knowing(learner.learned(play.guide.knowledge, evidence))
    play.over()
    return ledger.notes() if isinstance(ledger, MemoryLedger) else {}


class _Block:
    """Some simulated users of a play, and their rows in it and in the log."""

    def __init__(self, world: World, notes: Notes, part: slice, start: int) -> None:
        self.part, self.rows = part, slice(start + part.start, start + part.stop)
        self.environment, self._notes = Environment(world), notes
        pairs = notes.pairs.user_idx[self.rows], notes.pairs.target_idx[self.rows]
        self.environment.reset(*pairs, n_rounds=notes.n_rounds, goal=notes.goal_items)
        notes.is_counted[self.rows] = ~self.environment.is_owner
        # There before tables of ranks: what is kept behind one leaves a gap that none fits in.
        self.rank = torch.zeros(len(pairs[0]), dtype=torch.int64, device=world.device)
        self.rank[:] = self.environment.rank(torch.arange(len(self.rank), device=world.device))
        first, last = np.searchsorted(notes.traced, [self.rows.start, self.rows.stop])
        self._traced = slice(int(first), int(last))
        own = torch.from_numpy(notes.traced[self._traced] - self.rows.start)
        self._of_trace = own.to(world.device)
        self._note(0)

    def step(self, number: int, slate: Tensor, guided: Tensor, share: KeptShare | None) -> Feedback:
        """Show a slate (B, n_slots), note what happens, and give the answers."""
        feedback = self.environment.step(slate, share)
        changed = self.environment.moved_rows(feedback)
        if len(changed):
            self.rank[changed] = self.environment.rank(changed)
        rows = torch.arange(len(slate), device=slate.device)
        chose = guided[rows, feedback.slot] & (feedback.item_idx > 0)
        self._notes.round(self.rows, number, slate, feedback, chose)
        self._note(number)
        return feedback

    def _note(self, number: int) -> None:
        """Where users stand after a round."""
        notes, users = self._notes, self.environment.user_vectors
        notes.interest[self.rows, number] = self.environment.interest()
        notes.rank[self.rows, number] = self.rank
        notes.trace[self._traced, number] = users[self._of_trace].to(notes.trace.dtype)
        if len(notes.directions):
            notes.watched[self.rows, number] = users.double() @ notes.directions.T


class _Play:
    """Some journeys of a rollout on their way, in one or several blocks of simulated users."""

    def __init__(
        self,
        guide: Guide,
        world: World,
        journeys: Journeys,
        of_users: Places,
        notes: Notes,
        rows: slice,
    ) -> None:
        self.guide, self.world, self.notes, self.counts = guide, world, notes, RailCounts()
        self.goal = notes.goal
        self._rows, self._number = rows, 0  # of the round
        n, size = rows.stop - rows.start, guide.played_at_once(journeys)
        parts = [slice(at, min(at + size, n)) for at in range(0, n, size)]
        self._blocks = [_Block(world, notes, part, rows.start) for part in parts]
        own = torch.arange(n, device=world.device)
        self.journeys = journeys.of(rows)._replace(number=own)
        self.places = guide.first_places(self.journeys, of_users)
        self._accepted: Tensor | None = None  # of the round before, if places are not renewed yet

    def round(self, ledger: Ledger = FREE, map_blocks: MapBlocks = map) -> Evidence | None:
        """Play a round; gives what a policy is told of it, if it learns."""
        self._renew(map_blocks)
        self._number += 1
        self._lead(ledger)
        slots = self._slots(ledger, map_blocks)
        slate = torch.stack([ruled.item_idx for ruled in slots], 1)
        guided = torch.stack([ruled.guided for ruled in slots], 1)

        def step(block: _Block) -> Feedback:
            part = block.part
            share = self._policy_share(part)
            return block.step(self._number, slate[part], guided[part], share)

        answers: Any = zip(*map_blocks(step, self._blocks), strict=True)
        feedback = Feedback(*(torch.cat(column) for column in answers))
        ruled = _of_slot(slots, feedback.slot)
        if self.guide.rails is not None:
            self.counts.note(self.journeys, ruled)
        before = self.journeys
        stayed = self._answered(slate, ruled, feedback)
        if not (isinstance(self.guide.policy, Learner) or self.notes.teaches):
            return None
        evidence = evidence_of(ruled, feedback.item_idx, feedback.accepted, stayed)
        if self.goal is not None:
            self.goal = self.goal.taught(before.of(feedback.item_idx.nonzero()[:, 0]), evidence)
        return evidence

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
        self.notes.left(self._rows, self._number, has_left & ~after.is_over)
        is_over = after.is_over | has_left
        if self.world.options.after_success == "stop":
            arrives = [b.environment.has_arrived(feedback.item_idx[b.part]) for b in self._blocks]
            is_over |= feedback.accepted & torch.cat(arrives)
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

    def _lead(self, ledger: Ledger) -> None:
        """Lead users to other items of the goal, where theirs are closed or others suit better."""
        if self.goal is None:
            return
        before = self.journeys
        target = self.goal.target_now(self.guide, before, ledger, self._number)
        self.journeys = before._replace(target_idx=target)
        self.notes.led_to[self._rows, self._number - 1] = target
        for block in self._blocks:
            block.environment.lead(target[block.part])
        moved = (target != before.target_idx).nonzero()[:, 0]
        if self.guide.policy.knows_target and len(moved):
            self.places.own[moved] = self.guide.policy.place(self.journeys.of(moved))

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
    total = Counter[str]()
    for play in plays:
        total.update(play.counts.counts)
    return dict(total)
