"""MStein: Gaussians, distances, attention against plain NumPy, the losses and what is learned."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import proactrec.encoders.mstein as mstein
from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Batch
from proactrec.encoders.fitting import evaluate_next_item, fit_encoder, load_encoder
from proactrec.encoders.losses import contrast, pair_contrast
from proactrec.encoders.mstein import MStein, MSteinOptions, distance_contrast, distance_loss
from proactrec.encoders.stochastic import StochasticTransformer, positive, root, squared_distances
from proactrec.errors import InvalidInputError
from proactrec.types import FloatArray

N_ITEMS, DIM, N_HEADS, LENGTH = 9, 8, 2, 6
SEQUENCES = [
    [1, 2, 3, 4, 5, 6],
    [0, 0, 0, 7, 2, 9],
    [0, 0, 0, 0, 0, 4],
    [3, 1, 0, 0, 0, 0],  # right-padded, as in `official`
    [3, 0, 5, 0, 0, 8],  # masked in between, as in a view
]


def transformer(
    n_layers: int = 1, *, updates_mean: bool = True, **changes: object
) -> StochasticTransformer:
    """Weights of ordinary size, biases and norms included, so that nothing hides."""
    sizes = {"embedding_dim": DIM, "n_layers": n_layers, "n_heads": N_HEADS, "max_seq_len": LENGTH}
    changes |= {"mean_stream": "updated" if updates_mean else "frozen"}
    made = StochasticTransformer(N_ITEMS, MSteinOptions(**{**sizes, "dropout": 0.3, **changes}))
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(0.1, 0.4, generator=rng)
        made.items.weight[0] = made.item_covariances.weight[0] = 0
    return made.eval()


def numbers(x: torch.Tensor) -> FloatArray:
    return x.detach().double().numpy()


def elu(x: FloatArray) -> FloatArray:
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


def norm(x: FloatArray, layer: torch.nn.LayerNorm) -> FloatArray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-12)
    return scaled * numbers(layer.weight) + numbers(layer.bias)


def affine(x: FloatArray, layer: torch.nn.Linear) -> FloatArray:
    return x @ numbers(layer.weight).T + numbers(layer.bias)


def wasserstein(m1: FloatArray, s1: FloatArray, m2: FloatArray, s2: FloatArray) -> float:
    """Of two Gaussians with diagonal covariances, entry by entry."""
    return sum(
        (a - b) ** 2 + (math.sqrt(c) - math.sqrt(d)) ** 2
        for a, b, c, d in zip(m1, m2, s1, s2, strict=True)
    )


def numpy_attention(layer, mean, covariance, item_seq):  # type: ignore[no-untyped-def]
    """Attended means and covariances, one head and one query at a time."""
    n, size = len(item_seq), DIM // N_HEADS
    of_mean = np.split(affine(mean, layer.mean_projection), 3, axis=1)
    of_covariance = np.split(elu(affine(covariance, layer.covariance_projection)) + 1, 3, axis=1)
    shift, spread = np.zeros_like(mean), np.zeros_like(mean)
    for head in range(N_HEADS):
        part = slice(head * size, (head + 1) * size)
        query_mean, key_mean, value_mean = (x[:, part] for x in of_mean)
        query, key, value = (x[:, part] for x in of_covariance)
        for t in range(n):
            keys = [k for k in range(t + 1) if item_seq[k]] or range(n)
            scores = np.array(
                [-wasserstein(query_mean[t], query[t], key_mean[k], key[k]) for k in keys]
            )
            scores = scores / math.sqrt(size) if any(item_seq[: t + 1]) else scores * 0
            weight = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
            shift[t, part] = weight @ value_mean[list(keys)]
            spread[t, part] = weight**2 @ value[list(keys)]
    return shift, spread


def numpy_states(model: StochasticTransformer, item_seq: list[int]):  # type: ignore[no-untyped-def]
    """Means and covariances of all positions of one sequence."""

    def embedded(items: torch.nn.Embedding, positions: torch.nn.Embedding) -> FloatArray:
        x = numbers(items.weight)[item_seq] + numbers(positions.weight)
        return elu(norm(x, model.input_norm))

    def fed(x: FloatArray, layer) -> FloatArray:  # type: ignore[no-untyped-def]
        return norm(affine(elu(affine(x, layer.expand)), layer.contract) + x, layer.norm)

    mean = embedded(model.items, model.positions)
    covariance = embedded(model.item_covariances, model.position_covariances) + 1
    for layer in model.layers:
        shift, spread = numpy_attention(layer, mean, covariance, item_seq)
        covariance = norm(affine(spread, layer.covariance_out) + covariance, layer.attention_norm)
        covariance = elu(fed(covariance, layer.covariance_feed_forward)) + 1
        if layer.updates_mean:
            mean = norm(affine(shift, layer.mean_out) + mean, layer.attention_norm)
            mean = fed(mean, layer.mean_feed_forward)
    return mean, covariance


class TestDistance:
    @pytest.fixture
    def gaussians(self) -> tuple[FloatArray, FloatArray]:
        rng = np.random.default_rng(0)
        return rng.standard_normal((7, 5)), rng.gamma(1.0, size=(7, 5))

    @pytest.fixture
    def points(self, gaussians: tuple[FloatArray, FloatArray]) -> torch.Tensor:
        mean, covariance = (torch.from_numpy(x) for x in gaussians)
        return torch.cat([mean, root(covariance)], 1)

    def test_matrix_form_equals_the_naive_distance(
        self, gaussians: tuple[FloatArray, FloatArray], points: torch.Tensor
    ) -> None:
        mean, covariance = gaussians
        naive = [
            [wasserstein(mean[i], covariance[i], mean[j], covariance[j]) for j in range(3, 7)]
            for i in range(3)
        ]
        np.testing.assert_allclose(squared_distances(points[:3], points[3:]), naive, atol=1e-12)

    def test_distance_to_itself_is_zero_and_it_is_symmetric(self, points: torch.Tensor) -> None:
        distance = squared_distances(points, points)
        assert distance.diagonal().abs().max() < 1e-12
        assert (distance + torch.eye(7) > 1e-3).all(), "others are apart"
        torch.testing.assert_close(distance, distance.T)

    def test_rounding_never_makes_it_negative(self) -> None:
        x = 100 + torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
        raw = x.square().sum(1)[:, None] + x.square().sum(1) - 2 * x @ x.T
        assert raw.min() < 0, "else this shows nothing"
        assert squared_distances(x, x).min() == 0

    def test_covariances_and_their_roots_have_finite_gradients(self) -> None:
        x = torch.tensor([-1e3, -20.0, -1.0, 0.0, 5.0], requires_grad=True)
        roots = root(positive(x))
        roots.sum().backward()
        assert torch.isfinite(x.grad).all()
        expected = [1e-12, math.exp(-10), math.exp(-0.5), 1, math.sqrt(6)]
        np.testing.assert_allclose(numbers(roots), expected, atol=3e-4)


class TestTransformer:
    @pytest.mark.parametrize("updates_mean", [True, False])
    @pytest.mark.parametrize("n_layers", [1, 2])
    @pytest.mark.parametrize("item_seq", SEQUENCES, ids=str)
    def test_states_equal_plain_numpy(
        self, item_seq: list[int], n_layers: int, updates_mean: bool
    ) -> None:
        model = transformer(n_layers, updates_mean=updates_mean)
        mean, covariance = numpy_states(model, item_seq)
        found = numbers(model(torch.tensor([item_seq]))[0])
        np.testing.assert_allclose(found[:, :DIM], mean, atol=5e-5)
        np.testing.assert_allclose(found[:, DIM:] ** 2, covariance, atol=5e-5)

    @pytest.mark.parametrize("updates_mean", [True, False])
    @pytest.mark.parametrize("n_layers", [1, 2, 3])
    def test_last_is_the_last_state_of_forward(self, n_layers: int, updates_mean: bool) -> None:
        model = transformer(n_layers, updates_mean=updates_mean)
        batch = torch.tensor(SEQUENCES)
        torch.testing.assert_close(model.last(batch), model(batch)[:, -1], atol=1e-5, rtol=1e-5)
        short = batch[1:3, 2:]  # shorter than max_len, with common padding
        torch.testing.assert_close(model.last(short), model(short)[:, -1], atol=1e-5, rtol=1e-5)

    def test_training_path_without_dropout_equals_evaluation(self) -> None:
        model, batch = transformer(2, dropout=0.0), torch.tensor(SEQUENCES)
        torch.testing.assert_close(model.train()(batch), model.eval()(batch))
        torch.testing.assert_close(model.train().last(batch), model.eval().last(batch))

    @pytest.mark.parametrize("rate", ["dropout", "attention_dropout"])
    def test_dropout_changes_training_only(self, rate: str) -> None:
        model = transformer(**{"dropout": 0.0, rate: 0.5})
        batch = torch.tensor(SEQUENCES)
        still = model(batch)
        torch.manual_seed(0)
        assert (model.train()(batch) - still).abs().max() > 0.1
        torch.testing.assert_close(model.eval()(batch), still)

    def test_a_later_item_never_changes_an_earlier_state(self) -> None:
        states = transformer(2)(torch.tensor([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 7, 6]]))
        torch.testing.assert_close(states[0, :4], states[1, :4])
        assert ((states[0, 4:] - states[1, 4:]).abs().amax(1) > 1e-3).all()

    def test_updated_means_read_early_items_and_frozen_ones_do_not(self) -> None:
        batch = torch.tensor([[1, 2, 3, 4, 5, 6], [8, 2, 3, 4, 5, 6]])
        for updates_mean in (True, False):
            last = transformer(2, updates_mean=updates_mean).last(batch)
            change = (last[0] - last[1]).abs()
            assert (change[:DIM].max() > 1e-3) == updates_mean
            assert change[DIM:].max() > 1e-3, "the covariance reads them in both"
        assert torch.equal(last[0, :DIM], last[1, :DIM])

    def test_extra_padding_on_the_left_changes_nothing(self) -> None:
        model = transformer(2)
        short, long = torch.tensor([[4, 7, 2]]), torch.tensor([[0, 0, 0, 4, 7, 2]])
        torch.testing.assert_close(model(short), model(long)[:, 3:], atol=1e-5, rtol=1e-5)

    def test_start_is_normal_about_a_hundredth(self) -> None:
        made = StochasticTransformer(3000, MSteinOptions(dropout=0, max_seq_len=5))
        made.initialise(torch.Generator().manual_seed(0))
        n = 3000 * 64
        for table in (made.items.weight.detach(), made.item_covariances.weight.detach()):
            assert table[0].abs().max() == 0
            assert table[1:].mean().item() == pytest.approx(0.01, abs=4 * 0.02 / math.sqrt(n))
            assert table[1:].std().item() == pytest.approx(0.02, abs=4 * 0.02 / math.sqrt(2 * n))
        for name, weight in made.named_parameters():
            if weight.dim() == 1:
                assert (weight == (1 if "norm.weight" in name else 0)).all(), name


class TestLosses:
    def test_bpr_and_pvn_by_hand(self) -> None:
        users = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        answers = torch.tensor([[1.0, 0.0], [1.0, 4.0]])
        negatives = torch.tensor([[0.0, 2.0], [1.0, 2.0]])
        # W to the answer, to the negative, between both: (1, 4, 5) and (9, 1, 4)
        bpr = (math.log(1 + math.exp(1 - 4)) + math.log(1 + math.exp(9 - 1))) / 2
        pvn = (0 + (9 - 4)) / 2
        assert distance_loss(users, answers, negatives, 0.0).item() == pytest.approx(bpr)
        assert distance_loss(users, answers, negatives, 0.1).item() == pytest.approx(bpr + pvn / 10)

    def naive_contrast(self, x: FloatArray, y: FloatArray, temperature: float) -> float:
        both, n, total = np.concatenate([x, y]), len(x), 0.0
        mean, spread = np.split(both, 2, axis=2)
        covariance = elu(spread**2) + 1
        for row in range(2 * n):
            partner = (row + n) % (2 * n)
            similarity = {
                k: 1 / (1 + wasserstein(*(v.ravel() for v in pair))) / temperature
                for k in range(2 * n)
                if k != row
                for pair in [(mean[row], covariance[row], mean[k], covariance[k])]
            }
            highest = max(similarity.values())
            rest = sum(math.exp(value - highest) for value in similarity.values())
            total += math.log(rest) + highest - similarity[partner]
        return total / (2 * n)

    @pytest.mark.parametrize("temperature", [1.0, 0.01, 1e-6])
    def test_contrast_equals_plain_numpy(self, temperature: float) -> None:
        x, y = np.random.default_rng(0).standard_normal((2, 5, 3, 8))
        ours = distance_contrast(torch.from_numpy(x), torch.from_numpy(y), temperature)
        assert ours.item() == pytest.approx(self.naive_contrast(x, y, temperature), rel=1e-6)

    def test_contrast_has_finite_gradients_in_float32(self) -> None:
        rng = torch.Generator().manual_seed(0)
        x, y = (torch.randn(6, 50, 16, generator=rng, requires_grad=True) for _ in range(2))
        distance_contrast(x, y, 1e-6).backward()
        assert torch.isfinite(x.grad).all()
        assert x.grad.abs().max() > 0

    def test_layout_is_that_of_the_inner_product_contrast(self) -> None:
        x, y = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
        assert pair_contrast(x @ y.T, x @ x.T, y @ y.T) == contrast(x, y)


Make = Callable[..., tuple[MStein, Batch]]


@pytest.fixture
def make(cyclic: Dataset) -> Make:
    """An encoder without dropout, and a batch."""

    def build(**changes: object) -> tuple[MStein, Batch]:
        options = {"embedding_dim": DIM, "max_seq_len": 8, "dropout": 0, **changes}
        encoder = MStein(cyclic.n_items, MSteinOptions(**options))
        encoder.start(0, None)
        rows = encoder.training_rows(cyclic)
        batch = rows.batch(torch.arange(20), torch.Generator().manual_seed(0), encoder.device)
        return encoder, batch

    return build


class TestEncoder:
    def test_loss_is_the_weighted_sum_over_real_positions(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[int] = []

        def view(item_seq, most_similar, rng, options):  # type: ignore[no-untyped-def]
            seen.append(options.threshold)
            return item_seq.roll(len(seen), 0)

        monkeypatch.setattr(mstein, "similar_view", view)
        weights = {"pvn_loss_weight": 0.3, "sequence_loss_weight": 0.2, "temperature": 0.5}
        encoder, batch = make(**weights, threshold=4)
        with torch.no_grad():
            states, points = encoder.transformer(batch.item_seq), encoder.transformer.item_points()
            is_real = batch.answer != 0
            assert not is_real.all()
            rows = [states[is_real], points[batch.answer[is_real]], points[batch.negative[is_real]]]
            expected = distance_loss(*rows, 0.3) + 0.2 * distance_contrast(
                states.roll(1, 0), states.roll(2, 0), 0.5
            )
            found = encoder.loss(batch, torch.Generator().manual_seed(0))
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)
        assert seen == [4, 4]

    def test_without_the_contrast_no_view_is_made(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mstein, "similar_view", None)
        monkeypatch.setattr(mstein, "most_similar_items", None)
        encoder, batch = make(sequence_loss_weight=0.0)
        assert torch.isfinite(encoder.loss(batch, torch.Generator()))

    def test_two_views_differ(self, make: Make) -> None:
        encoder, batch = make()
        rng = torch.Generator().manual_seed(0)
        assert not torch.equal(*(encoder._view(batch.item_seq, rng) for _ in range(2)))

    def test_every_weight_that_is_used_gets_a_gradient(self, make: Make) -> None:
        for mean_stream in ("updated", "frozen"):
            encoder, batch = make(mean_stream=mean_stream)
            encoder.loss(batch, torch.Generator().manual_seed(0)).backward()
            unused = {n for n, weight in encoder.named_parameters() if weight.grad is None}
            if mean_stream == "updated":
                assert not unused
            else:
                of_means = re.compile("layers.0.mean_(out|feed_forward)")
                assert unused == {n for n, _ in encoder.named_parameters() if of_means.search(n)}
                assert unused

    def test_vectors_are_means_and_roots_of_covariances(self, make: Make) -> None:
        encoder, batch = make()
        items, network = encoder.item_vectors, encoder.transformer
        assert items.shape == (encoder.n_items + 1, 2 * DIM)
        assert not items.requires_grad
        assert items[0].abs().max() == 0
        assert torch.equal(items[1:, :DIM], network.items.weight[1:])
        covariance = elu(numbers(network.item_covariances.weight)) + 1
        np.testing.assert_allclose(numbers(items[1:, DIM:]) ** 2, covariance[1:], atol=1e-6)
        assert encoder.encode(batch.item_seq).shape == (20, 2 * DIM)
        with torch.no_grad():  # nothing is kept that training makes stale
            network.item_covariances.weight += 1
        assert (encoder.item_vectors[1:, DIM:] > items[1:, DIM:]).all()

    def test_score_is_the_distance_below_the_mean(self, make: Make) -> None:
        (near, batch), (far, _) = make(), make(ranks="farthest")
        users, items = near.encode(batch.item_seq), near.item_vectors
        expected = (users[:, None] - items).square().sum(2)
        expected = expected - expected[:, 1:].mean(1, keepdim=True)
        torch.testing.assert_close(near.score(users), -expected, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(far.score(users), expected, atol=1e-4, rtol=1e-5)
        # An item's own point is nearest to it.
        assert torch.equal(near.score(items).argmax(1), torch.arange(len(items)))
        assert (far.score(items).argmax(1) != torch.arange(len(items))).all()

    def test_with_one_covariance_for_all_means_decide(self, make: Make) -> None:
        encoder, batch = make()
        with torch.no_grad():
            encoder.transformer.item_covariances.weight.zero_()  # ELU(0) + 1 = 1
        users, items = encoder.encode(batch.item_seq), encoder.item_vectors[1:]
        by_mean = torch.cdist(users[:, :DIM], items[:, :DIM]).argsort(1)
        assert torch.equal(encoder.score(users)[:, 1:].argsort(1, descending=True), by_mean)

    def test_only_bpr_is_offered(self) -> None:
        wanted = "MSteinOptions.next_item_loss"
        with pytest.raises(InvalidInputError, match=re.escape(wanted)):
            MSteinOptions(next_item_loss="cross_entropy")


FAST = {
    "embedding_dim": 16,
    "max_seq_len": 8,
    "item_start": "random",
    "learning_rate": 0.01,
    "batch_size": 32,
}


def test_loss_of_all_parts_falls(cyclic: Dataset) -> None:
    _, record = fit_encoder("mstein", cyclic, options={**FAST, "stopping": {"n_epochs": 6}})
    losses = [epoch.loss for epoch in record.epochs]
    assert np.mean(losses[-2:]) < 0.6 * losses[0]


@pytest.mark.parametrize("mean_stream", ["updated", "frozen"])
def test_a_ring_is_learned_by_distance(cyclic: Dataset, mean_stream: str) -> None:
    # Without the contrast, which takes longer on short sequences; test_fitting.py has it.
    changes = {"mean_stream": mean_stream, "sequence_loss_weight": 0.0, "learning_rate": 0.03}
    options = {**FAST, **changes, "stopping": {"n_epochs": 8}}
    encoder, record = fit_encoder("mstein", cyclic, options=options)
    assert record.epochs[-1].loss < 0.3 * record.epochs[0].loss
    assert evaluate_next_item(encoder, cyclic, "test")["ndcg@20"] > 0.9


def test_trained_encoder_is_loaded_as_it_was(cyclic: Dataset, tmp_path: Path) -> None:
    options = {**FAST, "ranks": "farthest", "stopping": {"n_epochs": 1}}
    encoder, _ = fit_encoder("mstein", cyclic, options=options)
    encoder.save(tmp_path, cyclic)
    loaded = load_encoder(tmp_path, cyclic.item_ids)
    item_seq = encoder.sequences(cyclic.before("test"))
    assert loaded.options == encoder.options
    assert torch.equal(loaded.item_vectors, encoder.item_vectors)
    users = encoder.encode(item_seq)
    assert torch.equal(loaded.score(loaded.encode(item_seq)), encoder.score(users))


def test_given_vectors_start_the_means(cyclic: Dataset) -> None:
    given = torch.randn(31, 16, generator=torch.Generator().manual_seed(0))
    given[0] = 0
    options = {**FAST, "item_start": "graphau", "learning_rate": 1e-9, "stopping": {"n_epochs": 1}}
    encoder, _ = fit_encoder("mstein", cyclic, given, options=options)
    torch.testing.assert_close(encoder.item_vectors[:, :16], given)
    assert encoder.item_vectors[1:, 16:].min() > 0.9  # roots of ELU(about 0.01) + 1
