"""The one training loop: early stopping, atomic checkpoints after every epoch, exact resume."""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from proactrec.config import Options
from proactrec.errors import ArtefactError, TrainingError
from proactrec.files import replacing
from proactrec.parallel import ranks
from proactrec.progress import Progress, silent
from proactrec.rng import torch_generator
from proactrec.threads import idle_cores


class StoppingOptions(Options):
    """When training ends."""

    n_epochs: int = Field(300, ge=1, description="most epochs")
    patience: int = Field(20, ge=1, description="epochs without a better validation score")
    min_epochs: int = Field(1, ge=1, description="fewest epochs before stopping early")


class EpochRecord(Options):
    """Loss and validation score of one epoch."""

    epoch: int
    loss: float
    score: float


class TrainingRecord(Options):
    """What happened in training; the weights kept are those of `best_epoch`."""

    epochs: tuple[EpochRecord, ...] = ()

    @property
    def best(self) -> EpochRecord:
        """The epoch with the highest validation score, the first of equals."""
        return max(self.epochs, key=lambda record: record.score)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    run_epoch: Callable[[torch.Generator], float],
    validate: Callable[[], float],
    stopping: StoppingOptions,
    seed: int,
    stage: str,
    learning_rate: Callable[[TrainingRecord], float] | None = None,
    watch: Callable[[EpochRecord], None] | None = None,
    score_of: str = "",
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> TrainingRecord:
    """Train until the validation score stops rising; leave `model` with its best weights.

    Every epoch draws its randomness (order, negatives, dropout) from (seed, epoch) alone, so a run
    resumed from `checkpoint` ends with the same weights as one that was never interrupted. On the
    CPU all of it works in one thread but for what :func:`proactrec.threads.shared` cuts in fixed
    parts, so that the weights don't depend on the number of threads.
    Of several processes (:mod:`proactrec.parallel`) the first writes the checkpoint; all read it.

    Parameters
    ----------
    run_epoch
        Does one pass over the data and returns the mean loss; gets the epoch's generator.
    validate
        Returns the validation score; higher is better.
    learning_rate
        Gives an epoch's learning rate from the epochs before it; the optimizer's own by default.
        A schedule that is a function of the record is resumed exactly.
    watch
        Told every epoch once it is kept; what it raises ends the training.
    score_of
        Said behind every score: of whom it is, where that is not everybody.
    checkpoint
        File that is replaced atomically after every epoch, and read when it exists.

    Raises
    ------
    TrainingError
        If the loss is not finite, or the validation score is NaN.
    ArtefactError
        If the checkpoint is damaged or belongs to another model.
    """
    record, best = TrainingRecord(), _weights(model)
    if checkpoint is not None and checkpoint.exists():
        record, best = _load(checkpoint, model, optimizer)
    together = ranks()
    together.check(len(record.epochs))
    gpus = range(torch.cuda.device_count())
    with idle_cores(next(model.parameters()).device), torch.random.fork_rng(devices=gpus):
        while not _is_finished(record, stopping):
            epoch = len(record.epochs)
            rng = torch_generator(seed, stage, epoch)
            # Dropout knows no other generator.
            torch.manual_seed(rng.initial_seed() + together.rank)
            if learning_rate is not None:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(record)
            model.train()
            loss = run_epoch(rng)
            if not math.isfinite(loss):
                raise TrainingError(f"{stage}: the loss is {loss} in epoch {epoch + 1}")
            model.eval()
            with torch.no_grad():
                score = together.first(validate())
            if math.isnan(score):
                raise TrainingError(f"{stage}: the validation score is NaN in epoch {epoch + 1}")
            done = EpochRecord(epoch=epoch, loss=loss, score=score)
            record = TrainingRecord(epochs=(*record.epochs, done))
            if record.best is done:
                best = _weights(model)
            if checkpoint is not None and together.rank == 0:
                _save(checkpoint, model, optimizer, best, record)
            if watch is not None:
                watch(done)
            note = f"loss {loss:.4f}, score {score:.4f}{score_of}"
            progress(stage, epoch + 1, stopping.n_epochs, note)
    model.load_state_dict(best)
    model.eval()
    return record


def mean_loss(optimizer: torch.optim.Optimizer, losses: Iterable[Tensor]) -> float:
    """Mean loss of batches, each computed after the optimizer's step for the one before.

    Of several ranks each gives its part of every loss.
    """
    found, together = [], ranks()
    for loss in losses:
        loss.backward()
        together.sum_gradients(optimizer)
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.detach())
    return float(together.total(torch.stack(found)).mean())


def _is_finished(record: TrainingRecord, stopping: StoppingOptions) -> bool:
    n_done = len(record.epochs)
    if n_done >= stopping.n_epochs:
        return True
    if n_done < stopping.min_epochs or n_done == 0:
        return False
    return n_done - 1 - record.best.epoch >= stopping.patience


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def _save(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
    record: TrainingRecord,
) -> None:
    tensors = {f"now/{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in best.items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": value for name, value in state.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(path) as partial:
        save_file(tensors, partial, metadata={"record": record.model_dump_json()})


def _load(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[TrainingRecord, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "optimizer": {}}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - a safetensors handle is not a mapping
                group, name = key.split("/", 1)
                groups[group][name] = file.get_tensor(key)
            record = TrainingRecord(**json.loads(file.metadata()["record"]))
        state: dict[int, dict[str, Any]] = {}
        for key, value in groups["optimizer"].items():
            number, name = key.split("/")
            state.setdefault(int(number), {})[name] = value
        model.load_state_dict(groups["now"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ArtefactError(
            f"checkpoint {path} is damaged or of another model ({error}); "
            "delete it to train from the start"
        ) from error
    return record, groups["best"]
