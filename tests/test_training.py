"""The training loop: what is kept, what is resumed, what is refused."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from proactrec.errors import ArtefactError, InvalidInputError, TrainingError
from proactrec.training import EpochRecord, StoppingOptions, TrainingRecord, train

Weights = dict[str, Tensor]


class Run:
    """A small network with dropout, trained by Adam on noise; may be told to break."""

    def __init__(self, width: int = 3) -> None:
        start = torch.Generator().manual_seed(1)
        self.model = nn.Sequential(nn.Linear(4, width), nn.Dropout(0.5), nn.Linear(width, 1))
        with torch.no_grad():
            for weight in self.model.parameters():
                weight.normal_(generator=start)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.scores: list[float] = []
        self.break_at: int | None = None
        self.error: BaseException = RuntimeError("power cut")
        self.n_steps = 0

    def run_epoch(self, rng: torch.Generator) -> float:
        total = 0.0
        for _ in range(4):
            if self.n_steps == self.break_at:
                raise self.error
            x = torch.randn(8, 4, generator=rng)
            loss = (self.model(x) - x.sum(1, keepdim=True)).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.n_steps += 1
            total += loss.item()
        return total / 4

    def train(
        self,
        scores: list[float] | None = None,
        checkpoint: Path | None = None,
        n_epochs: int = 5,
        **stopping: int,
    ) -> TrainingRecord:
        given = iter(scores or [])

        def validate() -> float:
            assert not self.model.training, "validation must not drop anything"
            score = next(given) if scores else -float(next(self.model.parameters()).square().sum())
            self.scores.append(score)
            return score

        return train(
            self.model,
            self.optimizer,
            run_epoch=self.run_epoch,
            validate=validate,
            stopping=StoppingOptions(n_epochs=n_epochs, **stopping),
            seed=7,
            stage="toy",
            checkpoint=checkpoint,
        )

    @property
    def weights(self) -> Weights:
        return {name: value.clone() for name, value in self.model.state_dict().items()}


def same(one: Weights, other: Weights) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("scores", "patience", "n_done", "best"),
    [
        ([1, 2, 3, 4, 5], 2, 5, 4),  # always better: all epochs
        ([3, 2, 1, 9, 9], 2, 3, 0),  # two epochs without a better one end it
        ([1, 3, 3, 3, 3], 3, 5, 1),  # equal is not better, and the first of equals is kept
        ([5, 1, 1, 6, 1], 3, 5, 3),
    ],
)
def test_training_stops_after_patience_and_names_the_best(
    scores: list[float], patience: int, n_done: int, best: int
) -> None:
    record = Run().train(scores, patience=patience)
    assert (len(record.epochs), record.best.epoch) == (n_done, best)


def test_no_epochs_below_the_minimum_are_skipped() -> None:
    record = Run().train([5, 4, 3, 2, 1], patience=1, min_epochs=4)
    assert len(record.epochs) == 4


def test_weights_of_the_best_epoch_are_kept_in_evaluation_mode() -> None:
    two, five = Run(), Run()
    two.train([1, 2], n_epochs=2)
    five.train([1, 9, 3, 4, 5], patience=9)
    assert same(five.weights, two.weights)
    assert not five.model.training


@pytest.mark.parametrize("error", [RuntimeError("power cut"), KeyboardInterrupt()])
@pytest.mark.parametrize("break_at", [0, 1, 6, 19])
def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, break_at: int, error: BaseException
) -> None:
    whole, killed, resumed = Run(), Run(), Run()
    expected = whole.train()
    killed.break_at, killed.error = break_at, error
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(type(error)):
        killed.train(checkpoint=path)
    torch.rand(5)  # nothing depends on the global stream
    record = resumed.train(checkpoint=path)
    assert record == expected
    assert same(resumed.weights, whole.weights)
    assert resumed.n_steps == 20 - 4 * (break_at // 4)  # only the interrupted epoch is done again


def test_finished_run_is_resumed_without_another_epoch(tmp_path: Path) -> None:
    first, again = Run(), Run()
    path = tmp_path / "checkpoint.safetensors"
    record = first.train(checkpoint=path)
    assert again.train(checkpoint=path) == record
    assert again.n_steps == 0
    assert same(again.weights, first.weights)


def test_more_epochs_can_be_asked_of_a_checkpoint(tmp_path: Path) -> None:
    whole, first, more = Run(), Run(), Run()
    whole.train(n_epochs=5)
    first.train(n_epochs=2, checkpoint=tmp_path / "c.safetensors")
    more.train(n_epochs=5, checkpoint=tmp_path / "c.safetensors")
    assert same(more.weights, whole.weights)


def test_checkpoint_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    Run().train(checkpoint=tmp_path / "deep" / "c.safetensors")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["c.safetensors"]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_loss_that_is_not_finite_ends_training(loss: float) -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(TrainingError, match=re.escape(f"toy: the loss is {loss} in epoch 1")):
        train(
            model,
            torch.optim.Adam(model.parameters()),
            run_epoch=lambda _: loss,
            validate=lambda: 0.0,
            stopping=StoppingOptions(),
            seed=0,
            stage="toy",
        )


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbled(path: Path) -> None:
    path.write_bytes(b"not a safetensors file at all")


@pytest.mark.parametrize("damage", [truncated, emptied, garbled])
def test_damaged_checkpoint_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "c.safetensors"
    Run().train(checkpoint=path)
    damage(path)
    wanted = re.escape(f"checkpoint {path} is damaged or of another model")
    with pytest.raises(ArtefactError, match=wanted):
        Run().train(checkpoint=path)


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    Run(width=3).train(checkpoint=path)
    with pytest.raises(ArtefactError, match=re.escape("delete it to train from the start")):
        Run(width=5).train(checkpoint=path)


def test_global_random_state_is_left_alone_even_by_a_crash() -> None:
    run, broken = Run(), Run()
    broken.break_at = 2
    state = torch.random.get_rng_state()
    run.train()
    assert torch.equal(torch.random.get_rng_state(), state)
    with pytest.raises(RuntimeError, match=re.escape("power cut")):
        broken.train()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_another_seed_draws_otherwise() -> None:
    losses = []
    for seed in (0, 1):
        run = Run()
        record = train(
            run.model,
            run.optimizer,
            run_epoch=run.run_epoch,
            validate=lambda: 0.0,
            stopping=StoppingOptions(n_epochs=1),
            seed=seed,
            stage="toy",
        )
        losses.append(record.epochs[0].loss)
    assert losses[0] != losses[1]


def test_progress_is_told_after_every_epoch() -> None:
    told: list[tuple[str, int, int]] = []
    model = nn.Linear(1, 1)
    train(
        model,
        torch.optim.Adam(model.parameters()),
        run_epoch=lambda _: 0.25,
        validate=lambda: 0.5,
        stopping=StoppingOptions(n_epochs=2),
        seed=0,
        stage="toy",
        progress=lambda stage, done, total, note="": told.append((stage, done, total)),
    )
    assert told == [("toy", 1, 2), ("toy", 2, 2)]


def test_stopping_options_refuse_no_epoch() -> None:
    wanted = "StoppingOptions.n_epochs must be at least 1, got 0"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        StoppingOptions(n_epochs=0)


def test_best_is_the_first_of_equal_scores() -> None:
    epochs = [EpochRecord(epoch=n, loss=0, score=score) for n, score in enumerate([1, 3, 3])]
    assert TrainingRecord(epochs=tuple(epochs)).best.epoch == 1


def test_nan_validation_score_stops_training() -> None:
    run = Run()
    with pytest.raises(TrainingError, match=re.escape("validation score is NaN in epoch 1")):
        train(
            run.model,
            run.optimizer,
            run_epoch=run.run_epoch,
            validate=lambda: math.nan,
            stopping=StoppingOptions(),
            seed=0,
            stage="toy",
        )
