"""Laws of drift: places against a plain loop, and strengths that answers teach."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.graphau import InterestVectors
from proactrec.guidance.learned import knowledge_of, tensors_of
from proactrec.journeys import UNKNOWN, Journeys
from proactrec.policies import standing
from proactrec.policies.base import Candidates, View
from proactrec.policies.belief import moved_by_answers
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.laws import (
    PRIORS,
    SHARED,
    Law,
    LawName,
    beyond_doubt,
    known_vectors,
    varied,
    walked,
)
from proactrec.simulator.laws import LawOptions
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.toys import dataset_of, toy, unit

from .conftest import journeys_of

SLOPE, NAMES = 4.0, SHARED
DRAW = torch.Generator().manual_seed(3)
ITEMS, START = unit(DRAW, 9, 5, padding=True), unit(DRAW, 6, 5, padding=False)
START[5] = 0  # of whom nothing is known
OFFSETS = torch.randn(9, generator=DRAW)
EVERY_LAW = Law(0.7, 0.1, -0.15, 0.3, 0.5, 0.2, 0.03)


def on_the_way() -> Journeys:
    """Users in a mix of rounds; of some no answer is known, to some nothing was shown."""
    shown = torch.stack([torch.randperm(8, generator=DRAW) + 1 for _ in range(6)])
    answer = torch.randint(UNKNOWN, 2, (6, 8), generator=DRAW).to(torch.int8)
    shown[1:3, 4] = 0
    answer[shown == 0] = UNKNOWN
    begun = journeys_of(torch.ones(6, dtype=torch.int64), n_rounds=8)
    whole = begun._replace(shown=shown, answer=answer, round=begun.round + 8)
    return whole.before(torch.tensor([9, 8, 9, 4, 1, 9]))


class Naive(NamedTuple):
    """A user by a plain loop."""

    place: np.ndarray
    bias: float

    def logit(self, item: int) -> float:
        return SLOPE * float(self.place @ ITEMS[item].double().numpy()) + self.bias


def by_hand(row: int, journeys: Journeys, law: Law) -> Naive:
    def of_length_one(x: np.ndarray) -> np.ndarray:
        return x / max(np.linalg.norm(x), 1e-12)

    kept, back, refusal, diminishing, spread, _, v, _ = map(float, law)
    place = home = START[row].double().numpy()
    bias, n = 0.0, 0
    for item, answer in zip(
        journeys.shown[row].tolist(), journeys.answer[row].tolist(), strict=True
    ):
        if answer == UNKNOWN:
            continue
        e = ITEMS[item].double().numpy()
        p = 1 / (1 + np.exp(-(SLOPE * place @ e + float(OFFSETS[item]) + bias)))
        certainty = 1 / (1 + (v * SLOPE**2 + spread) * p * (1 - p))
        place = of_length_one(place + v * SLOPE * (answer - p) * certainty * e)
        bias += spread * (answer - p) * certainty
        spread -= spread**2 * p * (1 - p) * certainty
        step = (1 - kept) / (1 + diminishing * n) if answer else refusal
        place = of_length_one((1 - step) * place + step * e)
        place = of_length_one((1 - back) * place + back * home)
        n += answer
    return Naive(place, bias)


def test_the_papers_law_alone_leaves_users_where_the_belief_has_them() -> None:
    journeys, laws = on_the_way(), torch.tensor([Law(0.8, surprise=0.05)])
    vectors = known_vectors(START, ITEMS, journeys)
    found = walked(vectors, journeys, SLOPE, OFFSETS, laws).places(vectors)
    kept: dict[str, Any] = {"kept_share": 0.8, "variance": 0.05}
    expected = moved_by_answers(START, ITEMS, journeys, SLOPE, OFFSETS, **kept)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_all_laws_together_are_the_equations_of_the_module() -> None:
    """Places and biases, packed and unpacked, and what answers will tell of every law."""
    journeys, laws = on_the_way(), varied(EVERY_LAW, NAMES)
    vectors = known_vectors(START, ITEMS, journeys)
    trail = walked(vectors, journeys, SLOPE, OFFSETS, laws)
    places = trail.places(vectors)
    packed = trail.packed(places)
    again = type(trail).unpacked(packed, 5, len(laws))
    effects = laws[:, 5].repeat(6, 1)  # as if the item's own logit were its variance
    told = again.told(vectors @ ITEMS[3], effects, SLOPE, EVERY_LAW, NAMES)
    for row in range(6):
        users = [by_hand(row, journeys, Law(*law)) for law in laws.tolist()]
        np.testing.assert_allclose(packed[row, :5], users[0].place, atol=1e-5)
        assert float(packed[row, 5]) == pytest.approx(users[0].bias, abs=1e-5)
        differences = [PRIORS[name].difference for name in NAMES]
        logits = np.array([user.logit(3) for user in users]) + laws[:, 5].numpy()
        by_law = (logits[1:] - logits[0]) / differences
        np.testing.assert_allclose(told[row, 1:], by_law, atol=5e-3)
        rest = users[0].bias + 0.2 - by_law @ np.array(EVERY_LAW[: len(NAMES)])
        assert float(told[row, 0]) == pytest.approx(rest, abs=5e-3)


N_USERS, N_ITEMS, TARGETS = 2000, 60, np.array([7, 31])


@pytest.fixture(scope="module")
def planner() -> Any:
    """Makes a planner and a world of the same vectors, and gives what strengths it learned."""
    rng, draw = torch.Generator().manual_seed(2), np.random.default_rng(2)
    had = [(draw.permutation(N_ITEMS)[:4] + 1).tolist() for _ in range(N_USERS)]
    data = dataset_of([*had, list(range(1, N_ITEMS + 1))])
    vectors = InterestVectors(
        unit(rng, N_USERS + 1, 6, padding=False), unit(rng, N_ITEMS + 1, 6, padding=True)
    )

    def strengths(laws: LawOptions, wrong: float = 0, **users: Any) -> dict[LawName, float]:
        """Of laws, where the planner's own starts are wrong by this in every direction."""
        known: list[Any] = []

        class Witness(Foresight):
            def learned(self, knowledge: Any, evidence: Any) -> Any:
                known.append(super().learned(knowledge, evidence))
                return known[-1]

        options, noise = ForesightOptions(goes_on=True), torch.Generator().manual_seed(3)
        error = wrong * torch.randn(vectors.user_vectors.shape, generator=noise)
        own = vectors._replace(user_vectors=F.normalize(vectors.user_vectors + error, dim=1))
        policy = Witness(own, data.train_counts, data.before("train"), options)
        kind = WorldOptions(after_success="continue", laws=laws, **users)
        world = World(data, *vectors, TARGETS, kind, seed=5)
        rollout(policy, world, data, TARGETS, RolloutOptions(n_rounds=12), n_workers=1)
        return dict(zip(NAMES, known[-1].strengths.tolist(), strict=True))

    return strengths


def test_where_the_papers_law_holds_it_is_believed_in(planner: Any) -> None:
    """And what moves nobody there is thought to move them by next to nothing."""
    found = planner(LawOptions())
    assert found["kept"] == pytest.approx(0.8, abs=0.05)
    assert found["returning"] < 0.03
    assert abs(found["refusal"]) < 0.03
    assert found["bias"] < 0.15
    assert found["surprise"] < 0.01


def test_how_far_answers_tell_where_users_stand_is_found_from_them(planner: Any) -> None:
    """Nothing where all is known of them before; and it isn't taken for a law of refusals."""
    nothing, much = (planner(LawOptions(), wrong, world="steep") for wrong in (0, 0.2))
    before = ForesightOptions().belief_variance
    assert nothing["surprise"] < before / 2
    assert much["surprise"] > before * 1.25
    assert max(abs(found["refusal"]) for found in (nothing, much)) < 0.03


@pytest.mark.parametrize(
    ("name", "true", "users"),
    [
        ("kept", 0.95, {"kept_share": 0.95}),
        ("kept", 0.6, {"kept_share": 0.6}),
        ("returning", 0.1, {"returning": 0.1}),
        ("refusal", -0.1, {"reactance": 0.1}),
        ("refusal", 0.05, {"exposure": 0.05}),
        ("bias", 1.0, {"user_bias": 1.0}),
        ("appeal", 1.0, {"appeal": 1.0}),
    ],
)
def test_the_law_that_holds_is_found_from_answers(
    planner: Any, name: LawName, true: float, users: dict[str, float]
) -> None:
    """A quarter of the way at least, from what was thought before any answer."""
    own = set(users) & set(LawOptions.model_fields)
    laws = LawOptions(**{n: users[n] for n in own})
    found = planner(laws, **{n: users[n] for n in set(users) - own})
    before = ForesightOptions().law._asdict()[name]
    assert 0.25 < (found[name] - before) / (true - before) < 1.25


def test_places_do_not_depend_on_how_many_are_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = toy()
    counts, known = made.dataset.items.train_counts, made.dataset.before("train")
    policy, journeys = Foresight(InterestVectors(*made[1:3]), counts, known), made.journeys()
    assert journeys.n_past > 2
    whole = policy.place(journeys)
    monkeypatch.setattr(standing, "AT_ONCE", 1)
    torch.testing.assert_close(policy.place(journeys), whole)
    assert policy.place(journeys.of(slice(0))).shape == (0, whole.shape[1])


def test_an_old_guides_knowledge_is_opened_with_the_papers_law() -> None:
    rng = torch.Generator().manual_seed(2)
    vectors = InterestVectors(unit(rng, 5, 6, padding=False), unit(rng, 8, 6, padding=True))
    data = dataset_of([[1, 2], [3, 4], [5, 6], [7], [1, 2, 3, 4, 5, 6, 7]])
    old, new = (
        Foresight(vectors, data.train_counts, data.before("train"), ForesightOptions(laws=laws))
        for laws in ((), NAMES)
    )
    wiser = old.prior()._replace(weights=old.prior().weights + 0.5)
    opened = knowledge_of(new.prior(), tensors_of(wiser), 7, 7)
    n = len(wiser.weights)
    assert torch.equal(opened.weights[:n], wiser.weights)
    assert torch.equal(opened.strengths, new.prior().strengths)
    assert torch.equal(opened.precision[:n, :n], wiser.precision)
    assert torch.equal(opened.precision[n:], new.prior().precision[n:])


def test_plans_foresee_what_an_answer_will_do_to_the_interest_in_the_target() -> None:
    """Against the belief's own places after an acceptance and after a refusal, without surprise."""
    world = toy()
    data, names, n_rows = world.dataset, NAMES[:4], len(world.item_vectors)
    vectors, known = InterestVectors(*world[1:3]), data.before("train")
    options = ForesightOptions(laws=names, belief_variance=0, goes_on=True)
    policy = Foresight(vectors, data.train_counts, known, options)
    strengths = torch.tensor([0.7, 0.1, -0.06, 0.5], dtype=torch.float64)
    weights = torch.cat([policy.knowledge.weights[:-4], strengths])
    for sure in (1, 100):
        precision = sure**2 * policy.knowledge.precision
        policy = policy.knowing(policy.knowledge._replace(weights=weights, precision=precision))
        deviation = policy.knowledge.deviations * sure
        assert deviation.tolist() == pytest.approx([PRIORS[name].deviation for name in names])
        law = policy._users._planned
        assert law.kept == pytest.approx(0.73 if sure > 1 else 0.8)
        assert law.refusal == pytest.approx(-0.06 if sure > 1 else 0)
    policy._users.law = law  # places, too, by what plans stand on
    policy._users._varied = varied(law, names)
    journeys = world.journeys()
    candidates = Candidates(torch.zeros(len(journeys.user), n_rows))
    view = View(journeys, policy.place(journeys), candidates, journeys.rounds_left)
    shown = journeys.target_idx % (n_rows - 1) + 1
    outlook = policy._users.sight(view, policy._offsets).of(shown[:, None]).outlook(policy._slope)
    targets = policy._users.items[journeys.target_idx]
    before = (policy._users.places(view) * targets).sum(1)
    for accepts, found in ((True, outlook.gain), (False, outlook.lost)):
        answer = torch.full_like(shown, accepts, dtype=torch.bool)
        after = policy.place(journeys.after(shown, answer, answer))[:, : targets.shape[1]]
        assert found is not None
        expected = (after * targets).sum(1) - before
        close = 0.1 * float(expected.abs().max())  # steps are small, to first order
        torch.testing.assert_close(found[:, 0], expected, atol=close, rtol=0)


def test_what_errors_of_another_kind_look_like_moves_no_plan() -> None:
    """Nor what answers have not made sure; what they have counts as far as it is beyond that."""
    before = Law(0.8, appeal=0.05, surprise=0.02)
    small = before._replace(kept=0.82, returning=0.02, refusal=-0.05, diminishing=-0.05, bias=0.3)
    assert beyond_doubt(small, before, {"refusal": 0.03}) == before
    large = before._replace(kept=0.6, returning=0.1, refusal=-0.05, diminishing=0.3)
    planned = beyond_doubt(large, before, {"kept": 0.1, "returning": 0.03, "refusal": 0.02})
    assert planned == pytest.approx(before._replace(returning=0.07, refusal=-0.05, diminishing=0.2))
