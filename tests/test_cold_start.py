"""Content vectors, the map into the interest space, and users with few events."""

import sys

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

from proactrec.cold_start import (
    PENALTIES,
    fit_content_map,
    place_items,
    user_from_category,
    user_from_items,
)
from proactrec.content import ContentOptions, content_vectors
from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.errors import InvalidInputError, MissingExtraError

TITLES = ["Red shoe", "Blue shoe", "Red hat", "Blue hat", "Kettle", ""]
CATEGORIES = [["Shoes"], ["Shoes"], ["Hats"], ["Hats"], [], []]


def cosine(vectors: torch.Tensor) -> torch.Tensor:
    unit = F.normalize(vectors.double(), dim=1)
    return unit @ unit.T


def test_weights_are_those_of_the_equation() -> None:
    # All directions are kept, so inner products are those of the weighted words themselves.
    found = content_vectors(
        ["a a b", "a", "b c"], [[], [], []], options=ContentOptions(min_items=1)
    )
    idf = {"a": np.log(4 / 3) + 1, "b": np.log(4 / 3) + 1, "c": np.log(4 / 2) + 1}
    rows = np.array(
        [
            [(1 + np.log(2)) * idf["a"], idf["b"], 0],
            [idf["a"], 0, 0],
            [0, idf["b"], idf["c"]],
        ]
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose((found @ found.T).numpy(), rows @ rows.T, atol=1e-6)


def test_items_with_common_words_and_categories_are_near() -> None:
    near = cosine(content_vectors(TITLES, CATEGORIES))
    assert near[0, 1] > near[0, 3] + 0.2  # both shoes
    assert near[0, 2] > near[0, 3] + 0.2  # both red
    assert not content_vectors(TITLES, CATEGORIES)[5].any()  # nothing is known


def test_items_are_the_nearer_the_deeper_their_categories_meet() -> None:
    paths = [["Home > Kitchen > Knives"]] * 2 + [["Home > Kitchen > Pans"]] * 2
    paths += [["Home > Garden"]] * 2 + [["Music"]] * 2
    near = cosine(content_vectors([""] * 8, paths))
    assert near[0, 1] > near[0, 2] + 0.1 > near[0, 4] + 0.2 > near[0, 6] + 0.3


def test_texts_count_as_words() -> None:
    texts = ["for rain", "for sun", "for sun", "for rain", "for rain", ""]
    near = cosine(content_vectors(TITLES, CATEGORIES, texts))
    assert near[0, 3] > cosine(content_vectors(TITLES, CATEGORIES))[0, 3] + 0.1


def test_the_reduction_keeps_the_strongest_directions() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in range(40)]
    titles = [" ".join(rng.choice(words, 6)) for _ in range(60)]
    whole = content_vectors(titles, [[]] * 60)
    part = content_vectors(titles, [[]] * 60, options=ContentOptions(n_components=5))
    values = torch.linalg.svdvals(whole.double())
    torch.testing.assert_close(torch.linalg.svdvals(part.double()), values[:5], rtol=1e-2, atol=0)


def test_one_seed_one_result_and_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    first, again = (content_vectors(TITLES, CATEGORIES, seed=3) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(before, torch.get_rng_state())


def test_without_words_and_categories_there_is_no_content() -> None:
    with pytest.raises(InvalidInputError, match="no word and no category"):
        content_vectors(["a", "b"], [[], []])
    with pytest.raises(InvalidInputError, match="at least one item"):
        content_vectors([], [])


def test_sentence_models_are_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    options = ContentOptions(encoder="sentence", sentence_model="any")
    with pytest.raises(MissingExtraError, match=r"pip install 'proactrec\[sentence\]'"):
        content_vectors(TITLES, CATEGORIES, options=options)
    with pytest.raises(InvalidInputError, match="needs sentence_model"):
        content_vectors(TITLES, CATEGORIES, options=ContentOptions(encoder="sentence"))


def naive_errors(z: torch.Tensor, e: torch.Tensor, penalty: float) -> float:
    """Leave-one-out by really leaving one out."""
    total = 0.0
    for left_out in range(len(z)):
        rows = torch.arange(len(z)) != left_out
        z_mean, e_mean = z[rows].mean(0), e[rows].mean(0)
        gram = (z[rows] - z_mean).T @ (z[rows] - z_mean) + penalty * torch.eye(z.shape[1])
        weights = torch.linalg.solve(gram, (z[rows] - z_mean).T @ (e[rows] - e_mean))
        total += float((e_mean + (z[left_out] - z_mean) @ weights - e[left_out]).square().sum())
    return total / len(z)


def test_the_leave_one_out_error_is_exact_and_the_best_penalty_is_taken() -> None:
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(30, 6, generator=rng, dtype=torch.float64)
    e = z @ torch.randn(6, 4, generator=rng, dtype=torch.float64)
    e += 2 * torch.randn(30, 4, generator=rng, dtype=torch.float64)
    found = fit_content_map(z, e)
    errors = {penalty: naive_errors(z, e, penalty) for penalty in PENALTIES}
    assert found.penalty == min(errors, key=lambda penalty: errors[penalty])
    assert found.error == pytest.approx(min(errors.values()))


def test_a_linear_world_is_found_again() -> None:
    rng = torch.Generator().manual_seed(1)
    content = torch.randn(80, 5, generator=rng)
    vectors = F.normalize(content @ torch.randn(5, 3, generator=rng), dim=1)
    vectors = torch.cat([torch.zeros(1, 3), vectors])
    is_cold = np.arange(80) >= 60
    hidden = vectors.clone()
    hidden[61:] = torch.nan  # rows of cold items are not read
    placed = place_items(hidden, content, is_cold, is_unit=True)
    assert torch.equal(placed[:61], vectors[:61])
    torch.testing.assert_close(placed[61:].norm(dim=1), torch.ones(20))
    assert float((placed[61:] * vectors[61:]).sum(1).mean()) > 0.85


def test_too_few_items_give_no_map() -> None:
    with pytest.raises(InvalidInputError, match="at least 3 items with both vectors, got 2"):
        fit_content_map(torch.ones(2, 2), torch.ones(2, 2))


def test_users_begin_between_their_items() -> None:
    items = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    torch.testing.assert_close(user_from_items(items, np.array([1, 2])), torch.full((2,), 0.5**0.5))
    mean = user_from_items(items, np.array([1, 2, 3]))
    torch.testing.assert_close(mean, F.normalize(torch.tensor([2.0, 1.0]), dim=0))
    with pytest.raises(InvalidInputError, match="at least one item"):
        user_from_items(items, np.array([], dtype=np.int64))


def test_a_data_set_keeps_cold_items_when_asked() -> None:
    events = pl.DataFrame(
        {"user_id": ["a"] * 4, "item_id": ["1", "2", "3", "4"], "timestamp": [1, 2, 3, 4]}
    )
    items = pl.DataFrame(
        {
            "item_id": ["1", "2", "3", "4", "5"],
            "title": ["", "", "", "", "New"],
            "categories": [["x"]] * 5,
            "text": ["", "", "", "", "fresh"],
        }
    )
    data = Interactions(events), Catalogue(items)
    kept = Dataset.build("toy", *data, keep_cold=True)
    vectors = torch.tensor([[0.0, 0], [1, 0], [0, 1], [9, 9], [9, 9], [9, 9]])
    chosen = user_from_category(kept, vectors, "x")  # of what was taken in train, not of all
    torch.testing.assert_close(chosen, torch.full((2,), 0.5**0.5))
    assert kept.item_ids == ("1", "2", "3", "4", "5")
    assert kept.texts[4] == "fresh"
    assert kept.items.is_cold.tolist() == [False, False, True, True, True]  # two are held out
    assert Dataset.build("toy", *data).item_ids == ("1", "2", "3", "4")
