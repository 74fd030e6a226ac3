"""Paths that ProRL writes, what is said of them, and that training goes on where it stopped."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from proactrec.prorl.fitting import Asked, drawn_prompts, mined, reinforce
from proactrec.prorl.network import ProRL, load_prorl
from proactrec.prorl.options import ProRLOptions, ReinforcingOptions
from proactrec.prorl.paths import closed_by, greedy, log_probabilities, sampler, write
from proactrec.prorl.rewards import judge_by, learn_centre, rewards
from proactrec.testing.toys import TINY_PRORL, dataset_of, encoder_of

N_ITEMS, N_ROWS = 20, 64
OPTIONS = ProRLOptions(**{**TINY_PRORL, "history_len": 4, "max_path_len": 6})


@pytest.fixture(scope="module")
def model() -> ProRL:
    made = ProRL(N_ITEMS, OPTIONS)
    made.start(0)
    return made.eval()


@pytest.fixture
def asked() -> Asked:
    rng = torch.Generator().manual_seed(1)
    items = torch.stack([torch.randperm(N_ITEMS, generator=rng)[:5] + 1 for _ in range(N_ROWS)])
    items[::3, :2] = 0  # a short history
    return Asked(items[:, :4], items[:, 4])


def sampled(model: ProRL, asked: Asked, top_k: int = 0, seed: int = 2) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    closed = closed_by(model, asked.history, asked.target)
    with torch.no_grad():
        return write(model, model.read(*asked), closed, sampler(rng, top_k))


def test_paths_hold_nothing_of_the_prompt_and_nothing_twice(model: ProRL, asked: Asked) -> None:
    path, lengths = sampled(model, asked), []
    for row, history, target in zip(path.tolist(), *map(Tensor.tolist, asked), strict=True):
        items = [item for item in row if item]
        assert row == items + [0] * (6 - len(items)), "nothing comes after the end"
        assert len(set(items)) == len(items) >= 1
        assert not set(items) & {*history, target}
        lengths.append(len(items))
    assert len(set(lengths)) > 2


def test_samples_are_of_the_log_probabilities_that_are_differentiated(model: ProRL) -> None:
    """Frequencies of first items, and of ends after them, within three standard errors."""
    n = 20_000
    one = Asked(torch.tensor([[1, 2, 3, 4]]), torch.tensor([5]))
    many = Asked(one.history.expand(n, -1), one.target.expand(n))
    path, closed = sampled(model, many), closed_by(model, *one)
    with torch.no_grad():
        first = log_probabilities(model, model.read(*one), closed, path[:1])[0, 0].exp()
    found = torch.bincount(path[:, 0], minlength=N_ITEMS + 1) / n
    assert ((found - first).abs() <= 3.5 * (first * (1 - first) / n).sqrt()).all()
    assert (first[:6] == 0).all()
    often = path[path[:, 0] == int(found.argmax())]
    with torch.no_grad():
        after = log_probabilities(model, model.read(*one), closed, often[:1])[0, 1].exp()
    ended = float((often[:, 1] == 0).double().mean())
    assert ended == pytest.approx(float(after[0]), abs=3.5 * len(often) ** -0.5 / 2)


def test_of_the_likeliest_only_as_published(model: ProRL, asked: Asked) -> None:
    path, likeliest = sampled(model, asked, top_k=1), greedy_path(model, asked)
    assert torch.equal(path, likeliest)
    assert not torch.equal(sampled(model, asked, top_k=3), likeliest)


def greedy_path(model: ProRL, asked: Asked) -> Tensor:
    closed = closed_by(model, *asked)
    with torch.no_grad():
        return write(model, model.read(*asked), closed, greedy)


def test_with_nothing_open_nothing_is_written(model: ProRL, asked: Asked) -> None:
    closed = torch.full((N_ROWS, N_ITEMS + 1), -torch.inf)
    closed[:, 0] = 0
    closed[0, 7] = 0
    with torch.no_grad():
        path = write(model, model.read(*asked), closed, greedy)
    assert path[0].tolist() == [7, 0, 0, 0, 0, 0]
    assert not path[1:].any()


def test_rewards_add_up_to_the_paths_own_whatever_the_padding(model: ProRL, asked: Asked) -> None:
    items = torch.randn(N_ITEMS + 1, 8, generator=torch.Generator().manual_seed(3))
    items[0] = 0
    encoder = encoder_of(items, max_seq_len=12)
    path, judge = sampled(model, asked), judge_by(encoder)
    found = judge(asked.history, asked.target, path)
    wide = torch.cat([torch.zeros(N_ROWS, 5, dtype=torch.int64), asked.history], 1)
    for one, other in zip(found, judge(wide, asked.target, path), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    for part in found:
        assert (part[path == 0] == 0).all()
    for row in range(N_ROWS):
        before = [item for item in asked.history[row].tolist() if item]
        written = [item for item in path[row].tolist() if item]
        told = [_alone(encoder, before + written[:k]) for k in range(len(written) + 1)]
        logs = [scores.log_softmax(0)[asked.target[row] - 1] for scores in told]
        ranks = [1 + int((s > s[asked.target[row] - 1]).sum()) for s in told]
        assert float(found.interest[row].sum()) == pytest.approx(
            float(logs[-1] - logs[0]), abs=1e-4
        )
        assert int(found.rank[row].sum()) == ranks[0] - ranks[-1]
        assert found.acceptance[row, 0] == pytest.approx(
            float(told[0][written[0] - 1].sigmoid()), abs=1e-5
        )


def _alone(encoder: object, items: list[int]) -> Tensor:
    """Scores of all items for one history."""
    room = torch.tensor([[0] * (12 - len(items)) + items])
    scores: Tensor = encoder.score(encoder.encode(room))[0, 1:]  # type: ignore[attr-defined]
    return scores


def test_the_centre_of_batches_is_that_of_all_and_is_frozen(asked: Asked) -> None:
    model = ProRL(N_ITEMS, OPTIONS)
    model.start(1)
    items = torch.randn(N_ITEMS + 1, 8, generator=torch.Generator().manual_seed(4))
    path = sampled(model.eval(), asked)
    judged = judge_by(encoder_of(items, max_seq_len=12))(*asked, path)
    for rows in torch.arange(N_ROWS).split(10):
        learn_centre(model, type(judged)(*(part[rows] for part in judged)), path[rows])
    whole = torch.stack(judged, 2)[path != 0].double()
    torch.testing.assert_close(model.reward_mean, whole.mean(0))
    deviation = (model.reward_squares / model.reward_count).sqrt()
    torch.testing.assert_close(deviation, whole.std(0, correction=0))
    plain = ReinforcingOptions(acceptance_weight=0.0, rank_weight=0.0)
    found = rewards(model, judged, path, plain)
    assert float(found[path != 0].mean()) == pytest.approx(0, abs=1e-5)
    raw = rewards(model, judged, path, plain.model_copy(update={"centring": "none"}))
    expected = judged.interest / deviation[0].clamp(min=0.1)
    torch.testing.assert_close(raw, expected.float())
    model.is_frozen.fill_(value=True)
    learn_centre(model, judged, path)
    torch.testing.assert_close(model.reward_mean, whole.mean(0))


def test_targets_are_drawn_as_the_options_say() -> None:
    tiny = ProRLOptions(**{**TINY_PRORL, "history_len": 2, "max_path_len": 12})
    histories = [[*range(1 + u % 3, 13 + u % 3)] for u in range(30)]
    two = dataset_of(histories, [*[["a"], ["a", "b"], ["c"]] * 4, ["a"], ["a"]])
    prompts, _ = mined(two, tiny, 0)
    known = two.before("train")
    for targets, share in (("mined", 0.0), ("random", 1.0), ("mixed", 0.5)):
        ask = drawn_prompts(prompts, two, ReinforcingOptions(targets=targets), 1000)
        rows = torch.randperm(len(prompts.target), generator=torch.Generator().manual_seed(0))
        found = ask(torch.Generator().manual_seed(0))
        own = torch.from_numpy(prompts.target)[rows]
        is_own = (found.target == own).double().mean()
        assert float(is_own) == pytest.approx(1 - share, abs=0.2 if targets == "mixed" else 0)
        for row, target in zip(rows.tolist(), found.target.tolist(), strict=True):
            if target != prompts.target[row]:
                assert target not in known.of(int(prompts.user_idx[row]))


@pytest.mark.parametrize("kl", ["exact", "in_loss"])
def test_killed_reinforcement_goes_on_to_the_same_weights(
    kl: str, asked: Asked, tmp_path: Path
) -> None:
    items = torch.randn(N_ITEMS + 1, 8, generator=torch.Generator().manual_seed(5))
    judge = judge_by(encoder_of(items, max_seq_len=12))

    def run(n_epochs: int, checkpoint: Path | None) -> ProRL:
        of = {**TINY_PRORL["reinforcing"], "kl": kl, "stopping": {"n_epochs": n_epochs}}
        planner = ProRL(
            N_ITEMS, OPTIONS.model_copy(update={"reinforcing": ReinforcingOptions(**of)})
        )
        planner.start(0)
        before = planner.stop.detach().clone()
        reinforce(
            planner,
            judge,
            lambda rng: Asked(*(part[torch.randperm(64, generator=rng)[:4]] for part in asked)),
            asked,
            checkpoint=checkpoint,
        )
        assert not torch.equal(planner.stop.detach(), before)
        return planner

    whole, checkpoint = run(3, None), tmp_path / "checkpoint.safetensors"
    run(1, checkpoint)
    resumed = run(3, checkpoint)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_a_saved_planner_opens_with_items_that_came_later(model: ProRL, tmp_path: Path) -> None:
    data = dataset_of([range(1, N_ITEMS + 1)])
    model.save(tmp_path, data)
    again = load_prorl(tmp_path, data.item_ids)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    more = load_prorl(tmp_path, (*data.item_ids, "new"))
    assert more.n_items == N_ITEMS + 1
    mean = model.items.weight[1:].mean(0)
    torch.testing.assert_close(more.items.weight[-1], mean)
