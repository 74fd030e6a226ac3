"""A GPU decides, plays and trains as the CPU does, and a round asks it next to nothing.

Where there is no GPU, tensors of the CPU say that they are on one, so that all that is done
otherwise there is done: only that nothing of the CPU's gets among it can't be seen then.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten

from proactrec.data.dataset import Dataset, Histories
from proactrec.data.load import DatasetOptions
from proactrec.encoders.fitting import ENCODERS, fit_encoder
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.protocols import COMMON
from proactrec.evaluation.rollout import RolloutOptions, RolloutResult, rollout
from proactrec.gpu import Held, rows_where
from proactrec.graphau import GraphAUOptions, fit_graphau
from proactrec.guidance.course import Rails
from proactrec.guidance.guide import Guide
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.replay import Replay
from proactrec.intents import Intents
from proactrec.irn.fitting import fit_irn
from proactrec.irn.network import IRNOptions
from proactrec.journeys import Journeys
from proactrec.policies.base import Policy
from proactrec.policies.foresight import Foresight
from proactrec.policies.next_item import NextItem
from proactrec.policies.registry import policy_type
from proactrec.policies.standing import Standing
from proactrec.policies.starts import Starts
from proactrec.policies.toward import Toward
from proactrec.policies.views import Views
from proactrec.ranking import penalties, places
from proactrec.simulator.environment import Environment
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.toys import N_ROUNDS, TARGETS, TINY_IRN, dataset_of, histories_of, toy

CPU, NOWHERE = torch.device("cpu"), torch.device("meta")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
THERE = ["as on a GPU", pytest.param("cuda", marks=NO_GPU)]
POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in ("itmprec", "ipg", "next-item", "nearest-to-target")},
    **{name: (name, {}) for name in ("target-now", "popular", "random")},
    "itmprec, raw": ("itmprec", {"guidance": "dot", "relevance_link": "raw"}),
    "itmprec, product": ("itmprec", {"no_gain": "product"}),
    "foresight": ("foresight", {"n_models": 1, "view_dim": 4}),
    "foresight, one round": ("foresight", {"n_models": 1, "depth": 1, "other_views": ()}),
    "irn": ("irn", {"model": TINY_IRN, "n_rounds": N_ROUNDS}),
    "irn, replan": ("irn", {"model": TINY_IRN, "mode": "replan"}),
}
BOTH = ("itmprec", "foresight")
RAILS: dict[str, dict[str, Any]] = {
    "none": {},
    "plain": {"plain_share": 0.4, "relevance_floor": 0.5, "opt_out_share": 0.2},
    "tired": {"pause_after": 1, "pause_rounds": 1, "stop_after": 3, "guided_budget": 3},
    "few": {"item_cap": 1, "category_caps": {"all": 3}, "relevance_floor": 0.5},
    "shared": {"daily_cap": 1, "rounds_per_day": 2, "item_cap_per_round": 5},
}
WORLDS: dict[str, dict[str, Any]] = {
    "default": {},
    "leaving": {"after_success": "continue", "leaving": 0.1, "patience": 3},
    "arousal": {"receptivity": "arousal", "owners": "zero"},
    "slate": {"n_slots": 2, "position_decay": 0.7},
}


@contextmanager
def there(kind: str) -> Iterator[torch.device]:
    """The device that is meant, with tensors that say that they are on a GPU."""
    if kind == "cuda":
        yield torch.device("cuda")
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "is_cuda", property(lambda _: True), raising=False)
        yield CPU


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what policies train, on the CPU."""
    return tmp_path_factory.mktemp("models")


def on(device: torch.device, journeys: Journeys) -> Journeys:
    """Journeys on a device."""
    return Journeys(journeys.users, *(part.to(device) for part in journeys[1:]))


def guide_of(device: torch.device, case: str, rails: str, models: Path) -> Guide:
    """A guide whose models are on a device."""
    name, options = POLICIES[case]
    world = toy()
    encoder = copy.deepcopy(world.encoder).to(device)
    world = world._replace(encoder=encoder, intents=world.intents.to(device))
    ingredients = replace(world.ingredients(models, **options), device=str(device))
    policy: Policy = policy_type(name).build(ingredients)
    if not RAILS[rails]:
        return Guide(policy, world.items)
    held = Rails(RailsOptions(**RAILS[rails]), world.items).to(device)
    return Guide(policy, world.items, held, NextItem(encoder))


def played(
    device: torch.device, guide: Guide, options: WorldOptions, n_rounds: int = N_ROUNDS
) -> RolloutResult:
    """A rollout on a device."""
    world = toy()
    vectors = world.user_vectors, world.item_vectors
    users = World(world.dataset, *vectors, TARGETS, options, seed=3, device=str(device))
    how = RolloutOptions(n_rounds=n_rounds)
    return rollout(guide, users, world.dataset, TARGETS, how, n_workers=1)


@pytest.mark.parametrize("kind", THERE)
@pytest.mark.parametrize("rails", [name for name in RAILS if name != "shared"])
@pytest.mark.parametrize("case", POLICIES)
@pytest.mark.parametrize("padding", ["left", "right"])
def test_decisions_are_those_of_the_cpu(
    case: str, rails: str, padding: Any, kind: str, models: Path
) -> None:
    journeys = toy().journeys(padding=padding)
    expected = guide_of(CPU, case, rails, models).decide(journeys)
    with there(kind) as device:
        found = guide_of(device, case, rails, models).decide(on(device, journeys))
    for one, other in ((found.item_idx, expected.item_idx), (found.reason, expected.reason)):
        assert torch.equal(one.cpu(), other)
    assert torch.equal(found.guided.cpu(), expected.guided)
    torch.testing.assert_close(found.score.cpu(), expected.score, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", THERE)
@pytest.mark.parametrize(
    ("case", "rails", "world"),
    [
        *((case, "none", "leaving") for case in POLICIES),
        *((case, "none", world) for case in BOTH for world in WORLDS if world != "leaving"),
        *((case, rails, "leaving") for case in BOTH for rails in RAILS if rails != "none"),
    ],
)
def test_rollouts_are_those_of_the_cpu(
    case: str, rails: str, world: str, kind: str, models: Path
) -> None:
    options = WorldOptions(**WORLDS[world])
    expected = played(CPU, guide_of(CPU, case, rails, models), options)
    with there(kind) as device:
        found = played(device, guide_of(device, case, rails, models), options)
    for part in ("item_idx", "accepted", "rank", "slate", "guided", "left_after", "is_counted"):
        assert np.array_equal(getattr(found.log, part), getattr(expected.log, part)), part
    for part in ("interest", "accept_prob"):
        np.testing.assert_allclose(
            getattr(found.log, part), getattr(expected.log, part), rtol=1e-5, atol=1e-5
        )
    np.testing.assert_allclose(found.trace.vectors, expected.trace.vectors, atol=1e-5)
    assert found.rails == expected.rails


class Asked(TorchFunctionMode):
    """Counts what a GPU would be waited for, or be copied to."""

    names = frozenset(
        {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__"}
        | {"nonzero", "bincount", "unique", "masked_select", "repeat_interleave"}
        | {"tensor", "as_tensor"}
    )

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counter[str]()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = func.__name__
        picks = args[1] if name in ("__getitem__", "__setitem__") else ()
        picks = picks if isinstance(picks, tuple) else (picks,)
        is_masked = any(isinstance(pick, Tensor) and pick.dtype == torch.bool for pick in picks)
        # A number becomes a tensor of the CPU, which is copied.
        is_number = name == "where" and not all(isinstance(part, Tensor) for part in args)
        if name in self.names or is_masked or is_number:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def asked(guide: Guide, device: torch.device, n_rounds: int) -> Counter[str]:
    """What a rollout of so many rounds asked."""
    from_numpy = torch.from_numpy
    with Asked() as mode, pytest.MonkeyPatch.context() as patch:

        def counted(array: Any) -> Tensor:
            mode.counts["from_numpy"] += 1
            return from_numpy(array)

        patch.setattr(torch, "from_numpy", counted)
        played(device, guide, WorldOptions(after_success="continue"), n_rounds)
    return mode.counts


@pytest.mark.parametrize(
    ("case", "most"),
    [
        ("itmprec", {"nonzero": 1}),  # how many histories are to be encoded again
        ("irn", {}),
        ("irn, replan", {"nonzero": 1}),
        # How many places are to be made again; whether a round is left; who was shown something,
        # which what it learns from is made of.
        ("foresight", {"nonzero": 2, "__bool__": 1}),
    ],
)
def test_a_round_asks_a_gpu_next_to_nothing(
    case: str, most: dict[str, int], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It learns between rounds, on the CPU.
    monkeypatch.setattr(Foresight, "learned", lambda self, knowledge, evidence: knowledge)
    monkeypatch.setattr(Foresight, "knowing", lambda self, knowledge: self)
    with there("as on a GPU") as device:
        guide = guide_of(device, case, "none", models)
        short, long = (asked(guide, device, n_rounds) for n_rounds in (3, 5))
    assert {name: n / 2 for name, n in (long - short).items()} == most


def test_the_cpu_is_asked_more(models: Path) -> None:
    guide = guide_of(CPU, "itmprec", "none", models)
    short, long = (asked(guide, CPU, n_rounds) for n_rounds in (3, 5))
    assert (long - short).total() > 10


def elsewhere(thing: Any) -> Any:
    """What holds tensors, with tensors of the same shapes that hold nothing."""
    if isinstance(thing, nn.Module):
        module = copy.deepcopy(thing)
        for part in module.modules():
            for tables in (part._parameters, part._buffers):
                tables.update({name: elsewhere(table) for name, table in tables.items()})
        return module
    if isinstance(thing, Tensor):
        return thing.to(NOWHERE)
    if isinstance(thing, Views):
        return Views(*map(elsewhere, thing))
    if isinstance(thing, Policy | Intents | Toward | Starts | Standing):
        other = copy.copy(thing)
        vars(other).update({name: elsewhere(value) for name, value in vars(thing).items()})
        return other
    return thing


class Apart(TorchFunctionMode):
    """Refuses to mix tensors of devices; products of some would not be refused otherwise."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        parts, _ = tree_flatten([args, kwargs or {}])
        devices = {part.device for part in parts if isinstance(part, Tensor) and part.dim()}
        assert len(devices) < 2, f"{func.__name__} of {devices}"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("rails", ["none", "few"])
@pytest.mark.parametrize("case", [name for name in POLICIES if name != "random"])
def test_nothing_of_the_cpu_gets_among_it(case: str, rails: str, models: Path) -> None:
    """Tensors that hold nothing refuse to say what they hold, and to be mixed with others."""
    world, guide, journeys = toy().world(), guide_of(CPU, case, rails, models), toy().journeys()
    with Apart(), pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(Tensor, "is_cuda", property(lambda _: True), raising=False)
        patch.setattr(Tensor, "__bool__", lambda _: True)  # Foresight: a round is left
        policy, there = elsewhere(guide.policy), on(NOWHERE, journeys)
        if isinstance(policy, Foresight):
            starts = torch.empty(len(journeys.users.key), policy.views.user_vectors.shape[1])
            policy._users._starts._last = journeys.users, elsewhere(starts)
        recommender = None
        if guide.rails is not None:
            held, recommender = guide.rails.to(NOWHERE), NextItem(elsewhere(toy().encoder))
            guide = replace(guide, rails=held)
        ruled = replace(guide, policy=policy, recommender=recommender).decide(there)
        environment = Environment(world)
        tables = ("user_vectors", "item_vectors", "recent", "kept_shares", "_frailty")
        vars(world).update({name: elsewhere(vars(world)[name]) for name in tables})
        world.device, world.held = NOWHERE, Held.of(world.owned, NOWHERE)
        environment.reset(journeys.user_rows, journeys.target_idx.numpy(), n_rounds=N_ROUNDS)
        feedback = environment.step(ruled.item_idx)
        rank = environment.rank(rows_where(feedback.accepted))
        after = there.after(feedback.item_idx, feedback.accepted, ruled.guided)
        found = *ruled, *feedback, rank, environment.interest(), *after[1:]
    assert {part.device for part in found if part is not None} == {NOWHERE}


HISTORIES = histories_of([[3, 1, 4, 2], [], [5], [2, 5, 1]])


@pytest.mark.parametrize("histories", [HISTORIES, histories_of([[], [], [], []])])
def test_what_users_have_is_the_same_there(histories: Histories) -> None:
    held, rows = Held.of(histories, CPU), np.array([3, 1, 0, 2, 2])
    user = torch.from_numpy(rows)
    for length in (1, 2, 4, 6):
        for side in ("left", "right"):
            expected = histories.padded(length, side=side, user_idx=rows)
            assert held.padded(user, length, side).tolist() == expected.tolist()
    assert torch.equal(held.penalties(user, 7), penalties(histories, rows, 7, CPU))
    scores = torch.rand(len(rows), 7, generator=torch.Generator().manual_seed(1))
    for item in (1, 5, 6):
        asked = torch.full((len(rows),), item)
        expected = places(scores.clone(), asked, histories, rows)
        assert torch.equal(held.places(scores.clone(), asked, user), expected)


SHORT = {"n_epochs": 2, "min_epochs": 1}
TRAINED: dict[str, Any] = {
    "itmprec": {},
    "foresight": {"graphau": {"stopping": SHORT}},
    "irn": {"model": {"stopping": SHORT, "embedding_dim": 64}, "mode": "replan"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo world's models are kept, trained on the CPU."""
    return tmp_path_factory.mktemp("store")


@pytest.mark.slow
@pytest.mark.parametrize("kind", THERE)
@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_world_is_guided_as_on_the_cpu(name: str, kind: str, store: Path) -> None:
    """The same items, but where the best scores are the same to five digits."""
    options = ExperimentOptions(
        dataset=DatasetOptions(name="demo", k=30),
        n_users=200,
        encoder="sasrec",
        graphau=GraphAUOptions(stopping=SHORT),
        encoder_options={"stopping": SHORT},
        policy=name,
        policy_options=TRAINED[name],
        protocol=COMMON.model_copy(
            update={
                "targets": COMMON.targets.model_copy(update={"n_targets": 2}),
                "rollout": COMMON.rollout.model_copy(update={"n_rounds": 4}),
            }
        ),
    )
    usual = Experiment(options, store).replay()
    rows = np.arange(len(usual.log.user_idx))
    with there(kind) as device:
        guide = Experiment(options, store, device=str(device)).guide
        other = Replay(guide, usual.dataset, usual.log, device=device)
        found = {number: other.decide(rows, number) for number in (1, 4)}
    for number, ruled in found.items():
        expected = usual.decide(rows, number)
        torch.testing.assert_close(ruled.score.cpu(), expected.score, rtol=1e-5, atol=1e-5)
        assert (ruled.item_idx.cpu() == expected.item_idx).double().mean() > 0.999


@pytest.fixture(scope="module")
def noise() -> Dataset:
    """90 users read 8 of 30 items in random order."""
    rng = np.random.default_rng(0)
    return dataset_of([(rng.permutation(30)[:8] + 1).tolist() for _ in range(90)])


@NO_GPU
def test_graphau_loses_the_same(noise: Dataset) -> None:
    options = GraphAUOptions(n_layers=2, stopping={"n_epochs": 2})
    (users, items), record = fit_graphau(noise, options, device="cuda")
    (of_cpu, _), expected = fit_graphau(noise, options)
    assert users.device == items.device == of_cpu.device
    for found, wanted in zip(record.epochs, expected.epochs, strict=True):
        assert found.loss == pytest.approx(wanted.loss, abs=1e-3)


@NO_GPU
@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_encoders_lose_the_same(name: str, noise: Dataset) -> None:
    small = {"embedding_dim": 16, "max_seq_len": 8, "item_start": "random", "dropout": 0.0}
    one = {"options": {**small, "stopping": {"n_epochs": 1}}}
    _, record = fit_encoder(name, noise, device="cuda", **one)
    _, expected = fit_encoder(name, noise, **one)
    assert record.epochs[0].loss == pytest.approx(expected.epochs[0].loss, rel=1e-3)


@NO_GPU
def test_irn_loses_the_same(noise: Dataset) -> None:
    options = IRNOptions(**{**TINY_IRN, "dropout": 0.0})
    _, record = fit_irn(noise, options=options, device="cuda")
    _, expected = fit_irn(noise, options=options)
    assert record.epochs[0].loss == pytest.approx(expected.epochs[0].loss, rel=1e-3)
