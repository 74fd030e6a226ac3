"""Rails by categories that lie in others: a cap of the home counts its knives."""

from dataclasses import replace

import pytest

from proactrec.data.items import Items
from proactrec.errors import InvalidInputError
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import NO_ITEMS, RailsOptions, check_rails, targets_in

from .toys import N_ITEMS, Toy

PATHS = ["Home > Knives", "Home > Sale", "Garden > Sale", "Garden"]
"""Of items 1, 2, 3, 4, and so on: targets are on sale in the garden, and a knife."""


@pytest.fixture(scope="module")
def shop(toy: Toy) -> Toy:
    own = tuple((PATHS[item % 4],) for item in range(N_ITEMS))
    return toy._replace(dataset=replace(toy.dataset, categories=own))


def n_of(log: GuidanceLog, items: Items, name: str) -> int:
    """Most items of a category that a journey was shown."""
    return int(items.carry([name])[log.item_idx].sum(1).max())


def test_a_cap_counts_all_that_lies_in_a_category(shop: Toy) -> None:
    items = shop.dataset.items
    free = shop.play(shop.guide("ipg"))
    assert n_of(free, items, "Home") > 3
    capped = shop.play(shop.guide("ipg", RailsOptions(category_caps={"Home": 2})))
    assert n_of(capped, items, "Home") == 2
    caps = {"home": 3, "Knives": 1}
    both = shop.play(shop.guide("ipg", RailsOptions(category_caps=caps)))
    assert [n_of(both, items, name) for name in caps] == [3, 1]


def test_what_lies_in_a_forbidden_category_is_shown_to_nobody(shop: Toy) -> None:
    rails = RailsOptions(forbidden_categories=("Home > Sale",))
    log = shop.play(shop.guide("ipg", rails))
    assert n_of(log, shop.dataset.items, "Home > Sale") == 0
    assert n_of(log, shop.dataset.items, "Garden > Sale") > 0


def test_targets_of_a_category_leave_out_what_is_protected_in_it(shop: Toy) -> None:
    items = shop.dataset.items
    rails = RailsOptions(protected_categories=("Knives",))
    assert targets_in(rails, items, "home").tolist() == items.of_category("Home > Sale").tolist()
    for name in ("forbidden_categories", "protected_categories"):
        with pytest.raises(InvalidInputError, match="'Sale' must be named by its whole path"):
            check_rails(RailsOptions(**{name: ("Sale",)}), shop.dataset, items.of_category("home"))
    with pytest.raises(InvalidInputError, match="'Sale' must be named by its whole path"):
        check_rails(RailsOptions(category_caps={"Sale": 1}), shop.dataset, NO_ITEMS)
