"""Training windows, negatives, encoding, files: what all encoders share."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from proactrec.cold_start import fit_content_map
from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.encoders.base import Encoder, EncoderOptions, TrainingSequences
from proactrec.encoders.fitting import ENCODERS, encoder_type, load_encoder
from proactrec.errors import ArtefactError, InvalidInputError, UnknownIdError

Build = Callable[[list[list[int]]], Dataset]
CPU = torch.device("cpu")
LENGTH = 6
SMALL = {"embedding_dim": 8, "max_seq_len": LENGTH, "n_layers": 2, "dropout": 0.2}


def made(name: str, n_items: int = 20, **changes: object) -> Encoder:
    kind = encoder_type(name)
    encoder = kind(n_items, kind.options_type(**{**SMALL, **changes}))
    encoder.start(0, None)
    with torch.no_grad():  # weights of ordinary size: a start near zero hides mistakes
        for weight in encoder.transformer.parameters():
            weight.mul_(15) if weight.dim() == 2 else None
    return encoder.eval()


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return made(request.param)


@pytest.fixture
def histories() -> torch.Tensor:
    """120 left-padded histories of 1 … 6 of 20 items, in no order of length."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(1, 21, rng.integers(1, LENGTH + 1)).tolist() for _ in range(120)]
    return torch.tensor([[0] * (LENGTH - len(row)) + row for row in rows])


class TestContract:
    """Every encoder in ENCODERS."""

    def test_encode_is_the_last_state(self, encoder: Encoder, histories: torch.Tensor) -> None:
        with torch.no_grad():
            states = encoder.transformer(histories)
        torch.testing.assert_close(encoder.encode(histories), states[:, -1], atol=1e-5, rtol=1e-4)

    def test_batch_is_one_by_one_in_any_order(
        self, encoder: Encoder, histories: torch.Tensor
    ) -> None:
        together = encoder.encode(histories)
        backwards = encoder.encode(histories.flip(0)).flip(0)
        alone = torch.cat([encoder.encode(row[None]) for row in histories])
        torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(backwards, together, atol=1e-5, rtol=1e-4)

    def test_right_padded_histories_are_read_as_they_are(self, encoder: Encoder) -> None:
        right = torch.tensor([[1, 2, 0, 0, 0, 0], [3, 4, 5, 0, 0, 0], [0, 0, 0, 3, 4, 5]])
        with torch.no_grad():
            states = encoder.transformer(right)[:, -1]
        torch.testing.assert_close(encoder.encode(right), states, atol=1e-5, rtol=1e-4)

    def test_empty_history_depends_on_nothing(self, encoder: Encoder) -> None:
        empty, single = torch.zeros(1, LENGTH, dtype=torch.int64), torch.zeros(1, LENGTH).long()
        single[0, -1] = 3
        alone = encoder.encode(empty)
        beside = encoder.encode(torch.cat([empty, single]))[:1]
        assert torch.isfinite(alone).all()
        torch.testing.assert_close(beside, alone, atol=1e-5, rtol=1e-4)

    def test_encode_leaves_its_input_alone(self, encoder: Encoder, histories: torch.Tensor) -> None:
        before = histories.clone()
        encoder.encode(histories)
        assert torch.equal(histories, before)

    def test_one_seed_gives_one_start(self, encoder: Encoder) -> None:
        states = []
        for seed in (1, 1, 2):
            encoder.start(seed, None)
            states.append(encoder.item_vectors.clone())
        assert torch.equal(states[0], states[1])
        assert not torch.equal(states[0], states[2])
        assert states[0][0].abs().max() == 0

    def test_item_vectors_may_be_given(self, encoder: Encoder) -> None:
        given = torch.randn(21, 8, generator=torch.Generator().manual_seed(0))
        given[0] = 0
        encoder.start(0, given)
        # Behind the means that are given, MStein's item vectors hold roots of covariances.
        assert torch.equal(encoder.item_vectors[:, :8], given)
        wanted = "item_vectors must have shape (21, 8), got (20, 8)"
        with pytest.raises(InvalidInputError, match=re.escape(wanted)):
            encoder.start(0, given[1:])

    def test_padding_row_stays_zero_through_training(
        self, encoder: Encoder, cyclic: Dataset
    ) -> None:
        kind = type(encoder)
        encoder = kind(cyclic.n_items, kind.options_type(**SMALL))
        encoder.start(0, None)
        sequences = encoder.training_rows(cyclic)
        optimizer = torch.optim.Adam(encoder.parameters(), lr=0.1)
        rng = torch.Generator().manual_seed(0)
        before = encoder.item_vectors.clone()
        encoder.eval()
        encoder.start_epoch(sequences, 0)
        encoder.train()
        for _ in range(3):
            optimizer.zero_grad()
            encoder.loss(sequences.batch(torch.arange(40), rng, CPU), rng).backward()
            optimizer.step()
        assert encoder.item_vectors[0].abs().max() == 0
        assert (encoder.item_vectors[1:] != before[1:]).any(1).all()

    def test_files_round_trip(
        self, encoder: Encoder, cyclic: Dataset, tmp_path: Path, histories: torch.Tensor
    ) -> None:
        encoder = made(encoder.name, cyclic.n_items)
        encoder.save(tmp_path / "encoder", cyclic)
        loaded = load_encoder(tmp_path / "encoder", cyclic.item_ids)
        assert type(loaded) is type(encoder)
        assert loaded.options == encoder.options
        assert not loaded.training
        assert torch.equal(loaded.encode(histories), encoder.encode(histories))

    def test_items_are_known_by_id(
        self, encoder: Encoder, cyclic: Dataset, tmp_path: Path, histories: torch.Tensor
    ) -> None:
        encoder = made(encoder.name, cyclic.n_items)
        encoder.save(tmp_path, cyclic)
        item_ids = ["0", *reversed(cyclic.item_ids), "100"]
        loaded = load_encoder(tmp_path, item_ids)
        there = torch.tensor([0, *(item_ids.index(name) + 1 for name in cyclic.item_ids)])
        assert torch.equal(loaded.encode(there[histories]), encoder.encode(histories))
        assert torch.equal(loaded.item_vectors[there], encoder.item_vectors)

    def test_unknown_items_stand_in_the_middle(
        self, encoder: Encoder, cyclic: Dataset, tmp_path: Path
    ) -> None:
        encoder = made(encoder.name, cyclic.n_items)
        encoder.save(tmp_path, cyclic)
        loaded = load_encoder(tmp_path, ["new", "7"])
        for table, own in zip(loaded.item_tables, encoder.item_tables, strict=True):
            torch.testing.assert_close(table[1], own[1:].mean(0))
            assert torch.equal(table[[0, 2]], own[[0, 7]])

    def test_unknown_items_are_placed_by_content(
        self, encoder: Encoder, cyclic: Dataset, tmp_path: Path
    ) -> None:
        encoder = made(encoder.name, cyclic.n_items)
        encoder.save(tmp_path, cyclic)
        item_ids = ["new", *cyclic.item_ids[:20], "newer"]
        content = torch.randn(22, 3, generator=torch.Generator().manual_seed(0))
        loaded = load_encoder(tmp_path, item_ids, content)
        for table, own in zip(loaded.item_tables, encoder.item_tables, strict=True):
            expected = fit_content_map(content[1:21], own.detach()[1:21])(content[[0, 21]])
            assert torch.equal(table[[1, 22]], expected)
            assert torch.equal(table[[0, *range(2, 22)]], own[:21])


def grown(dataset: Dataset) -> Dataset:
    """The data set with a tenth more events, users and items: ids that shift all others too."""
    n_users, n_items = dataset.n_users, dataset.n_items
    rows = [
        (user, dataset.item_ids[item - 1], time)
        for number, user in enumerate(dataset.user_ids)
        for time, item in enumerate(dataset.histories.of(number))
    ]
    rows += [(f"new{n}", str(-1 - n % (n_items // 10)), n) for n in range(n_users // 10)]
    rows += [(f"new{n % (n_users // 10)}", str(1 + n % n_items), 100 + n) for n in range(72)]
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row").unique(
        ["user_id", "item_id"], maintain_order=True
    )
    ids = events["item_id"].unique()
    lists = pl.Series([[]] * len(ids), dtype=pl.List(pl.String))
    catalogue = Catalogue(pl.DataFrame({"item_id": ids, "title": ids, "categories": lists}))
    return Dataset.build("later", Interactions(events), catalogue)


def test_data_that_has_grown_gives_known_users_the_same_vectors(
    cyclic: Dataset, tmp_path: Path
) -> None:
    encoder = made("iclrec", cyclic.n_items)
    encoder.save(tmp_path, cyclic)
    later = grown(cyclic)
    assert later.fingerprint != cyclic.fingerprint
    assert later.item_ids[:4] == ("-3", "-2", "-1", "1")
    loaded = load_encoder(tmp_path, later.item_ids)
    before = encoder.encode(encoder.sequences(cyclic.before("test")))
    after = loaded.encode(loaded.sequences(later.before("test")))
    same = [later.user_ids.index(user) for user in cyclic.user_ids]
    assert len(same) < later.n_users
    # Blocks hold other rows than before, which moves last digits.
    torch.testing.assert_close(after[same], before, rtol=1e-5, atol=1e-6)


def test_content_must_be_of_the_items(cyclic: Dataset, tmp_path: Path) -> None:
    made("sasrec", cyclic.n_items).save(tmp_path, cyclic)
    wanted = "content must have a row for each of the 2 items, got 3"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        load_encoder(tmp_path, ["1", "new"], torch.zeros(3, 4))


def test_encoder_that_knows_no_item_is_refused(cyclic: Dataset, tmp_path: Path) -> None:
    made("sasrec", cyclic.n_items).save(tmp_path, cyclic)
    wanted = f"encoder {tmp_path} was trained on toy and knows none of the 2 items here"
    with pytest.raises(ArtefactError, match=re.escape(wanted)):
        load_encoder(tmp_path, ["a", "b"])


def test_encoder_without_ids_is_refused(cyclic: Dataset, tmp_path: Path) -> None:
    made("sasrec", cyclic.n_items).save(tmp_path, cyclic)
    about = json.loads((tmp_path / "encoder.json").read_text())
    old = {k: v for k, v in about.items() if k not in ("item_ids", "user_ids")}
    (tmp_path / "encoder.json").write_text(json.dumps({**old, "format_version": 1, "n_items": 30}))
    wanted = (
        f"encoder {tmp_path} is of format 1, not 2 (which knows items by id): "
        "delete it to train it anew"
    )
    with pytest.raises(ArtefactError, match=re.escape(wanted)):
        load_encoder(tmp_path, cyclic.item_ids)


def cut_weights(folder: Path) -> None:
    path = folder / "encoder.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def cut_json(folder: Path) -> None:
    path = folder / "encoder.json"
    path.write_text(path.read_text()[:-10])


def change_json(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "encoder.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


@pytest.mark.parametrize(
    "damage",
    [
        cut_weights,
        cut_json,
        lambda folder: (folder / "encoder.json").unlink(),
        lambda folder: (folder / "encoder.safetensors").unlink(),
        lambda folder: (folder / "encoder.json").write_text("[]"),
        change_json(item_ids=["1", "2"]),  # other shapes than the weights
        change_json(encoder="gru4rec"),
        change_json(options={"n_layers": "many"}),
        change_json(options={"colour": 1}),
    ],
)
def test_damaged_encoder_is_refused(
    cyclic: Dataset, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    made("iclrec", cyclic.n_items).save(tmp_path, cyclic)
    damage(tmp_path)
    with pytest.raises(ArtefactError, match=re.escape(f"encoder {tmp_path} can't be read")):
        load_encoder(tmp_path, cyclic.item_ids)


def test_heads_must_share_the_dimension() -> None:
    wanted = "embedding_dim must be a multiple of n_heads, got 8 and 3"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        made("sasrec", n_heads=3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "encoder file {} does not exist"),
        ("x = 1\n", "encoder file {} must define a subclass of Encoder, has none"),
        ("import nothing_of_that_name\n", "encoder file {} can't be run: ModuleNotFoundError"),
        (
            "from proactrec.encoders.base import Encoder\nclass Mine(Encoder):\n    pass\n",
            "encoder file {} must give Mine a name",
        ),
    ],
)
def test_a_file_without_an_encoder_is_refused(
    tmp_path: Path, text: str | None, sentence: str
) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises((UnknownIdError, InvalidInputError), match=re.escape(sentence.format(path))):
        encoder_type(str(path))


def test_unknown_encoder_is_refused() -> None:
    wanted = f"encoder 'bert' does not exist; there are {', '.join(ENCODERS)}"
    with pytest.raises(UnknownIdError, match=re.escape(wanted)):
        encoder_type("bert")


@pytest.fixture(scope="module")
def ragged(dataset_of: Build) -> Dataset:
    """Train histories 1 2 3 4 5 6 7 (user 0), 8 9 (user 1), 1 (user 2), 3 (user 3)."""
    return dataset_of([[1, 2, 3, 4, 5, 6, 7, 8, 9], [8, 9, 1, 2], [1, 2, 3], [3]])


def windows(dataset: Dataset, **changes: object) -> list[tuple[int, list[int], list[int]]]:
    sequences = TrainingSequences(dataset, EncoderOptions(max_seq_len=3, **changes))
    batch = sequences.batch(torch.arange(len(sequences.item_seq)), torch.Generator(), CPU)
    assert torch.equal(batch.item_seq, sequences.item_seq)
    rows = (sequences.user_idx, batch.item_seq, batch.answer)
    return [tuple(row) for row in zip(*(x.tolist() for x in rows), strict=True)]


def test_last_windows_hold_the_newest_items(ragged: Dataset) -> None:
    # User 2 has one train item and user 3 one item: nothing to predict.
    assert windows(ragged) == [(0, [4, 5, 6], [5, 6, 7]), (1, [0, 0, 8], [0, 0, 9])]


def test_all_windows_touch_but_do_not_overlap(ragged: Dataset) -> None:
    assert windows(ragged, windows="all") == [
        (0, [4, 5, 6], [5, 6, 7]),
        (1, [0, 0, 8], [0, 0, 9]),
        (0, [1, 2, 3], [2, 3, 4]),
    ]


def test_all_windows_predict_every_train_item_but_the_first_once(cyclic: Dataset) -> None:
    found = windows(cyclic, windows="all")
    for user in (0, 50, 89):
        answers = [i for u, _, answer in found for i in answer if u == user and i]
        assert sorted(answers) == sorted(cyclic.before("train").of(user)[1:].tolist())


def test_nothing_to_learn_from_is_refused(dataset_of: Build) -> None:
    short = dataset_of([[1, 2, 3], [1]])
    wanted = "no user has two train interactions, so there is no next item to learn from"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        TrainingSequences(short, EncoderOptions())


def test_negatives_are_untouched_items_drawn_evenly(ragged: Dataset) -> None:
    sequences = TrainingSequences(ragged, EncoderOptions(max_seq_len=50))
    rng = torch.Generator().manual_seed(0)
    drawn = [sequences.batch(torch.tensor([0, 1]), rng, CPU).negative for _ in range(40)]
    negative = torch.cat(drawn, 1)
    n = negative.shape[1]
    assert set(negative[1].tolist()) == set(range(1, 8))
    # User 0 has 7 of 9 items in train (8 and 9 are held out): 20 draws again may not be enough.
    is_touched = (negative[0] <= 7).double().mean().item()
    assert is_touched < 3 * (7 / 9) ** 21
    counts = np.bincount(negative[1].numpy(), minlength=8)[1:]
    assert np.abs(counts - n / 7).max() < 4 * np.sqrt(n * 1 / 7 * 6 / 7)


def test_who_has_touched_everything_still_gets_an_item(dataset_of: Build) -> None:
    everything = dataset_of([[1, 2, 3, 4, 5, 6], [5, 6, 1, 2]])
    sequences = TrainingSequences(everything, EncoderOptions(max_seq_len=4))
    sequences._touched = torch.arange(100)
    negative = sequences.batch(torch.tensor([0]), torch.Generator().manual_seed(0), CPU).negative
    assert ((negative >= 1) & (negative <= 6)).all()
