"""BSARec's filter, layer and size against NumPy's FFT and the figures of its paper."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.encoders.bsarec import (
    BSARec,
    BSARecLayer,
    BSARecOptions,
    FilteringTransformer,
    low_frequencies,
)
from proactrec.encoders.fitting import fit_encoder
from proactrec.encoders.layers import attention_mask
from proactrec.encoders.losses import full_cross_entropy
from proactrec.types import FloatArray

DIM, LENGTH = 8, 7


def layer(**changes: object) -> BSARecLayer:
    """A layer with weights of ordinary size, in evaluation mode."""
    made = BSARecLayer(BSARecOptions(embedding_dim=DIM, max_seq_len=LENGTH, **changes))
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(0.2, 0.5, generator=rng)
    return made.eval()


def states(n: int = 5, length: int = LENGTH) -> torch.Tensor:
    return torch.randn(n, length, DIM, generator=torch.Generator().manual_seed(2))


def mask_of(x: torch.Tensor) -> torch.Tensor:
    """The attention mask of sequences with 0, 1, 2 … padded places."""
    n, length = x.shape[:2]
    return attention_mask((torch.arange(length) >= torch.arange(n)[:, None]).long())


def numpy_low(x: FloatArray, cutoff: int) -> FloatArray:
    spectrum = np.fft.rfft(x, axis=1, norm="ortho")
    spectrum[:, cutoff // 2 + 1 :] = 0
    return np.fft.irfft(spectrum, n=x.shape[1], axis=1, norm="ortho")


def numpy_norm(x: FloatArray, norm: torch.nn.LayerNorm) -> FloatArray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(-1, keepdims=True) + norm.eps)
    return scaled * numbers(norm.weight) + numbers(norm.bias)


def numbers(x: torch.Tensor) -> FloatArray:
    return x.detach().double().numpy()


def affine(x: FloatArray, linear: torch.nn.Linear) -> FloatArray:
    return x @ numbers(linear.weight).T + numbers(linear.bias)


def numpy_layer(made: BSARecLayer, x: FloatArray, cutoff: int, alpha: float) -> FloatArray:
    """One sequence (L, d) without padding, one head and one query at a time."""
    low = numpy_low(x[None], cutoff)[0]
    gain = numbers(made.high_gain)[0] ** 2
    filtered = numpy_norm(low + gain * (x - low) + x, made.filter_norm)
    query, key, value = np.split(affine(x, made.query_key_value), 3, axis=1)
    attended, width = np.zeros_like(x), DIM // made.n_heads
    for head in range(made.n_heads):
        part = slice(head * width, (head + 1) * width)
        for t in range(len(x)):
            weight = np.exp(key[: t + 1, part] @ query[t, part] / math.sqrt(width))
            attended[t, part] = weight / weight.sum() @ value[: t + 1, part]
    attended = numpy_norm(x + affine(attended, made.out), made.attention_norm)
    mixed = alpha * filtered + (1 - alpha) * attended
    wide = affine(mixed, made.expand)
    wide = wide * (1 + np.vectorize(math.erf)(wide / math.sqrt(2))) / 2
    return numpy_norm(mixed + affine(wide, made.contract), made.output_norm)


@pytest.mark.parametrize("length", [1, 2, 6, 7, 50])
@pytest.mark.parametrize("cutoff", [0, 1, 3, 5, 6, 9, 200])
def test_low_frequencies_are_those_of_an_fft(length: int, cutoff: int) -> None:
    x = states(length=length)
    low = layer(cutoff=cutoff).low(x)
    np.testing.assert_allclose(numbers(low), numpy_low(numbers(x), cutoff), atol=1e-5)


def test_cutoff_counts_kept_frequencies() -> None:
    """The mean, then a cosine and a sine a bin: c = 1, 3, 5 keep one, two, three bins."""
    assert [low_frequencies(50, c // 2 + 1).shape[1] for c in (1, 3, 5)] == [1, 3, 5]


@pytest.mark.parametrize("n_heads", [1, 2])
@pytest.mark.parametrize(("alpha", "cutoff"), [(0.9, 3), (0.3, 5), (0.0, 1)])
def test_layer_equals_plain_numpy(n_heads: int, alpha: float, cutoff: int) -> None:
    made, x = layer(filter_share=alpha, cutoff=cutoff, n_heads=n_heads), states(2)
    causal = attention_mask(torch.ones(2, LENGTH, dtype=torch.int64))
    for found in (made(x, causal), made(x, None)):
        for ours, given in zip(found, x, strict=True):
            expected = numpy_layer(made, numbers(given), cutoff, alpha)
            np.testing.assert_allclose(numbers(ours), expected, atol=2e-5)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_filter_that_changes_nothing_doubles_the_states(sign: float) -> None:
    """With alpha = 1 and b = ±1 the filter gives LN(x + x)."""
    made, x = layer(filter_share=1.0), states()
    with torch.no_grad():
        made.high_gain.fill_(sign)
    doubled = F.layer_norm(x + x, (DIM,), made.filter_norm.weight, made.filter_norm.bias, 1e-12)
    expected = made._feed_forward(doubled)
    torch.testing.assert_close(made(x, mask_of(x)), expected, atol=1e-5, rtol=1e-5)


def test_last_is_the_last_state_of_forward() -> None:
    made, x = layer(), states()
    expected = made(x, mask_of(x))[:, -1]
    torch.testing.assert_close(made.last(x, mask_of(x)), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made.last(x, None), made(x, None)[:, -1], atol=1e-5, rtol=1e-5)


def test_last_has_the_gradients_of_forward() -> None:
    made = layer()
    found = []
    for compute in (made.last, lambda x, mask: made(x, mask)[:, -1]):
        x = states().requires_grad_()
        made.zero_grad()
        compute(x, mask_of(x)).square().sum().backward()
        found.append([x.grad, *(weight.grad for weight in made.parameters())])
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


def test_padding_has_a_say_through_the_filter() -> None:
    """The filter reads the places before the first item too; attention alone would not."""
    x = states(1)
    other = x.clone()
    other[0, 0] += 1
    mask = attention_mask((torch.arange(LENGTH) >= 2).long()[None])
    for alpha, is_changed in ((0.9, True), (0.0, False)):
        made = layer(filter_share=alpha)
        change = (made.last(other, mask) - made.last(x, mask)).abs().max().item()
        assert (change > 1e-3) is is_changed


@pytest.mark.parametrize(("n_items", "expected"), [(3646, 337_088), (12_101, 878_208)])
def test_size_is_the_published_one(n_items: int, expected: int) -> None:
    encoder = BSARec(n_items)
    assert sum(weight.numel() for weight in encoder.parameters()) == expected


def test_gain_starts_normal_and_all_else_as_in_the_shared_transformer() -> None:
    made = FilteringTransformer(5, BSARecOptions(embedding_dim=400))
    made.initialise(torch.Generator().manual_seed(0))
    gains = torch.cat([inner.high_gain.flatten() for inner in made.layers]).detach()
    assert gains.mean().item() == pytest.approx(0, abs=4 / math.sqrt(800))
    assert gains.std().item() == pytest.approx(1, abs=4 / math.sqrt(1600))
    for name, weight in made.named_parameters():
        if weight.dim() == 1:
            assert (weight == (1 if "norm.weight" in name else 0)).all(), name
        if weight.dim() == 2 and len(weight) > 100:
            assert weight.std().item() == pytest.approx(0.02, rel=0.02), name


def test_loss_is_that_of_the_last_states(cyclic: Dataset) -> None:
    encoder = BSARec(cyclic.n_items, BSARecOptions(embedding_dim=8, max_seq_len=8, dropout=0.0))
    encoder.start(0, None)
    rows = encoder.training_rows(cyclic)
    rng = torch.Generator().manual_seed(0)
    batch = rows.batch(torch.arange(100), rng, encoder.device)
    assert (batch.item_seq == 0).all(1).any()  # empty prefixes are rows too
    expected = full_cross_entropy(
        encoder.transformer(batch.item_seq)[:, -1], batch.answer, encoder.item_vectors
    )
    encoder.train()
    assert encoder.loss(batch, rng).item() == pytest.approx(expected.item(), rel=1e-5)


def test_loss_falls_and_the_gain_is_learned(cyclic: Dataset) -> None:
    options = {
        "embedding_dim": 16,
        "max_seq_len": 8,
        "item_start": "random",
        "dropout": 0.1,
        "learning_rate": 0.01,
        "batch_size": 64,
        "rows_per_epoch": 320,
        "stopping": {"n_epochs": 6},
    }
    encoder, record = fit_encoder("bsarec", cyclic, options=options)
    losses = [epoch.loss for epoch in record.epochs]
    assert losses[0] < 1.1 * math.log(30)
    assert losses[-1] < 0.7 * losses[0]
    fresh = BSARec(cyclic.n_items, encoder.options)
    fresh.start(0, None)
    for ours, start in zip(encoder.transformer.layers, fresh.transformer.layers, strict=True):
        assert (ours.high_gain - start.high_gain).abs().max() > 1e-3
