"""Columns are recognised as in the files that companies and publishers have."""

import polars as pl
import pytest

from proactrec.data.importing.guess import guess_events, guess_items, guess_separator
from proactrec.data.importing.options import EventColumns, ItemColumns
from proactrec.errors import InvalidInputError

T = 1_700_000_000
D = "31.01.2024 18:30"
TABLES: list[tuple[dict[str, object], str]] = [
    # Retailrocket, Amazon 2018 and 2023, Last.fm, Steam, H&M, a nested web log, UCI, MovieLens
    (
        {"timestamp": T * 1000, "visitorid": 1, "event": "view", "itemid": 2},
        "visitorid itemid timestamp event",
    ),
    (
        {"overall": 5.0, "reviewerID": "A1", "asin": "B0", "unixReviewTime": T},
        "reviewerID asin unixReviewTime",
    ),
    (
        {"user_id": "A", "parent_asin": "B", "rating": 4.0, "timestamp": T * 1000},
        "user_id parent_asin timestamp",
    ),
    (
        {"userID": 1, "artistID": 2, "tagID": 3, "timestamp": T * 1000},
        "userID artistID timestamp",
    ),
    (
        {"user_id": "a", "funny": None, "posted": "2011-11-05", "item_id": "x"},
        "user_id item_id posted",
    ),
    (
        {"customer_id": "c", "article_id": 1, "t_dat": "2020-01-01", "price": 0.5},
        "customer_id article_id t_dat",
    ),
    (
        {"user.id": 7, "product.sku": "s", "created_at": "2024-01-01T00:00:00Z", "type": "buy"},
        "user.id product.sku created_at type",
    ),
    (
        {"InvoiceDate": "2010-12-01 08:26:00", "StockCode": "85123A", "CustomerID": 17850},
        "CustomerID StockCode InvoiceDate",
    ),
    ({"userId": 1, "movieId": 2, "rating": 3.5, "timestamp": T}, "userId movieId timestamp"),
    ({"who": "a", "user_x": "b", "when": T}, "user_x who when"),
    (
        {"Kunden-Nr.": "K1", "Artikelbezeichnung": "Hose", "Artikelnummer": "A1", "Kaufdatum": D},
        "Kunden-Nr. Artikelnummer Kaufdatum",
    ),
    (
        {"id": 1, "Käufer": "K1", "Produkt": "P1", "Zeitpunkt": D, "Ereignis": "Kauf"},
        "Käufer Produkt Zeitpunkt Ereignis",
    ),
    (
        {"Identifiant": 1, "numéro_client": "c", "référence_produit": "p", "date_achat": D},
        "numéro_client référence_produit date_achat",
    ),
    (
        {"usuario": "u", "artículo": "a", "fecha_compra": D, "tipo_evento": "compra"},
        "usuario artículo fecha_compra tipo_evento",
    ),
]


@pytest.mark.parametrize(("row", "expected"), TABLES, ids=[names for _, names in TABLES])
def test_event_columns(row: dict[str, object], expected: str) -> None:
    sample = pl.DataFrame({name: [value] * 5 for name, value in row.items()})
    found, guesses = guess_events(sample, EventColumns())
    chosen = (found.user, found.item, found.time, found.event_type)
    assert [name for name in chosen if name] == expected.split()
    assert len(guesses) == len(expected.split())
    assert all(guess.why for guess in guesses)


def test_a_name_in_another_language_says_which() -> None:
    row = {"Kundennummer": "K1", "Artikel": "A", "fecha": "2024-01-31", "genre": "x"}
    _, guesses = guess_events(pl.DataFrame([row] * 5), EventColumns())
    assert {guess.meaning: guess.why for guess in guesses} == {
        "user": "by its name (German)",
        "item": "by its name (German)",
        "time": "by its name (Spanish), and its values are times",
    }


def test_a_clear_name_comes_before_a_mere_number() -> None:
    """`id` may number the rows, so it is the item only where nothing is called so."""
    for item in ("Artikel-Nr", "product_id", "référence"):
        columns = {"id": [1] * 5, "user": ["u"] * 5, item: ["x"] * 5, "time": [T] * 5}
        found, _ = guess_events(pl.DataFrame(columns), EventColumns())
        assert found.item == ("id" if item == "référence" else item)


def test_item_columns_in_german() -> None:
    sample = pl.DataFrame(
        {"Artikelnummer": ["x"], "Bezeichnung": ["Schuh"], "Warengruppe": ["a"], "Größe": ["41"]}
    )
    found, guesses = guess_items(sample, ItemColumns(), "item", {"x"})
    assert (found.item, found.title, found.categories) == (
        "Artikelnummer",
        "Bezeichnung",
        ("Warengruppe",),
    )
    assert guesses[1].why == "by its name (German)"


def test_what_is_given_is_not_guessed() -> None:
    sample = pl.DataFrame({"user": ["a"], "item": ["b"], "boss": ["c"]})
    found, guesses = guess_events(sample, EventColumns(user="boss", time=""))
    assert (found.user, found.item, found.time) == ("boss", "item", "")
    assert [guess.meaning for guess in guesses] == ["item"]


def test_a_log_without_times_is_said_to_be_in_order() -> None:
    _, guesses = guess_events(pl.DataFrame({"user": ["a"], "item": ["b"]}), EventColumns())
    assert "taken to be in time order" in guesses[-1].why


def test_two_columns_without_a_hint_are_not_guessed() -> None:
    with pytest.raises(InvalidInputError, match="no column can be told to hold the users"):
        guess_events(pl.DataFrame({"a": ["x"], "b": ["y"]}), EventColumns())


def test_item_columns_are_found_by_their_values() -> None:
    sample = pl.DataFrame(
        {
            "rowno": ["1", "2"],
            "code": ["x", "y"],
            "Product Name": ["Shoe", "Hat"],
            "genres": ["a|b", "a"],
            "overview": ["A shoe.", "A hat."],
        }
    )
    found, guesses = guess_items(sample, ItemColumns(), "item", {"x", "y", "z"})
    assert found.item == "code"
    assert guesses[0].why == "100 % of its first values are items of the events"
    assert found.title == "Product Name"
    assert found.categories == ("genres",)
    assert found.text == ("overview",)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a|b", "c"], "|"),
        (["a, b", "c"], ","),
        (["a;b"], ";"),
        (["Rock & Pop", "Jazz"], None),
        (['["a, b", "c"]'], None),
        ([*["x"] * 50, "Yes, Minister"], None),
    ],
)
def test_separators(values: list[str], expected: str | None) -> None:
    assert guess_separator(values) == expected
