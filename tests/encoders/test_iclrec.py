"""ICLRec: its loss is the sum of its parts."""

import pytest
import torch
from torch.nn import functional as F

import proactrec.encoders.iclrec as iclrec
from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Batch, TrainingSequences
from proactrec.encoders.iclrec import ICLRec, ICLRecOptions
from proactrec.encoders.losses import contrast, sampled_binary_loss


@pytest.fixture
def make(cyclic: Dataset):  # type: ignore[no-untyped-def]
    """An encoder without dropout after its E-step, with a batch; views are the sequences."""

    def build(**changes: object) -> tuple[ICLRec, Batch]:
        options = {"embedding_dim": 8, "max_seq_len": 8, "n_layers": 1, "dropout": 0, **changes}
        encoder = ICLRec(cyclic.n_items, ICLRecOptions(**options))
        encoder.start(0, None)
        sequences = TrainingSequences(cyclic, encoder.options)
        encoder.eval()
        encoder.start_epoch(sequences, 0)
        batch = sequences.batch(torch.arange(20), torch.Generator().manual_seed(0), encoder.device)
        return encoder, batch

    return build


def loss(encoder: ICLRec, batch: Batch) -> float:
    with torch.no_grad():
        return encoder.loss(batch, torch.Generator().manual_seed(0)).item()


def next_item_part(encoder: ICLRec, batch: Batch) -> float:
    with torch.no_grad():
        states = encoder.transformer(batch.item_seq)
        return sampled_binary_loss(
            states, batch.answer, batch.negative, encoder.item_vectors
        ).item()


def test_without_contrasts_it_is_sasrec(make) -> None:  # type: ignore[no-untyped-def]
    encoder, batch = make(intent_loss_weight=0.0)
    assert loss(encoder, batch) == pytest.approx(next_item_part(encoder, batch))


@pytest.mark.parametrize("ignore_same", [False, True])
def test_loss_is_the_weighted_sum(make, monkeypatch, ignore_same: bool) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(iclrec, "random_view", lambda item_seq, rng: item_seq)
    encoder, batch = make(
        intent_loss_weight=0.3,
        sequence_loss_weight=0.2,
        n_intents=4,
        ignore_same_intent=ignore_same,
    )
    with torch.no_grad():
        states = encoder.transformer(batch.item_seq)
    pooled = states.mean(1)  # padding included
    nearest = torch.cdist(pooled, encoder._centres).argmin(1)
    intents = F.normalize(encoder._centres[nearest], dim=1)
    same = nearest[:, None] == nearest if ignore_same else None
    expected = (
        next_item_part(encoder, batch)
        + 0.3 * contrast(pooled, intents, same)
        + 0.2 * contrast(states.flatten(1), states.flatten(1))
    )
    assert loss(encoder, batch) == pytest.approx(float(expected), rel=1e-5)


def test_pooling_over_items_leaves_padding_out(make) -> None:  # type: ignore[no-untyped-def]
    padded = torch.tensor([[0, 0, 0, 0, 0, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7, 8]])
    everything, _ = make(pool="all")
    items_only, _ = make(pool="items")
    with torch.no_grad():
        states = everything.transformer(padded)
    torch.testing.assert_close(everything.intent_vectors(padded), states.mean(1))
    expected = torch.stack([states[0, 5:].mean(0), states[1].mean(0)])
    torch.testing.assert_close(items_only.intent_vectors(padded), expected)


def test_intents_never_outnumber_sequences(make) -> None:  # type: ignore[no-untyped-def]
    encoder, _ = make(n_intents=5000)
    assert len(encoder._centres) == 90


def test_no_gradient_flows_into_the_assignment(make) -> None:  # type: ignore[no-untyped-def]
    encoder, batch = make(intent_loss_weight=1.0)
    encoder.loss(batch, torch.Generator().manual_seed(0)).backward()
    assert encoder._centres.grad is None
    assert encoder.transformer.items.weight.grad.abs().sum() > 0
