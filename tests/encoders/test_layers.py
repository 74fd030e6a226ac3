"""The causal transformer against plain NumPy, and its dropout."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.layers import CausalTransformer, attention_mask, dropout
from proactrec.types import FloatArray

N_ITEMS, DIM, N_HEADS, LENGTH = 9, 8, 2, 6


def transformer(n_layers: int = 2, rate: float = 0.5) -> CausalTransformer:
    """Weights of ordinary size, biases and norms included, so that nothing hides."""
    options = EncoderOptions(
        embedding_dim=DIM, n_layers=n_layers, n_heads=N_HEADS, dropout=rate, max_seq_len=LENGTH
    )
    made = CausalTransformer(N_ITEMS, options)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(0.2, 0.5, generator=rng)
        made.items.weight[0] = 0
    return made.eval()


def norm(x: FloatArray, layer: torch.nn.LayerNorm) -> FloatArray:
    weight, bias = numbers(layer.weight), numbers(layer.bias)
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-12) * weight + bias


def gelu(x: FloatArray) -> FloatArray:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def numbers(x: torch.Tensor) -> FloatArray:
    return x.detach().double().numpy()


def affine(x: FloatArray, layer: torch.nn.Linear) -> FloatArray:
    return x @ numbers(layer.weight).T + numbers(layer.bias)


def numpy_states(model: CausalTransformer, item_seq: list[int]) -> FloatArray:
    """States of one sequence: post-LN transformer, one head and one query at a time."""
    n = len(item_seq)
    x = numbers(model.items.weight)[item_seq] + numbers(model.positions.weight)[LENGTH - n :]
    x = norm(x, model.input_norm)
    for layer in model.layers:
        query, key, value = np.split(affine(x, layer.query_key_value), 3, axis=1)
        attended = np.zeros_like(x)
        for head in range(N_HEADS):
            part = slice(head * DIM // N_HEADS, (head + 1) * DIM // N_HEADS)
            for t in range(n):
                scores = key[:, part] @ query[t, part] / math.sqrt(DIM / N_HEADS)
                hidden = [k > t or item_seq[k] == 0 for k in range(n)]
                scores = scores + np.where(hidden, -10_000.0, 0.0)
                weight = np.exp(scores - scores.max())
                attended[t, part] = weight / weight.sum() @ value[:, part]
        x = norm(x + affine(attended, layer.out), layer.attention_norm)
        x = norm(x + affine(gelu(affine(x, layer.expand)), layer.contract), layer.output_norm)
    return x


SEQUENCES = [
    [1, 2, 3, 4, 5, 6],
    [0, 0, 0, 7, 2, 9],
    [0, 0, 0, 0, 0, 4],
    [3, 1, 0, 0, 0, 0],  # right-padded, as in `official`
    [3, 1, 0, 0, 0, 8],  # and after the first click there
]


@pytest.mark.parametrize("item_seq", SEQUENCES, ids=str)
def test_states_equal_plain_numpy(item_seq: list[int]) -> None:
    model = transformer()
    states = model(torch.tensor([item_seq]))[0]
    is_item = np.array(item_seq) != 0
    start = int(is_item.argmax())  # before the first item nothing may be attended to
    np.testing.assert_allclose(
        numbers(states)[start:], numpy_states(model, item_seq)[start:], atol=2e-5
    )


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_last_is_the_last_state_of_forward(n_layers: int) -> None:
    model = transformer(n_layers)
    batch = torch.tensor(SEQUENCES)
    torch.testing.assert_close(model.last(batch), model(batch)[:, -1], atol=1e-5, rtol=1e-5)
    short = batch[1:3, 2:]  # shorter than max_len, with common padding
    torch.testing.assert_close(model.last(short), model(short)[:, -1], atol=1e-5, rtol=1e-5)


def test_training_path_without_dropout_equals_evaluation() -> None:
    model, batch = transformer(rate=0.0), torch.tensor(SEQUENCES)
    torch.testing.assert_close(model.train()(batch), model.eval()(batch), atol=1e-5, rtol=1e-5)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, N_ITEMS), min_size=LENGTH, max_size=LENGTH),
    st.integers(0, LENGTH - 2),
    st.integers(1, N_ITEMS),
)
def test_a_later_item_never_changes_an_earlier_state(items: list[int], at: int, other: int) -> None:
    model = transformer()
    changed = [*items[: at + 1], other, *items[at + 2 :]]
    states = model(torch.tensor([items, changed]))
    torch.testing.assert_close(states[0, : at + 1], states[1, : at + 1])
    if other != items[at + 1]:
        assert (states[0, at + 1] - states[1, at + 1]).abs().max() > 1e-3


def test_extra_padding_on_the_left_changes_nothing() -> None:
    model = transformer()
    short, long = torch.tensor([[4, 7, 2]]), torch.tensor([[0, 0, 0, 4, 7, 2]])
    torch.testing.assert_close(model(short), model(long)[:, 3:], atol=1e-5, rtol=1e-5)


def test_all_padding_gives_finite_states() -> None:
    assert torch.isfinite(transformer()(torch.zeros(2, LENGTH, dtype=torch.int64))).all()


def test_mask_hides_padding_and_the_future() -> None:
    allowed = attention_mask(torch.tensor([[0, 5, 6]]))[0, 0] == 0
    assert allowed.int().tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 1]]


def test_start_is_normal_with_neutral_norms() -> None:
    made = CausalTransformer(3000, EncoderOptions(n_layers=1, dropout=0, max_seq_len=5))
    made.initialise(torch.Generator().manual_seed(0))
    items = made.items.weight.detach()
    assert items[0].abs().max() == 0
    n = 3000 * 64
    assert items[1:].std().item() == pytest.approx(0.02, abs=4 * 0.02 / math.sqrt(2 * n))
    assert abs(items[1:].mean().item()) < 4 * 0.02 / math.sqrt(n)
    for name, weight in made.named_parameters():
        if weight.dim() == 1:
            assert (weight == (1 if "norm.weight" in name else 0)).all(), name


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_its_share_and_is_unbiased(rate: float) -> None:
    torch.manual_seed(0)
    n = 400_000
    out = dropout(torch.ones(4, n // 4), rate)
    exact = round(rate * 256) / 256
    error = 4 * math.sqrt(exact * (1 - exact) / n)
    assert (out == 0).double().mean().item() == pytest.approx(exact, abs=error)
    assert out.double().mean().item() == pytest.approx(1, abs=error / (1 - exact))
    assert out.unique().tolist() == pytest.approx([0, 1 / (1 - exact)])


def test_dropout_of_nothing_and_its_gradient() -> None:
    x = torch.randn(3, 5, requires_grad=True)
    assert torch.equal(dropout(x, 0.0), x)
    out = dropout(x, 0.5)
    out.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(out == 0, 0.0, 2.0))
    torch.manual_seed(3)
    first = dropout(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(dropout(x, 0.5), first)


@pytest.mark.parametrize("rate", [0.001, 0.999])
def test_extreme_dropout_rates_stay_finite(rate: float) -> None:
    """255 of 256 is the most that a byte can drop; 0.999 would round to all of them."""
    assert dropout(torch.ones(10_000), rate).isfinite().all()
