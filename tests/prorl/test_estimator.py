"""ProRL's gradient beside the exact one, of a policy whose paths can all be counted."""

from itertools import product
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from proactrec.prorl.estimator import advantages, exact_kl, is_action, returns
from proactrec.prorl.options import Estimator

N_ITEMS, N_MOST = 3, 3
PATHS = [path for n in range(1, N_MOST + 1) for path in product(range(1, N_ITEMS + 1), repeat=n)]
DRAWN = torch.Generator().manual_seed(5)
START = 0.7 * torch.randn(N_MOST, N_ITEMS + 1, generator=DRAWN, dtype=torch.float64)
WORTH = torch.randn(N_MOST, N_ITEMS + 1, N_ITEMS + 1, generator=DRAWN, dtype=torch.float64)
"""Reward of an item by its position and the item before it."""


class Sampled(NamedTuple):
    path: Tensor  # (B, n, T)
    n_items: Tensor  # (B, n)


def log_policy(table: Tensor) -> Tensor:
    """Log-probabilities of end (column 0) and items by position; no end before the first item."""
    first = torch.zeros_like(table)
    first[0, 0] = -torch.inf
    return (table + first).log_softmax(1)


def sample(table: Tensor, shape: tuple[int, int], rng: torch.Generator) -> Sampled:
    chance = log_policy(table).exp()
    drawn = [torch.multinomial(p, shape[0] * shape[1], True, generator=rng) for p in chance]
    path = torch.stack([one.view(shape) for one in drawn], 2)
    path = path * (path != 0).cumprod(2)
    return Sampled(path, (path != 0).sum(2))


def worth_of(path: Tensor) -> Tensor:
    """Rewards of items, 0 after the end: (B, n, T)."""
    before = torch.cat([torch.zeros_like(path[..., :1]), path[..., :-1]], -1)
    return WORTH[torch.arange(N_MOST), before, path] * (path != 0)


def exact_gradient(worth: Tensor) -> Tensor:
    """Gradient of the expected sum of rewards, over all paths."""
    table = START.clone().requires_grad_()
    log, total = log_policy(table), torch.zeros((), dtype=torch.float64)
    for path in PATHS:
        row = torch.tensor([*path, *[0] * (N_MOST - len(path))])[None, None]
        actions = [log[k, item] for k, item in enumerate(path)]
        if len(path) < N_MOST:
            actions.append(log[len(path), 0])
        rewards = worth[torch.arange(N_MOST), torch.cat([row[..., :1] * 0, row[..., :-1]], -1), row]
        total = total + torch.stack(actions).sum().exp() * (rewards * (row != 0)).sum()
    (found,) = torch.autograd.grad(total, table)
    return found


def gradients(table: Tensor, drawn: Sampled, weight: Tensor) -> Tensor:
    """Estimates of every group, weight times score: (B, T, n_items + 1)."""
    one_hot = torch.nn.functional.one_hot(drawn.path, N_ITEMS + 1)
    score = one_hot - log_policy(table).exp()  # (B, n, T, n_items + 1)
    return (score * weight[:, :, :N_MOST, None]).mean(1)


def estimates(kind: Estimator, n_groups: int = 20_000, **options: bool) -> Tensor:
    drawn = sample(START, (n_groups, 8), torch.Generator().manual_seed(1))
    weight = advantages(worth_of(drawn.path), drawn.n_items, kind, **options)
    return gradients(START, drawn, weight)


@pytest.mark.parametrize(
    ("kind", "own", "least"),
    [
        ("prorl", True, 0.98),
        ("prorl", False, 0.99),
        ("rtg", True, 0.98),
        ("reinforce", True, 0.98),
    ],
)
def test_estimates_point_along_the_exact_gradient(kind: Estimator, own: bool, least: float) -> None:
    mean, exact = estimates(kind, own_return=own).mean(0).flatten(), exact_gradient(WORTH).flatten()
    assert float(torch.cosine_similarity(mean, exact, dim=0)) >= least


def test_leaving_the_own_return_out_leaves_no_bias() -> None:
    """Within three standard errors of the exact gradient but where a sample is alone."""
    found = estimates("prorl", own_return=False)
    ratio = found.mean(0).norm() / exact_gradient(WORTH).norm()
    shrunk = estimates("prorl").mean(0).norm() / exact_gradient(WORTH).norm()
    assert float(shrunk) < float(ratio) <= 1.02


def test_a_baseline_of_the_position_varies_least() -> None:
    spread = {kind: float(estimates(kind).var(0).sum()) for kind in ("prorl", "rtg", "reinforce")}
    assert spread["prorl"] < spread["rtg"]
    assert spread["prorl"] < spread["reinforce"]


def test_advantages_by_hand() -> None:
    """Three samples of 2, 1 and 3 items, the last as long as paths may be."""
    reward = torch.tensor([[[1.0, 2, 0], [4, 0, 0], [1, 1, 1]]])
    n_items = torch.tensor([[2, 1, 3]])
    assert returns(reward).tolist() == [[[3, 2, 0, 0], [4, 0, 0, 0], [3, 2, 1, 0]]]
    assert is_action(n_items, 3).int().tolist() == [[[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0]]]
    found = advantages(reward, n_items)
    third = [[-1 / 3, 2 / 3, -0.5, 0], [2 / 3, -4 / 3, 0, 0], [-1 / 3, 2 / 3, 0.5, 0]]
    torch.testing.assert_close(found, torch.tensor([third]))
    others = [[-0.5, 1, -1, 0], [1, -2, 0, 0], [-0.5, 1, 1, 0]]
    found = advantages(reward, n_items, own_return=False)
    torch.testing.assert_close(found, torch.tensor([others]))
    of_prompt = [[-1 / 3] * 3 + [0], [2 / 3, 2 / 3, 0, 0], [-1 / 3] * 3 + [0]]
    torch.testing.assert_close(advantages(reward, n_items, "grpo"), torch.tensor([of_prompt]))
    alone = torch.tensor([[1, 3]])
    for own in (True, False):
        found = advantages(reward[:, 1:], alone, own_return=own)
        assert found[0, 1, 2:].tolist() == [0, 0], "alone at a position"


def test_the_published_kl_term_has_no_mean_and_the_exact_one_is_the_enumerated() -> None:
    rng = torch.Generator().manual_seed(2)
    other = log_policy(START + 0.5 * torch.randn(START.shape, generator=rng, dtype=torch.float64))
    drawn = sample(START, (20_000, 8), rng)
    acts = is_action(drawn.n_items, N_MOST)
    published = gradients(START, drawn, acts.double())  # that of l - l0, the latter being fixed
    error = published.std(0) / len(published) ** 0.5
    assert (published.mean(0).abs() <= 3 * error + 1e-12).all()
    table = START.clone().requires_grad_()
    now = log_policy(table)
    by_position = exact_kl(now, other)  # (T,)
    is_open = now.detach() > -torch.inf
    terms = [
        (p[o].exp() * (p[o] - q[o])).sum() for p, q, o in zip(now, other, is_open, strict=True)
    ]
    torch.testing.assert_close(by_position, torch.stack(terms))
    (found,) = torch.autograd.grad(by_position.sum(), table, retain_graph=True)
    (expected,) = torch.autograd.grad(torch.stack(terms).sum(), table, retain_graph=True)
    torch.testing.assert_close(found, expected)
    assert found.norm() > 0.1
    of_paths = torch.zeros((), dtype=torch.float64)
    for path in PATHS:
        actions = [*enumerate(path), *([(len(path), 0)] if len(path) < N_MOST else [])]
        p, q = (sum(log[k, a] for k, a in actions) for log in (now.detach(), other))
        of_paths += p.exp() * (p - q)
    sampled = (by_position.detach() * acts[..., :N_MOST]).sum(2).flatten()
    assert float(sampled.mean()) == pytest.approx(
        float(of_paths), abs=3 * float(sampled.std()) / len(sampled) ** 0.5
    )


def mean_length(table: Tensor) -> float:
    chance = log_policy(table).exp()
    goes_on = 1 - chance[1:, 0]
    return float(1 + goes_on.cumprod(0).sum())


def trained_length(kind: Estimator, centre: float, seed: int) -> float:
    """Mean length after 500 steps in which every item is worth 1, give or take."""
    rng, table = torch.Generator().manual_seed(seed), torch.zeros_like(START)
    for _ in range(500):
        drawn = sample(table, (16, 8), rng)
        noise = 0.3 * torch.randn(drawn.path.shape, generator=rng, dtype=torch.float64)
        reward = (1 + noise - centre) * (drawn.path != 0)
        weight = advantages(reward, drawn.n_items, kind)
        table = table + 0.2 * gradients(table, drawn, weight).mean(0)
    return mean_length(table)


def test_raw_rewards_push_the_end_down_at_every_position() -> None:
    flat = torch.ones_like(WORTH)
    assert (exact_gradient(flat)[1:, 0] < 0).all()
    assert exact_gradient(flat - 1).abs().max() == 0


@pytest.mark.parametrize("kind", ["prorl", "grpo"])
def test_without_a_centre_paths_grow_to_the_longest(kind: Estimator) -> None:
    assert trained_length(kind, 0.0, 0) >= 0.95 * N_MOST


def test_with_a_centre_length_stays_where_it_was() -> None:
    lengths = [trained_length("prorl", 1.0, seed) for seed in range(10)]
    assert sum(lengths) / 10 == pytest.approx(mean_length(torch.zeros_like(START)), rel=0.1)
