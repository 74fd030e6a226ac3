"""What fit_at_size.py measures, each in a process of its own, on one thread.

Usage: python benchmarks/fit_stages.py '{"kind": "stage", "log": "runs/fit/log.npz", …}'
Prints what was found as JSON, in the last line.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

import proactrec.encoders.fitting as fitting
import proactrec.graphau as graphau
import proactrec.policies.together as together
import proactrec.ranking as ranking
from proactrec.data.dataset import Dataset, Histories
from proactrec.data.load import load_dataset
from proactrec.encoders.base import Batch, EncoderOptions
from proactrec.encoders.fitting import evaluate_next_item, fit_encoder, optimizer_for
from proactrec.encoders.sasrec import SASRec
from proactrec.graphau import GraphAU, GraphAUOptions, fit_graphau, spread
from proactrec.policies.views import companions
from proactrec.rng import generator
from proactrec.tables import adam
from proactrec.training import StoppingOptions, mean_loss

N_CLUSTERS, TASTES = 500, 4
"""Groups of items, and those that a user goes by."""
CURIOUS = 0.2
"""Share of a user's items that are from anywhere."""
N_STEPS = {"graphau": 12, "sasrec": 6}
"""Steps that are timed, after two that are not."""
EPOCH_SHARE = 0.25
FEW_EPOCHS = {"graphau": 12, "sasrec": 8}
SMALL_SASREC = {"item_start": "random", "batch_size": 64, "learning_rate": 3e-3, "dropout": 0.2}
DIM = 64


def main() -> None:
    """Measure one cell."""
    torch.set_num_threads(1)
    cell = json.loads(sys.argv[1])
    print(json.dumps(KINDS[cell.pop("kind")](**cell)))


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What work gives, and its seconds by the clock and of the processor."""
    start, cpu = time.perf_counter(), time.process_time()
    given = work()
    spent = time.perf_counter() - start, time.process_time() - cpu
    return given, {"seconds": spent[0], "cpu_seconds": spent[1]}


def log(path: str, n_users: int, n_items: int, n_interactions: int) -> dict[str, int]:
    """Write a random log: users go by a few groups of items, in each of which few are popular.

    Lengths are log-normal; nobody has an item twice.
    """
    rng = generator(0, "fit at size")
    drawn = rng.lognormal(0.0, 0.7, n_users)
    lengths = np.maximum(5, drawn * (1.05 * n_interactions / drawn.sum())).astype(np.int64)
    shuffled = rng.permutation(n_items) + 1
    parts = [
        one_part(rng, lengths[start : start + 5000], shuffled) for start in range(0, n_users, 5000)
    ]
    kept, items = (np.concatenate(column) for column in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(kept)])
    np.savez(path, offsets=offsets, items=items.astype(np.int32), n_items=n_items)
    return {"n_interactions": len(items), "longest": int(kept.max())}


def one_part(
    rng: np.random.Generator, lengths: np.ndarray, shuffled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the histories of some users, and their items one after the other."""
    n_items = len(shuffled)
    user = np.repeat(np.arange(len(lengths)), 2 * lengths)
    tastes = rng.integers(N_CLUSTERS, size=(len(lengths), TASTES))
    cluster = tastes[user, rng.integers(TASTES, size=len(user))]
    size = n_items // N_CLUSTERS
    place = cluster * size + (size * rng.random(len(user)) ** 2).astype(np.int64)
    anywhere = rng.integers(n_items, size=len(user))
    place = np.where(rng.random(len(user)) < CURIOUS, anywhere, place)
    first = np.sort(np.unique(user * n_items + place, return_index=True)[1])
    user, item = user[first], shuffled[place[first]]
    nth = np.arange(len(user)) - np.searchsorted(user, user)
    kept = nth < lengths[user]
    return np.bincount(user[kept], minlength=len(lengths)), item[kept]


def read_log(path: str, share: float) -> Dataset:
    """The data set of the first users of a log."""
    with np.load(path) as saved:
        n_users = round(share * (len(saved["offsets"]) - 1))
        offsets, n_items = saved["offsets"][: n_users + 1], int(saved["n_items"])
        items = saved["items"][: offsets[-1]].astype(np.int64)
    item_ids = tuple(str(item) for item in range(1, n_items + 1))
    user_ids = tuple(str(user) for user in range(n_users))
    categories: tuple[tuple[str, ...], ...] = ((),) * n_items
    times = np.zeros(len(items), np.int64)
    known = Histories(offsets, items)
    return Dataset("random log", user_ids, item_ids, item_ids, categories, known, times)


def stage(name: str, log: str, share: float) -> dict[str, Any]:
    """One stage of a fit on a share of the users: an epoch, or the whole of the companions.

    Of an epoch `EPOCH_SHARE` of the batches are stepped, and their time is counted as many times.
    """
    dataset = read_log(log, share)
    notes: list[str] = []
    steps: list[dict[str, float]] = []

    def few(optimizer: torch.optim.Optimizer, losses: Iterator[Tensor]) -> float:
        batches = math.ceil(EPOCH_SHARE * n_batches[name])
        loss, taken = timed(lambda: mean_loss(optimizer, islice(losses, batches)))
        steps.append(taken)
        return float(loss)

    for module in (graphau, fitting):
        vars(module)["mean_loss"] = few
    n_train = len(dataset.before("train").item_idx)
    n_batches = {
        "graphau": n_train / GraphAUOptions().batch_size,
        "sasrec": dataset.n_users / EncoderOptions().batch_size,
    }

    def told(stage: str, done: int, total: int, note: str = "") -> None:
        notes.append(note)

    once = StoppingOptions(n_epochs=1)
    sasrec = {"item_start": "random", "stopping": once.model_dump()}
    work: dict[str, Callable[[], Any]] = {
        "graphau": lambda: fit_graphau(dataset, GraphAUOptions(stopping=once), progress=told),
        "sasrec": lambda: fit_encoder("sasrec", dataset, options=sasrec, progress=told),
        "companions": lambda: companions(dataset, DIM),
    }
    _, spent = timed(work[name])
    for taken in steps:
        spent = {key: value + (1 / EPOCH_SHARE - 1) * taken[key] for key, value in spent.items()}
    about = {"n_users": dataset.n_users, "n_interactions": dataset.n_interactions}
    return {**about, **spent, "note": notes[-1] if notes else ""}


def steps(model: str, n_rows: int, table_steps: str) -> dict[str, float]:
    """Time of a training step, tables of users and items having so many rows."""
    losses, optimizer = {"graphau": graphau_steps, "sasrec": sasrec_steps}[model](
        n_rows, table_steps
    )
    n = N_STEPS[model]
    mean_loss(optimizer, (next(losses) for _ in range(2)))
    _, spent = timed(lambda: mean_loss(optimizer, (next(losses) for _ in range(n))))
    return {name: value / n for name, value in spent.items()}


def graphau_steps(n_rows: int, table_steps: str) -> tuple[Iterator[Tensor], torch.optim.Optimizer]:
    """Losses of random edges, and what steps on them."""
    options = GraphAUOptions(table_steps=table_steps)
    model = GraphAU(n_rows, n_rows - 1, None, options, seed=0)
    rng = torch.Generator().manual_seed(0)
    optimizer = adam(
        model.parameters(),
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
        touched=model.touched,
    )

    def losses() -> Iterator[Tensor]:
        while True:
            yield model.loss(*torch.randint(1, n_rows, (2, options.batch_size), generator=rng))

    return losses(), optimizer


def sasrec_steps(n_rows: int, table_steps: str) -> tuple[Iterator[Tensor], torch.optim.Optimizer]:
    """Losses of random full windows, and what steps on them."""
    options = EncoderOptions(table_steps=table_steps)
    encoder = SASRec(n_rows - 1, options)
    encoder.start(0, None)
    encoder.train()
    rng = torch.Generator().manual_seed(0)
    shape = 3, options.batch_size, options.max_seq_len

    def losses() -> Iterator[Tensor]:
        while True:
            yield encoder.loss(Batch(*torch.randint(1, n_rows, shape, generator=rng)), rng)

    return losses(), optimizer_for(encoder)


def ranked(n_users: int, n_items: int, block_users: int) -> dict[str, float]:
    """Seconds of ranking answers of users among items by random vectors, so many at once."""
    rng = torch.Generator().manual_seed(0)
    users, items = (torch.randn(n, DIM, generator=rng) for n in (n_users, n_items + 1))
    answers = torch.randint(1, n_items, (n_users,), generator=rng).numpy()
    nothing = Histories(np.zeros(n_users + 1, np.int64), np.zeros(0, np.int64))
    ranking.BLOCK_USERS = block_users
    _, spent = timed(
        lambda: ranking.answer_places(
            lambda rows: users[torch.from_numpy(rows)] @ items.T, answers, nothing, n_items + 1
        )
    )
    return spent


def quality(
    model: str, dataset: str, table_steps: str, seed: int, data_dir: str | None
) -> dict[str, float]:
    """How held-out items are ranked after few epochs."""
    data = load_dataset(dataset, data_dir=data_dir)
    stopping = StoppingOptions(n_epochs=FEW_EPOCHS[model])
    if model == "graphau":
        options = GraphAUOptions(table_steps=table_steps, stopping=stopping)
        vectors, _ = fit_graphau(data, options, seed=seed)
        figures = spread(data, vectors)["validation"]
        return {name: figures[name] for name in ("hr@20", "ndcg@20")}
    chosen = {**SMALL_SASREC, "table_steps": table_steps, "stopping": stopping.model_dump()}
    encoder, _ = fit_encoder("sasrec", data, options=chosen, seed=seed)
    figures = evaluate_next_item(encoder, data, "test")
    return {name: figures[name] for name in ("hr@10", "ndcg@10")}


def companions_quality(dataset: str, kept: int, data_dir: str | None) -> dict[str, Any]:
    """Validation items ranked by companions as today, and as at size, of an item `kept` pairs."""
    data = load_dataset(dataset, data_dir=data_dir)
    today = gains_of(data)
    together.COUNTED_PAIRS, together.KEPT_PAIRS = 0, kept * (data.n_items + 1)
    at_size = gains_of(data)
    difference = at_size - today
    error = 1.96 * difference.std() / math.sqrt(len(difference))
    found = {"today": today, "at_size": at_size, "difference": difference}
    longest = int(data.before("train").lengths.max())
    return {
        **{name: float(gains.mean()) for name, gains in found.items()},
        "interval": float(error),
        "longest": longest,
        "n_items": data.n_items,
    }


def gains_of(dataset: Dataset) -> np.ndarray:
    """NDCG@20 of every user's validation item by companions."""
    users, items = companions(dataset, DIM)
    place = ranking.answer_places(
        lambda rows: users[torch.from_numpy(rows)] @ items.T,
        dataset.answers("validation"),
        dataset.before("validation"),
        dataset.n_items + 1,
    )
    return np.where(place < 20, 1 / np.log2(place + 2.0), 0.0)


KINDS: dict[str, Callable[..., dict[str, Any]]] = {
    "log": log,
    "stage": stage,
    "steps": steps,
    "ranked": ranked,
    "quality": quality,
    "companions": companions_quality,
}

if __name__ == "__main__":
    main()
