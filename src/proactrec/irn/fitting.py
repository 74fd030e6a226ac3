"""IRN's training: pieces of histories, whose last item is the objective."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Dataset, Histories
from proactrec.errors import InvalidInputError
from proactrec.gpu import usable_device
from proactrec.irn.network import IRN, IRNOptions
from proactrec.optimizers import Adam
from proactrec.parallel import ranks
from proactrec.progress import Progress, silent
from proactrec.rng import generator
from proactrec.training import TrainingRecord, mean_loss, train
from proactrec.types import IntArray

VALIDATION_SHARE = 0.1


class Pieces(NamedTuple):
    """Parts of histories to train on: `item_seq` is left-padded, its last item the objective."""

    user_idx: IntArray  # (n_pieces,)
    item_seq: IntArray  # (n_pieces, max_seq_len)

    def of(self, rows: IntArray) -> "Pieces":
        """These pieces only."""
        return Pieces(self.user_idx[rows], self.item_seq[rows])


def cut_pieces(known: Histories, options: IRNOptions, rng: np.random.Generator) -> Pieces:
    """Histories cut from the oldest item on into pieces that touch but don't overlap.

    Every piece has a random length between `min_piece_len` and `max_seq_len`; a user's last piece
    takes what is left, and is left out if that is a single item.
    """
    shortest, longest = options.min_piece_len, options.max_seq_len
    n_most = max(1, math.ceil(known.lengths.max(initial=0) / shortest))
    drawn = rng.integers(shortest, longest + 1, (len(known.lengths), n_most))
    ends = np.minimum(drawn.cumsum(1), known.lengths[:, None])  # (n_users, n_most)
    lengths = np.diff(ends, axis=1, prepend=0)
    user_idx, number = (lengths >= 2).nonzero()
    length, end = lengths[user_idx, number], ends[user_idx, number]
    within = np.arange(longest)[None, :] - longest + end[:, None]  # place in the history
    is_inside = within >= (end - length)[:, None]
    source = known.offsets[:-1][user_idx][:, None] + within
    return Pieces(user_idx, np.where(is_inside, known.item_idx[np.where(is_inside, source, 0)], 0))


def split_pieces(pieces: Pieces, rng: np.random.Generator) -> tuple[Pieces, Pieces]:
    """Pieces to train on and a random tenth, at least one, to validate with."""
    n_pieces = len(pieces.user_idx)
    if n_pieces < 2:
        raise InvalidInputError(
            f"IRN needs two pieces of train histories, to train and to validate, got {n_pieces}"
        )
    order = rng.permutation(n_pieces)
    n_validation = max(1, round(n_pieces * VALIDATION_SHARE))
    return pieces.of(order[n_validation:]), pieces.of(order[:n_validation])


def next_item_losses(model: IRN, item_seq: Tensor, user_idx: Tensor) -> Tensor:
    r"""Cross-entropy :math:`-\ln p(i_{q+1} \mid i_{\le q}, o, u)` at every position with an answer.

    The last answer is the objective itself, which the model sees.

    Parameters
    ----------
    item_seq : int tensor, shape (B, max_seq_len)
    user_idx : int tensor, shape (B,)

    Returns
    -------
    float tensor, shape (n_answers,)
        The pieces' items in order; padding is no answer.
    """
    answer = item_seq[:, 1:]
    states = model(item_seq[:, :-1], user_idx, item_seq[:, -1])  # (B, L - 1, d)
    is_answer = answer != 0
    output = model.output
    logits = F.linear(states[is_answer], output.weight[1:], output.bias[1:])
    return F.cross_entropy(logits, answer[is_answer] - 1, reduction="none")


def fit_irn(
    dataset: Dataset,
    item_vectors: Tensor | None = None,
    options: IRNOptions | None = None,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> tuple[IRN, TrainingRecord]:
    """Train IRN on pieces of train histories; the epoch with the least validation loss is kept.

    The record's score is minus the validation loss, on a tenth of the pieces. Neither the
    validation nor the test items of the data set are in any piece.

    Parameters
    ----------
    item_vectors : float tensor, shape (n_items + 1, embedding_dim), optional
        Where the item table starts (interest vectors); required when `item_start` is "graphau".
    """
    options = options or IRNOptions()
    if options.item_start == "graphau" and item_vectors is None:
        raise InvalidInputError("item_vectors are needed for item_start='graphau', got None")
    model = IRN(dataset.n_items, dataset.n_users, options)
    model.start(seed, item_vectors if options.item_start == "graphau" else None)
    model.to(usable_device(str(device)))
    rng = generator(seed, "irn", "pieces")
    pieces, held_out = split_pieces(cut_pieces(dataset.before("train"), options, rng), rng)
    optimizer = Adam(model.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), eps=1e-9)
    record = train(
        model,
        optimizer,
        run_epoch=lambda rng: _run_epoch(model, optimizer, pieces, rng),
        validate=lambda: -validation_loss(model, held_out),
        stopping=options.stopping,
        seed=seed,
        stage="irn",
        learning_rate=lambda record: learning_rate_after(record, options),
        checkpoint=checkpoint,
        progress=progress,
    )
    return model, record


def validation_loss(model: IRN, pieces: Pieces) -> float:
    """Mean of :func:`next_item_losses` over all answers of the pieces."""
    item_seq, user_idx = _tensors(model, pieces)
    with torch.no_grad():
        blocks = zip(item_seq.split(64), user_idx.split(64), strict=True)
        return float(torch.cat([next_item_losses(model, *block) for block in blocks]).mean())


def learning_rate_after(record: TrainingRecord, options: IRNOptions) -> float:
    """Learning rate after these epochs: halved after every `halve_after` without a better score.

    A function of the record alone, so that a resumed run goes on as it would have.
    """
    rate, best, n_stale = options.learning_rate, -math.inf, 0
    for epoch in record.epochs:
        n_stale = 0 if epoch.score > best else n_stale + 1
        best = max(best, epoch.score)
        if n_stale == options.halve_after:
            rate, n_stale = rate / 2, 0
    return rate


def _run_epoch(
    model: IRN, optimizer: torch.optim.Optimizer, pieces: Pieces, rng: torch.Generator
) -> float:
    item_seq, user_idx = _tensors(model, pieces)
    order = torch.randperm(len(item_seq), generator=rng).to(model.device)
    batches = order.split(model.options.batch_size)
    losses = (
        ranks().part(
            (item_seq[rows], user_idx[rows]),
            lambda own: int((own[0][:, 1:] != 0).sum()),
            lambda own: next_item_losses(model, *own).mean(),
        )
        for rows in batches
    )
    return mean_loss(optimizer, losses)


def _tensors(model: IRN, pieces: Pieces) -> tuple[Tensor, Tensor]:
    """Items and users of pieces, where the model is."""
    item_seq, user_idx = torch.from_numpy(pieces.item_seq), torch.from_numpy(pieces.user_idx)
    return item_seq.to(model.device), user_idx.to(model.device)
