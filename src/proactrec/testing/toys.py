"""A toy world to test with: users, items, an encoder and intents; nothing is trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset, Histories, Side
from proactrec.data.interactions import Interactions
from proactrec.data.items import Items
from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.sasrec import SASRec
from proactrec.intents import Intents
from proactrec.journeys import ACCEPTED, REFUSED, UNKNOWN, Journeys, Users
from proactrec.rng import generator, keys_of
from proactrec.simulator.environment import Environment
from proactrec.simulator.minds import Minds
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.ingredients import ToyIngredients
from proactrec.types import IntArray

TARGETS: IntArray = np.array([3, 9, 14])
N_NEWCOMERS = 2
N_ROUNDS = 6

TINY_IRN: dict[str, Any] = {
    "embedding_dim": 8,
    "user_dim": 4,
    "inner_dim": 16,
    "max_seq_len": 6,
    "min_piece_len": 3,
    "item_start": "random",
    "stopping": {"n_epochs": 1},
}
"""Options of an IRN that is fitted in no time."""
TINY_PRORL: dict[str, Any] = {
    "embedding_dim": 8,
    "n_layers": 1,
    "inner_dim": 16,
    "history_len": 1,
    "max_path_len": 3,
    "largest_share": 1.0,
    "judge": {"embedding_dim": 8, "max_seq_len": 6, "stopping": {"n_epochs": 1}},
    "pretraining": {"stopping": {"n_epochs": 1}},
    "reinforcing": {"n_prompts": 4, "n_samples": 2, "n_steps": 2, "stopping": {"n_epochs": 2}},
}
"""Options of a ProRL that is fitted in no time."""


class Toy(NamedTuple):
    """Eleven users, fourteen items, random vectors; the last user has everything but two items."""

    dataset: Dataset
    user_vectors: Tensor  # (11, 6), hidden interest
    item_vectors: Tensor  # (15, 6)
    encoder: SASRec  # of 8 dimensions
    intents: Intents  # in the encoder's space

    @property
    def items(self) -> Items:
        """The catalogue."""
        return self.dataset.items

    def sorted(self) -> Self:
        """The same with items in two categories, by which ProRL links neighbours."""
        known, categories = self.dataset.histories, [["even"], ["odd"]] * (len(self.items) // 2)
        rows = [known.of(user).tolist() for user in range(self.dataset.n_users)]
        return self._replace(dataset=dataset_of(rows, categories))

    def ingredients(self, folder: Path | None = None, **options: Any) -> ToyIngredients:
        """What a policy is built from; models of its own are fitted in `folder`."""
        vectors = self.item_vectors
        return ToyIngredients(self.dataset, self.encoder, self.intents, vectors, folder, options)

    def users(self, padding: Side = "left") -> Users:
        """Everybody; every other one has had an item since the fit, the last two came after it."""
        data, everybody = self.dataset, np.arange(self.dataset.n_users)
        then, now = data.before("train"), data.before("test")
        known = np.where(everybody < len(everybody) - N_NEWCOMERS, everybody, -1)
        history = histories_of([(now if u % 2 else then).of(u) for u in range(len(everybody))])
        nobody = np.zeros(len(everybody), bool)
        return Users(keys_of(data.user_ids), known, history, nobody, padding)

    def begun(self, n_rounds: int = N_ROUNDS, padding: Side = "left") -> Journeys:
        """Journeys of everybody to three targets, before their first round."""
        user = torch.arange(self.dataset.n_users).repeat(len(TARGETS))
        target_idx = torch.from_numpy(TARGETS).repeat_interleave(self.dataset.n_users)
        return Journeys.begun(self.users(padding), user, target_idx, n_rounds)

    def journeys(
        self, n_rounds: int = N_ROUNDS, padding: Side = "left", *, seed: int = 0
    ) -> Journeys:
        """The same on their way, in a mix of rounds; some answers are not known yet."""
        begun, draw = self.begun(n_rounds, padding), generator(seed, "toy journeys")
        shape = begun.shown.shape
        shown = np.zeros(shape, np.int64)
        for row, user in enumerate(begun.user_rows):
            had = begun.users.history.of(user)
            left = draw.permutation(np.setdiff1d(np.arange(1, len(self.items) + 1), had))
            shown[row, : len(left)] = left[:n_rounds]
        shown *= draw.random(shape) < 0.9  # or nothing was shown
        answer = draw.choice([ACCEPTED, REFUSED, UNKNOWN], shape, p=[0.4, 0.45, 0.15])
        answer = np.where(shown > 0, answer, UNKNOWN).astype(np.int8)
        guided = (shown > 0) & (draw.random(shape) < 0.8)
        whole = begun._replace(
            shown=torch.from_numpy(shown),
            answer=torch.from_numpy(answer),
            guided=torch.from_numpy(guided),
        )
        return whole.before(torch.from_numpy(draw.integers(1, n_rounds + 1, len(shown))))

    def world(self, options: WorldOptions | None = None, *, seed: int = 0) -> World:
        """The simulated users."""
        return World(
            self.dataset, self.user_vectors, self.item_vectors, TARGETS, options, seed=seed
        )

    def minds(self, n_rounds: int = N_ROUNDS) -> Minds:
        """What oracles read of the users of :meth:`begun`, by the number of the journey."""
        environment, journeys = Environment(self.world()), self.begun(n_rounds)
        targets = journeys.target_idx.numpy()
        environment.reset(journeys.user_rows, targets, n_rounds=n_rounds)
        return environment.minds()


def toy() -> Toy:
    """The toy world, always the same."""
    n_users, n_items, dim = 10, 14, 8
    draw = np.random.default_rng(4)
    histories = [(draw.permutation(n_items)[: 3 + u % 8] + 1).tolist() for u in range(n_users)]
    histories[0][-1:] = [i for i in range(1, n_items + 1) if i not in histories[0]][:1]
    rng = torch.Generator().manual_seed(8)
    encoder = encoder_of(
        unit(rng, n_items + 1, dim, padding=True), max_seq_len=5, n_layers=2, n_heads=2, dropout=0.5
    )
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if "items" not in name:  # the start is too small to tell histories apart
                weight.add_(0.5 * torch.randn(weight.shape, generator=rng))
    return Toy(
        dataset_of([*histories, list(range(1, n_items + 1))]),
        unit(rng, n_users + 1, 6, padding=False),
        unit(rng, n_items + 1, 6, padding=True),
        encoder,
        Intents(unit(rng, 4, dim, padding=False)),
    )


def dataset_of(
    histories: Sequence[Sequence[int]], categories: Sequence[Sequence[str]] | None = None
) -> Dataset:
    """Users with these items, oldest first; items are called by their number."""
    rows = [(str(u), str(i), t) for u, items in enumerate(histories) for t, i in enumerate(items)]
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    ids = sorted({item for _, item, _ in rows}, key=int)
    lists = pl.Series(categories or [["all"]] * len(ids), dtype=pl.List(pl.String))
    items = pl.DataFrame({"item_id": ids, "title": ids}).with_columns(categories=lists)
    events = Interactions(pl.DataFrame(rows, schema=schema, orient="row"))
    return Dataset.build("toy", events, Catalogue(items))


def encoder_of(item_vectors: Tensor, **options: Any) -> SASRec:
    """An untrained encoder with these item vectors (n_items + 1, d), row 0 being padding."""
    given = {"n_heads": 1, "max_seq_len": 4, **options}
    encoder = SASRec(
        len(item_vectors) - 1, EncoderOptions(embedding_dim=item_vectors.shape[1], **given)
    )
    encoder.start(0, item_vectors)
    return encoder.eval()


def histories_of(items: Sequence[Sequence[int] | IntArray]) -> Histories:
    """Users with these inside indices, oldest first."""
    lengths = [len(of_user) for of_user in items]
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    return Histories(offsets, np.concatenate([np.asarray(i, np.int64) for i in items]))


def unit(rng: torch.Generator, n_rows: int, dim: int, *, padding: bool) -> Tensor:
    """Random unit rows (n_rows, dim); with `padding` the first is zero."""
    x = F.normalize(torch.randn(n_rows, dim, generator=rng), dim=1)
    if padding:
        x[0] = 0
    return x
