"""Kinds of events as shops and trackers call them: what says a liking, and what takes it back."""

import pytest

from proactrec.data.importing.kinds import MEANINGS, meaning_of, weight_of

KINDS = {
    "liking": "view pv addtocart transaction purchase Kauf gekauft achat compra Like detail_view "
    "Product_Added item-viewed ORDER_COMPLETED thumbs_up clic Bestellung Warenkorb "
    "impression_click",
    "refusal": "return Refund order_refunded removeFromCart remove_from_cart Product-Removed "
    "cancelled unlike dislike thumbs_down not_interested Retoure Rückgabe storniert remboursement "
    "devolución annulé skip uninstall cart.removed",
    "only shown": "impression product_shown exposure angezeigt",
    "unknown": "hover 3 event-7 scroll 点击",
}


@pytest.mark.parametrize(
    ("kind", "meaning"), [(kind, name) for name, kinds in KINDS.items() for kind in kinds.split()]
)
def test_what_a_kind_says(kind: str, meaning: str) -> None:
    assert meaning_of(kind) == meaning


def test_no_word_means_two_things() -> None:
    assert len(MEANINGS) > 150
    assert meaning_of("Order Refunded") == meaning_of("  RETURN ") == "refusal"
    assert meaning_of("") == meaning_of("null") == "liking"  # of which no more is said


def test_weights_say_what_counts_and_else_the_list_does() -> None:
    assert [weight_of(kind, {}) for kind in ("view", "return", "impression", "hover")] == [
        *(1.0, 0.0, 0.0, 1.0)
    ]
    given = {"view": 2.0, "return": 1.0}
    assert [weight_of(kind, given) for kind in ("view", " return ", "hover")] == [2.0, 1.0, 0.0]
