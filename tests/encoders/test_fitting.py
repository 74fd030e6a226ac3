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
    optimizer_for,
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


SAMPLED = sorted(set(NAMES) - {"bsarec", "icsrec"})
"""Encoders whose batches touch few items."""
STEPPED = ("sasrec", "iclrec")
"""One without and one with clusters beside its weights: steps are made by one loop for all."""


@pytest.mark.parametrize("name", SAMPLED)
def test_touched_rows_have_the_gradient_of_whole_tables(name: str, noise: Dataset) -> None:
    gradients = []
    for table_steps in ("touched", "dense"):
        kind = ENCODERS[name]
        encoder = kind(30, kind.options_type(**options(1, table_steps=table_steps)))
        encoder.start(0, None)
        optimizer_for(encoder)
        rows, rng = encoder.training_rows(noise), torch.Generator().manual_seed(0)
        encoder.eval()  # without dropout
        encoder.start_epoch(rows, 0)
        encoder.loss(rows.batch(torch.arange(2), rng, torch.device("cpu")), rng).backward()
        gradients.append([weight.grad for weight in encoder.parameters()])
        tables = [table.grad for table in encoder.item_tables]
        assert all(gradient.is_sparse == (table_steps == "touched") for gradient in tables)
        touched = [gradient.to_dense().abs().sum(1) > 0 for gradient in tables]
        assert all(0 < some.sum() < 30 and not some[0] for some in touched)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one.to_dense(), other.to_dense())


@pytest.mark.parametrize("name", STEPPED)
def test_predictable_sequences_are_learned_by_touched_steps(name: str, cyclic: Dataset) -> None:
    is_of_prefixes = issubclass(ENCODERS[name].options_type, PrefixOptions)
    chosen = options(4 if is_of_prefixes else 25, table_steps="touched", batch_size=8)
    _, record = fit_encoder(name, cyclic, options=chosen)
    assert record.best.score > 0.9


@pytest.mark.parametrize("name", STEPPED)
def test_interrupted_touched_steps_are_resumed_exactly(
    name: str, noise: Dataset, tmp_path: Path
) -> None:
    chosen = options(4, table_steps="touched", batch_size=2)
    whole, _ = fit_encoder(name, noise, options=chosen)

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit_encoder(name, noise, options=chosen, checkpoint=path, progress=stop)
    resumed, _ = fit_encoder(name, noise, options=chosen, checkpoint=path)
    for weight, same in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(weight, same)


def test_a_large_table_is_stepped_by_touched_rows(
    noise: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes as asked for by name; below the size, the same as dense."""

    def fitted(table_steps: str) -> torch.Tensor:
        chosen = options(1, table_steps=table_steps, batch_size=2)
        return fit_encoder("sasrec", noise, options=chosen)[0].item_vectors

    assert torch.equal(fitted("auto"), fitted("dense"))
    assert not torch.equal(fitted("touched"), fitted("dense"))
    monkeypatch.setattr("proactrec.tables.LARGE_TABLE", 31)
    assert torch.equal(fitted("auto"), fitted("touched"))


def test_validation_is_of_as_many_users_as_asked_and_says_so(noise: Dataset) -> None:
    notes: list[str] = []
    runs = [
        fit_encoder(
            "sasrec",
            noise,
            options=options(1, n_validated=n),
            progress=lambda *told: notes.append(told[3]),
        )
        for n in (9, None)
    ]
    assert notes[0].endswith(" of 9 of 90 users")
    assert notes[1].endswith(f"score {runs[1][1].best.score:.4f}")
    assert runs[0][1].best.score != runs[1][1].best.score
    assert torch.equal(runs[0][0].item_vectors, runs[1][0].item_vectors)  # after one epoch


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
    wanted = "ICLRecOptions.dropout must be below 1, got 1.5"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        fit_encoder("iclrec", noise, options={"dropout": 1.5})
