"""IRN: its mask and sequences against plain loops, what it may see, and that it leads somewhere."""

import math
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.cold_start import fit_content_map
from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.errors import ArtefactError, InvalidInputError
from proactrec.irn.fitting import (
    Pieces,
    cut_pieces,
    fit_irn,
    learning_rate_after,
    next_item_losses,
    split_pieces,
)
from proactrec.irn.network import IRN, IRNOptions, load_irn, sinusoid
from proactrec.training import EpochRecord, TrainingRecord

N_ITEMS, N_USERS, LENGTH = 12, 5, 7
NOTHING = -1e9
"""An impressionability that hides the objective: softmax makes an exact 0 of it."""


def dataset_of(histories: list[list[int]]) -> Dataset:
    """Every item 1 … n must occur, so that ids are indices."""
    rows = [(str(u), str(i), t) for u, items in enumerate(histories) for t, i in enumerate(items)]
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    ids = [str(i) for i in sorted({item for items in histories for item in items})]
    assert ids == [str(i) for i in range(1, len(ids) + 1)]
    lists = pl.Series([["all"]] * len(ids), dtype=pl.List(pl.String))
    catalogue = Catalogue(pl.DataFrame({"item_id": ids, "title": ids, "categories": lists}))
    events = Interactions(pl.DataFrame(rows, schema=schema, orient="row"))
    return Dataset.build("toy", events, catalogue)


def options(**changes: object) -> IRNOptions:
    small = {
        "embedding_dim": 16,
        "user_dim": 4,
        "inner_dim": 32,
        "max_seq_len": LENGTH,
        "min_piece_len": 4,
        "item_start": "random",
        "batch_size": 64,
    }
    return IRNOptions(**{**small, **changes})


def model_of(**changes: object) -> IRN:
    model = IRN(N_ITEMS, N_USERS, options(**changes))
    model.start(3)
    return model.eval()


def hide_objectives(model: IRN, strength: float = NOTHING) -> None:
    """Give every user the same impressionability."""
    with torch.no_grad():
        model.impression.weight.zero_()
        model.impression.bias.fill_(strength)


@pytest.fixture
def histories() -> Tensor:
    """Full, padded, one item, empty."""
    return torch.tensor(
        [[3, 1, 4, 1, 5, 9], [0, 0, 2, 6, 5, 3], [0, 0, 0, 0, 0, 8], [0, 0, 0, 0, 0, 0]]
    )


USERS, OBJECTIVES = torch.tensor([4, 0, 2, 1]), torch.tensor([7, 11, 1, 12])


@pytest.mark.parametrize("sees", ["itself", "history"])
def test_mask_is_the_papers(histories: Tensor, sees: str) -> None:
    """The naive form, objective last: w_h up to the query, then w_obj r_u in the last column."""
    model = model_of(history_weight=0.05, objective_weight=2.0, objective_sees=sees)
    found = model.mask(histories, USERS)
    assert found.shape == (4, 1, LENGTH, LENGTH)
    last = LENGTH - 1
    for row, (history, user) in enumerate(zip(histories, USERS, strict=True)):
        sequence = [*history.tolist(), 99]
        r_u = model.impression(model.users.weight[user]).item()
        for query in range(LENGTH):
            for key in range(LENGTH):
                expected = 0.05 if key <= query else -math.inf
                if query == last and sees == "itself":
                    expected = -math.inf
                if key == last:
                    expected = 2 * r_u
                if sequence[key] == 0:
                    expected = -math.inf
                ours = found[row, 0, (query + 1) % LENGTH, (key + 1) % LENGTH]  # objective first
                assert ours.item() == pytest.approx(expected)
    assert len(set(model.impressionability(USERS)[:, 0].tolist())) == 4


def naive_states(model: IRN, history: Tensor, user: Tensor, objective: Tensor) -> Tensor:
    """States of one sequence in the paper's order, with PyTorch's own decoder layer."""
    dim, n_heads = model.options.embedding_dim, model.options.n_heads
    sequence = torch.cat([history, objective[None]])
    position = torch.tensor(
        [
            [(math.sin, math.cos)[c % 2](p / 10_000 ** ((c - c % 2) / dim)) for c in range(dim)]
            for p in range(LENGTH)
        ]
    )
    x = (math.sqrt(dim) * model.items.weight[sequence] + position)[None]
    mask = model.mask(history[None], user[None])[0, 0].roll((-1, -1), (0, 1))
    for layer in model._decoders():
        torch_layer = torch.nn.TransformerDecoderLayer(
            dim, n_heads, model.options.inner_dim, dropout=0, batch_first=True
        )
        attention, cross = torch_layer.self_attn, torch_layer.multihead_attn
        with torch.no_grad():
            cross.out_proj.bias.copy_(layer.memory_bias)  # b_v is zero at the start
        for ours, theirs in (
            (layer.query_key_value, (attention.in_proj_weight, attention.in_proj_bias)),
            (layer.out, (attention.out_proj.weight, attention.out_proj.bias)),
            (layer.expand, (torch_layer.linear1.weight, torch_layer.linear1.bias)),
            (layer.contract, (torch_layer.linear2.weight, torch_layer.linear2.bias)),
            (layer.attention_norm, (torch_layer.norm1.weight, torch_layer.norm1.bias)),
            (layer.memory_norm, (torch_layer.norm2.weight, torch_layer.norm2.bias)),
            (layer.output_norm, (torch_layer.norm3.weight, torch_layer.norm3.bias)),
        ):
            with torch.no_grad():
                theirs[0].copy_(ours.weight)
                theirs[1].copy_(ours.bias)
        torch_layer.train()  # no fast path: it knows no such mask
        x = torch_layer(x, torch.zeros_like(x), tgt_mask=mask)
    return x[0, :-1]


@pytest.mark.parametrize("sees", ["itself", "history"])
def test_states_are_those_of_pytorchs_decoder_over_a_memory_of_zeros(
    histories: Tensor, sees: str
) -> None:
    model = model_of(objective_sees=sees)
    with torch.no_grad():
        for layer in model._decoders():
            layer.memory_bias.normal_(generator=torch.Generator().manual_seed(1))
        found = model(histories, USERS, OBJECTIVES)
        for row in range(4):
            naive = naive_states(model, histories[row], USERS[row], OBJECTIVES[row])
            torch.testing.assert_close(found[row], naive, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("sees", ["itself", "history"])
def test_newest_state_alone_is_that_of_the_whole_sequence(histories: Tensor, sees: str) -> None:
    model = model_of(objective_sees=sees)
    found = model.state_before_objective(histories, USERS, OBJECTIVES)
    whole = model(histories, USERS, OBJECTIVES)[:, -1]
    torch.testing.assert_close(found, whole)
    for row in range(4):  # whatever else is encoded with it
        one = slice(row, row + 1)
        alone = model.state_before_objective(histories[one], USERS[one], OBJECTIVES[one])
        torch.testing.assert_close(alone, found[one])
    aside = torch.tensor([[2, 6, 5, 3, 0, 0]])  # padding right, as protocol official starts
    torch.testing.assert_close(
        model.state_before_objective(aside, USERS[:1], OBJECTIVES[:1]),
        model(aside, USERS[:1], OBJECTIVES[:1])[:, -1],
    )


def test_later_items_change_no_earlier_state_unless_the_objective_reads_them() -> None:
    one, other = torch.tensor([[3, 1, 4, 1, 5, 9]]), torch.tensor([[3, 1, 4, 2, 6, 8]])
    user, objective = USERS[:1], OBJECTIVES[:1]
    model = model_of()
    before = model(one, user, objective), model(other, user, objective)
    torch.testing.assert_close(before[0][:, :3], before[1][:, :3])
    assert (before[0][:, 3:] - before[1][:, 3:]).abs().amax(2).min() > 1e-3
    leaky = model_of(objective_sees="history")  # as published, from the second layer on
    before = leaky(one, user, objective), leaky(other, user, objective)
    assert (before[0][:, :3] - before[1][:, :3]).abs().amax(2).min() > 1e-4


def test_hidden_objective_leaves_a_plain_causal_decoder(histories: Tensor) -> None:
    """Sanity check (ii) of the spec, on a sequence without padding."""
    model = model_of(history_weight=0.0)
    history, user = histories[:1], USERS[:1]
    shown = [model(history, user, torch.tensor([o])) for o in (7, 2)]
    assert (shown[0] - shown[1]).abs().amax(2).min() > 1e-3  # from every position
    hide_objectives(model)
    hidden = [model(history, user, torch.tensor([o])) for o in (7, 2)]
    assert torch.equal(*hidden)
    plain = history
    x = model.items(plain) * 4 + sinusoid(LENGTH, 16)[:-1]
    causal = torch.full((6, 6), -math.inf).triu(1)[None, None]
    for layer in model.layers:
        x = layer(x, causal)
    torch.testing.assert_close(hidden[0], x)


def test_users_and_objectives_are_told_apart(histories: Tensor) -> None:
    model = model_of()
    same = histories[:1].expand(2, -1)
    for users, objectives in (([4, 0], [7, 7]), ([4, 4], [7, 2])):
        state = model.state_before_objective(same, torch.tensor(users), torch.tensor(objectives))
        assert (state[0] - state[1]).abs().max() > 1e-3


def test_losses_are_cross_entropies_of_the_next_item(histories: Tensor) -> None:
    model = model_of()
    item_seq = torch.cat([histories, OBJECTIVES[:, None]], 1)
    found = next_item_losses(model, item_seq, USERS)
    states = model(histories, USERS, OBJECTIVES)
    expected = []
    for row in range(4):
        for position in range(LENGTH - 1):
            answer = item_seq[row, position + 1]
            if answer:
                logits = model.score(states[row, position])[1:]
                expected.append(-F.log_softmax(logits, 0)[answer - 1])
    torch.testing.assert_close(found, torch.stack(expected))
    found.sum().backward()
    assert not model.items.weight.grad[0].any()  # padding


@pytest.fixture(scope="module")
def noise() -> list[list[int]]:
    """Histories of 3 to 45 of 45 items in random order."""
    rng = np.random.default_rng(0)
    return [(rng.permutation(45)[: 3 + user] + 1).tolist() for user in range(43)]


@pytest.fixture(scope="module")
def known(noise: list[list[int]]) -> Dataset:
    return dataset_of(noise)


def test_pieces_cover_train_histories_and_hold_no_answer(known: Dataset) -> None:
    train = known.before("train")
    pieces = cut_pieces(train, options(), np.random.default_rng(1))
    assert pieces.item_seq.shape[1] == LENGTH
    found: dict[int, list[list[int]]] = {}
    for user, row in zip(pieces.user_idx, pieces.item_seq, strict=True):
        items = row[row != 0].tolist()
        assert row[-len(items) :].tolist() == items, "left-padded"
        found.setdefault(int(user), []).append(items)
    for user in range(known.n_users):
        cut = found.get(user, [])
        history = train.of(user).tolist()
        together = [item for piece in cut for item in piece]
        assert together == history[: len(together)]
        assert len(history) - len(together) <= 1  # a single item is no piece
        assert all(4 <= len(piece) <= LENGTH for piece in cut[:-1])
        assert all(2 <= len(piece) <= LENGTH for piece in cut[-1:])
        held_out = known.histories.of(user)[-2:]
        assert not set(held_out.tolist()) & set(together)
    lengths = [len(piece) for cut in found.values() for piece in cut[:-1]]
    assert set(lengths) == {4, 5, 6, 7}
    again = cut_pieces(train, options(), np.random.default_rng(2))
    assert not np.array_equal(again.item_seq, pieces.item_seq)


def test_a_tenth_of_the_pieces_validates() -> None:
    pieces = Pieces(np.arange(50), np.arange(50)[:, None])
    train, held_out = split_pieces(pieces, np.random.default_rng(0))
    assert (len(train.user_idx), len(held_out.user_idx)) == (45, 5)
    assert sorted([*train.user_idx, *held_out.user_idx]) == list(range(50))
    assert train.item_seq[:, 0].tolist() == train.user_idx.tolist()
    wanted = "needs two pieces of train histories, to train and to validate, got 1"
    with pytest.raises(InvalidInputError, match=wanted):
        split_pieces(pieces.of(np.array([3])), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], 8),
        ([1, 2, 3, 4, 5, 6], 8),
        ([1, 1], 8),
        ([1, 0, 1], 4),  # equal is not better
        ([1, 0, 2, 0, 0], 4),
        ([1, 0, 0, 0], 4),
        ([1, 0, 0, 0, 0], 2),
    ],
)
def test_learning_rate_is_halved_when_validation_stalls(
    scores: list[float], expected: float
) -> None:
    epochs = tuple(EpochRecord(epoch=e, loss=0, score=s) for e, s in enumerate(scores))
    found = learning_rate_after(
        TrainingRecord(epochs=epochs), options(learning_rate=8, halve_after=2)
    )
    assert found == expected


def quick(n_epochs: int, **changes: object) -> IRNOptions:
    stopping = {"n_epochs": n_epochs, "patience": n_epochs}
    return options(learning_rate=0.01, stopping=stopping, **changes)


def test_interrupted_training_is_resumed_exactly(known: Dataset, tmp_path: Path) -> None:
    wanted = quick(8, halve_after=1)
    whole, record = fit_irn(known, options=wanted)
    assert learning_rate_after(record, wanted) < 0.01, "the test must halve the rate"

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 6:
            raise KeyboardInterrupt

    path = tmp_path / "c.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit_irn(known, options=wanted, checkpoint=path, progress=stop)
    resumed, again = fit_irn(known, options=wanted, checkpoint=path)
    assert again == record
    for weight, same in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(weight, same)


def test_training_sees_no_held_out_item(noise: list[list[int]]) -> None:
    """Other validation and test items, the same weights; another train item, others."""
    swapped = [[*items[:-2], items[-1], items[-2]] for items in noise]
    other = [[items[1], items[0], *items[2:]] for items in noise]
    one, same, not_same = (
        fit_irn(dataset_of(h), options=quick(2))[0].output.weight for h in (noise, swapped, other)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, not_same)


def test_learning_rate_of_the_record_is_used(noise: list[list[int]]) -> None:
    halved, steady = (
        fit_irn(dataset_of(noise), options=quick(8, halve_after=n))[1] for n in (1, 99)
    )
    assert halved.epochs[0] == steady.epochs[0]
    assert halved.epochs[-1] != steady.epochs[-1]


def test_seed_decides_weights_and_pieces(known: Dataset) -> None:
    one, same, other = (fit_irn(known, options=quick(1), seed=s)[0] for s in (0, 0, 1))
    assert torch.equal(one.output.weight, same.output.weight)
    assert not torch.equal(one.output.weight, other.output.weight)


def test_given_item_vectors_are_where_training_starts(known: Dataset) -> None:
    given = F.normalize(torch.randn(46, 16), dim=1)
    tiny = options(learning_rate=1e-9, item_start="graphau", stopping={"n_epochs": 1})
    model, _ = fit_irn(known, given, tiny)
    torch.testing.assert_close(model.items.weight[1:], given[1:])
    assert not model.items.weight[0].any()
    with pytest.raises(InvalidInputError, match="item_vectors are needed"):
        fit_irn(known, options=tiny)
    with pytest.raises(InvalidInputError, match=re.escape("must have shape (46, 16), got (2, 2)")):
        fit_irn(known, torch.ones(2, 2), tiny)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"n_heads": 3}, "embedding_dim must be a multiple of n_heads, got 16 and 3"),
        ({"min_piece_len": 8}, "min_piece_len must be at most max_seq_len, got 8 and 7"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        options(**changes)


# Users read 6 of 10 items in random order: of the next item nothing can be known but the objective.
N_PLANTED = 10


@pytest.fixture(scope="module")
def planted() -> Dataset:
    rng = np.random.default_rng(4)
    return dataset_of([(rng.permutation(N_PLANTED)[:6] + 1).tolist() for _ in range(800)])


@pytest.fixture(scope="module")
def trained(planted: Dataset) -> IRN:
    wanted = quick(20, max_seq_len=4, min_piece_len=4, batch_size=32)
    return fit_irn(planted, options=wanted)[0]


def fresh_tasks() -> tuple[Tensor, Tensor, Tensor]:
    """300 users, histories of three and objectives, none of them trained on."""
    rng = np.random.default_rng(9)
    items = torch.from_numpy(np.stack([rng.permutation(N_PLANTED)[:4] + 1 for _ in range(300)]))
    return torch.arange(300), items[:, :3], items[:, 3]


def share_reached(model: IRN, n_steps: int = 2) -> float:
    """Share of paths that hold their objective."""
    users, history, objective = fresh_tasks()
    found = model.paths(history, users, objective, torch.zeros(300, N_PLANTED + 1), n_steps)
    return float((found == objective[:, None]).any(1).float().mean())


def test_objective_is_reached_more_often_the_stronger_it_is(
    trained: IRN, planted: Dataset, tmp_path: Path
) -> None:
    """Sanity check (iii) of the spec; a path that is blind holds it by chance, 2 of 7."""
    trained.save(tmp_path, planted)
    shares = []
    for strength in (NOTHING, -2.0, 4.0):
        model = load_irn(tmp_path, planted.user_ids, planted.item_ids)
        hide_objectives(model, strength)
        shares.append(share_reached(model))
    error = math.sqrt(2 / 7 * 5 / 7 / 300)
    assert shares[0] == pytest.approx(2 / 7, abs=4 * error)
    assert shares[1] > shares[0] + 0.2
    assert shares[2] > shares[1] + 0.05
    assert share_reached(trained) > 0.8


def test_objective_is_copied_at_the_last_place_only(trained: IRN) -> None:
    """Sanity check (i): there it is the answer, which the model sees."""
    users, history, objective = fresh_tasks()
    with torch.no_grad():
        losses = next_item_losses(trained, torch.cat([history, objective[:, None]], 1), users)
    first, second, last = losses.view(300, 3).mean(0).tolist()
    assert last < 1.3
    # Nothing tells which of the others comes: 8, then 7 are as likely.
    assert first > math.log(8)
    assert second > math.log(7)


def test_paths_hold_nothing_twice_and_nothing_forbidden() -> None:
    model = IRN(40, 2, options())
    model.start(0)
    model.eval()
    with torch.no_grad():
        model.output.bias[0] = 100  # padding means nothing and is never chosen
    history = torch.tensor([[0, 0, 0, 1, 2, 3], [4, 5, 6, 7, 8, 9]])
    penalty = torch.zeros(2, 41)
    penalty[0, 10:35] = -torch.inf
    given = history.clone(), penalty.clone()
    found = model.paths(history, torch.tensor([0, 1]), torch.tensor([40, 39]), penalty, 15)
    assert torch.equal(history, given[0])
    assert torch.equal(penalty, given[1])
    first, second = (row.tolist() for row in found)
    assert sorted(first[:12]) == [4, 5, 6, 7, 8, 9, 35, 36, 37, 38, 39, 40]  # all that is allowed
    assert first[12:] == [0, 0, 0]
    assert len(set(second)) == 15
    assert not set(second) & {0, *range(4, 10)}


def test_a_path_is_what_replanning_after_every_item_gives(trained: IRN) -> None:
    history, user, objective = torch.tensor([[0, 7, 2]]), torch.tensor([4]), torch.tensor([9])
    path = trained.paths(history, user, objective, torch.zeros(1, N_PLANTED + 1), 5)[0].tolist()
    used = {0, 7, 2}
    for item in path:
        scores = trained.score(trained.state_before_objective(history, user, objective))[0]
        best = max(set(range(N_PLANTED + 1)) - used, key=lambda i: float(scores[i]))
        assert item == best
        used.add(best)
        history = torch.cat([history[:, 1:], torch.tensor([[best]])], 1)


def test_loaded_model_equals_the_saved_one(
    planted: Dataset, known: Dataset, tmp_path: Path
) -> None:
    model = IRN(N_PLANTED, planted.n_users, options(history_weight=0.2))
    model.start(5)
    model.save(tmp_path, planted)
    loaded = load_irn(tmp_path, planted.user_ids, planted.item_ids)
    assert loaded.options == model.options
    assert not loaded.training
    for weight, same in zip(model.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(weight, same)
    with pytest.raises(ArtefactError, match="was trained on toy and knows none of the 1 items"):
        load_irn(tmp_path, planted.user_ids, ["other"])
    (tmp_path / "irn.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ArtefactError, match="can't be read"):
        load_irn(tmp_path, planted.user_ids, planted.item_ids)


def test_users_and_items_are_known_by_id(planted: Dataset, tmp_path: Path) -> None:
    model = IRN(N_PLANTED, planted.n_users, options())
    model.start(5)
    model.eval().save(tmp_path, planted)
    user_ids, item_ids = planted.user_ids[:1:-1], ("0", *planted.item_ids[::-1])
    loaded = load_irn(tmp_path, user_ids, item_ids)
    items = torch.tensor([0, *(item_ids.index(name) + 1 for name in planted.item_ids)])
    history = torch.tensor([[0, 1, 2, 3, 4, 5], [0, 0, 0, 7, 6, 2]])
    objective, users = torch.tensor([8, 9]), torch.tensor([2, 3])
    there = torch.tensor([user_ids.index(planted.user_ids[user]) for user in users])
    states = model.state_before_objective(history, users, objective)
    same = loaded.state_before_objective(items[history], there, items[objective])
    assert torch.equal(same, states)
    torch.testing.assert_close(loaded.score(same)[:, items], model.score(states))


def test_unknown_users_and_items_stand_in_the_middle(planted: Dataset, tmp_path: Path) -> None:
    model = IRN(N_PLANTED, planted.n_users, options())
    model.start(5)
    model.save(tmp_path, planted)
    loaded = load_irn(tmp_path, ["new", "0"], ["new", *planted.item_ids])
    mean = model.impressionability(torch.arange(planted.n_users)).mean()
    torch.testing.assert_close(loaded.impressionability(torch.tensor([0]))[0, 0], mean)
    for table, own in zip(loaded.item_tables, model.item_tables, strict=True):
        torch.testing.assert_close(table[1], own[1:].mean(0))
        assert torch.equal(table[[0, *range(2, N_PLANTED + 2)]], own)


def test_unknown_items_are_placed_by_content(planted: Dataset, tmp_path: Path) -> None:
    model = IRN(N_PLANTED, planted.n_users, options())
    model.start(5)
    model.save(tmp_path, planted)
    content = torch.randn(N_PLANTED + 1, 2, generator=torch.Generator().manual_seed(0))
    loaded = load_irn(tmp_path, planted.user_ids, ["new", *planted.item_ids], content)
    for table, own in zip(loaded.item_tables, model.item_tables, strict=True):
        rows = own.detach()[1:].view(N_PLANTED, -1)
        expected = fit_content_map(content[1:], rows)(content[:1]).view(table[1].shape)
        assert torch.equal(table[1], expected)
