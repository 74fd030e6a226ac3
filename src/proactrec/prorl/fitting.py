"""ProRL's training: cross-entropy on mined paths, then policy gradient on paths of its own."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.optimizers import AdamW
from proactrec.progress import Progress, silent
from proactrec.prorl.estimator import advantages, exact_kl, is_action
from proactrec.prorl.mining import Prompts, mine, split_prompts
from proactrec.prorl.network import Memory, ProRL
from proactrec.prorl.options import ProRLOptions, ReinforcingOptions
from proactrec.prorl.paths import closed_by, greedy, log_probabilities, sampler, write
from proactrec.prorl.rewards import Judge, learn_centre, rewards
from proactrec.ranking import penalties
from proactrec.rng import generator, torch_generator
from proactrec.training import TrainingRecord, train

GRADIENT_NORM = 1.0
"""To which larger gradients are cut."""


class Asked(NamedTuple):
    """Prompts as tensors."""

    history: Tensor  # (n, history_len)
    target: Tensor  # (n,)


Ask = Callable[[torch.Generator], Asked]
"""Draws prompts for a step."""


def mined(dataset: Dataset, options: ProRLOptions, seed: int) -> tuple[Prompts, Prompts]:
    """Rows of train histories to train on, and those of a tenth of the users to validate with."""
    found = mine(
        dataset.before("train"),
        dataset.items,
        history_len=options.history_len,
        max_path_len=options.max_path_len,
        largest_share=options.largest_share,
    )
    return split_prompts(found, generator(seed, "prorl", "held out"))


def pretrain(
    model: ProRL,
    prompts: Prompts,
    held_out: Prompts,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> TrainingRecord:
    """Teach a started model to write mined paths; the epoch of least validation loss is kept."""
    options = model.options.pretraining
    optimizer = _adamw(model, options.learning_rate, options.weight_decay)

    def losses(rng: torch.Generator) -> Iterator[Tensor]:
        order = torch.randperm(len(prompts.target), generator=rng).numpy()
        for at in range(0, len(order), options.batch_size):
            yield path_loss(model, prompts.of(order[at : at + options.batch_size]))

    def validate() -> float:
        blocks = np.array_split(np.arange(len(held_out.target)), 1 + len(held_out.target) // 512)
        found = [float(path_loss(model, held_out.of(rows))) * len(rows) for rows in blocks]
        return -sum(found) / len(held_out.target)

    rate = options.learning_rate, options.warm_up_steps
    return train(
        model,
        optimizer,
        run_epoch=lambda rng: _mean_of_steps(model, optimizer, losses(rng), *rate),
        validate=validate,
        stopping=options.stopping,
        seed=seed,
        stage="prorl-start",
        checkpoint=checkpoint,
        progress=progress,
    )


def path_loss(model: ProRL, prompts: Prompts) -> Tensor:
    """Mean cross-entropy of mined paths' items and ends, a scalar."""
    parts = prompts.history, prompts.target, prompts.path
    history, target, path = (torch.from_numpy(part).to(model.device) for part in parts)
    logits = model.logits(model.states(model.read(history, target), path))
    answer = torch.cat([path, torch.zeros_like(path[:, :1])], 1)
    acts = is_action((path != 0).sum(1), path.shape[1])
    return F.cross_entropy(logits[acts], answer[acts])


def drawn_prompts(
    prompts: Prompts, dataset: Dataset, options: ReinforcingOptions, n_most: int
) -> Ask:
    """Draws so many mined histories, each once, with targets as the options say."""
    known, n_rows = dataset.before("train"), dataset.n_items + 1
    random_share = {"mined": 0.0, "random": 1.0, "mixed": 0.5}[options.targets]

    def ask(rng: torch.Generator) -> Asked:
        rows = torch.randperm(len(prompts.target), generator=rng)[:n_most].numpy()
        history, target = (torch.from_numpy(x[rows]) for x in (prompts.history, prompts.target))
        is_open = penalties(known, prompts.user_idx[rows], n_rows, torch.device("cpu")) == 0
        luck = torch.rand(is_open.shape, generator=rng) * is_open
        is_random = (torch.rand(len(rows), generator=rng) < random_share) & is_open.any(1)
        return Asked(history, torch.where(is_random, luck.argmax(1), target))

    return ask


def reinforce(
    model: ProRL,
    judge: Judge,
    ask: Ask,
    held_out: Asked,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> TrainingRecord:
    """Reinforce a pre-trained model; the epoch whose greedy paths are worth most is kept.

    The record's score is the mean reward of greedy paths on held-out prompts, with the centre of
    the first epoch.
    """
    options = model.options.reinforcing
    reference = deepcopy(model).eval()
    optimizer = _adamw(model, options.learning_rate, options.weight_decay)

    def losses(rng: torch.Generator) -> Iterator[Tensor]:
        model.eval()  # samples and their log-probabilities are of one policy: no dropout
        for _ in range(options.n_steps):
            yield reinforcing_loss(model, reference, judge, ask(rng), rng)

    def run_epoch(rng: torch.Generator) -> float:
        rate = options.learning_rate, options.warm_up_steps
        loss = _mean_of_steps(model, optimizer, losses(rng), *rate)
        model.is_frozen.fill_(value=True)
        return loss

    return train(
        model,
        optimizer,
        run_epoch=run_epoch,
        validate=lambda: greedy_worth(model, judge, held_out),
        stopping=options.stopping,
        seed=seed,
        stage="prorl",
        checkpoint=checkpoint,
        progress=progress,
    )


def reinforcing_loss(
    model: ProRL, reference: ProRL, judge: Judge, asked: Asked, rng: torch.Generator
) -> Tensor:
    r"""Loss of one step, whose gradient is ProRL's policy gradient; a scalar.

    .. math:: \frac{1}{N} \sum_j \Big[ -\sum_k \ell_{j,k} A_{j,k} + \beta D_j \Big]

    with :math:`\ell` the log-probability of items and of the end, and D the distance to the
    pre-trained policy.
    """
    options = model.options.reinforcing
    history, target = (x.to(model.device).repeat_interleave(options.n_samples, 0) for x in asked)
    memory, closed = _repeated(model, asked, options.n_samples), closed_by(model, history, target)
    path = write(model, memory, closed, sampler(rng, options.top_k))
    judged = judge(history, target, path)
    learn_centre(model, judged, path)
    reward, n_items = rewards(model, judged, path, options), (path != 0).sum(1)
    group = (-1, options.n_samples)
    weight = advantages(
        reward.unflatten(0, group),
        n_items.unflatten(0, group),
        options.estimator,
        own_return=options.own_return,
    ).flatten(0, 1)  # (n, T + 1)
    now = log_probabilities(model, memory, closed, path)
    with torch.no_grad():
        of_reference = reference.read(history, target)
        then = log_probabilities(reference, of_reference, closed, path)
    acts = is_action(n_items, path.shape[1])
    action = torch.cat([path, torch.zeros_like(path[:, :1])], 1)[:, :, None]
    log_prob = now.gather(2, action)[:, :, 0].masked_fill(~acts, 0)
    if options.kl == "exact":
        distance = exact_kl(now, then)
    else:
        distance = log_prob - then.gather(2, action)[:, :, 0].masked_fill(~acts, 0)
    per_action = (options.kl_weight * distance - log_prob * weight) * acts
    return per_action.sum() / max(1, int((n_items > 0).sum()))


@torch.no_grad()
def greedy_paths(model: ProRL, asked: Asked) -> Tensor:
    """The paths that the model writes greedily: (n, max_path_len)."""
    history, target = (x.to(model.device) for x in asked)
    closed = closed_by(model, history, target)
    return write(model, model.read(history, target), closed, greedy)


def greedy_worth(model: ProRL, judge: Judge, asked: Asked) -> float:
    """Mean reward of the greedy paths."""
    path = greedy_paths(model, asked)
    judged = judge(asked.history.to(model.device), asked.target.to(model.device), path)
    return float(rewards(model, judged, path, model.options.reinforcing).sum(1).mean())


def held_out_prompts(prompts: Prompts, dataset: Dataset, options: ProRLOptions, seed: int) -> Asked:
    """The prompts that reinforcement is validated with, always the same."""
    of = options.reinforcing
    rng = torch_generator(seed, "prorl", "validation")
    return drawn_prompts(prompts, dataset, of, of.n_held_out)(rng)


def _repeated(model: ProRL, asked: Asked, n_times: int) -> Memory:
    """What the model reads of prompts, for every sample; prompts are read once."""
    return model.read(*(x.to(model.device) for x in asked)).repeated(n_times)


def _adamw(model: nn.Module, rate: float, weight_decay: float) -> torch.optim.Optimizer:
    return AdamW(model.parameters(), lr=rate, weight_decay=weight_decay)


def _mean_of_steps(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Iterator[Tensor],
    rate: float,
    warm_up_steps: int,
) -> float:
    """Mean loss of batches, each computed after the step for the one before.

    The learning rate is a function of the steps that the optimizer has done, so that a resumed run
    goes on as it would have.
    """
    found = []
    for loss in losses:
        states = iter(optimizer.state.values())
        n_done = int(next(states, {"step": 0})["step"])
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (n_done + 1) / warm_up_steps)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        found.append(loss.detach())
    return float(torch.stack(found).mean())
