"""Options of rails: what cannot be held is refused in a sentence, and who opts out is drawn."""

import itertools
import re
from typing import Any

import pytest

from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.guidance.rails import RailsOptions, check_rails, opted_out, unknown_opt_outs

from .toys import TARGETS, Toy


def test_more_users_opt_out_at_a_larger_share(toy: Toy) -> None:
    ids = toy.dataset.user_ids
    shares = (0, 0.3, 0.6, 1)
    drawn = [opted_out(RailsOptions(opt_out_share=s), ids, seed=1) for s in shares]
    assert [drawn[0].sum(), drawn[-1].sum()] == [0, toy.dataset.n_users]
    assert all((few <= many).all() for few, many in itertools.pairwise(drawn))


@pytest.mark.parametrize(
    ("values", "error", "sentence"),
    [
        (
            {"forbidden_categories": ("D", "A")},
            InvalidInputError,
            "target 'i03' is of the category 'A' in rails.forbidden_categories",
        ),
        (
            {"protected_categories": ("a",)},
            InvalidInputError,
            "target 'i03' is of the category 'a' in rails.protected_categories",
        ),
        (
            {"category_caps": {"b": 0, "A": 0}},
            InvalidInputError,
            "target 'i03' is of the category 'A' in rails.category_caps, with a cap of 0",
        ),
        ({"protected_categories": ("x",)}, UnknownIdError, "category 'x' does not exist in toy"),
        ({"category_caps": {"x": 1}}, UnknownIdError, "category 'x' does not exist in toy"),
        (
            {"guided_pairs": 1, "equal_groups": {"u00": "x"}},
            InvalidInputError,
            "rails.equal_groups must name the group of every user of toy, 12 have none, the first "
            "is 'u01'",
        ),
    ],
)
def test_rails_that_can_not_be_held_are_refused(
    toy: Toy, values: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        check_rails(RailsOptions(**values), toy.dataset, TARGETS)


def test_ids_of_nobody_are_counted_and_opt_nobody_out(toy: Toy) -> None:
    ids = toy.dataset.user_ids
    rails = RailsOptions(opt_out=("w", "u01", "x"))
    check_rails(rails, toy.dataset, TARGETS)
    assert unknown_opt_outs(rails, ids) == ("w", "x")
    assert opted_out(rails, ids, seed=0).tolist() == [one == "u01" for one in ids]


def test_who_opts_out_is_drawn_by_id_alone(toy: Toy) -> None:
    """Somebody else's coming, or another order, changes nobody's draw."""
    rails, ids = RailsOptions(opt_out_share=0.5), toy.dataset.user_ids
    drawn = dict(zip(ids, opted_out(rails, ids, seed=1).tolist(), strict=True))
    others = ("a new one", *reversed(ids))
    again = dict(zip(others, opted_out(rails, others, seed=1).tolist(), strict=True))
    assert {one: again[one] for one in ids} == drawn
    assert set(drawn.values()) == {False, True}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"relevance_floor": 0}, "RailsOptions.relevance_floor must be above 0"),
        ({"plain_share": 1.1}, "RailsOptions.plain_share must be at most 1"),
        ({"pause_rounds": 2}, "pause_rounds needs pause_after, got 2 without it"),
        ({"category_caps": {"a": -1}}, "RailsOptions.category_caps.a must be at least 0"),
        ({"daily_cap": 2}, "daily_cap and rounds_per_day need each other, got 2 and None"),
        ({"equal_groups": "activity"}, "equal_groups needs guided_pairs, got None"),
        ({"guided_pairs": 2.5}, "guided_pairs must be a share up to 1 or a whole number, got 2.5"),
        ({"item_cap_total": 0}, "RailsOptions.item_cap_total must be at least 1"),
        ({"speed": 1}, "RailsOptions.speed does not exist"),
    ],
)
def test_bad_rails_are_refused_in_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(sentence)):
        RailsOptions(**values)


def test_a_floor_on_acceptance_needs_a_prediction(toy: Toy) -> None:
    with pytest.raises(InvalidInputError, match="needs a policy that predicts acceptance, ipg"):
        toy.guide("ipg", RailsOptions(acceptance_floor=0.2))
