"""ProRL where the best path is known: clusters on a line, which users follow one step at a time."""

import numpy as np
import pytest
import torch
from torch import Tensor

from proactrec.prorl.fitting import Asked, greedy_paths, greedy_worth, pretrain, reinforce
from proactrec.prorl.mining import Prompts
from proactrec.prorl.network import ProRL
from proactrec.prorl.options import ProRLOptions
from proactrec.prorl.rewards import LEAST_DEVIATION, Judged, learn_centre
from proactrec.rng import generator

N_CLUSTERS, SIZE, N_MOST = 4, 12, 6
N_ITEMS = N_CLUSTERS * SIZE
OPTIONS = {
    "embedding_dim": 32,
    "inner_dim": 64,
    "n_layers": 1,
    "n_heads": 2,
    "dropout": 0.0,
    "item_start": "random",
    "max_path_len": N_MOST,
    "pretraining": {
        "learning_rate": 3e-3,
        "warm_up_steps": 20,
        "stopping": {"n_epochs": 4, "patience": 4},
    },
}


def prompts_of(n: int, purpose: str) -> Prompts:
    """Ten items of cluster 0, a target in cluster 3, and a path that ends with chance 1/4."""
    rng = generator(0, purpose)
    history = np.stack([rng.permutation(SIZE)[:10] + 1 for _ in range(n)])
    target = rng.integers(N_ITEMS - SIZE + 1, N_ITEMS + 1, n)
    path = np.zeros((n, N_MOST), np.int64)
    for row in range(n):
        taken = np.append(history[row], target[row])
        free = np.setdiff1d(np.arange(1, N_ITEMS + 1), taken)
        n_items = min(N_MOST, rng.geometric(1 / 4))
        path[row, :n_items] = rng.permutation(free)[:n_items]
    return Prompts(np.arange(n), history, path, target)


def chance(distance: Tensor) -> Tensor:
    return torch.sigmoid(2 - 3 * (distance - 1).clamp(min=0))


def judge(history: Tensor, target: Tensor, path: Tensor) -> Judged:
    """A user at cluster x follows an item of cluster d if |d - x| is at most 1."""
    x, found = torch.zeros(len(path)), []
    for item_idx in path.T:
        cluster, is_item = (item_idx - 1) // SIZE, item_idx > 0
        distance = (cluster - x).abs()
        moved = torch.where((distance <= 1) & is_item, cluster.float(), x)
        found.append(torch.stack([moved - x, 20 * (moved - x), chance(distance) * is_item]))
        x = moved
    return Judged(*torch.stack(found, 2))


def best_worth(model: ProRL) -> float:
    """Worth of the best path, by dynamic programming over cluster and position."""
    deviation = (model.reward_squares / model.reward_count).sqrt().clamp(min=LEAST_DEVIATION)
    is_centred = model.options.reinforcing.centring == "frozen"
    mean = model.reward_mean * is_centred
    cluster = torch.arange(N_CLUSTERS, dtype=torch.float64)
    move = cluster[None, :] - cluster[:, None]  # from, to
    gain = move * (move.abs() <= 1)
    parts = torch.stack([gain, 20 * gain, chance(move.abs())], 2)
    reward = ((parts - mean) / deviation * torch.tensor([1, 1, 1 / N_MOST])).sum(2)
    stays = (move.abs() > 1).nonzero()
    value = torch.zeros(N_CLUSTERS, dtype=torch.float64)
    for number in range(N_MOST, 0, -1):
        after = value.expand(N_CLUSTERS, -1).clone()
        after[stays[:, 0], stays[:, 1]] = value[stays[:, 0]]
        value = (reward + after).max(1).values
        if number > 1:
            value = value.clamp(min=0)
    return float(value[0])


@pytest.fixture(scope="module")
def started() -> ProRL:
    """Taught to write about uniformly, and to end with chance 1/4; rewards centred on that."""
    model = ProRL(N_ITEMS, ProRLOptions(**OPTIONS))
    model.start(0)
    taught = prompts_of(2000, "taught")
    pretrain(model, taught, prompts_of(200, "validated"))
    parts = taught.history, taught.target, taught.path
    history, target, path = (torch.from_numpy(part) for part in parts)
    learn_centre(model, judge(history, target, path), path)
    model.is_frozen.fill_(value=True)
    return model


@pytest.mark.parametrize("centring", ["frozen", "none"])
def test_reinforced_planner_walks_to_the_target_and_stops_unless_length_pays(
    started: ProRL, centring: str
) -> None:
    """The bias of raw rewards stands in the optimum itself: without a centre it has length 6."""
    given = {
        "centring": centring,
        "n_prompts": 16,
        "n_samples": 16,
        "n_steps": 30,
        "learning_rate": 2e-3,
        "warm_up_steps": 15,
        "stopping": {"n_epochs": 4, "patience": 4},
    }
    model = ProRL(N_ITEMS, ProRLOptions(**OPTIONS, reinforcing=given))
    model.load_state_dict(started.state_dict())
    own, held_out = prompts_of(2000, "prompts"), prompts_of(100, "held out")

    def ask(rng: torch.Generator) -> Asked:
        rows = torch.randint(len(own.target), (16,), generator=rng).numpy()
        return Asked(*(torch.from_numpy(part[rows]) for part in (own.history, own.target)))

    asked = Asked(torch.from_numpy(held_out.history), torch.from_numpy(held_out.target))
    record = reinforce(model, judge, ask, asked)
    n_items = (greedy_paths(model, asked) != 0).sum(1).double()
    worth, best = greedy_worth(model, judge, asked), best_worth(model)
    assert worth == pytest.approx(record.best.score)
    assert worth >= 0.95 * best
    if centring == "frozen":
        assert best == pytest.approx(8.3, rel=0.05)
        assert ((n_items == 3) | (n_items == 4)).double().mean() >= 0.9
    else:
        assert best == pytest.approx(13.4, rel=0.05)
        assert n_items.mean() >= 5.5
