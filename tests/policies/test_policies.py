"""Policies: the contract of all, IPG and ITMPRec by hand."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.encoders.sasrec import SASRec
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.evaluation.oracles import MovesUsers, ReadsMinds
from proactrec.intents import Intents
from proactrec.plugins import source_of
from proactrec.policies import ipg as ipg_module
from proactrec.policies.base import EncoderPolicy, Policy, View
from proactrec.policies.ipg import IPG, GuidanceOptions
from proactrec.policies.itmprec import ITMPRec, ITMPRecOptions
from proactrec.policies.next_item import NextItem
from proactrec.policies.reference import Nearest, Popular, Random, TargetNow
from proactrec.policies.registry import POLICIES, policy_type
from proactrec.rng import keys_of
from proactrec.testing.ingredients import ToyIngredients
from proactrec.testing.toys import dataset_of, encoder_of, histories_of

from .conftest import journeys_of, view_of

Build = Callable[[ITMPRecOptions], Policy]
N_ITEMS, DIM, N_PAIRS = 30, 6, 40


@pytest.fixture(scope="module")
def encoder() -> SASRec:
    items = torch.randn(N_ITEMS + 1, DIM, generator=torch.Generator().manual_seed(0))
    items[0] = 0
    return encoder_of(items)


@pytest.fixture(scope="module")
def intents() -> Intents:
    rng = torch.Generator().manual_seed(1)
    return Intents(F.normalize(torch.randn(5, DIM, generator=rng), dim=1))


@pytest.fixture
def view() -> View:
    """40 journeys to three targets; each may still be shown some items, the last one none."""
    rng = torch.Generator().manual_seed(2)
    penalty = torch.where(torch.rand(N_PAIRS, N_ITEMS + 1, generator=rng) < 0.5, -torch.inf, 0.0)
    penalty[:, 0] = -torch.inf
    penalty[-1] = -torch.inf
    target_idx = torch.tensor([3, 17, 25]).repeat_interleave(14)[:N_PAIRS]
    return view_of(2 * torch.randn(N_PAIRS, DIM, generator=rng), target_idx, penalty)


OPTIONS = {
    "common": ITMPRecOptions(),
    "product": ITMPRecOptions(no_gain="product"),
    "raw": ITMPRecOptions(
        guidance="dot", relevance_link="raw", intent_link="raw", intent_weight=3.0
    ),
}


NAMES = sorted(
    name
    for name in POLICIES
    if not issubclass(policy_type(name), ReadsMinds)
    and name not in ("irn", "prorl", "foresight", "llm-ipp")
)
"""Oracles and models with a training of their own are tested elsewhere."""


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Item 1 is the most popular, and so on down."""
    return dataset_of([range(1, min(N_ITEMS, max(4, u)) + 1) for u in range(N_PAIRS)])


@pytest.fixture(params=NAMES)
def build(
    request: pytest.FixtureRequest, encoder: SASRec, intents: Intents, dataset: Dataset
) -> Build:
    kind = policy_type(request.param)

    def built(options: ITMPRecOptions) -> Policy:
        given = ToyIngredients(
            dataset, encoder, intents, encoder.item_vectors, options=options.model_dump()
        )
        return kind.build(given)

    return built


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
class TestBeyondTheContract:
    """What `tests/testing/test_every_policy.py` doesn't say of them."""

    def test_blocks_of_another_size_change_nothing(
        self, build: Build, options: ITMPRecOptions, view: View, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        policy = build(options)
        together = policy.decide(view)
        monkeypatch.setattr(ipg_module, "SCORED_ROWS", 7)
        assert torch.equal(policy.decide(view).item_idx, together.item_idx)

    def test_the_encoders_vectors_stay_as_they_are(
        self, build: Build, options: ITMPRecOptions, view: View, encoder: SASRec
    ) -> None:
        items = encoder.item_vectors.clone()
        build(options).decide(view)
        assert torch.equal(encoder.item_vectors, items)

    def test_user_and_round_numbers_decide_nothing(
        self, build: Build, options: ITMPRecOptions, view: View
    ) -> None:
        journeys = view.journeys._replace(user=view.journeys.user.flip(0)).before(9)
        policy = build(options)
        if isinstance(policy, Random):
            pytest.skip("its luck belongs to the user and the round")
        found = policy.decide(view._replace(journeys=journeys)).item_idx
        assert torch.equal(found, policy.decide(view).item_idx)

    def test_places_are_histories_as_its_encoder_reads_them(
        self, build: Build, options: ITMPRecOptions, encoder: SASRec
    ) -> None:
        policy = build(options)
        history = histories_of([[3, 4], [9, 1, 2, 3, 4]])
        place = policy.place(journeys_of(torch.tensor([7, 8]), history=history))
        if not isinstance(policy, EncoderPolicy) or isinstance(policy, Nearest):
            assert place.shape == (2, 0)
            return
        read = torch.tensor([[0, 0, 3, 4], [1, 2, 3, 4]])
        assert torch.equal(place, encoder.encode(read))


def test_unknown_policy_names_the_known_ones() -> None:
    wanted = "policy 'x' does not exist; there are itmprec, foresight, ipg, next-item"
    with pytest.raises(UnknownIdError, match=re.escape(wanted)):
        policy_type("x")


def test_a_policy_comes_from_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from proactrec.policies.next_item import NextItem\n\n\n"
        "class Mine(NextItem):\n    name = 'mine'\n"
    )
    assert policy_type(str(path)).name == "mine"
    first = source_of(str(path))
    path.write_text(path.read_text() + "# changed\n")
    assert source_of(str(path)) != first
    assert source_of("ipg") == "ipg"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "does not exist"),
        ("x = 1\n", "must define a subclass of Policy, has none"),
        ("from proactrec.policies.next_item import NextItem\n", "has none"),
        ("import nothing_of_that_name\n", "can't be run: ModuleNotFoundError"),
    ],
)
def test_a_file_without_a_policy_is_refused(
    tmp_path: Path, text: str | None, sentence: str
) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises((UnknownIdError, InvalidInputError), match=sentence):
        policy_type(str(path))


def test_random_draws_every_allowed_item_alike() -> None:
    n, key = 6000, keys_of(str(item) for item in range(6))
    penalty = torch.zeros(n, 6)
    penalty[:, [0, 3]] = -torch.inf
    targets, nowhere = torch.ones(n, dtype=torch.int64), torch.empty(n, 0)
    second, third = (view_of(nowhere, targets, penalty, number) for number in (2, 3))
    found = Random(key, 0).decide(second).item_idx
    counts = found.bincount(minlength=6)
    assert counts[[0, 3]].tolist() == [0, 0]
    assert (counts[[1, 2, 4, 5]] / n - 0.25).abs().max() < 0.03
    assert (Random(key, 0).decide(third).item_idx == found).float().mean() < 0.3
    assert not torch.equal(Random(key, 1).decide(second).item_idx, found)


def test_random_goes_by_ids_and_not_by_positions() -> None:
    """Another row of the same user, to the same target in another catalogue: the same draw."""
    key, targets = keys_of(["", "a", "b", "c", "d"]), torch.tensor([2, 2, 2])
    view = view_of(torch.empty(3, 0), targets, torch.zeros(3, 5))
    found = Random(key).decide(view).score
    users = view.journeys.users
    targets = torch.tensor([4, 4, 4])
    moved = view.journeys._replace(
        users=replace(users, key=users.key[[2, 0, 1]]), target_idx=targets, drawn_by=targets
    )
    other = Random(key[[0, 3, 4, 1, 2]]).decide(view._replace(journeys=moved)).score
    assert torch.equal(other, found[[2, 0, 1]])
    assert len(found.unique()) == 3


def test_popular_counts_train_interactions(dataset: Dataset, view: View) -> None:
    found = Popular(dataset.items).decide(view).item_idx
    for row in range(N_PAIRS - 1):  # the users' last two items, the least popular, are held out
        assert found[row] == (view.candidates.penalty[row] == 0).nonzero()[0, 0]


def test_nearest_is_the_target_then_the_closest_direction() -> None:
    items = torch.tensor([[0.0, 0], [0, 5], [1, 0], [3, 1], [1, 1]])
    policy = Nearest(encoder_of(items))
    shown: list[int] = []
    penalty = torch.tensor([[-torch.inf, 0, 0, 0, 0]])
    for number in range(1, 6):
        seen = view_of(torch.empty(1, 0), torch.tensor([2]), penalty, number)
        shown.append(int(policy.decide(seen).item_idx))
        penalty[0, shown[-1]] = -torch.inf
    assert shown == [2, 3, 4, 1, 0]


def test_target_now_shows_the_target_while_it_may(encoder: SASRec, view: View) -> None:
    found = TargetNow(encoder).decide(view).item_idx
    usual = NextItem(encoder).decide(view).item_idx
    target = view.target_idx
    may = view.candidates.penalty.gather(1, target[:, None])[:, 0] == 0
    assert may.any()
    assert torch.equal(found, torch.where(may, target, usual))


def test_next_item_is_the_most_relevant_whatever_the_target(encoder: SASRec, view: View) -> None:
    found = NextItem(encoder).decide(view)
    scores = view.places @ encoder.item_vectors.T
    for row in range(N_PAIRS - 1):
        allowed = (view.candidates.penalty[row] == 0).nonzero()[:, 0].tolist()
        assert found.item_idx[row] == max(allowed, key=lambda i: float(scores[row, i]))
    other = view.journeys._replace(target_idx=torch.full((N_PAIRS,), 9))
    assert torch.equal(
        NextItem(encoder).decide(view._replace(journeys=other)).item_idx, found.item_idx
    )


# Items 1 … 4 in the plane; the target 4 is north, the user east.
PLANE = torch.tensor([[0.0, 0], [1, 0], [3, 4], [1, 1], [0, 1]])


def choice(policy: IPG, user: list[float], hidden: tuple[int, ...] = ()) -> tuple[int, float]:
    penalty = torch.zeros(1, 5)
    penalty[0, [0, *hidden]] = -torch.inf
    user_vectors = torch.tensor([user]).float()
    found = policy.decide(view_of(user_vectors, torch.tensor([4]), penalty))
    return int(found.item_idx), float(found.score)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_ipg_scores_by_hand() -> None:
    policy = IPG(encoder_of(PLANE))
    scores = policy.scores(torch.tensor([[2.0, 0]]), torch.tensor([4]))[0]
    # Relevance σ(2), σ(6), σ(2), σ(0); cosines with the target 0, .8, √½, 1; the user's is 0.
    expected = [0, sigmoid(6) * 0.8, sigmoid(2) * math.sqrt(0.5), 0.5]
    assert scores[1:].tolist() == pytest.approx(expected, abs=1e-6)
    assert choice(policy, [2, 0]) == (2, pytest.approx(sigmoid(6) * 0.8))
    assert choice(policy, [2, 0], hidden=(2,))[0] == 3
    assert choice(policy, [2, 0], hidden=(2, 3))[0] == 4


def test_dot_guidance_by_hand() -> None:
    policy = IPG(encoder_of(PLANE), GuidanceOptions(guidance="dot", relevance_link="raw"))
    scores = policy.scores(torch.tensor([[2.0, 0.5]]), torch.tensor([4]))[0]
    # Products with the target 0, 4, 1, 1, less the user's 0.5; relevance 2, 8, 2.5, 0.5.
    expected = [2 * -0.5, 8 * 3.5, 2.5 * 0.5, 0.5 * 0.5]
    assert scores[1:].tolist() == pytest.approx(expected)


def test_without_gain_the_most_relevant_is_shown_or_the_least_bad_product() -> None:
    """Whatever is left leads away from the target."""
    calm, product = (GuidanceOptions(no_gain=option) for option in ("most_relevant", "product"))
    plane, user = encoder_of(PLANE), [1.0, 3.0]
    # Cosine here 3/√10 = .949; those of items 1, 3: 0, √½; their relevance: σ(1), σ(4).
    here = 3 / math.sqrt(10)
    expected = max(sigmoid(1) * -here, sigmoid(4) * (math.sqrt(0.5) - here))
    assert choice(IPG(plane, product), user, hidden=(2, 4)) == (
        3,
        pytest.approx(expected, abs=1e-6),
    )
    assert choice(IPG(plane, calm), user, hidden=(2, 4)) == (3, pytest.approx(sigmoid(4), abs=1e-6))
    # Relevance σ(-10.5) and σ(-27) of items 1 and 2: the product takes what is wanted least.
    north, items = [-0.3, 3.0], torch.tensor([[0.0, 0], [-5, -4], [-9, -9.9], [1, 1], [0, 1]])
    assert choice(IPG(encoder_of(items), calm), north, hidden=(3, 4))[0] == 1
    assert choice(IPG(encoder_of(items), product), north, hidden=(3, 4))[0] == 2


def test_an_item_that_gains_is_preferred_to_a_relevant_one_that_does_not() -> None:
    found = choice(IPG(encoder_of(PLANE)), [0.5, 0.5], hidden=(2, 3))
    assert found == (4, pytest.approx(sigmoid(0.5) * (1 - math.sqrt(0.5)), abs=1e-6))


@pytest.mark.parametrize("no_gain", ["most_relevant", "product"])
@pytest.mark.parametrize("guidance", ["cosine", "dot"])
def test_itmprec_without_intents_is_ipg(
    encoder: SASRec, intents: Intents, view: View, no_gain: str, guidance: str
) -> None:
    """itmprec.md, check 8."""
    options = ITMPRecOptions(intent_weight=0, no_gain=no_gain, guidance=guidance)
    expected = IPG(encoder, options).decide(view)
    for given in (intents, None):
        found = ITMPRec(encoder, given, options).decide(view)
        assert torch.equal(found.item_idx, expected.item_idx)
        assert torch.equal(found.score, expected.score)


def test_intention_scores_by_hand() -> None:
    prototypes = Intents(torch.tensor([[1.0, 0], [0, 1]]))
    users = torch.tensor([[2.0, 0], [0, 2]])
    policy = ITMPRec(encoder_of(PLANE), prototypes, ITMPRecOptions(intent_weight=0.5))
    found = policy.interest(users)
    # Intents of items 1 … 4: east, north, east (a tie goes to the first), north.
    same, other = 0.5 * sigmoid(1), 0.5 * sigmoid(0)
    by_hand = [
        [sigmoid(2) + same, sigmoid(6) + other, sigmoid(2) + same, sigmoid(0) + other],
        [sigmoid(0) + other, sigmoid(8) + same, sigmoid(2) + other, sigmoid(2) + same],
    ]
    torch.testing.assert_close(found[:, 1:], torch.tensor(by_hand))
    raw = ITMPRecOptions(intent_weight=2, intent_link="raw", relevance_link="raw")
    found = ITMPRec(encoder_of(PLANE), prototypes, raw).interest(users)
    torch.testing.assert_close(found[0, 1:], torch.tensor([2.0 + 2, 6, 2 + 2, 0]))


def test_intents_are_needed_unless_their_weight_is_zero(encoder: SASRec) -> None:
    wanted = "intents are needed while intent_weight is above 0, got None"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        ITMPRec(encoder)


def test_never_trained_prototypes_add_about_a_constant(encoder: SASRec) -> None:
    """itmprec.md D7: σ of tiny products is ½, and a bit more for equal intents."""
    rng = torch.Generator().manual_seed(0)
    tiny = Intents(0.02 * torch.randn(8, DIM, generator=rng))
    users = torch.randn(10, DIM, generator=rng)
    added = ITMPRec(encoder, tiny).interest(users) - IPG(encoder).interest(users)
    assert (added - 0.5).abs().max() < 0.01


def test_kept_share_is_one_minus_the_arousal(encoder: SASRec, view: View) -> None:
    items = F.normalize(encoder.item_vectors, dim=1)
    policy = ITMPRec(encoder, options=ITMPRecOptions(intent_weight=0, n_curious=3))
    rounded = ITMPRec(
        encoder, options=ITMPRecOptions(intent_weight=0, n_curious=3, tiac_decimals=3)
    )
    literal = ITMPRec(
        encoder,
        options=ITMPRecOptions(intent_weight=0, n_curious=3, tiac="literal", tiac_floor=None),
    )
    found = [p.kept_share(view) for p in (policy, rounded, literal)]
    for row in range(N_PAIRS - 1):
        allowed = (view.candidates.penalty[row] == 0).nonzero()[:, 0]
        liking = F.normalize(view.places[row], dim=0) @ items[allowed].T
        best = allowed[liking.argsort(descending=True)[:3]]
        mean = float((items[best] @ items[view.target_idx[row]]).mean())
        assert found[0][row].item() == pytest.approx(1 - max(mean, 0.2), abs=1e-6)
        assert found[1][row].item() == pytest.approx(round(1 - max(mean, 0.2), 3), abs=1e-6)
        assert found[2][row].item() == pytest.approx(mean, abs=1e-6)
    assert ((found[0] >= 0) & (found[0] <= 0.8)).all()


def test_only_itmprec_has_a_say_in_how_far_users_move(encoder: SASRec, intents: Intents) -> None:
    assert isinstance(ITMPRec(encoder, intents), MovesUsers)
    assert not isinstance(IPG(encoder), MovesUsers)
    assert not isinstance(NextItem(encoder), MovesUsers)
