"""RecBole's SASRec, run by `recbole_sasrec.py` in RecBole's own environment: one job, one seed.

Usage: RECBOLE_ENV/bin/python benchmarks/recbole_side.py JOB.json, with src on PYTHONPATH.
RecBole reads and splits the atomic file, makes its prefixes, builds its model, optimizer and
batches, and runs its epochs; proactrec's training loop decides when to stop, keeps a checkpoint
after every epoch, and proactrec's ranking measures. Prints JSON as its last line.

Importing any sequential model of RecBole 1.2.1 turns autograd's anomaly detection on for all of
them (a line at the head of its sine.py). That is kept where RecBole is timed as it comes.
:func:`quicken` makes the same mathematics several times as fast on a CPU.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from recbole.config import Config  # type: ignore[import-not-found]
from recbole.data import create_dataset, data_preparation  # type: ignore[import-not-found]
from recbole.model.sequential_recommender.sasrec import SASRec  # type: ignore[import-not-found]
from recbole.trainer import Trainer  # type: ignore[import-not-found]
from recbole.utils import init_seed  # type: ignore[import-not-found]
from torch import Tensor, nn
from torch.nn import functional as F

from proactrec.data.dataset import Dataset, Histories
from proactrec.encoders.layers import dropout
from proactrec.ranking import answer_places, ndcg
from proactrec.training import StoppingOptions, train
from proactrec.types import IntArray


class Side:
    """RecBole's data, model and trainer for one seed."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.known = histories(Path(job["data_path"]) / job["name"] / f"{job['name']}.inter")
        config = Config(model="SASRec", dataset=job["name"], config_dict=settings(job))
        init_seed(job["seed"], reproducibility=True)
        self.data = create_dataset(config)
        self.train, self.validation, self.test = data_preparation(config, self.data)
        self.model = SASRec(config, self.train.dataset)
        self.trainer = Trainer(config, self.model)
        self.loss: Callable[[Any], Tensor] | None = None  # RecBole's
        self._check()

    def epoch(self, rng: torch.Generator) -> float:
        """One pass over all prefixes in an order of `rng`; the mean loss of its batches."""
        self.train.generator.manual_seed(rng.initial_seed())
        total: float = self.trainer._train_epoch(self.train, 0, self.loss)
        return total / len(self.train)

    @torch.no_grad()
    def scores(self, loader: Any) -> Tensor:
        """Scores in proactrec's numbering, (n_users, n_items + 1)."""
        self.model.eval()
        found = torch.zeros(self.known.n_users, self.known.n_items + 1)
        columns = self._columns()
        for batch, *_ in loader:
            scores = self.model.full_sort_predict(batch)
            found[torch.from_numpy(self._users(batch))] = scores[:, columns]
        return found

    def validation_score(self) -> float:
        """NDCG@20 of the validation items among unseen ones, as proactrec's encoders have it."""
        scores = self.scores(self.validation)
        place = answer_places(
            lambda rows: scores[torch.from_numpy(rows)],
            self.known.answers("validation"),
            self.known.before("validation"),
            self.known.n_items + 1,
        )
        return ndcg(place, 20)

    def _columns(self) -> Tensor:
        ids = self.data.token2id("item_id", [str(i) for i in range(1, self.known.n_items + 1)])
        return torch.from_numpy(np.concatenate([[0], ids]))

    def _users(self, batch: Any) -> IntArray:
        users: IntArray = self.data.id2token("user_id", batch["user_id"].numpy()).astype(np.int64)
        return users

    def _check(self) -> None:
        """Same users, items, train targets and held-out items as proactrec's split."""
        targets = self.known.before("train").lengths - 1
        same = [self.data.item_num == self.known.n_items + 1]
        same.append(len(self.train.dataset) == targets.sum())
        splits: tuple[tuple[Any, Literal["validation", "test"]], ...]
        splits = ((self.validation, "validation"), (self.test, "test"))
        for loader, split in splits:
            answers = np.zeros(self.known.n_users, np.int64)
            for batch, *_ in loader:
                items = self.data.id2token("item_id", batch["item_id"].numpy())
                answers[self._users(batch)] = items.astype(np.int64)
            same.append((answers == self.known.answers(split)).all())
        assert all(same), f"RecBole's split is another one: {same}"


def histories(path: Path) -> Dataset:
    """The atomic file as a proactrec data set without ids, titles and categories."""
    user_idx, item_idx, _ = np.loadtxt(path, dtype=np.int64, skiprows=1, unpack=True)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(user_idx))])
    users = tuple(str(user) for user in range(len(offsets) - 1))
    items = tuple(str(item) for item in range(1, item_idx.max() + 1))
    sequences = Histories(offsets, item_idx)
    return Dataset(path.stem, users, items, (), (), sequences, np.zeros_like(item_idx))


def settings(job: dict[str, Any]) -> dict[str, Any]:
    """RecBole's configuration; what is not named here is its default."""
    return {
        "data_path": job["data_path"],
        "checkpoint_dir": job["data_path"],
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
        "train_neg_sample_args": None,
        "metrics": ["Hit", "NDCG"],
        "valid_metric": "NDCG@10",
        "metric_decimal_place": 6,
        "gpu_id": "",
        "show_progress": False,
        "seed": job["seed"],
        **job["settings"],
    }


class LastLayer(nn.Module):
    """RecBole's last layer, for the one position of every row that is read."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.attention, self.feed_forward = layer.multi_head_attention, layer.feed_forward
        self.at = torch.zeros(0, dtype=torch.long)  # (B,) position read

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The state of position `at`, (B, 1, d)."""
        part, rows = self.attention, torch.arange(len(x))
        newest = x[rows, self.at]  # (B, d)
        query, key, value = (
            linear(y).unflatten(2, (part.num_attention_heads, -1)).transpose(1, 2)
            for linear, y in ((part.query, newest[:, None]), (part.key, x), (part.value, x))
        )  # (B, n_heads, 1 or L, d / n_heads)
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
        scores = scores + mask[rows, :, self.at][:, :, None]
        context = (part.attn_dropout(scores.softmax(3)) @ value).flatten(1)
        attended = part.LayerNorm(part.out_dropout(part.dense(context)) + newest)
        state: Tensor = self.feed_forward(attended)[:, None]
        return state


class Dropout(nn.Module):
    """Proactrec's dropout, without PyTorch's slow generator."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """The input, in training with a share of `rate` set to zero."""
        return dropout(x, self.rate) if self.training else x


def quicken(side: Side) -> None:
    """Same model and gradients in less time: checked against RecBole's own states.

    No anomaly detection; small blocks of like lengths without their common padding; the last layer
    for the last position only; dropout and gelu that are made faster.
    """
    torch.autograd.set_detect_anomaly(False)
    batch = next(iter(side.test))[0]
    side.model.eval()
    with torch.no_grad():
        expected = side.model.full_sort_predict(batch)
    _replace(side.model)
    side.model.eval()
    with torch.no_grad():
        difference = (side.model.full_sort_predict(batch) - expected).abs().max()
    assert difference < 1e-4 * expected.abs().max(), f"other scores: by {difference}"
    side.loss = lambda batch: _loss_in_blocks(side.model, batch)


def _replace(model: Any) -> None:
    last, forward = LastLayer(model.trm_encoder.layer[-1]), model.forward
    model.trm_encoder.layer[-1] = last

    def forward_to_last(item_seq: Tensor, item_seq_len: Tensor) -> Tensor:
        last.at = item_seq_len - 1
        states: Tensor = forward(item_seq, item_seq_len)
        return states

    model.forward = forward_to_last
    model.gather_indexes = lambda states, _: states.squeeze(1)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(module, name, Dropout(child.p))
        if hasattr(module, "intermediate_act_fn"):
            module.intermediate_act_fn = F.gelu


def _loss_in_blocks(model: Any, batch: Any) -> Tensor:
    """The batch's loss; gradients of all blocks but the last are in place already."""
    *others, last = batch["item_length"].argsort().split(128)

    def share(rows: Tensor) -> Tensor:
        block = batch[rows]
        block["item_id_list"] = block["item_id_list"][:, : int(block["item_length"].max())]
        loss: Tensor = model.calculate_loss(block) * (len(rows) / len(batch))
        return loss

    total = torch.zeros(())
    for rows in others:
        loss = share(rows)
        loss.backward()
        total += loss.detach()
    return share(last) + total


def timings(side: Side) -> dict[str, dict[str, float]]:
    """One training epoch without validation: as RecBole comes, without anomaly detection, quick."""
    found = {"RecBole": timed_epoch(side)}
    torch.autograd.set_detect_anomaly(False)
    found["RecBole, no anomaly detection"] = timed_epoch(side)
    quicken(side)
    found["RecBole, quickened"] = timed_epoch(side)
    return found


def timed_epoch(side: Side) -> dict[str, float]:
    """Wall and processor seconds of one training epoch, without validation."""
    start, cpu = time.perf_counter(), time.process_time()
    side.epoch(torch.Generator().manual_seed(0))
    found = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    print(f"RecBole epoch: {found}", file=sys.stderr, flush=True)
    return found


def trained(side: Side, job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train until validation stops rising; leave the scores of the best epoch in `folder`."""
    clock, last, parent = folder / "epochs.jsonl", time.process_time(), os.getppid()

    def progress(stage: str, done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.process_time()
        print(f"{stage} {done}/{total} {note}, {now - last:.0f} CPU s", file=sys.stderr, flush=True)
        with clock.open("a") as lines:
            lines.write(json.dumps({"epoch": done, "cpu_seconds": now - last}) + "\n")
        last = now
        if os.getppid() != parent:
            sys.exit("whoever started this is gone; another run may be using its checkpoint")

    record = train(
        side.model,
        side.trainer.optimizer,
        run_epoch=side.epoch,
        validate=side.validation_score,
        stopping=StoppingOptions(n_epochs=job["epochs"], patience=job["patience"]),
        seed=job["seed"],
        stage=f"RecBole seed {job['seed']}",
        checkpoint=folder / "checkpoint.safetensors",
        progress=progress,
    )
    for name, loader in (("validation", side.validation), ("test", side.test)):
        np.save(folder / f"{name}.npy", side.scores(loader).numpy())
    # An epoch that was killed after its line was run again: the last line of it counts.
    rows = [json.loads(line) for line in clock.read_text().splitlines()]
    seconds = {row["epoch"]: row["cpu_seconds"] for row in rows}
    return {
        "epochs": len(record.epochs),
        "best_epoch": record.best.epoch + 1,
        "validation_ndcg@20": record.best.score,
        "cpu_seconds": sum(seconds[epoch + 1] for epoch in range(len(record.epochs))),
        "own_evaluator": side.trainer.evaluate(side.test, load_best_model=False),
        "losses": [epoch.loss for epoch in record.epochs],
        "scores": [epoch.score for epoch in record.epochs],
    }


def main() -> None:
    """Do the job; JSON on standard output."""
    path = Path(sys.argv.pop(1))  # RecBole reads the command line too
    job = json.loads(path.read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    side = Side(job)
    if job["quick"]:
        quicken(side)
    result = timings(side) if job["timing"] else trained(side, job, path.parent)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
