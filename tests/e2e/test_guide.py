"""`guide fit`, `guide show` and `next` as a shop uses them, and what they say to bad input."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from proactrec.data.load import load_dataset
from proactrec.fitting.artefacts import CHECKPOINT
from proactrec.worth import ONLY_INTEREST, Worth

from .apart import Apart
from .conftest import Command, Toy
from .test_kill import stages, stop_when

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("always::proactrec.errors.DataWarning"),
]
FEW = [
    f"--set={setting}"
    for setting in (
        "graphau.embedding_dim=8",
        "graphau.stopping.n_epochs=2",
        "graphau.stopping.min_epochs=1",
        "encoder_options.embedding_dim=8",
        "encoder_options.stopping.n_epochs=2",
    )
]
FORESIGHT = [
    "--set=policy_options.n_models=1",
    "--set=policy_options.view_dim=4",
    "--set=policy_options.graphau.stopping.n_epochs=2",
    "--set=policy_options.graphau.stopping.min_epochs=1",
]
COLUMNS = [
    *("user_id", "target_id", "round", "item_id", "title", "guided"),
    *("chance", "score", "reason", "known_user", "known_item"),
]


class Shop(NamedTuple):
    """A guide of the demo data, and its log."""

    guide: Path
    events: Path

    @property
    def next(self) -> list[str]:
        return ["next", str(self.guide), "--events", str(self.events)]


@pytest.fixture(scope="session")
def shop(here_first: Command, made_once: Callable[..., Path]) -> Shop:
    def fill(folder: Path) -> None:
        data = load_dataset("demo")
        user, item = data.histories.rows(np.arange(data.n_users))
        rows = {
            "user_id": [data.user_ids[row] for row in user],
            "item_id": [data.item_ids[row - 1] for row in item],
            "timestamp": range(1_000_000_000, 1_000_000_000 + len(user)),
        }
        pl.DataFrame(rows).write_csv(folder / "log.csv")
        outcome = here_first(
            "guide", "fit", "--dataset", "demo", "--out", folder / "guide", *FEW, *FORESIGHT
        )
        assert outcome.code == 0, outcome.stderr

    folder = made_once("shop", fill)
    return Shop(folder / "guide", folder / "log.csv")


@pytest.fixture
def asked(shop: Shop, here: Command, tmp_path: Path) -> Callable[..., pl.DataFrame]:
    """The table that `next` writes, and that nothing was wrong."""

    def table(*arguments: object) -> pl.DataFrame:
        out = tmp_path / "next.parquet"
        outcome = here(*shop.next, "--out", out, *map(str, arguments))
        assert (outcome.code, outcome.errors) == (0, []), outcome.stderr
        return pl.read_parquet(out)

    return table


class TestGuide:
    def test_fit_says_what_it_made_and_show_says_the_same(self, shop: Shop, here: Command) -> None:
        told = here("guide", "show", shop.guide, "--json")
        about = json.loads(told.stdout)
        assert (about["policy"], about["knowledge_version"]) == ("foresight", 0)
        assert about["dataset"]["name"] == "demo"
        assert (about["n_items"], about["n_users"]) == (
            pl.read_parquet(shop.guide / "items.parquet").height,
            pl.read_parquet(shop.guide / "users.parquet").height,
        )
        lines = here("guide", "show", shop.guide).stdout
        assert f"{about['n_items']:,} items, {about['n_users']:,} users" in lines

    def test_what_guidance_is_for_is_named_or_set_by_its_parts(
        self, shop: Shop, here: Command, tmp_path: Path
    ) -> None:
        """From finished stages of another worth: none of them hangs on it."""

        def worth(*arguments: str) -> dict[str, Any]:
            stages = ["--store", f"{shop.guide}.store", "--out", tmp_path / "other", "--json"]
            fit = ["guide", "fit", "--dataset", "demo", *stages, *FEW, *FORESIGHT, *arguments]
            outcome = here(*fit)
            assert outcome.code == 0, outcome.stderr
            found: dict[str, Any] = json.loads(outcome.stdout)["policy_options"]["worth"]
            return found

        single = "--set=policy_options.worth.target=2"
        assert worth(single) == Worth(target=2).model_dump()
        assert worth("--worth", "only-interest") == ONLY_INTEREST.model_dump()
        assert worth("--worth", "only-interest", single) == (
            ONLY_INTEREST.model_dump() | {"target": 2}
        )

    def test_fitted_again_it_is_the_same_guide(
        self, shop: Shop, here: Command, tmp_path: Path
    ) -> None:
        """From finished stages: nothing is trained, and any store will do."""
        stages = ["--store", f"{shop.guide}.store", "--out", tmp_path / "again", "--json"]
        outcome = here("guide", "fit", "--dataset", "demo", *stages, *FEW, *FORESIGHT)
        assert outcome.code == 0, outcome.stderr
        about = json.loads((shop.guide / "guide.json").read_text())
        assert json.loads(outcome.stdout) | {"made": ""} == about | {"made": ""}
        for name in ("encoder/encoder.safetensors", "knowledge.safetensors", "items.parquet"):
            assert (tmp_path / "again" / name).read_bytes() == (shop.guide / name).read_bytes()

    def test_a_killed_fit_goes_on(
        self, toy: Toy, apart: Callable[..., Apart], here: Command, tmp_path: Path
    ) -> None:
        long = ["--set=encoder_options.stopping.n_epochs=40"]
        long += ["--set=encoder_options.stopping.min_epochs=40"]
        command = [
            "guide",
            "fit",
            *toy.files,
            "--filter",
            "none",
            "--policy",
            "itmprec",
            *FEW,
            *long,
        ]
        out = tmp_path / "guide"
        process = apart(*command, "--out", out)
        stop_when(process, tmp_path / "guide.store", f".encoder-*/{CHECKPOINT}", signal.SIGKILL)
        assert not out.exists()
        done = stages(tmp_path / "guide.store")
        outcome = here(*command, "--out", out)
        assert (outcome.code, outcome.errors) == (0, [])
        assert done.items() <= stages(tmp_path / "guide.store").items()
        assert here(*command, "--out", tmp_path / "whole").code == 0
        names = {path.relative_to(out) for path in out.rglob("*.safetensors")}
        assert names == {Path("encoder/encoder.safetensors"), Path("intents.safetensors")}
        for name in names:
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


class TestNext:
    def test_everybody_gets_a_row_with_the_promised_columns(
        self, asked: Callable[..., pl.DataFrame], shop: Shop
    ) -> None:
        table = asked("--category", "science fiction")
        assert table.columns == COLUMNS
        events = pl.read_csv(shop.events, infer_schema=False)
        assert sorted(table["user_id"]) == sorted(events["user_id"].unique())
        shown = table.filter(pl.col("item_id").is_not_null())
        assert set(shown["reason"]) <= {"step", "target"}
        assert shown["guided"].all()
        assert shown["chance"].is_between(0, 1).all()
        assert shown["known_item"].all()
        assert shown.join(events, on=["user_id", "item_id"], how="semi").height == 0

    def test_another_process_opens_a_moved_guide_and_shows_the_same(
        self, asked: Callable[..., pl.DataFrame], shop: Shop, cli: Command, tmp_path: Path
    ) -> None:
        moved = shutil.copytree(shop.guide, tmp_path / "moved")
        command = [
            "next",
            str(moved),
            "--events",
            str(shop.events),
            "--category",
            "Science Fiction",
        ]
        outcome = cli(*command, "--out", tmp_path / "out.csv")
        assert outcome.code == 0, outcome.stderr
        other = pl.read_csv(tmp_path / "out.csv", schema_overrides={"user_id": pl.String})
        table = asked("--category", "Science Fiction")
        assert other["item_id"].cast(pl.String).to_list() == table["item_id"].to_list()

    def test_json_has_the_rows_and_standard_error_the_notes(
        self, shop: Shop, here: Command
    ) -> None:
        target = pl.read_parquet(shop.guide / "items.parquet")["item_id"][-1]
        user = pl.read_parquet(shop.guide / "users.parquet")["user_id"][0]
        outcome = here(*shop.next, "--target", target, "--user", user, "--json")
        (row,) = json.loads(outcome.stdout)
        assert list(row) == COLUMNS
        assert (row["user_id"], row["target_id"], row["round"]) == (user, target, 1)
        assert "guessed columns: " in outcome.stderr
        assert "warning: " not in outcome.stderr

    def test_a_new_user_with_later_items_of_a_shops_own_columns(
        self, shop: Shop, here: Command, tmp_path: Path
    ) -> None:
        known, target = pl.read_parquet(shop.guide / "items.parquet")["item_id"][:2]
        lines = [f"kunde 007;{known};31.12.2026 23:59", "0012;neu 1;01.01.2027 00:10"]
        (tmp_path / "today.csv").write_text("\n".join(["kunde;artikel;zeit", *lines, ""]))
        (tmp_path / "new.csv").write_text("artikel;name;genre\nneu 1;Neues;Neu\nneu 2;Mehr;Neu\n")
        names = ["--user-column", "kunde", "--item-column", "artikel", "--time-column", "zeit"]
        names += ["--items-id", "artikel", "--title-column", "name", "--category-column", "genre"]
        names += ["--time-format", "%d.%m.%Y %H:%M", "--time-zone", "Europe/Berlin"]
        command = ["next", shop.guide, "--events", tmp_path / "today.csv", *names]
        items = ["--items", tmp_path / "new.csv"]
        outcome = here(*command, *items, "--category", "neu", "--json")
        assert (outcome.code, outcome.errors) == (0, []), outcome.stderr
        rows = json.loads(outcome.stdout)
        assert [row["user_id"] for row in rows] == ["kunde 007", "0012"]
        assert rows[1]["target_id"] == "neu 2"
        assert not any(row["known_user"] for row in rows)
        only = here(*command, "--known-items", "--target", target, "--json")
        assert [row["known_item"] for row in json.loads(only.stdout) if row["item_id"]] == [True]
        assert "--known-items: 1 events of other items were left aside" in only.stderr

    def test_journeys_go_on_and_bad_rows_are_counted(
        self, asked: Callable[..., pl.DataFrame], shop: Shop, here: Command, tmp_path: Path
    ) -> None:
        first = asked("--category", "Science Fiction")
        past = first.head(300).with_columns(answer=pl.int_range(300) % 2)
        past = past.with_columns(
            answer=pl.when(pl.int_range(300) % 3 > 0).then("answer"),
            user_id=pl.when(pl.int_range(300) < 5).then(pl.lit("nobody")).otherwise("user_id"),
        )
        past.write_csv(tmp_path / "past.csv")
        past.write_parquet(tmp_path / "past.parquet")
        tables = []
        for name in ("past.csv", "past.parquet"):
            command = [*shop.next, "--journeys", tmp_path / name, "--category", "Science Fiction"]
            outcome = here(*command, "--out", tmp_path / "second.parquet")
            assert "warning: --journeys: 5 rows left aside: users who are not" in outcome.stderr
            tables.append(pl.read_parquet(tmp_path / "second.parquet"))
        second = tables[0]
        assert second.equals(tables[1])
        under_way = first["target_id"].to_list()[5:300]
        settled = (past["item_id"] == past["target_id"]) & past["answer"].is_not_null()
        settled = settled[5:300].to_list()
        moved = [a != b for a, b in zip(second["target_id"][5:300], under_way, strict=True)]
        assert moved == settled  # taken, or refused for good: to another target, from its start
        rounds = [1] * 5 + [1 if x else 2 for x in settled] + [1] * (second.height - 300)
        assert second["round"].to_list() == rounds
        both = first.join(second, on=["user_id", "item_id"])["user_id"].to_list()
        assert set(both).isdisjoint(past["user_id"])

    def test_who_opted_out_gets_plain_items_and_unknown_ids_are_counted(
        self, asked: Callable[..., pl.DataFrame], shop: Shop, here: Command, tmp_path: Path
    ) -> None:
        users = pl.read_parquet(shop.guide / "users.parquet")["user_id"]
        (tmp_path / "out.txt").write_text(f"{users[0]}\nnobody\n{users[3]}\n\n")
        command = [*shop.next, "--opt-out", tmp_path / "out.txt", "--category", "Science Fiction"]
        outcome = here(*command, "--out", tmp_path / "o.parquet")
        assert "--opt-out: 2 of its users are here, 1 are not" in outcome.stderr
        table = pl.read_parquet(tmp_path / "o.parquet")
        plain = table.filter(~pl.col("guided"))
        assert sorted(plain["user_id"]) == sorted([users[0], users[3]])
        assert plain["reason"].to_list() == ["opted_out"] * 2

    def test_without_a_number_of_rounds_nobody_knows_the_end(
        self, shop: Shop, here: Command
    ) -> None:
        scores = {}
        for told in ((), ("--n-rounds", "500"), ("--n-rounds", "1")):
            outcome = here(*shop.next, "--category", "Science Fiction", *told, "--json")
            rows = json.loads(outcome.stdout)
            scores[told] = [row["score"] for row in rows if row["score"] is not None]
        open_ended, far, last = scores.values()
        assert open_ended == pytest.approx(far, abs=1e-4)
        assert open_ended != pytest.approx(last, abs=1e-2)

    def test_the_seed_draws_plain_rounds(
        self, shop: Shop, here: Command, tmp_path: Path, toy: Toy
    ) -> None:
        fit = ["guide", "fit", *toy.files, "--filter", "none", "--policy", "popular", *FEW]
        out = tmp_path / "railed"
        assert here(*fit, "--set", "rails.plain_share=0.5", "--out", out).code == 0

        def plain(*seed: str) -> list[bool]:
            command = ["next", out, "--events", toy.events, "--category", "Drama", *seed]
            rows = json.loads(here(*command, "--json").stdout)
            assert {row["reason"] for row in rows if not row["guided"]} <= {
                "plain_share",
                "has_target",
            }
            return [row["guided"] for row in rows]

        assert plain() == plain("--seed", "0") != plain("--seed", "1")


class Bad(NamedTuple):
    shop: Shop
    folder: Path

    def write(self, content: str, name: str = "bad.csv") -> str:
        (self.folder / name).write_text(content)
        return str(self.folder / name)

    def next(self, *arguments: str, out: str = "x.csv", category: str = "Drama") -> list[str]:
        return [
            *self.shop.next,
            "--category",
            category,
            "--out",
            str(self.folder / out),
            *arguments,
        ]

    def on(self, events: str) -> list[str]:
        command = ["next", str(self.shop.guide), "--events", events, "--category", "Drama"]
        return [*command, "--out", str(self.folder / "x.csv")]


GOOD = "user_id,target_id,round,item_id,guided,answer\n"
BAD: dict[str, tuple[Callable[[Bad], list[Any]], str]] = {
    "no guide": (lambda b: ["guide", "show", str(b.folder)], "holds no guide: make one with"),
    "no guide for next": (
        lambda b: ["next", "none", *b.next()[2:]],
        "none holds no guide: make one with",
    ),
    "fit into a full folder": (
        lambda b: ["guide", "fit", "--out", str(b.shop.events.parent)],
        "is not empty, and no guide: choose another folder",
    ),
    "fit into a file": (lambda b: ["guide", "fit", "--out", str(b.shop.events)], "and no guide"),
    "fit of an oracle": (
        lambda b: ["guide", "fit", "--policy", "oracle-greedy", "--out", str(b.folder / "g")],
        "--policy oracle-greedy reads the minds of simulated users",
    ),
    "fit for no worth": (
        lambda b: ["guide", "fit", "--worth", "fame", "--out", str(b.folder / "g")],
        "worth 'fame' does not exist; there are provider, only-interest",
    ),
    "fit for a worth that the policy does not weigh": (
        lambda b: [
            *("guide", "fit", "--policy", "itmprec", "--worth", "provider"),
            *("--out", str(b.folder / "g")),
        ],
        "worth",
    ),
    "fit of no policy": (
        lambda b: ["guide", "fit", "--policy", "magic", "--out", str(b.folder / "g")],
        "policy 'magic' does not exist; there are",
    ),
    "unknown category": (
        lambda b: b.next(category="Opera"),
        "category 'Opera' does not exist in demo; there are ",
    ),
    "unknown target": (
        lambda b: [*b.shop.next, "--target", "no such", "--json"],
        "--target 'no such' is in no event, and the guide does not know it",
    ),
    "unknown user": (
        lambda b: b.next("--user", "nobody"),
        "user 'nobody' has no event and is not known to the guide",
    ),
    "both goals": (lambda b: b.next("--target", "1"), "give --target or --category, one of them"),
    "no goal": (lambda b: [*b.shop.next, "--json"], "give --target or --category, one of them"),
    "both outputs": (lambda b: b.next("--json"), "give --out FILE or --json, one of them"),
    "no output": (
        lambda b: [*b.shop.next, "--category", "Drama"],
        "give --out FILE or --json, one of them",
    ),
    "bad suffix": (lambda b: b.next(out="x.txt"), "--out must end in .parquet or .csv, got "),
    "no events": (lambda b: b.on("none.csv"), "none.csv"),
    "empty events": (lambda b: b.on(b.write("")), "is empty"),
    "header alone": (lambda b: b.on(b.write("user_id,item_id,timestamp\n")), "has"),
    "no item column": (lambda b: b.on(b.write("user_id,timestamp\nu,1\n")), "item"),
    "named column that is not there": (lambda b: b.next("--user-column", "kunde"), "kunde"),
    "bad time zone": (lambda b: b.next("--time-zone", "Mars/Olympus"), "Mars/Olympus"),
    "no journeys file": (
        lambda b: b.next("--journeys", "none.csv"),
        "--journeys must name a .parquet or .csv file, got none.csv",
    ),
    "journeys without a column": (
        lambda b: b.next(
            "--journeys", b.write("user_id,target_id,round,item_id,guided\nu,1,1,1,1\n")
        ),
        "journeys must have the columns user_id, target_id, round, item_id, guided, answer; answer "
        "is missing",
    ),
    "empty journeys": (lambda b: b.next("--journeys", b.write("")), "is empty"),
    "torn journeys": (
        lambda b: b.next("--journeys", b.write(GOOD + "u,1,1,1,1,1,1,1\n")),
        "is not a table separated by ','",
    ),
    "journeys that are no parquet": (
        lambda b: b.next("--journeys", b.write("no", "bad.parquet")),
        "is not a Parquet file",
    ),
    "no opt-out file": (
        lambda b: b.next("--opt-out", "none.txt"),
        "--opt-out must name a file of user ids, there is no none.txt",
    ),
    "fewer rounds than there were": (
        lambda b: b.next(
            "--n-rounds", "3", "--journeys", b.write(f"{GOOD}u0040,m1302,9,m0619,1,1")
        ),
        "--n-rounds must be at least the rounds in --journeys, of which the last is 9, got 3",
    ),
    "no events named": (lambda b: b.on(""), "events must name files, folders or patterns, got ''"),
    "no rounds": (lambda b: b.next("--n-rounds", "0"), "n-rounds"),
    "negative seed": (lambda b: b.next("--seed", "-1"), "seed"),
    "no items file": (lambda b: b.next("--items", "none.csv"), "none.csv"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_ends_in_one_sentence(
    what: str, shop: Shop, here: Command, tmp_path: Path
) -> None:
    command, sentence = BAD[what]
    outcome = here(*command(Bad(shop, tmp_path)))
    assert outcome.code == 2, outcome
    last = outcome.stderr.splitlines()[-1]
    assert last.startswith("error: "), outcome.stderr
    assert sentence in last
    assert len(outcome.errors) == 1
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "x.csv").exists()
