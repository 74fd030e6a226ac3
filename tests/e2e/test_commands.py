"""Every command on the toy world, as somebody would type it."""

import json
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from proactrec.evaluation.prediction import CAUTION

from .conftest import CATEGORIES, FAST, N_EACH, N_ITEMS, N_USERS, Command, Toy

COMMANDS = (
    "run",
    "train",
    "targets",
    "simulate",
    "evaluate",
    "report",
    "explain",
    "tune",
    "benchmark",
    "compare",
    "doctor",
    "estimate",
    "data describe",
    "data list",
    "llm study",
    "data download",
    "data table2",
    "targets suggest",
    "worlds",
    "forecast",
    "uplift",
)


def read(out: Path, name: str = "metrics.json") -> dict[str, Any]:
    """The figures that a run wrote, or how they came about."""
    content: dict[str, Any] = json.loads((out / name).read_text())
    return content


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(command: str, here: Command) -> None:
    outcome = here(*command.split(), "--help")
    assert outcome.code == 0
    assert f"Example: proactrec {command}" in outcome.stdout
    assert outcome.stderr == ""


@pytest.mark.parametrize("group", ["", "data", "llm"])
def test_a_group_alone_shows_its_commands(group: str, here: Command) -> None:
    outcome = here(*group.split())
    names = [name.split()[-1] for name in COMMANDS if " ".join(name.split()[:-1]) == group]
    assert all(name in outcome.stdout + outcome.stderr for name in names)
    assert "Traceback" not in outcome.stderr


def test_rails_come_from_the_command_line(toy: Toy, here: Command, tmp_path: Path) -> None:
    listed, out = tmp_path / "never.txt", tmp_path / "[a]*{b}"  # no pattern, though it looks so
    listed.write_bytes(b"\xef\xbb\xbfu3\r\n\r\nu11\r\n")  # as editors of Windows write it
    rails = ["--set", "rails.category_caps={War: 1}", "--set", "rails.plain_share=0.5"]
    outcome = here(*toy.run, *rails, "--opt-out", listed, "--out", out)
    assert outcome.code == 0, outcome.stderr
    result = read(out)
    wanted = {"category_caps": {"War": 1}, "plain_share": 0.5, "opt_out": ["u3", "u11"]}
    assert result["rails"] == wanted
    told = result["policy_notes"]["rails"]
    assert 0 < told["opted_out"] < told["plain_share"] < told["decisions"]
    outcome = here(*toy.run, "--opt-out", tmp_path / "none.txt", "--out", out)
    assert (outcome.code, len(outcome.errors)) == (2, 1)
    assert "--opt-out must name a file of user ids" in outcome.errors[0]


def test_named_worlds_are_listed_and_played(toy: Toy, here: Command, tmp_path: Path) -> None:
    listed = here("worlds").stdout
    assert "bored-v1" in listed
    settings = json.loads(here("worlds", "--json").stdout)
    assert settings["bored-v1"]["protocol.world"]["boredom"] == 2
    outcome = here(*toy.run, "--named-world", "impatient-v1", "--out", tmp_path)
    assert outcome.code == 0, outcome.stderr
    result = read(tmp_path)
    assert result["protocol_changes"] == {
        "world.patience": 5,
        "world.after_success": "stop",
        "rollout.n_rounds": 5,
        "targets.n_targets": 3,
        "intents.n_intents": 4,
    }
    assert result["pairs"]["n_left"] > 0
    for changes, sentence in [
        (["--named-world", "x"], "named world 'x' does not exist; there are flat-v1"),
        (["--named-world", "bored-v1", "--world", "flat"], "leave out --world, --receptivity"),
    ]:
        outcome = here(*toy.run, *changes, "--out", tmp_path)
        assert (outcome.code, len(outcome.errors)) == (2, 1)
        assert sentence in outcome.errors[0]


@pytest.mark.parametrize("hidden", ["content", "divided"])
def test_users_of_other_kinds_are_reported(
    hidden: str, toy: Toy, here: Command, copied: Path
) -> None:
    page = copied / "report.html"
    for command in ([*toy.run, "--hidden", hidden, "--out", copied], ["report", copied]):
        page.unlink(missing_ok=True)
        outcome = here(*command)
        assert (outcome.code, outcome.errors) == (0, [])
        assert "card heat-map" in page.read_text()


def test_names_are_taken_whatever_their_capitals(toy: Toy, here: Command, copied: Path) -> None:
    names = ["--policy", "IPG", "--encoder", "ICLRec", "--protocol", "Common", "--world", "Medium"]
    outcome = here(*toy.run, *names, "--worth", "Only-Interest", "--out", copied)
    assert outcome.code == 0, outcome.stderr
    result = read(copied)
    assert (result["policy"], result["encoder"], result["protocol"]) == ("ipg", "iclrec", "common")


def test_groups_come_from_a_file(toy: Toy, here: Command, tmp_path: Path) -> None:
    listed, out = tmp_path / "groups.csv", tmp_path / "run"
    rows = [f"u{n}, {'even' if n % 2 == 0 else 'odd'}" for n in range(2 * N_USERS)]
    listed.write_text("\n".join(["user_id,group", "", *rows]))
    half = ["--set", "rails.guided_pairs=0.5"]
    outcome = here(*toy.run, *half, "--groups", listed, "--out", out)
    assert outcome.code == 0, outcome.stderr
    result = read(out)
    assert set(result["groups"]) == {"even", "odd"}
    told = result["policy_notes"]["rails"]["groups"].values()
    assert sum(group["guided"] for group in told) <= result["pairs"]["n_pairs"] / 2
    shares = [figures["share_guided"] for figures in result["groups"].values()]
    assert 0.4 < max(shares) <= 1.1 * min(shares)
    for text, said in (
        ("u1,a\nu1,b", "a user once, line 2 is 'u1,b'"),
        ("u1", "lines of user_id,group, a user once, line 1 is 'u1'"),
        (None, "--groups must name a file of user_id,group lines"),
    ):
        listed.unlink(missing_ok=True)
        if text is not None:
            listed.write_text(text)
        outcome = here(*toy.run, *half, "--groups", listed, "--out", out)
        assert (outcome.code, len(outcome.errors)) == (2, 1)
        assert said in outcome.errors[0]


def test_a_watched_category_is_told_beside_the_same_figures(
    toy: Toy, here: Command, copied: Path, finished: Path
) -> None:
    weights = copied / "weights.csv"
    command = [*toy.run, "--watch", "drama", "--item-weights", weights, "--out", copied]
    weights.write_text("item_id,weight\ni1,2.5\n\ni2,0\n")
    outcome = here(*command)
    assert outcome.code == 0, outcome.stderr
    result = read(copied)
    assert list(result.pop("categories")["Drama"]["metrics"]) == [
        "users_with_one",
        "share_of_accepted",
        "ioi",
    ]
    assert result["metrics"] == read(finished)["metrics"]
    assert "Drama: share of accepted (before: " in (copied / "report.html").read_text()
    for text, said in (
        ("i1,a", "lines of item_id,weight, from 0 on and an item once, line 1 is 'i1,a'"),
        ("i1,1\ni1,2", "line 2 is 'i1,2'"),
        ("i1,-1", "line 1 is 'i1,-1'"),
        ("x,1", "1 of 1 items with weights are not in csv, first 'x'"),
    ):
        weights.write_text(text)
        outcome = here(*command)
        assert (outcome.code, len(outcome.errors)) == (2, 1)
        assert said in outcome.errors[0]


def test_run_leaves_figures_report_and_settings(finished: Path) -> None:
    result = read(finished)
    sizes = {"n_users": N_USERS, "n_items": N_ITEMS, "n_interactions": N_USERS * N_EACH}
    assert {name: result[name] for name in sizes} == sizes
    assert (result["dataset"], result["policy"]) == ("csv", "itmprec")
    assert (result["protocol"], result["seed"], result["category"]) == ("campaign", 0, "Drama")
    assert len(result["targets"]) == 3
    for name in ("hr", "ioi", "ior"):
        assert list(result["metrics"][name]) == ["5"]
        interval = result["metrics"][name]["5"]
        assert interval["low"] <= interval["mean"] <= interval["high"]
    stages = {"interest", "encoder", "next-item", "intents", "guidance", "figures"}
    about = read(finished, "run.json")
    assert set(about["seconds"]) == stages
    assert about["peak_memory_mb"] > 0
    assert {"python", "proactrec", "torch"} <= set(about["versions"])
    assert (finished / "settings.yaml").exists()
    page = (finished / "report.html").read_text()
    assert result["targets"][0]["title"] in page


def test_json_is_what_the_files_hold_and_all_that_is_printed(finished: Path) -> None:
    printed = json.loads((finished / "stdout").read_text())
    assert printed == read(finished) | read(finished, "run.json")


def test_a_refused_run_leaves_the_settings_of_an_earlier_one(
    toy: Toy, here: Command, finished: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    settings = (out / "settings.yaml").read_text()
    assert here(*toy.run, "--category", "Opera", "--out", out).code == 2
    assert (out / "settings.yaml").read_text() == settings


def test_second_run_reuses_every_stage(toy: Toy, here: Command, copied: Path) -> None:
    def stages() -> dict[str, int]:
        folders = (copied / "artefacts").glob("[!.]*")
        return {path.name: path.stat().st_mtime_ns for path in folders}

    before, original = stages(), here(*toy.run, "--out", copied, "--json")
    assert original.code == 0
    assert stages() == before
    assert not [line for line in original.stderr.splitlines() if "loss" in line]


def test_another_process_gets_the_same_figures(
    toy: Toy, here: Command, finished: Path, tmp_path: Path
) -> None:
    assert here(*toy.run, "--out", tmp_path).code == 0
    ours, theirs = read(tmp_path), read(finished)
    assert [x["item_id"] for x in ours["targets"]] == [x["item_id"] for x in theirs["targets"]]
    assert ours["metrics"]["hr"]["5"] == pytest.approx(theirs["metrics"]["hr"]["5"])


def test_reused_figures_are_the_same(toy: Toy, here: Command, copied: Path, finished: Path) -> None:
    started = time.monotonic()
    assert here(*toy.run, "--out", copied).code == 0
    assert time.monotonic() - started < 20
    assert (copied / "metrics.json").read_bytes() == (finished / "metrics.json").read_bytes()


def test_stages_one_by_one(toy: Toy, here: Command, finished: Path, copied: Path) -> None:
    rest = [*toy.run[1:], "--out", str(copied), "--json"]
    assert set(json.loads(here("train", *rest).stdout)) == {"validation", "test"}
    chosen = json.loads(here("targets", *rest).stdout)
    assert chosen == read(finished)["targets"]
    about = json.loads(here("simulate", *rest).stdout)
    assert pl.read_parquet(about["log"]).height > 0
    assert about["n_pairs"] == read(finished)["pairs"]["n_pairs"]
    assert here("evaluate", str(copied), "--json").code == 0
    assert read(copied)["metrics"] == read(finished)["metrics"]
    outcome = here("report", str(copied))
    assert (outcome.code, outcome.errors) == (0, [])
    assert (copied / "report.html").exists()


def test_tables_are_printed_without_json(toy: Toy, here: Command, copied: Path) -> None:
    rest = [*toy.run[1:], "--out", str(copied)]
    figures = here("train", *rest).stdout
    assert "validation" in figures
    assert "popularity" in figures
    assert "Film " in here("targets", *rest).stdout
    assert "items shown to" in here("simulate", *rest).stdout
    assert "IoI" in here("evaluate", str(copied)).stdout


def test_data_set_is_described(toy: Toy, here: Command) -> None:
    outcome = here("data", "describe", *toy.files, "--filter", "none", "--json")
    numbers = json.loads(outcome.stdout)
    assert (numbers["n_users"], numbers["n_items"]) == (N_USERS, N_ITEMS)
    assert set(numbers["categories"]) == set(CATEGORIES)


def test_doctor_looks_for_data(here: Command, tmp_path: Path) -> None:
    outcome = here("doctor", "--data-dir", tmp_path)
    assert outcome.code == 0
    assert "torch" in outcome.stdout
    assert "u.data" in outcome.stdout


@pytest.mark.parametrize(
    "choice",
    [
        ["--policy", "ipg"],
        ["--policy", "next-item"],
        ["--protocol", "official"],
        ["--protocol", "paper"],
        ["--without", "P", "--without", "IIS", "--without", "TIAC"],
        ["--receptivity", "arousal", "--world", "steep"],
        ["--encoder", "sasrec"],
        ["--device", "auto"],
        ["--seed", str(2**32 - 1)],
    ],
    ids=" ".join,
)
def test_choices(choice: list[str], toy: Toy, here: Command, copied: Path) -> None:
    outcome = here(*toy.run, *choice, "--out", copied)
    assert (outcome.code, outcome.errors) == (0, [])
    result = read(copied)
    if choice[0] in ("--policy", "--protocol"):
        assert result[choice[0].removeprefix("--")] == choice[1]
    assert (copied / "report.html").exists()


def test_categories_are_suggested_with_reasons(toy: Toy, here: Command, copied: Path) -> None:
    rest = [*toy.files, *(x for x in FAST if x not in ("--n-rounds", "5")), "--out", copied]
    found = json.loads(here("targets", "suggest", *rest, "--json").stdout)
    assert {one["category"] for one in found} == set(CATEGORIES)
    assert all(len(one["reasons"]) == 3 for one in found)
    text = here("targets", "suggest", *rest).stdout
    assert "known items" in " ".join(text.split())


def test_what_a_filter_removed_is_a_warning_of_a_run(toy: Toy, here: Command, copied: Path) -> None:
    outcome = here(*toy.run, "--max-per-user", "9", "--out", copied)
    assert outcome.code == 0, outcome.stderr
    assert "warning: the newest 9 of each user removed 0 of 30 users" in outcome.stderr
    settings = (copied / "settings.yaml").read_text()
    assert "max_per_user: 9" in settings
    assert here("evaluate", copied).code == 0


def test_target_list_is_taken_in_its_order(toy: Toy, here: Command, copied: Path) -> None:
    wanted = ["i7", "i3"]
    assert here(*toy.to(*wanted), "--out", copied).code == 0
    assert [target["item_id"] for target in read(copied)["targets"]] == wanted
    assert read(copied)["category"] is None


def test_category_with_few_items_and_much_seen_targets_are_reported(
    toy: Toy, here: Command, copied: Path
) -> None:
    outcome = here(*toy.run, "--n-targets", "20", "--out", copied)
    assert outcome.code == 0
    assert "warning: the category has 14 items, so there are 14 targets, not 20" in outcome.stderr


def test_encoder_of_another_run_is_used(
    toy: Toy, here: Command, finished: Path, tmp_path: Path
) -> None:
    (encoder,) = (finished / "artefacts").glob("encoder-*")
    outcome = here(*toy.run, "--encoder-folder", encoder, "--out", tmp_path)
    assert outcome.code == 0, outcome.stderr
    assert not list((tmp_path / "artefacts").glob("encoder-*"))
    assert here("evaluate", tmp_path).code == 0


def test_encoder_of_other_data_is_used(
    toy: Toy, here: Command, finished: Path, tmp_path: Path
) -> None:
    (encoder,) = (finished / "artefacts").glob("encoder-*")
    events, items, out = tmp_path / "events.csv", tmp_path / "items.csv", tmp_path / "out"
    later = [f"{user},{item},{9_000 + n}" for n, user in enumerate("ab") for item in ["new", "i1"]]
    events.write_text(toy.events.read_text() + "\n".join([*later, ""]))
    items.write_text(toy.items.read_text() + "new,Film new,Drama\n")
    others = ("--events", events, "--items", items)
    outcome = here(*toy.to("new"), *others, "--encoder-folder", encoder, "--out", out)
    assert outcome.code == 0, outcome.stderr
    assert not list((out / "artefacts").glob("encoder-*"))


def test_runs_share_a_store(toy: Toy, here: Command, copied: Path, tmp_path: Path) -> None:
    out = tmp_path / "second"
    outcome = here(*toy.run, "--store", copied / "artefacts", "--out", out)
    assert outcome.code == 0
    assert "loss" not in outcome.stderr
    assert not (out / "artefacts").exists()
    assert here("report", out).code == 0


def test_run_folder_may_move(
    toy: Toy, here: Command, copied: Path, finished: Path, tmp_path: Path
) -> None:
    """Nothing is trained anew, and a copy reads its own log or says that it has none."""
    assert here(*toy.run, "--out", copied).code == 0
    assert yaml.safe_load((copied / "settings.yaml").read_text())["store"] == "artefacts"
    moved = copied.rename(tmp_path / "moved")
    for command in (["evaluate", moved], ["report", moved], ["explain", moved, "--user", "u1"]):
        outcome = here(*command)
        assert (outcome.code, outcome.errors) == (0, []), command
        assert "loss" not in outcome.stderr
    assert (moved / "metrics.json").read_bytes() == (finished / "metrics.json").read_bytes()
    assert not copied.exists()
    second = tmp_path / "second"
    shutil.copytree(moved, second)
    (log,) = second.glob("artefacts/guidance-*/log.parquet")
    log.unlink()
    assert "is damaged" in here("evaluate", second).errors[0]
    shutil.rmtree(log.parent)
    for command in (["evaluate", second], ["explain", second, "--user", "u1"]):
        outcome = here(*command)
        assert outcome.code == 2
        assert f"{second} has no log: its store {second / 'artefacts'} holds none" in outcome.stderr


def test_indices_of_a_log_lead_back_to_ids(
    toy: Toy, here: Command, copied: Path, finished: Path
) -> None:
    about = json.loads(here("simulate", *toy.run[1:], "--out", copied, "--json").stdout)
    users, items = (pl.read_parquet(copied / f"{name}.parquet") for name in ("users", "items"))
    log = pl.read_parquet(about["log"])
    guided, events = log.join(users, on="user_idx")["user_id"], pl.read_csv(toy.events)
    owns_all = set(users["user_id"]) - set(guided)  # and is led nowhere
    assert set(users["user_id"]) == {f"u{n}" for n in range(N_USERS)}
    led_to = log.join(items, left_on="target_idx", right_on="item_idx")["item_id", "title"].unique()
    targets = {(target["item_id"], target["title"]) for target in read(finished)["targets"]}
    assert set(led_to.iter_rows()) == targets
    for user in owns_all:
        assert {item for item, _ in targets} <= set(
            events.filter(pl.col("user_id") == user)["item_id"]
        )
    assert (finished / "items.parquet").read_bytes() == (copied / "items.parquet").read_bytes()


def test_run_is_evaluated_from_anywhere(
    toy: Toy, here: Command, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy.events.parent)
    files = ["--events", toy.events.name, "--items", toy.items.name]
    assert here(*toy.run, *files, "--out", copied).code == 0
    monkeypatch.chdir(tmp_path)
    assert here("evaluate", "copied").code == 0


def test_parquet_and_recbole_files_give_the_same_figures(
    toy: Toy, here: Command, finished: Path, copied: Path, tmp_path: Path
) -> None:
    events, items = pl.read_csv(toy.events), pl.read_csv(toy.items)
    parquet = tmp_path / "events.parquet"
    events.write_parquet(parquet)
    inter, item = tmp_path / "toy.inter", tmp_path / "toy.item"
    types = {"user_id": "token", "item_id": "token", "timestamp": "float"}
    events.rename({name: f"{name}:{kind}" for name, kind in types.items()}).write_csv(
        inter, separator="\t"
    )
    items.rename(
        {"item_id": "item_id:token", "title": "title:token", "categories": "genre:token_seq"}
    ).write_csv(item, separator="\t")
    rest = ["--category", "Drama", *FAST, "--store", copied / "artefacts"]
    for name, files in {
        "parquet": ["--events", parquet, "--items", toy.items],
        "recbole": ["--events", inter],
    }.items():
        out = tmp_path / name
        outcome = here("run", "--dataset", name, *files, *rest, "--out", out)
        assert (outcome.code, outcome.errors) == (0, [])
        assert read(out)["dataset"] == name
        assert read(out)["metrics"] == read(finished)["metrics"]
        assert "loss" not in outcome.stderr  # the same data, so nothing is trained again


FORECAST = ["--worlds", "39", "--sample", "20", "--leaving-between", "0", "0.1"]


def test_a_forecast_is_made_and_told_more_after_some_rounds(
    toy: Toy, here: Command, copied: Path, tmp_path: Path
) -> None:
    asked = ["forecast", *toy.run[1:], *FORECAST, "--out", copied]
    outcome = here(*asked)
    assert outcome.code == 0, outcome.stderr
    assert "near target" in outcome.stdout
    assert "short history" not in outcome.stdout  # all histories are equally long
    assert CAUTION in outcome.stdout
    content = read(copied, "forecast.json")
    assert content["caution"] == CAUTION
    names = {one["metric"] for one in content["figures"]}
    assert names == {"hr", "target_accepted", "rounds_to_target", "worth", "ioi", "ior200"}
    assert content["forecast"]["prior"]["leaving"] == [0, 0.1]
    assert all(set(one["intervals"]) == {"0.8", "0.95"} for one in content["figures"])
    for users in (["--world", "steep"], []):  # whom a forecast does not know
        assert here("run", *toy.run[1:], *users, "--out", copied).code == 0
        assert "What was foreseen" in (copied / "report.html").read_text()
    after = here(*asked, "--after", "3", "--seen", copied, "--json")
    assert after.code == 0, after.stderr

    def width(figures: list[dict[str, Any]]) -> float:
        (one,) = (o for o in figures if o["segment"] == "all" and o["metric"] == "hr")
        return float(one["intervals"]["0.8"][1] - one["intervals"]["0.8"][0])

    other = here("run", *toy.run[1:], "--policy", "random", "--out", tmp_path)
    assert other.code == 0, other.stderr
    refused = here(*asked, "--after", "3", "--seen", tmp_path)
    assert (refused.code, len(refused.errors)) == (2, 1)
    assert "--seen must be a campaign with the forecast's data" in refused.errors[0]

    told = json.loads(after.stdout)["figures"]
    assert width(told) < 0.8 * width(content["figures"])
    assert here("report", copied).code == 0
    assert "What was foreseen" not in (copied / "report.html").read_text()  # it knew three rounds
    (copied / "forecast.json").write_text("{")
    broken = here("report", copied)
    assert broken.code != 0
    assert "forecast.json can't be read as a forecast" in broken.stderr


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--after", "3"], "--after and --seen go together, got 3 and None"),
        (
            ["--worlds", "10"],
            "--worlds must be at least 39, got 10",
        ),
        (
            ["--sample", "5"],
            "--sample must be at least 20, got 5",
        ),
        (["--slope", "2", "1"], "slope must go from low to high, got 2.0 and 1.0"),
        (["--kind", "magic"], "--kind must be "),
    ],
)
def test_a_forecast_that_cannot_be_is_refused(
    wrong: list[str], message: str, toy: Toy, here: Command, copied: Path
) -> None:
    outcome = here("forecast", *toy.run[1:], *wrong, "--out", copied)
    assert outcome.code == 2
    assert [message in line for line in outcome.errors] == [True]


def test_uplift_of_two_runs(
    toy: Toy, here: Command, finished: Path, copied: Path, tmp_path: Path
) -> None:
    plain = ["run", *toy.run[1:], "--policy", "next-item", "--out", copied]
    assert here(*plain).code == 0
    asked = ["uplift", finished, copied]
    shown = here(*asked, "--hold-out", "0.4", "--adjust", "--effect", "0.2")
    assert shown.code == 0, shown.stderr
    assert "17 guided and 12 held-out users" in shown.stdout  # one has every target
    rows = json.loads(here(*asked, "--hold-out", "0.4", "--json").stdout)
    names = ["hr", "target_accepted", "rounds_to_target", "worth", "ioi", "ior200"]
    assert [row["metric"] for row in rows] == names
    for row in rows:
        difference = row["difference"]
        assert difference["mean"] == pytest.approx(row["guided"] - row["held_out"])
        if row["has_interval"]:
            assert difference["low"] <= difference["mean"] <= difference["high"]
        else:  # all users are alike
            assert (difference["low"], difference["high"], row["detectable"]) == (None, None, None)
    elsewhere = ["--world", "steep", "--out", tmp_path]
    assert here("run", *toy.run[1:], "--policy", "next-item", *elsewhere).code == 0
    refused = here("uplift", finished, tmp_path, "--hold-out", "0.4")
    assert (refused.code, len(refused.errors)) == (2, 1)
    assert (
        "both runs must have the same world, got {'world': 'medium'} and {'world': 'steep'}"
        in refused.errors[0]
    )
    refused = here(*asked)
    assert (refused.code, len(refused.errors)) == (2, 1)
    assert "--hold-out must be given where both runs have the same users" in refused.errors[0]


def test_explain_tells_a_path_as_text_json_and_page(
    finished: Path, here: Command, tmp_path: Path
) -> None:
    page = tmp_path / "why.html"
    outcome = here("explain", finished, "--user", "u3", "--html", page)
    assert outcome.code == 0, outcome.stderr
    assert "Promoted: " in outcome.stdout
    assert "echo u3 >> never-guide.txt" in outcome.stdout
    assert "Why was I shown this?" in page.read_text()
    for_customer = ["--user", "u3", "--for", "customer"]
    told = here("explain", finished, *for_customer, "--html", page)
    assert told.code == 0, told.stderr
    assert "Why you were shown this" in page.read_text()
    for text in (told.stdout.replace(str(page), ""), page.read_text()):
        assert "Promoted: " in text
        assert not any(said in text for said in ("--opt-out", "similarity", str(tmp_path.parent)))
    shown = here("explain", finished, *for_customer, "--json").stdout
    assert "figures" not in shown
    assert len(json.loads(shown)["paths"]) > 0
    whole = json.loads(here("explain", finished, "--user", "u3", "--json").stdout)
    log = pl.read_parquet(next((finished / "artefacts").glob("guidance-*")) / "log.parquet")
    ids = sorted(f"u{user}" for user in range(N_USERS))
    n_shown = log.filter(pl.col("user_idx") == ids.index("u3"), pl.col("item_idx") > 0).height
    assert sum(len(path["explanations"]) for path in whole["paths"]) == n_shown > 0
    assert whole["opt_out"].splitlines()[1].endswith("--opt-out never-guide.txt")
    target = whole["paths"][0]["target"]["item_id"]
    one = here("explain", finished, "--user", "u3", "--target", target, "--round", "1", "--json")
    (path,) = json.loads(one.stdout)["paths"]
    assert path["explanations"] == whole["paths"][0]["explanations"][:1]
    cause = path["explanations"][0]["causes"][0]["item"]
    asked = ["--target", target, "--round", "1", "--without-item", cause["item_id"]]
    assert (
        f"Without “{cause['title']}” in your history"
        in here("explain", finished, "--user", "u3", *asked).stdout
    )


def test_the_way_out_that_explain_prints_works(
    toy: Toy, here: Command, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rails = ["--set", "rails.opt_out=[u4]", "--set", "rails.opt_out_share=0.3"]
    rails += ["--set", "rails.item_cap_per_round=3"]
    assert here(*toy.run, *rails, "--out", copied).code == 0

    def way_out(user: int) -> str:
        told = here("explain", copied, "--user", f"u{user}", "--round", "1", "--json")
        content = json.loads(told.stdout)
        for path in content["paths"]:
            for one in path["explanations"]:
                assert (one["rail"] == "opted_out") == (not content["opt_out"])
        return str(content["opt_out"])

    ways = {user: way_out(user) for user in range(1, 9)}
    assert ways[4] == ""
    drawn = [user for user, way in ways.items() if not way]
    assert 1 < len(drawn) < len(ways)  # those whom the share took have no need of a way out
    guided = next(user for user, way in ways.items() if way)
    told = here("explain", copied, "--user", f"u{drawn[0]}", "--round", "1").stdout
    assert "Guidance is switched off for this user" in told
    echo, command = (shlex.split(line) for line in ways[guided].splitlines())
    assert (echo[0], echo[2]) == ("echo", ">>")
    Path(echo[3]).write_text(f"{echo[1]}\n")
    assert here(*command[1:]).code == 0
    assert read(copied)["rails"]["opt_out"] == ["u4", f"u{guided}"]
    assert way_out(guided) == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--user", "nobody"], "user 'nobody' does not exist in csv"),
        (["--user", "u3", "--target", "x"], "target 'x' does not exist in csv"),
        (["--user", "u3", "--round", "6"], "round must be in [1, 5], got 6"),
        (["--user", "u3", "--without-item", "x"], "item 'x' does not exist in csv"),
        (["--user", "u3", "--for", "boss"], "--for must be staff or customer, got 'boss'"),
    ],
)
def test_explain_refuses_what_is_not_there(
    arguments: list[str], sentence: str, finished: Path, here: Command
) -> None:
    outcome = here("explain", finished, *arguments)
    assert (outcome.code, len(outcome.errors)) == (2, 1)
    assert sentence in outcome.errors[0]
