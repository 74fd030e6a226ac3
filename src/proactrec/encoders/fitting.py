"""Train an encoder, load a trained one, and measure how well it predicts the next item."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Batch, Encoder
from proactrec.encoders.bsarec import BSARec
from proactrec.encoders.iclrec import ICLRec
from proactrec.encoders.icsrec import ICSRec
from proactrec.encoders.mstein import MStein
from proactrec.encoders.runtime import runtime_of
from proactrec.encoders.sasrec import SASRec
from proactrec.encoders.saved import read_model
from proactrec.errors import InvalidInputError
from proactrec.gpu import usable_device
from proactrec.names import unknown
from proactrec.parallel import ranks
from proactrec.plugins import from_file, is_file
from proactrec.progress import Progress, silent
from proactrec.ranking import answer_places, drawn_answers, ndcg, next_item_figures
from proactrec.tables import adam
from proactrec.training import EpochRecord, TrainingRecord, mean_loss, train
from proactrec.types import IntArray

ENCODERS: dict[str, type[Encoder]] = {
    kind.name: kind for kind in (ICLRec, SASRec, MStein, BSARec, ICSRec)
}


def encoder_type(name: str) -> type[Encoder]:
    """The encoder class of a name, or the last one defined in a file ``path/to/encoder.py``.

    Raises
    ------
    UnknownIdError
        If there is no such encoder or file.
    InvalidInputError
        If the file defines no encoder.
    """
    if is_file(name):
        return from_file(name, Encoder)
    if name not in ENCODERS:
        raise unknown("encoder", name, ENCODERS, ", or the path of a .py file with one of your own")
    return ENCODERS[name]


def fit_encoder(
    name: str,
    dataset: Dataset,
    item_vectors: Tensor | None = None,
    *,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    device: str = "cpu",
    watch: Callable[[EpochRecord], None] | None = None,
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> tuple[Encoder, TrainingRecord]:
    """Train an encoder on train histories; the epoch with the best validation NDCG@20 is kept.

    Parameters
    ----------
    name : str
        A key of `ENCODERS`, or the path of a file: see :func:`encoder_type`.
    item_vectors : float tensor, shape (n_items + 1, embedding_dim), optional
        Where the item table starts (interest vectors); required when `item_start` is "graphau".
    options : dict, optional
        Changes to the encoder's default options.
    watch
        Told every epoch; what it raises ends the training.
    """
    kind = encoder_type(name)
    encoder = kind(dataset.n_items, kind.options_type(**(options or {})))
    if encoder.options.item_start == "graphau" and item_vectors is None:
        raise InvalidInputError("item_vectors are needed for item_start='graphau', got None")
    encoder.start(seed, item_vectors if encoder.options.item_start == "graphau" else None)
    encoder.to(usable_device(device))
    sequences, optimizer = encoder.training_rows(dataset), optimizer_for(encoder)
    answers, score_of = drawn_answers(
        dataset.answers("validation"), dataset.n_items + 1, encoder.options.n_validated, seed=seed
    )

    def losses(rng: torch.Generator) -> Iterator[Tensor]:
        encoder.eval()
        encoder.start_epoch(sequences, seed)
        encoder.train()
        for rows in sequences.order(rng).split(encoder.options.batch_size):
            yield ranks().part(
                sequences.batch(rows, rng, encoder.device),
                lambda own: int((Batch(*own).answer != 0).sum()),
                lambda own: encoder.loss(Batch(*own), rng),
            )

    record = train(
        encoder,
        optimizer,
        run_epoch=lambda rng: mean_loss(optimizer, losses(rng)),
        validate=lambda: ndcg(next_item_places(encoder, dataset, "validation", answers), 20),
        stopping=encoder.options.stopping,
        seed=seed,
        stage=encoder.name,
        watch=watch,
        score_of=score_of,
        checkpoint=checkpoint,
        progress=progress,
    )
    return encoder, record


def optimizer_for(encoder: Encoder) -> torch.optim.Optimizer:
    """Adam of all weights, of touched rows of the item tables where the options say so."""
    touched = encoder.options.touches_rows(encoder.n_items + 1)
    for part in encoder.modules():  # positions are read as a slice, whose gradient stays dense
        if isinstance(part, nn.Embedding):
            part.sparse = touched
    return adam(encoder.parameters(), lr=encoder.options.learning_rate, touched=touched)


def load_encoder(
    folder: Path,
    item_ids: Sequence[str],
    content: Tensor | None = None,
    own: Sequence[type[Encoder]] = (),
) -> Encoder:
    """A trained encoder from its folder, in evaluation mode on the CPU, for these items.

    Item n + 1 is the one with `item_ids[n]`, whatever it was in training. How items that the
    encoder doesn't know are placed: :func:`proactrec.encoders.saved.read_model`.

    Parameters
    ----------
    item_ids : sequence of str
        At least one of them known to the encoder.
    content : float tensor, shape (n_items, n_components), optional
        Content vectors of these items; read only where an item is unknown.
    own : sequence of encoder classes
        Somebody's own, beside those that proactrec has.
    """
    encoders = {**ENCODERS, **{kind.name: kind for kind in own}}

    def build(about: Mapping[str, Any]) -> Encoder:
        kind = encoders[about["encoder"]]
        return kind(len(about["item_ids"]), kind.options_type(**about["options"]))

    encoder = read_model(
        folder, "encoder", build, called="encoder", item_ids=item_ids, content=content
    )
    encoder.runtime = runtime_of(encoder.transformer)
    return encoder


def next_item_places(
    encoder: Encoder,
    dataset: Dataset,
    split: Literal["validation", "test"],
    answers: IntArray | None = None,
) -> IntArray:
    """0-based places of the held-out items among all unseen items, for users who have one.

    `answers` (n_users,) are those that are ranked, 0 for all other users; by default the split's.
    """
    seen = dataset.before(split)
    return answer_places(
        lambda rows: encoder.score(encoder.encode(encoder.sequences(seen, user_idx=rows))),
        dataset.answers(split) if answers is None else answers,
        seen,
        dataset.n_items + 1,
    )


def evaluate_next_item(
    encoder: Encoder, dataset: Dataset, split: Literal["validation", "test"]
) -> dict[str, float]:
    """HR@k and NDCG@k (k = 5, 10, 20) of the held-out items on the full catalogue."""
    return next_item_figures(next_item_places(encoder, dataset, split))
