"""Encoders learn what can be learned, resume exactly, and are measured by hand-checked figures."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset
from proactrec.encoders.fitting import (
    ENCODERS,
    evaluate_next_item,
    fit_encoder,
    next_item_places,
)
from proactrec.encoders.prefixes import PrefixOptions
from proactrec.errors import InvalidInputError

NAMES = sorted(ENCODERS)


def options(n_epochs: int, **changes: object) -> dict[str, object]:
    return {
        "embedding_dim": 16,
        "n_layers": 1,
        "dropout": 0.1,
        "max_seq_len": 8,
        "item_start": "random",
        "learning_rate": 0.01,
        "batch_size": 32,
        "stopping": {"n_epochs": n_epochs, "patience": n_epochs},
        **changes,
    }


@pytest.mark.parametrize("name", NAMES)
def test_predictable_sequences_are_learned(name: str, cyclic: Dataset) -> None:
    # There are six times as many prefixes as windows.
    is_of_prefixes = issubclass(ENCODERS[name].options_type, PrefixOptions)
    encoder, record = fit_encoder(name, cyclic, options=options(10 if is_of_prefixes else 40))
    assert record.best.score > 0.9
    figures = evaluate_next_item(encoder, cyclic, "test")
    assert figures["ndcg@20"] > 0.8
    assert record.best.score == pytest.approx(
        evaluate_next_item(encoder, cyclic, "validation")["ndcg@20"]
    )


@pytest.mark.parametrize("name", NAMES)
def test_noise_cannot_be_learned(name: str, noise: Dataset) -> None:
    encoder, _ = fit_encoder(name, noise, options=options(8))
    place = next_item_places(encoder, noise, "test")
    # 7 of 30 items are known: an answer stands anywhere among 23.
    gain = np.array([1 / math.log2(p + 2) if p < 10 else 0 for p in range(23)])
    error = gain.std() / math.sqrt(len(place))
    found = evaluate_next_item(encoder, noise, "test")["ndcg@10"]
    assert found == pytest.approx(gain.mean(), abs=4 * error)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_one_result(name: str, noise: Dataset) -> None:
    first, again, other = (
        fit_encoder(name, noise, options=options(2), seed=seed) for seed in (0, 0, 1)
    )
    assert first[1] == again[1]
    for weight, same in zip(first[0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(weight, same)
    assert not torch.equal(first[0].item_vectors, other[0].item_vectors)


@pytest.mark.parametrize("name", NAMES)
def test_interrupted_training_is_resumed_exactly(name: str, noise: Dataset, tmp_path: Path) -> None:
    whole, _ = fit_encoder(name, noise, options=options(4))

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit_encoder(name, noise, options=options(4), checkpoint=path, progress=stop)
    resumed, _ = fit_encoder(name, noise, options=options(4), checkpoint=path)
    for weight, same in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(weight, same)


def test_windows_over_the_whole_history_are_used(cyclic: Dataset) -> None:
    short = options(1, max_seq_len=3, windows="all")
    _, all_windows = fit_encoder("sasrec", cyclic, options=short)
    _, last = fit_encoder("sasrec", cyclic, options={**short, "windows": "last"})
    assert all_windows.epochs[0].loss != last.epochs[0].loss


def test_given_item_vectors_are_where_training_starts(noise: Dataset) -> None:
    given = torch.nn.functional.normalize(torch.randn(31, 16), dim=1)
    given[0] = 0
    tiny = options(1, learning_rate=1e-9, item_start="graphau")
    encoder, _ = fit_encoder("iclrec", noise, given, options=tiny)
    torch.testing.assert_close(encoder.item_vectors, given)
    ignored, _ = fit_encoder("iclrec", noise, given, options={**tiny, "item_start": "random"})
    assert (ignored.item_vectors - given).abs().max() > 0.1
    wanted = "item_vectors are needed for item_start='graphau', got None"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        fit_encoder("iclrec", noise, options=tiny)


def test_bad_option_is_refused_by_name(noise: Dataset) -> None:
    wanted = "ICLRecOptions.dropout: input should be less than 1, got 1.5"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        fit_encoder("iclrec", noise, options={"dropout": 1.5})
