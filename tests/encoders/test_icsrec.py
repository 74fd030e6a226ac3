"""ICSRec's segments, partners and losses against loops."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Batch
from proactrec.encoders.fitting import fit_encoder
from proactrec.encoders.icsrec import ICSRec, ICSRecOptions, PartneredRows
from proactrec.encoders.losses import full_cross_entropy
from proactrec.types import FloatArray

Build = Callable[[list[list[int]]], Dataset]
CPU = torch.device("cpu")
Row = tuple[list[int], int]


def rows_of(dataset: Dataset, **changes: object) -> PartneredRows:
    return PartneredRows(dataset, ICSRecOptions(**changes))


def batch_of(rows: PartneredRows, seed: int = 0) -> Batch:
    return rows.batch(torch.arange(len(rows)), torch.Generator().manual_seed(seed), CPU)


def listed(rows: PartneredRows) -> list[Row]:
    batch = batch_of(rows)
    return list(zip(batch.item_seq.tolist(), batch.answer.tolist(), strict=True))


def segments(items: list[int], length: int) -> list[list[int]]:
    """The paper's dynamic segmentation of one full sequence."""
    longest = length + 3
    if len(items) <= longest:
        return [items[:m] for m in range(4, len(items) + 1)]
    growing = [items[:m] for m in range(4, longest)]
    return growing + [items[k : k + longest] for k in range(len(items) - longest + 1)]


def naive_rows(histories: list[list[int]], length: int) -> list[Row]:
    """A segment teaches its third last item; its last two items are dropped."""
    rows = []
    for items in histories:
        for segment in segments(items, length):
            read = segment[:-3][-length:]
            rows.append(([0] * (length - len(read)) + read, segment[-3]))
    return rows


@pytest.fixture(scope="module")
def histories() -> list[list[int]]:
    """40 users with 3 … 16 of 16 items; every item occurs."""
    rng = np.random.default_rng(5)
    some = [(rng.permutation(16)[: rng.integers(3, 17)] + 1).tolist() for _ in range(39)]
    return [list(range(1, 17)), *some]


@pytest.mark.parametrize("length", [3, 5, 50])
def test_rows_are_the_segments_of_the_paper(
    dataset_of: Build, histories: list[list[int]], length: int
) -> None:
    """Lengths on both sides of max_seq_len + 3; the rows go in the same order."""
    found = listed(rows_of(dataset_of(histories), max_seq_len=length))
    assert found == naive_rows(histories, length)


def test_rows_counted_by_hand(dataset_of: Build) -> None:
    # 60 items: prefixes of 4 … 52 items, then windows of 53 that start at 0 … 7: 49 + 8.
    dataset = dataset_of([list(range(1, 61)), [1, 2, 3], [1, 2, 3, 4], [9, 8, 7, 6, 5]])
    rows = rows_of(dataset)
    assert len(rows) == 57 + 0 + 1 + 2
    found = listed(rows)
    assert [answer for _, answer in found[:57]] == list(range(2, 59))  # items 2 … n - 2
    assert found[56] == (list(range(8, 58)), 58)
    assert found[57:] == [
        ([0] * 49 + [1], 2),
        ([0] * 49 + [9], 8),
        ([0] * 48 + [9, 8], 7),
    ]


def test_partner_is_the_last_different_row_with_the_answer(
    dataset_of: Build, histories: list[list[int]]
) -> None:
    # Some histories twice, so that inputs repeat; items 17 and 18 are answers with one input.
    repeated = [*histories[:20], *histories[:6], [5, 17, 1, 2], [6, 18, 1, 2], [6, 18, 2, 1]]
    dataset = dataset_of(repeated)
    batch = batch_of(rows_of(dataset, max_seq_len=3))
    rows = naive_rows(repeated, 3)
    n_alone = 0
    for (read, answer), partner in zip(rows, batch.partner.tolist(), strict=True):
        others = [other for other, their in rows if their == answer and other != read]
        n_alone += not others
        assert partner == (others[-1] if others else read)
    assert n_alone == 3


def test_random_partners_are_other_rows_with_the_answer(
    dataset_of: Build, histories: list[list[int]]
) -> None:
    rows = rows_of(dataset_of(histories), max_seq_len=3, partner="random")
    chosen = torch.arange(len(rows))
    rng = torch.Generator().manual_seed(0)
    draws = torch.stack([rows._drawn(chosen, rng) for _ in range(300)])  # (300, n_rows)
    for row in range(len(rows)):
        alike = set((rows.answer == rows.answer[row]).nonzero()[:, 0].tolist())
        expected = alike - {row} or {row}
        assert set(draws[:, row].tolist()) == expected
    largest = int(rows.answer.bincount()[rows.answer].argmax())
    counts = draws[:, largest].bincount()
    n = int((counts > 0).sum())
    error = math.sqrt(300 * (1 / n) * (1 - 1 / n))
    assert (counts[counts > 0] - 300 / n).abs().max() < 4.5 * error


def test_batches_of_random_partners_follow_the_generator(cyclic: Dataset) -> None:
    rows = rows_of(cyclic, max_seq_len=8, partner="random")
    first, again, other = (batch_of(rows, seed).partner for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_held_out_items_are_never_read(dataset_of: Build, histories: list[list[int]]) -> None:
    swapped = [[*items[:-2], items[-1], items[-2]] for items in histories]
    before, after = (batch_of(rows_of(dataset_of(h))) for h in (histories, swapped))
    for ours, theirs in zip(before, after, strict=True):
        assert ours is None or torch.equal(ours, theirs)


def naive_info_nce(a: FloatArray, b: FloatArray, label: list[int] | None) -> float:
    """One row of 2B at a time; with labels, whoever has an equal one is no negative."""
    both, n = np.concatenate([a, b]), len(a)
    scores = both @ both.T
    total = 0.0
    for k in range(2 * n):
        partner = (k + n) % (2 * n)
        if label is None:
            negatives = [j for j in range(2 * n) if j not in (k, partner)]
        else:
            negatives = [j for j in range(2 * n) if label[j % n] != label[k % n]]
        logits = [scores[k, partner], *scores[k, negatives]]
        total += math.log(np.exp(logits).sum()) - logits[0]
    return total / (2 * n)


@pytest.fixture
def make(cyclic: Dataset):  # type: ignore[no-untyped-def]
    """An encoder without dropout after its clustering, with a batch that repeats answers."""

    def build(**changes: object) -> tuple[ICSRec, Batch]:
        options = {"embedding_dim": 8, "max_seq_len": 8, "n_layers": 1, "n_intents": 4}
        encoder = ICSRec(cyclic.n_items, ICSRecOptions(**{**options, "dropout": 0.0, **changes}))
        encoder.start(0, None)
        with torch.no_grad():  # weights of ordinary size: all states are alike near zero
            for weight in encoder.transformer.parameters():
                weight.mul_(15) if weight.dim() == 2 else None
        rows = encoder.training_rows(cyclic)
        encoder.eval()
        encoder.start_epoch(rows, 0)
        chosen = torch.arange(0, 450, 11)
        return encoder, rows.batch(chosen, torch.Generator().manual_seed(0), CPU)

    return build


def loss(encoder: ICSRec, batch: Batch) -> float:
    with torch.no_grad():
        return encoder.loss(batch, torch.Generator()).item()


@pytest.mark.parametrize("mask_equal", [True, False])
@pytest.mark.parametrize("second_pass", [True, False])
@pytest.mark.parametrize(("coarse", "fine"), [(0.3, 0.1), (0.0, 0.7), (0.7, 0.0), (0.0, 0.0)])
def test_loss_is_the_weighted_sum(  # type: ignore[no-untyped-def]
    make, mask_equal: bool, second_pass: bool, coarse: float, fine: float
) -> None:
    encoder, batch = make(
        mask_equal=mask_equal,
        second_pass=second_pass,
        coarse_loss_weight=coarse,
        fine_loss_weight=fine,
    )
    with torch.no_grad():
        states = encoder.transformer(batch.item_seq)[:, -1]
        expected = full_cross_entropy(states, batch.answer, encoder.item_vectors).item()
    assert len(batch.answer.unique()) < len(batch.answer)
    x, y = (encoder.encode(part).double().numpy() for part in (batch.item_seq, batch.partner))
    labels = batch.answer.tolist() if mask_equal else None
    expected += coarse * naive_info_nce(x, y, labels)
    if fine:
        for vectors in (x, y):
            centres = encoder._centres.double().numpy()
            nearest = ((vectors[:, None] - centres) ** 2).sum(2).argmin(1)
            assert len(set(nearest)) > 1
            centre = centres[nearest] / np.linalg.norm(centres[nearest], axis=1, keepdims=True)
            labels = nearest.tolist() if mask_equal else None
            expected += fine * naive_info_nce(vectors, centre, labels)
    assert loss(encoder, batch) == pytest.approx(expected, rel=1e-4)


def test_batch_of_one_answer_costs_the_contrast_nothing(make) -> None:  # type: ignore[no-untyped-def]
    encoder, batch = make(fine_loss_weight=0.0)
    alike = Batch(batch.item_seq, torch.full_like(batch.answer, 3), partner=batch.partner)
    with torch.no_grad():
        states = encoder.transformer(batch.item_seq)[:, -1]
        expected = full_cross_entropy(states, alike.answer, encoder.item_vectors).item()
    assert loss(encoder, alike) == pytest.approx(expected, rel=1e-5)
    encoder.loss(alike, torch.Generator()).backward()
    assert torch.isfinite(encoder.transformer.items.weight.grad).all()


def test_second_pass_has_other_dropout(make) -> None:  # type: ignore[no-untyped-def]
    for second_pass in (True, False):
        encoder, batch = make(dropout=0.5, second_pass=second_pass)
        encoder.train()
        first, again, partner = encoder._states(batch)
        assert torch.equal(first, again) is not second_pass
        assert first.shape == partner.shape


def test_intents_are_clusters_of_last_states(make) -> None:  # type: ignore[no-untyped-def]
    encoder, _ = make(n_intents=5000)
    assert len(encoder._centres) == 450  # never more than there are sequences
    encoder, _ = make(n_intents=5000, rows_per_epoch=60)
    assert len(encoder._centres) == 60


def test_without_a_fine_loss_nothing_is_clustered(make) -> None:  # type: ignore[no-untyped-def]
    encoder, _ = make(fine_loss_weight=0.0)
    assert not hasattr(encoder, "_centres")


def test_no_gradient_flows_into_the_centres(make) -> None:  # type: ignore[no-untyped-def]
    encoder, batch = make()
    encoder.loss(batch, torch.Generator()).backward()
    assert encoder._centres.grad is None
    assert encoder.transformer.items.weight.grad.abs().sum() > 0


def test_loss_falls(cyclic: Dataset) -> None:
    options = {
        "embedding_dim": 16,
        "max_seq_len": 8,
        "n_layers": 1,
        "n_intents": 8,
        "item_start": "random",
        "dropout": 0.1,
        "learning_rate": 0.01,
        "batch_size": 64,
        "rows_per_epoch": 320,
        "stopping": {"n_epochs": 6},
    }
    _, record = fit_encoder("icsrec", cyclic, options=options)
    assert record.epochs[-1].loss < 0.8 * record.epochs[0].loss
