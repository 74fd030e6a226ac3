"""What an import writes, from files of every kind; nothing is lost without being counted."""

import gzip
import json
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proactrec.data.imported import load
from proactrec.data.importing.importer import Import
from proactrec.data.importing.options import ImportOptions
from proactrec.errors import DataError, InvalidInputError, ProactrecError

T = 1_700_000_000


def imported(folder: Path, *paths: Path | str, **options: Any) -> tuple[dict[str, Any], Path]:
    out = folder / f"out-{uuid.uuid4().hex}"
    with Import(ImportOptions(events=tuple(map(str, paths)), **options), out) as job:
        return job.run(), out


def events(out: Path) -> pl.DataFrame:
    return pl.read_parquet(out / "events.parquet")


def csv(folder: Path, rows: list[tuple[Any, ...]], name: str = "e.csv") -> Path:
    path = folder / name
    lines = ["user,item,time,event", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


IDS = ["007", "7", "", " 7", "12345678901234567890", "0x1F", str(uuid.UUID(int=5)), "été", "1e5"]


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "jsonl", "parquet"])
def test_ids_stay_exactly_as_they_are(kind: str, tmp_path: Path) -> None:
    rows = [{"user": user, "item": f"i{n}", "time": T + n} for n, user in enumerate(IDS)]
    path = tmp_path / f"e.{kind}"
    table = pl.DataFrame(rows)
    if kind == "parquet":
        table.write_parquet(path)
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        text = table.write_csv(separator="\t" if kind == "tsv" else ",").encode()
        path.write_bytes(gzip.compress(text) if kind == "csv.gz" else text)
    result, out = imported(tmp_path, path, max_bad_share=0.2)
    assert set(events(out)["user_id"]) == set(IDS) - {""}
    assert "1 row left out: user holds no user" in result["problems"][0]


def test_numbers_as_ids_are_digits(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pl.DataFrame(
        {
            "user": pl.Series([2**63 + 5, 7], dtype=pl.UInt64),
            "item": [17850.0, 3.5],  # whole numbers that a gap made floats
            "time": [T, T],
        }
    ).write_parquet(path)
    out = imported(tmp_path, path, columns={"item": "item"})[1]
    assert set(events(out)["user_id"]) == {"9223372036854775813", "7"}
    assert set(events(out)["item_id"]) == {"17850", "3.5"}


def test_numbers_in_json_keep_all_digits(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(f'{{"user": 123456789012345678901234, "item": 1.50, "time": {T}}}\n')
    out = imported(tmp_path, path, columns={"item": "item"})[1]
    row = events(out).row(0)
    assert row[:2] == ("123456789012345678901234", "1.50")


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    rows = [("a", "x", T, "view"), ("a", "x", T + 9, "buy"), ("b", "x", T, "view")]
    rows += [("b", "y", T + 1, "hover"), ("", "y", T, "view")]
    result, out = imported(
        tmp_path, csv(tmp_path, rows), weights={"view": 1, "buy": 3}, max_bad_share=0.5
    )
    assert dict(result["steps"]) == {
        "rows read": 5,
        "unusable rows": -1,
        "events of kinds that do not count": -1,
        "repeats of a user and an item": -1,
        "interactions written": 2,
    }
    table = events(out).sort("user_id")
    assert table["weight"].to_list() == [4.0, 1.0]
    assert table["n_events"].to_list() == [2, 1]
    assert [(one["kind"], one["rows"], one["weight"]) for one in result["about"]["kinds"]] == [
        ("view", 2, 1),
        ("buy", 1, 3),
        ("hover", 1, 0),
    ]


def test_what_is_given_back_is_no_liking_and_that_is_told(tmp_path: Path) -> None:
    rows = [("a", "x", T, "purchase"), ("a", "y", T, "purchase"), ("a", "x", T + 9, "return")]
    rows += [("b", "x", T, "hover"), ("b", "z", T, "order refunded"), ("b", "y", T, "Return")]
    result, out = imported(tmp_path, csv(tmp_path, rows))
    pairs = set(events(out).select("user_id", "item_id").rows())
    assert pairs == {("a", "x"), ("a", "y"), ("b", "x")}
    assert dict(result["steps"])["events of kinds that do not count"] == -3
    assert any(
        "3 rows of kinds that say no liking are not counted: Return (1), order refunded (1), return"
        in note
        for note in result["notes"]
    )
    assert any(
        "1 row of kinds that are not known count as liking: hover (1)" in n for n in result["notes"]
    )
    why = {one["what"]: one["why"] for one in result["verdicts"]}
    assert "Return, order refunded, return say no liking" in why["Tell likes from dislikes"]
    assert "These kinds of events count the same: purchase, hover." in why["Weigh kinds of events"]
    given = {"purchase": 1, "return": 2}  # whoever wants them counted says so
    result, out = imported(tmp_path, csv(tmp_path, rows), weights=given)
    assert events(out)["weight"].sum() == 4
    assert not any("say no liking" in note for note in result["notes"])


def test_weights_of_kinds_that_are_not_there_are_told(tmp_path: Path) -> None:
    path = csv(tmp_path, [("a", "x", T, "view"), ("b", "x", T, "buy")])
    result, _ = imported(tmp_path, path, weights={"view": 1, "puchase": 5})
    assert "no event is of the kind puchase; there are buy, view" in result["notes"]
    with pytest.raises(InvalidInputError, match="weights need a column of kinds of events"):
        imported(tmp_path, path, weights={"view": 1}, columns={"event_type": ""})
    with pytest.raises(DataError, match="no event is of a kind that counts: return"):
        imported(tmp_path, csv(tmp_path, [("a", "x", T, "return")]))


def test_columns_that_nothing_reads_are_named(tmp_path: Path) -> None:
    path, items = tmp_path / "e.csv", tmp_path / "items.csv"
    path.write_text(f"user,item,time,session_id,price,stars\na,x,{T},s,1.5,4\nb,x,{T},s,1.5,4\n")
    items.write_text("item,title,brand\nx,Ex,B\n")
    result, _ = imported(tmp_path, path, items=(str(items),))
    assert result["unused_columns"] == {
        "events": ["session_id", "price", "stars"],
        "items": ["brand"],
    }
    assert "3 columns of the events are not used: session_id, price, stars" in result["notes"]
    assert "1 column of the items is not used: brand" in result["notes"]
    assert result["about"]["rating_columns"] == ["stars"]


def test_a_log_with_german_columns(tmp_path: Path) -> None:
    path = tmp_path / "verkauf.csv"
    rows = "K1;A1;31.01.2024 18:30;Kauf;9,99\nK1;A2;01.02.2024 08:00;Retoure;9,99\n"
    path.write_text(f"Kundennr;Artikelnr;Datum;Vorgang;Preis\n{rows}")
    result, out = imported(tmp_path, path, time={"zone": "Europe/Berlin"})
    assert events(out).select("user_id", "item_id").rows() == [("K1", "A1")]
    assert str(events(out)["timestamp"][0]) == "2024-01-31 17:30:00+00:00"
    told = {guess["meaning"]: guess["why"] for guess in result["guesses"]}
    assert told["item"] == "by its name (German)"
    assert result["unused_columns"]["events"] == ["Preis"]


def test_nothing_is_promised_where_there_is_nothing(tmp_path: Path) -> None:
    """Whoever has no unseen items cannot promote one."""
    result, _ = imported(tmp_path, csv(tmp_path, [("a", "x", T, ""), ("b", "y", T, "")]))
    found = {one["what"]: (one["mark"], one["why"]) for one in result["verdicts"]}
    assert found["Promote items that nobody has seen"] == (
        "no",
        "There is none: every item of the catalogue has interactions.",
    )
    assert found["Learn from repeats"] == ("no", "There is none: no user meets an item twice.")


def test_light_pairs_are_left_out(tmp_path: Path) -> None:
    rows = [
        ("a", "x", T, "view"),
        ("a", "y", T, "buy"),
        ("b", "x", T, "view"),
        ("b", "x", T, "view"),
    ]
    result, out = imported(
        tmp_path, csv(tmp_path, rows), weights={"view": 1, "buy": 3}, min_weight=2
    )
    assert sorted(events(out)["user_id"] + events(out)["item_id"]) == ["ay", "bx"]
    assert dict(result["steps"])["users and items below the least weight"] == -1


def test_the_first_of_repeats_counts_and_ties_keep_the_order_of_rows(tmp_path: Path) -> None:
    rows = [("a", "z", T + 5, ""), ("a", "y", T, ""), ("a", "x", T, ""), ("a", "z", T - 9, "")]
    out = imported(tmp_path, csv(tmp_path, rows))[1]
    assert events(out)["item_id"].to_list() == ["z", "y", "x"]
    assert events(out)["timestamp"].dt.epoch("s").to_list() == [T - 9, T, T]


def test_sessions_end_with_a_pause(tmp_path: Path) -> None:
    minutes = [0, 10, 41, 60, 200]
    rows = [(user, f"i{n}", T + 60 * m, "") for user in "ab" for n, m in enumerate(minutes)]
    out = imported(tmp_path, csv(tmp_path, rows))[1]
    assert events(out)["session"].to_list() == [1, 1, 2, 2, 3] * 2


def test_impossible_rates_are_flagged_or_dropped(tmp_path: Path) -> None:
    rows = [("bot", f"i{n}", T + n // 2, "") for n in range(120)]
    rows += [(f"u{user}", f"i{n}", T + 97 * n, "") for user in range(5) for n in range(50)]
    path = csv(tmp_path, rows)
    result, out = imported(tmp_path, path)
    assert [suspect["user"] for suspect in result["suspects"]] == ["bot"]
    assert result["suspects"][0]["per_minute"] == 120
    assert "bot" in events(out)["user_id"]
    result, out = imported(tmp_path, path, bots="drop")
    assert "bot" not in events(out)["user_id"]
    assert dict(result["steps"])["events of suspected bots"] == -120


def test_days_say_nothing_about_rates(tmp_path: Path) -> None:
    days = [f"2024-01-{1 + n % 20:02}" for n in range(300)]
    rows = [("a", f"i{n}", day, "") for n, day in enumerate(days)]
    result, _ = imported(tmp_path, csv(tmp_path, rows), bot_minute=5, bot_day=5)
    assert result["suspects"] == []
    marks = {verdict["what"]: verdict["mark"] for verdict in result["verdicts"]}
    assert marks["Recognise bots"] == "no"


def test_folders_and_patterns_of_several_kinds(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    (folder / "day=2").mkdir(parents=True)
    csv(folder, [("a", "x", T, "")], "1.csv")
    pl.DataFrame({"event": ["v"], "time": [T + 1], "user": ["a"], "item": ["y"]}).write_parquet(
        folder / "day=2" / "part.parquet"
    )
    (folder / "_SUCCESS").write_text("")
    (folder / "empty.csv").write_text("")
    (folder / "notes.md").write_text("hello")
    result, out = imported(tmp_path, folder)
    assert events(out)["item_id"].to_list() == ["x", "y"]
    assert any("1 of 3 files are empty" in note for note in result["notes"])
    assert any("1 files of other kinds were not read" in note for note in result["notes"])
    assert events(imported(tmp_path, str(folder / "*.csv"))[1]).height == 1


def test_items_are_joined_and_every_item_is_kept(tmp_path: Path) -> None:
    path = csv(tmp_path, [("a", "x", T, ""), ("a", "q", T, ""), ("b", "y", T, "")])
    items = tmp_path / "items.csv"
    items.write_text(
        "item,title,genre,plot\nx,Ex,Rock|Pop,Loud.\nx,Ex,Jazz,\ny,Why,,\nz,Zed,Rock,New.\n"
    )
    result, out = imported(tmp_path, path, items=(str(items),))
    table = {row[0]: row[1:] for row in pl.read_parquet(out / "items.parquet").rows()}
    assert table["x"] == ("Ex", ["Rock", "Pop", "Jazz"], "Loud.")
    assert table["q"] == ("", [], "")
    assert table["z"] == ("Zed", ["Rock"], "New.")
    assert result["facts"]["n_items_without_events"] == 1
    assert any(
        "1 items of the events are not in the item files, first 'q'" in n for n in result["notes"]
    )
    interactions, catalogue = load(out)
    assert len(interactions) == 3
    assert catalogue.table.height == 4


@pytest.mark.parametrize(
    "value", ['["Action", "War"]', "['Action', 'War']", '[["Action"], ["War"]]', "Action|War"]
)
def test_categories_written_as_lists(value: str, tmp_path: Path) -> None:
    path = csv(tmp_path, [("a", "x", T, ""), ("a", "y", T, "")])
    items = tmp_path / "items.parquet"
    pl.DataFrame({"item": ["x"], "category": [value]}).write_parquet(items)
    out = imported(tmp_path, path, items=(str(items),))[1]
    assert pl.read_parquet(out / "items.parquet")["categories"][0].to_list() == ["Action", "War"]


@pytest.mark.parametrize(
    ("columns", "options", "told"),
    [
        ({"category": ["Home>Kitchen|Sale", "Home>Garden"]}, {}, True),
        ({"category": ["Home/Kitchen|Sale", "Home/Garden"]}, {"level_separator": "/"}, True),
        ({"main_category": ["Home", "Home"], "sub_category": ["Kitchen", "Garden"]}, {}, False),
    ],
)
def test_categories_that_lie_in_others(
    columns: dict[str, list[str]], options: dict[str, Any], told: bool, tmp_path: Path
) -> None:
    path = csv(tmp_path, [("a", "x", T, ""), ("a", "y", T, "")])
    items = tmp_path / "items.parquet"
    pl.DataFrame({"item": ["x", "y"], **columns}).write_parquet(items)
    result, out = imported(tmp_path, path, items=(str(items),), **options)
    carried = dict(pl.read_parquet(out / "items.parquet").select("item_id", "categories").rows())
    assert (carried["x"][0], carried["y"]) == ("Home > Kitchen", ["Home > Garden"])
    assert result["facts"]["categories"]["Home"] == 2
    assert any("categories are trees" in note for note in result["notes"]) == told
    flat = imported(tmp_path, path, items=(str(items),), level_separator="")[1]
    assert not any(
        " > " in name
        for names in pl.read_parquet(flat / "items.parquet")["categories"].to_list()
        for name in names
        if told
    )


def test_two_imports_of_one_log_are_the_same(tmp_path: Path) -> None:
    rows = [(f"u{n % 50}", f"i{n * n % 97}", T + n % 1000, "") for n in range(3000)]
    path = csv(tmp_path, rows)
    first, again = (imported(tmp_path, path)[1] for _ in range(2))
    for name in ("events.parquet", "items.parquet"):
        assert (first / name).read_bytes() == (again / name).read_bytes()


def test_values_over_line_ends_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(f'user,item,time,note\na,x,{T},"two\nlines"\na,y,{T},plain\n')
    result, out = imported(tmp_path, path)
    assert events(out).height == 2
    assert any("1 lines are blank or lie inside quoted values" in note for note in result["notes"])


def test_quotes_in_the_middle_of_values_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "e.tsv"
    path.write_text(f'user\titem\ttime\na\tRoyce da 5\'9"\t{T}\nb\t7" single\t{T}\nc\t"q\t{T}\n')
    out = imported(tmp_path, path, max_bad_share=0.5)[1]
    assert {"Royce da 5'9\"", '7" single'} <= set(events(out)["item_id"])


# Python alone takes the separators from \x1c to \x1f for blanks.
LEFT_OUT = "\r\n\0\x1c\x1d\x1e\x1f"
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters=LEFT_OUT), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS, st.integers(T, T + 10**6)), min_size=1, max_size=30),
    kind=st.sampled_from(["csv", "jsonl", "parquet"]),
)
def test_any_ids_come_through_any_kind_of_file(
    rows: list[tuple[str, str, int]], kind: str, tmp_path: Path
) -> None:
    table = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    path = tmp_path / f"e.{kind}"
    if kind == "csv":
        table.write_csv(path, quote_style="always")
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in table.to_dicts()))
    else:
        table.write_parquet(path)
    missing = ("", "nan", "null", "none")
    kept = {r[:2] for r in rows if not {x.strip().lower() for x in r[:2]} & set(missing)}
    named = {"user": "user", "item": "item", "time": "time"}
    if not kept:
        with pytest.raises(DataError):
            imported(tmp_path, path, columns=named, max_bad_share=1)
        return
    result, out = imported(tmp_path, path, columns=named, max_bad_share=1)
    assert {row[:2] for row in events(out).select("user_id", "item_id").rows()} == kept
    assert dict(result["steps"])["rows read"] == len(rows)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    noise=st.lists(
        st.one_of(st.binary(max_size=12), st.sampled_from([b'"', b",", b"\n", b"\r\n"]))
    ),
    name=st.sampled_from(["e.csv", "e.tsv", "e.jsonl", "e.parquet", "e.csv.gz"]),
    places=st.lists(st.integers(0, 10**6)),
)
def test_noise_never_ends_in_a_traceback(
    noise: list[bytes], name: str, places: list[int], tmp_path: Path
) -> None:
    separator = b"\t" if "tsv" in name else b","
    lines = [separator.join([b"u%d" % (n % 3), b"i%d" % n, b"%d" % (T + n)]) for n in range(20)]
    content = separator.join([b"user", b"item", b"time"]) + b"\n" + b"\n".join(lines)
    for place, piece in zip(places, noise, strict=False):
        place %= len(content)
        content = content[:place] + piece + content[place:]
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with suppress(ProactrecError):
        imported(tmp_path, path, max_bad_share=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"user": "user", "item": "user"}}, "must stand in different columns"),
        ({"columns": {"user": "user", "time": "user"}}, "got 'user' twice"),
        ({"files": {"separator": '"'}}, "separator must be one ASCII character that is no quote"),
        ({"files": {"separator": "§"}}, "no line end, got '§'"),
        ({"files": {"separator": "\n"}}, "no line end, got '\\n'"),
        ({"files": {"encoding": "hex"}}, "encoding 'hex' does not exist for text"),
        ({"files": {"encoding": "undefined"}}, "encoding 'undefined' does not exist for text"),
        ({"files": {"encoding": "a\0b"}}, "encoding must hold no NUL"),
        ({"files": {"encoding": "utf-16"}}, "is not utf-16 text"),
        ({"session_minutes": 1e300}, "session_minutes must be at most 10000000, got 1e+300"),
        ({"bot_minute": 10**30}, "bot_minute must be at most"),
        ({"weights": {"view": float("inf")}}, "finite number"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = csv(tmp_path, [("a", "x", T, "view"), ("b", "y", T, "view")])
    with pytest.raises(ProactrecError, match=re.escape(message)) as refused:
        imported(tmp_path, path, **options)
    assert "\n" not in str(refused.value)


def test_what_an_earlier_import_wrote_is_no_log(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = csv(folder, [("a", "x", T, ""), ("b", "y", T, "")])
    with Import(ImportOptions(events=(str(path),)), folder / "shop") as job:
        job.run()
    result, out = imported(tmp_path, folder)
    assert [Path(file["path"]).name for file in result["files"]] == ["e.csv"]
    assert events(out).height == 2


def test_half_a_character_costs_its_line(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    rows = [json.dumps({"user": f"u{n} 😀", "item": "x", "ts": T + n}) for n in range(3)]
    path.write_text("\n".join([*rows, '{"user": "\\ud83d", "item": "y", "ts": 1700000000}']))
    result, out = imported(tmp_path, path, max_bad_share=0.5)
    assert events(out)["user_id"].to_list() == ["u0 😀", "u1 😀", "u2 😀"]
    assert "1 row left out: the line holds half a character" in result["problems"][0]


def test_a_number_that_is_none_says_nothing_of_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_text(
        f'{{"user": "a", "item": "x", "ts": NaN}}\n{{"user": "b", "item": "y", "ts": {T}}}\n'
    )
    result, _ = imported(tmp_path, path, max_bad_share=1)
    assert result["about"]["time_unit"] == "s"
    assert "1 row left out: ts cannot be read as a time" in result["problems"][0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '"user\nid",item,time\na,x,1\n',
            "opens a quote in its header that the line does not clos",
        ),
        ("user::item::time\na::x::1\n", "parts its columns by '::': one character is needed"),
    ],
)
def test_headers_that_nobody_can_read(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=re.escape(message)):
        imported(tmp_path, path)


def test_ids_that_look_like_others_are_told(tmp_path: Path) -> None:
    path = csv(tmp_path, [(" a", "100", T, ""), ("a", "101", T, ""), ("a ", "101", T, "")])
    items = tmp_path / "items.csv"
    items.write_text("item,title\n100.0,Ex\n101.0,Why\n")
    result, _ = imported(tmp_path, path, items=(str(items),))
    told = " ".join(result["notes"])
    assert "2 user ids begin or end with blanks: other ids than those without" in told
    assert "item id" not in told
    assert "no item of the events is in the item files" in told
    assert "('100' here, '100.0' there)" in told
