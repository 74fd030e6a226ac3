"""Names that a model writes, and the items that they mean."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proactrec.errors import InvalidInputError
from proactrec.llm.titles import NO_MATCH, Match, TitleMatcher, normalise, split_year

TITLES = [
    "Toy Story (1995)",  # 1
    "Usual Suspects, The (1995)",  # 2
    "Misérables, Les (1995)",  # 3
    "Cité des enfants perdus, La (City of Lost Children, The) (1995)",  # 4
    "Sabrina (1954)",  # 5
    "Sabrina (1995)",  # 6
    "Rocky II (1979)",  # 7
    "Rocky III (1982)",  # 8
    "Die Hard (1988)",  # 9
    "Avventura, L' (1960)",  # 10
    "Fast & Furious",  # 11
    "Chasing Amy (1997)",  # 12
    "Chasing Amy (1997)",  # 13
    "Strange Voyage",  # 14
    "Strange Voyagee",  # 15
    "!!!",  # 16
    "千と千尋の神隠し",  # 17
    "C++",  # 18
    "The Song (Live)",  # 19
    "Dances with Wolves (1990)",  # 20
    "The Thing",  # 21
    "Thing",  # 22
    "Kull the Conqueror (1997)",  # 23
    "Kull the Conqueror (1997)",  # 24
    "Nosferatu, a Symphony of Horror",  # 25
]


@pytest.fixture(scope="module")
def matcher() -> TitleMatcher:
    return TitleMatcher(TITLES)


@pytest.mark.parametrize("item_idx", [n for n in range(1, 26) if n not in (13, 24)])
def test_a_catalogue_title_means_its_item(matcher: TitleMatcher, item_idx: int) -> None:
    assert matcher.match(TITLES[item_idx - 1]) == Match(item_idx, "exact", 1.0)


def test_of_two_items_with_the_same_title_the_first_is_meant(matcher: TitleMatcher) -> None:
    assert matcher.match("Chasing Amy (1997)").item_idx == 12


@pytest.mark.parametrize(
    ("name", "item_idx"),
    [
        ("toy story", 1),
        ("TOY STORY (1995)", 1),
        ("  Toy-Story  ", 1),
        ("The Usual Suspects (1995)", 2),
        ("The Usual Suspects", 2),
        ("Usual Suspects", 2),
        ("usual suspects, the", 2),
        ("Les Miserables", 3),
        ("Les Misérables (1995)", 3),
        ("The City of Lost Children (1995)", 4),
        ("City of Lost Children", 4),
        ("La Cité des enfants perdus", 4),
        ("Sabrina  (1954)", 5),
        ("sabrina (1995)", 6),
        ("L'Avventura (1960)", 10),
        ("L’Avventura", 10),
        ("Fast and Furious", 11),
        ("千と千尋の神隠し!", 17),
        ("the thing", 21),
        ("THING", 22),
    ],
)
def test_another_way_to_write_it_is_normalised(
    matcher: TitleMatcher, name: str, item_idx: int
) -> None:
    assert matcher.match(name) == Match(item_idx, "normalised", 1.0)


@pytest.mark.parametrize(
    "name",
    [
        "Toy Story (1996)",  # two years that differ
        "Sabrina",  # 1954 or 1995
        "sabrina (1970)",
        "kull the conqueror (1997)",  # two items, and not the exact text
        "Rocky IV",  # a number apart
        "Rocky",
        "Hard",  # "die" is no English article
        "C",
        "Song",  # a parenthesis is another name in films only
        "Live",
        "???",
        "",
        "(1995)",
        "Something Else Entirely (2020)",
        "千と千尋",
    ],
)
def test_what_is_unknown_or_unclear_means_nothing(matcher: TitleMatcher, name: str) -> None:
    assert matcher.match(name) == NO_MATCH


def test_a_slip_of_the_pen_is_fuzzy(matcher: TitleMatcher) -> None:
    found = matcher.match("Dances wiht Wolves (1990)")
    assert (found.item_idx, found.kind) == (20, "fuzzy")
    assert 0.9 <= found.score < 1
    assert matcher.match("Dances wiht Wolves (1991)") == NO_MATCH


def test_the_closest_of_several_items_is_meant(matcher: TitleMatcher) -> None:
    assert matcher.match("Strange Voyagez").item_idx == 14


def test_the_score_is_the_ratio_and_the_threshold_is_met() -> None:
    ratio = 2 * 8 / (8 + 10)  # abcdefgh within abcdefghxy
    assert TitleMatcher(["abcdefghxy"], threshold=ratio).match("abcdefgh") == Match(
        1, "fuzzy", pytest.approx(ratio)
    )
    assert TitleMatcher(["abcdefghxy"], threshold=ratio + 1e-6).match("abcdefgh") == NO_MATCH


def test_two_items_equally_close_mean_nothing() -> None:
    matcher = TitleMatcher(["Long Voyage Home A", "Long Voyage Home B"])
    assert matcher.match("Long Voyage Home C") == NO_MATCH
    assert TitleMatcher(["Long Voyage Home A"]).match("Long Voyage Home C").item_idx == 1


def test_a_year_does_not_hide_a_closer_name_without_one() -> None:
    matcher = TitleMatcher(["Long Voyage Home", "Emoh Egayov Gnol (1990)"])
    assert matcher.match("Long Voyage Homee (1990)").item_idx == 1


def test_numbers_must_be_the_same() -> None:
    matcher = TitleMatcher(["Civilization IV", "Final Fantasy 10", "Adventure Land 2000"])
    assert matcher.match("Civilization V") == NO_MATCH
    assert matcher.match("Final Fantasy 12") == NO_MATCH
    assert matcher.match("Adventure Lands 2000").item_idx == 3


def test_an_empty_catalogue_knows_nothing() -> None:
    assert TitleMatcher([]).match("Toy Story") == NO_MATCH


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(InvalidInputError, match=r"threshold must be in \(0, 1\], got"):
        TitleMatcher(["A"], threshold=threshold)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Schindler's List", "schindlers list"),
        ("Dr. Strangelove or: How I…", "dr strangelove or how i"),
        ("Straße", "strasse"),
        ("Smilla's Sense — of Snow™", "smillas sense of snow"),
        ("Nattevagten; Ærø", "nattevagten aero"),
        ("かさ", "かさ"),
        ("がざ", "がざ"),
        ("हिन्दी", "हिन्दी"),
        ("Crow, The", "the crow"),
        ("Me, Myself and I", "me myself and i"),
        ("...", ""),
    ],
)
def test_normal_form(name: str, plain: str) -> None:
    assert normalise(name) == plain


def test_the_year_is_at_the_end() -> None:
    assert split_year("Heat (1995)") == ("Heat", "1995")
    assert split_year("Land Before Time (1995) (V)") == ("Land Before Time", "1995")
    assert split_year("2001: A Space Odyssey") == ("2001: A Space Odyssey", None)
    assert split_year("Blade Runner (2049) x") == ("Blade Runner (2049) x", None)
    assert split_year("Number (9999)") == ("Number (9999)", None)


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=20))
def test_any_catalogue_and_any_name_work(titles: list[str], name: str) -> None:
    found = TitleMatcher(titles).match(name)
    assert (found.item_idx is None) == (found.kind == "none") == (found.score == 0)
    for title in titles:
        assert TitleMatcher(titles).match(title) == Match(titles.index(title) + 1, "exact", 1.0)


def test_ml_100k_is_found_again_without_articles_commas_and_case(data_dir: Path) -> None:
    rows = (data_dir / "ml-100k" / "u.item").read_text(encoding="latin-1").splitlines()
    titles = [row.split("|")[1] for row in rows]
    matcher = TitleMatcher(titles)
    unique = [(n, title) for n, title in enumerate(titles, 1) if titles.count(title) == 1]
    wrong = []
    for item_idx, title in unique:
        stem, year = split_year(title)
        name = f"{normalise(stem)} ({year})" if year else normalise(stem)
        if matcher.match(name).item_idx != item_idx:
            wrong.append(title)
    assert len(unique) > 1600
    # Also in the catalogue as "Maybe, Maybe Not (Bewegte Mann, Der) (1994)".
    assert wrong == ["Bewegte Mann, Der (1994)"]
