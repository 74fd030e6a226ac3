"""Decisions of a few candidates are those of the whole catalogue, whatever may be shown."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proactrec.graphau import InterestVectors
from proactrec.intents import Intents
from proactrec.policies.base import Evidence, Policy, View
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.ipg import IPG, GuidanceOptions
from proactrec.policies.itmprec import ITMPRec, ITMPRecOptions
from proactrec.policies.next_item import NextItem
from proactrec.policies.views import Views
from proactrec.retrieval import search as search_module
from proactrec.testing.toys import encoder_of, histories_of, unit
from proactrec.worth import ONLY_INTEREST, Worth

from .conftest import view_of

N_ITEMS, DIM, N = 700, 16, 24


def items_of(seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    items = torch.randn(N_ITEMS + 1, DIM, generator=rng)
    items[500:600] = items[100:200]  # equals
    items[0] = 0
    return items


def encoder_policy(kind: Callable[..., Policy], options: Any) -> Policy:
    encoder = encoder_of(items_of(1))
    if kind is NextItem:
        return NextItem(encoder)
    if kind is IPG:
        return IPG(encoder, options)
    prototypes = F.normalize(torch.randn(8, DIM, generator=torch.Generator().manual_seed(2)), dim=1)
    return ITMPRec(encoder, Intents(prototypes), options)


def foresight(worth: Worth, **options: Any) -> Foresight:
    rng = torch.Generator().manual_seed(4)
    users = unit(rng, N, DIM, padding=False)
    items = unit(rng, N_ITEMS + 1, DIM, padding=True)
    other = InterestVectors(
        unit(rng, N, DIM, padding=False), unit(rng, N_ITEMS + 1, DIM, padding=True)
    )
    views = Views.beside(InterestVectors(users, items), [other], 0.2)
    counts = torch.randint(0, 50, (N_ITEMS + 1,), generator=rng).numpy()
    options = {"laws": (), **options}
    return Foresight(
        views, counts, histories_of([[]] * N), ForesightOptions(worth=worth, **options)
    )


def seen(places: torch.Tensor, rounds_left: int, seed: int, *, share: float) -> View:
    """Journeys to any targets, of which some are hidden, and a share of all else."""
    rng = torch.Generator().manual_seed(seed)
    targets = torch.randint(1, N_ITEMS + 1, (N,), generator=rng)
    penalty = torch.zeros(N, N_ITEMS + 1)
    penalty[torch.rand(penalty.shape, generator=rng) < share] = -torch.inf
    penalty[:, 0] = -torch.inf
    view = view_of(places, targets, penalty)
    return view._replace(rounds_left=torch.full((N,), rounds_left))


def both(make: Callable[[], Policy], monkeypatch: pytest.MonkeyPatch) -> tuple[Policy, Policy]:
    """The policy with the whole catalogue before it, and with a few candidates."""
    whole = make()
    monkeypatch.setattr(search_module, "LARGE", 10)
    monkeypatch.setattr(search_module, "FEW", N + 1)
    few = make()
    assert vars(whole)["_search"] is None
    assert vars(few)["_search"] is not None
    return whole, few


GUIDANCE = [
    dict(zip(("relevance_link", "guidance", "no_gain"), choice, strict=True))
    for choice in product(("sigmoid", "raw"), ("cosine", "dot"), ("most_relevant", "product"))
]
KINDS: list[tuple[Callable[..., Policy], Any]] = [
    (NextItem, None),
    *((IPG, GuidanceOptions(**choice)) for choice in GUIDANCE),  # type: ignore[arg-type]
    *((ITMPRec, ITMPRecOptions(**choice)) for choice in GUIDANCE),  # type: ignore[arg-type]
    (ITMPRec, ITMPRecOptions(intent_link="raw", intent_weight=0.3)),
]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_encoder_policies_show_the_same(
    kind: Callable[..., Policy], options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, few = both(lambda: encoder_policy(kind, options), monkeypatch)
    for seed, share in product(range(4), (0.0, 0.5, 0.995, 1.0)):
        places = torch.randn(N, DIM, generator=torch.Generator().manual_seed(seed + 50))
        view = seen(places, 5, seed, share=share)
        one, other = whole.decide(view), few.decide(view)
        assert one.item_idx.tolist() == other.item_idx.tolist()
        torch.testing.assert_close(one.score, other.score, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("worth", "options"),
    [
        (Worth(), {}),
        (ONLY_INTEREST, {}),
        (Worth(interest=0), {}),
        (Worth(), {"depth": 1}),
        (Worth(), {"optimism": 1.0}),
        (Worth(), {"goes_on": True}),
        (ONLY_INTEREST, {"n_considered": 4, "n_candidates": 4}),
    ],
)
def test_foresight_shows_the_same(
    worth: Worth, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, few = both(lambda: foresight(worth, **options), monkeypatch)
    assert isinstance(whole, Foresight)
    assert isinstance(few, Foresight)
    for seed, share, left in product(range(3), (0.0, 0.5, 0.99, 1.0), (0, 5)):
        users = torch.randn(N, 2 * DIM, generator=torch.Generator().manual_seed(seed + 9))
        view = seen(F.normalize(users, dim=1), left, seed, share=share)
        one, other = whole.decide(view), few.decide(view)
        assert one.item_idx.tolist() == other.item_idx.tolist()
        torch.testing.assert_close(one.score, other.score, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(whole.promise(view), few.promise(view), rtol=1e-4, atol=1e-6)


def test_what_was_learned_is_searched_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of views and item effects change; the table stays."""
    whole, few = both(lambda: foresight(Worth()), monkeypatch)
    assert isinstance(few, Foresight)
    assert isinstance(whole, Foresight)
    view = seen(F.normalize(torch.randn(N, 2 * DIM), dim=1), 5, 0, share=0.3)
    decision = whole.decide(view)
    assert decision.features is not None
    accepted = torch.from_numpy(np.arange(N) % 3 == 0)
    told = Evidence(decision.item_idx, decision.features, accepted)
    learned = whole.learned(whole.knowledge, told)
    one, other = whole.knowing(learned).decide(view), few.knowing(learned).decide(view)
    assert one.item_idx.tolist() == other.item_idx.tolist()
    assert one.score.tolist() != decision.score.tolist()


def test_steps_and_biases_of_users_are_searched_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Laws under which users are moved by less each time, and some accept more."""
    laws = ("kept", "diminishing", "bias")
    whole, few = both(lambda: foresight(Worth(), laws=laws, goes_on=True), monkeypatch)
    assert isinstance(few, Foresight)
    assert isinstance(whole, Foresight)
    strengths = torch.tensor([0.6, 0.6, 2.0], dtype=torch.float64)
    prior = whole.prior()
    known = prior._replace(weights=torch.cat([prior.weights[:-3], strengths]))
    whole, few = whole.knowing(known), few.knowing(known)
    view = seen(torch.zeros(N, 0), 5, 0, share=0.3)
    journeys = view.journeys
    for column in range(6):  # two kinds of users: who accept everything, and who nothing
        shown = torch.arange(N) + 30 * column + 1
        accepted = torch.arange(N) % 2 == 0
        journeys = journeys.after(shown, accepted, accepted)
    view = view._replace(journeys=journeys, places=whole.place(journeys))
    one, other = whole.decide(view), few.decide(view)
    assert one.item_idx.tolist() == other.item_idx.tolist()
    torch.testing.assert_close(one.score, other.score, rtol=1e-4, atol=1e-6)
    chances = whole.chances(view).mean(1)
    assert chances[::2].min() > chances[1::2].max()
