"""Whatever is wrong with the input ends in one clear sentence and exit code 2."""

import gzip
import json
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from proactrec.fitting.artefacts import CHECKPOINT

from .conftest import FAST, Command, Outcome, Toy

# Not everything odd is an error: in this process the program's own warnings must not become one.
pytestmark = pytest.mark.filterwarnings("always::proactrec.errors.DataWarning")

MODELS = ("graphau", "encoder_options")
HEADER = "user_id,item_id,timestamp\n"
ROWS = "".join(f"u{user},i{item},{item}\n" for user in range(4) for item in range(4))


class Case:
    """Where a bad input is made, and the arguments that hand it over."""

    def __init__(self, toy: Toy, folder: Path) -> None:
        self.toy, self.folder, self.out = toy, folder, folder / "out"

    def write(self, content: str | bytes, name: str = "bad.csv") -> Path:
        """A file of any content."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run(self, *arguments: str | Path) -> list[str]:
        """A fast run on the toy world, with these arguments added."""
        return [*self.toy.run, "--out", str(self.out), *map(str, arguments)]

    def events(self, content: str | bytes, name: str = "bad.csv") -> list[str]:
        """A fast run on these events, without titles."""
        return self.run_without_items(self.write(content, name))

    def run_without_items(self, path: Path, *arguments: str) -> list[str]:
        """A fast run on a file of events, without titles."""
        arguments = ("--filter", "none", "--category", "Drama", "--out", str(self.out), *arguments)
        return ["run", "--dataset", "csv", "--events", str(path), *arguments]

    def items(self, content: str) -> list[str]:
        """A fast run on the toy world's events and these items."""
        return self.run("--items", self.write(content, "bad-items.csv"))


def zipped(case: Case) -> bytes:
    return gzip.compress(case.toy.events.read_bytes())


def with_null_users(case: Case) -> list[str]:
    path = case.folder / "null.parquet"
    table = pl.DataFrame({"user_id": ["u", None, "v"], "item_id": ["a", "b", "c"], "timestamp": 1})
    table.write_parquet(path)
    return case.run_without_items(path)


def published(case: Case, *missing: str) -> list[str]:
    """MovieLens without some of its files."""
    folder = case.folder / "ml-100k"
    folder.mkdir()
    rows = [f"{user}\t{item}\t5\t{item}" for user in range(6) for item in range(6)]
    content = {"u.data": "\n".join(rows), "u.genre": "Drama|0"}
    for name, text in content.items():
        if name not in missing:
            (folder / name).write_text(text)
    return ["run", "--dataset", "ml-100k", "--data-dir", str(case.folder), "--out", str(case.out)]


def existing_out(case: Case) -> list[str]:
    return [*case.toy.run, "--out", str(case.write("", "file"))]


def circle(case: Case) -> Path:
    """A symbolic link that leads to itself."""
    link = case.folder / "circle"
    link.symlink_to(link)
    return link / "store"


def settings(case: Case, content: str) -> list[str]:
    """`evaluate` in a folder with this `settings.yaml`."""
    case.write(content, "settings.yaml")
    return ["evaluate", str(case.folder)]


BAD_FILES: dict[str, tuple[Callable[[Case], list[str]], str]] = {
    "missing file": (lambda c: c.run_without_items(Path("/none.csv")), "none.csv does not exist"),
    "folder for a file": (lambda c: c.run_without_items(c.folder), "is a folder, a file is needed"),
    "folder named as a file": (
        lambda c: c.run_without_items(shutil.copytree(c.toy.events.parent, c.folder / "x.csv")),
        "is a folder, a file is needed",
    ),
    "unknown type": (lambda c: c.events(ROWS, "bad.xlsx"), "must end in .csv"),
    "wrong encoding": (
        lambda c: c.events((HEADER + "Zoë,a,1\n").encode("latin-1")),
        "is not utf-8 text: byte 0xeb in line 2",
    ),
    "utf-16": (lambda c: c.events((HEADER + ROWS).encode("utf-16")), "byte 0xff in line 1"),
    "truncated gzip": (
        lambda c: c.events(zipped(c)[:-400], "bad.csv.gz"),
        "is not a whole gzip file",
    ),
    "damaged gzip": (
        lambda c: c.events(zipped(c)[:50] + b"\0" * 50 + zipped(c)[100:], "bad.csv.gz"),
        "is not a whole gzip file",
    ),
    "gzip that is none": (
        lambda c: c.events(HEADER + ROWS, "bad.csv.gz"),
        "is not a whole gzip file",
    ),
    "parquet that is none": (
        lambda c: c.events(HEADER + ROWS, "bad.parquet"),
        "is not a Parquet file",
    ),
    "truncated parquet": (
        lambda c: c.events(parquet(c)[:-100], "bad.parquet"),
        "is not a Parquet file",
    ),
    "empty file": (lambda c: c.events(""), "bad.csv is empty"),
    "empty gzip": (lambda c: c.events(gzip.compress(b""), "bad.csv.gz"), "is empty"),
    "blank lines": (lambda c: c.events("\n\n\n"), "bad.csv is empty"),
    "header only": (lambda c: c.events(HEADER), "has a header but no rows"),
    "binary": (lambda c: c.events(bytes(range(128)) * 40), "bad.csv"),
    "missing column": (
        lambda c: c.events("user_id,item,timestamp\nu,a,1\n"),
        "lacks the column(s) ['item_id']",
    ),
    "other separator": (
        lambda c: c.events((HEADER + ROWS).replace(",", ";")),
        "lacks the column(s) ['user_id', 'item_id', 'timestamp']",
    ),
    "column twice": (
        lambda c: c.events("user_id,user_id,item_id,timestamp\nu,u,a,1\n"),
        "has more than one column of the name(s) ['user_id']",
    ),
    "more values than columns": (lambda c: c.events(HEADER + "u,a,1,2,3\n"), "is not a table"),
    "NaN user ids": (
        lambda c: c.events(HEADER + ROWS + "NaN,a,1\nnan,b,2\n"),
        "user_id must be an id in",
    ),
    "null user ids": (with_null_users, "user_id must be an id in"),
    "empty item ids": (
        lambda c: c.events(HEADER + ROWS + "u,,5\n"),
        "1 of 17 rows break this, first row 17 with None",
    ),
    "blank item ids": (lambda c: c.events(HEADER + ROWS + "u,  ,5\n"), "item_id must be an id in"),
    "text for a time": (
        lambda c: c.events(HEADER + ROWS + "u,a,yesterday\n"),
        "timestamp must be a number from 0 on or an ISO 8601 time",
    ),
    "missing time": (lambda c: c.events(HEADER + ROWS + "u,a,\n"), "first row 17 with None"),
    "negative time": (lambda c: c.events(HEADER + ROWS + "u,a,-5\n"), "first row 17 with '-5'"),
    "infinite time": (lambda c: c.events(HEADER + ROWS + "u,a,inf\n"), "first row 17 with 'inf'"),
    "unknown items": (
        lambda c: c.items("item_id,title,categories\ni0,Film,Drama\n"),
        "items that the catalogue lacks",
    ),
    "items twice": (
        lambda c: c.items(c.toy.items.read_text() + "i3,Again,War\n"),
        "catalogue ids must be unique; 1 occur more than once, first ['i3']",
    ),
    "items without categories": (
        lambda c: c.items("item_id,title\ni0,Film\n"),
        "lacks the column(s) ['categories']",
    ),
    "one user": (
        lambda c: c.events(HEADER + "".join(f"u,i{n},{n}\n" for n in range(9))),
        "needs at least 2 users",
    ),
    "one item": (
        lambda c: c.events(HEADER + "".join(f"u{n},i,{n}\n" for n in range(9))),
        "needs at least 2 users, 2 items",
    ),
    "one item each": (
        lambda c: c.events(HEADER + "".join(f"u{n},i{n},{n}\n" for n in range(9))),
        "one user with 3 items",
    ),
    "nothing left": (
        lambda c: c.run("--filter", "k-core", "--k", "40"),
        "the k-core filter with k=40 leaves none of 360 interactions",
    ),
    "recbole without types": (
        lambda c: ["data", "describe", "--dataset", "recbole", "--events", str(c.toy.events)],
        "must have headers of the form name:type",
    ),
    "no data folder": (
        lambda c: ["run", "--dataset", "ml-100k", "--out", str(c.out)],
        "give --data-dir ROOT or set PROACTREC_DATA",
    ),
    "empty data folder": (
        lambda c: ["run", "--dataset", "lastfm", "--data-dir", str(c.folder), "--out", str(c.out)],
        "lastfm is no folder",
    ),
    "published file missing": (
        lambda c: published(c, "u.genre"),
        "u.genre does not exist",
    ),
}

BAD_OPTIONS: dict[str, tuple[Callable[[Case], list[str]], str]] = {
    "unknown data set": (lambda c: ["run", "--dataset", "netflix"], "data set 'netflix' does not"),
    "no events": (lambda c: ["run", "--dataset", "csv"], "needs an events file: --events FILE"),
    "items without events": (
        lambda c: ["run", "--dataset", "csv", "--items", str(c.toy.items)],
        "--items needs --events",
    ),
    "events of a published data set": (
        lambda c: c.run("--dataset", "demo"),
        "own files go with the data sets csv",
    ),
    "unknown policy": (lambda c: c.run("--policy", "magic"), "policy 'magic' does not exist"),
    "file that ends the program": (
        lambda c: c.run("--policy", c.write("import sys\nsys.exit(0)\n", "ends.py")),
        "ends.py can't be run: SystemExit: 0",
    ),
    "a folder of users": (
        lambda c: c.run("--opt-out", c.folder),
        "--opt-out must name a file of user ids, ",
    ),
    "more rounds than can be counted": (
        lambda c: c.run("--n-rounds", str(10**20)),
        "--n-rounds must be at most 1000000, got 100000000000000000000",
    ),
    "no rounds": (
        lambda c: c.run("--set", "protocol.metrics.rounds=[]"),
        "MetricOptions.rounds must have 1 or more parts, got []",
    ),
    "misspelt policy": (
        lambda c: c.run("--policy", "itmpec"),
        "or the path of a .py file with one of your own (did you mean itmprec?)",
    ),
    "misspelt setting": (
        lambda c: c.run("--set", "graphau.n_layer=2"),
        "GraphAUOptions.n_layer does not exist (did you mean n_layers?)",
    ),
    "a truth for a number": (
        lambda c: c.run("--set", "seed=true"),
        "ExperimentOptions.seed must not be true or false, got True",
    ),
    "a truth among numbers": (
        lambda c: c.run("--set", "protocol.metrics.rounds=[1, yes]"),
        "MetricOptions.rounds must not be true or false, got True",
    ),
    "targets both counted and named": (
        lambda c: c.run("--target", "i1"),
        "--n-targets must be left out where --target names them, got 3",
    ),
    "rounds beyond the last": (
        lambda c: c.run("--set", "protocol.metrics.rounds=[2, 6]"),
        "protocol.metrics.rounds must be at most the 5 rounds that are played, got 6",
    ),
    "vectors larger than memory": (
        lambda c: c.run(*(f"--set={part}.embedding_dim=1000000000" for part in MODELS)),
        "GraphAUOptions.embedding_dim must be at most 8192, got 1000000000",
    ),
    "no place for results": (
        lambda c: [*c.toy.run, "--out", ""],
        "--out must be a path, got ''",
    ),
    "links in a circle": (
        lambda c: c.run("--store", circle(c)),
        "--store must be a path without a circle of links, got ",
    ),
    "unknown protocol": (lambda c: c.run("--protocol", "x"), "protocol 'x' does not exist"),
    "unknown encoder": (lambda c: c.run("--encoder", "bert"), "encoder 'bert' does not exist"),
    "unknown world": (
        lambda c: c.run("--world", "wild"),
        "--world must be flat, medium, steep or official, got 'wild'",
    ),
    "unknown receptivity": (lambda c: c.run("--receptivity", "x"), "--receptivity must be "),
    "unknown hidden": (lambda c: c.run("--hidden", "x"), "half or everything, got 'x'"),
    "unknown groups": (
        lambda c: c.run("--set", "rails.equal_groups=age"),
        "must be 'activity' or a mapping, got 'age'",
    ),
    "groups in another encoding": (
        lambda c: c.run("--groups", c.write("Zoë,a".encode("latin-1"))),
        "--groups must name a file of user_id,group lines as utf-8 text",
    ),
    "opted-out users in another encoding": (
        lambda c: c.run("--opt-out", c.write("u1\nZoë".encode("latin-1"))),
        "bad.csv has byte 0xeb at place 5",
    ),
    "opted-out users beside a setting of the wrong type": (
        lambda c: c.run("--opt-out", c.write("u1"), "--set", "rails.opt_out=u2"),
        "RailsOptions.opt_out must be a list, got 'u2'",
    ),
    "no item of the target's category": (
        lambda c: c.run("--set", "rails.category_caps={Drama: 0}"),
        "is of the category 'Drama' in rails.category_caps, with a cap of 0",
    ),
    "view twice": (
        lambda c: c.run(
            *("--policy", "foresight", "--set", "policy_options.view_share=0.45"),
            *("--set", "policy_options.other_views=[companions,companions,companions]"),
        ),
        "other_views must hold every view once, got companions, companions, companions",
    ),
    "unknown part": (
        lambda c: c.run("--without", "Q"),
        "--without must be P, IIS or TIAC, got 'Q'",
    ),
    "unknown filter": (
        lambda c: c.run("--filter", "x"),
        "--filter must be paper, k-core or none, got 'x'",
    ),
    "unknown device": (lambda c: c.run("--device", "tpu"), "device must be cpu, cuda or auto"),
    "unknown category": (
        lambda c: c.run("--category", "Opera"),
        "category 'Opera' does not exist in csv; there are",
    ),
    "no category": (
        lambda c: ["run", *c.toy.files, "--filter", "none", "--out", str(c.out)],
        "category must be named for csv; there are Drama, Comedy, War",
    ),
    "no categories at all": (
        lambda c: c.run_without_items(c.toy.events, *FAST),
        "category 'Drama' does not exist in csv; there are none",
    ),
    "more targets than items": (
        lambda c: c.run("--n-targets", "41"),
        "n_targets must be at most the number of items (40), got 41",
    ),
    "zero targets": (lambda c: c.run("--n-targets", "0"), "--n-targets must be at least 1, got 0"),
    "zero rounds": (lambda c: c.run("--n-rounds", "0"), "--n-rounds must be at least 1, got 0"),
    "rounds that are no number": (lambda c: c.run("--n-rounds", "many"), "--n-rounds"),
    "negative seed": (lambda c: c.run("--seed", "-1"), "--seed must be at least 0, got -1"),
    "huge seed": (
        lambda c: c.run("--seed", str(2**32)),
        "--seed must be below 4294967296, got 4294967296",
    ),
    "k of zero": (lambda c: c.run("--k", "0"), "--k"),
    "unknown target": (
        lambda c: [*c.toy.to("i1", "i99"), "--out", str(c.out)],
        "1 of 2 targets are not items of csv, first ['i99']",
    ),
    "unknown setting": (lambda c: c.run("--set", "graphau.depth=2"), "GraphAUOptions.depth"),
    "unknown group of settings": (lambda c: c.run("--set", "gru.depth=2"), "Options.gru"),
    "unknown encoder setting": (lambda c: c.run("--set", "encoder_options.x=2"), "Options.x"),
    "setting of an encoder out of range": (
        lambda c: c.run("--set", "encoder_options.dropout=2"),
        "Options.dropout must be below 1, got 2",
    ),
    "setting without a value": (
        lambda c: c.run("--set", "graphau.n_layers"),
        "--set must have the form NAME=VALUE, got 'graphau.n_layers'",
    ),
    "setting without a name": (
        lambda c: c.run("--set", "graphau..n_layers=2"),
        "--set must have the form NAME=VALUE, got 'graphau..n_layers=2'",
    ),
    "setting for a whole part": (
        lambda c: c.run("--set", "response=5"),
        "ExperimentOptions.response must be a mapping, got 5",
    ),
    "setting of the wrong type": (
        lambda c: c.run("--set", "graphau.n_layers=deep"),
        "GraphAUOptions.n_layers must be a whole number, got 'deep'",
    ),
    "setting that is no YAML": (lambda c: c.run("--set", "seed=[1"), "a value that is not YAML"),
    "setting inside a value": (lambda c: c.run("--set", "seed.x=1"), "leads through 'seed'"),
    "model's address alone": (
        lambda c: c.run("--llm-url", "http://x/v1"),
        "--llm-url, --llm-model and --replay need --response llm",
    ),
    "unknown click model": (
        lambda c: c.run("--response", "oracle"),
        "response 'oracle' does not exist; there are distribution, llm",
    ),
    "click model without model": (lambda c: c.run("--response", "llm"), "give --llm-model NAME"),
    "planner without model": (lambda c: c.run("--policy", "llm-ipp"), "give --llm-model NAME"),
    "policy file without policy": (
        lambda c: c.run("--policy", "nowhere.py"),
        "policy file nowhere.py does not exist",
    ),
    "unknown policy option": (
        lambda c: c.run("--set", "policy_options.n_wanted=3"),
        "n_wanted",
    ),
    "vectors of two lengths": (
        lambda c: c.run("--set", "graphau.embedding_dim=16"),
        "encoder_options.embedding_dim must equal graphau.embedding_dim",
    ),
    "heads that do not divide": (lambda c: c.run("--set", "encoder_options.n_heads=3"), "n_heads"),
    "lowest rating without ratings": (
        lambda c: c.run("--min-rating", "3"),
        "min_rating 3 needs ratings, which this data lacks",
    ),
    "days of times that are none": (
        lambda c: c.run("--since", "2020-01-01"),
        "since and until need times from 1980 to 2100, but the newest is",
    ),
    "day that is none": (lambda c: c.run("--since", "yesterday"), "--since"),
    "unknown source of categories": (
        lambda c: c.run("--category-source", "colour"),
        "category source 'colour' does not exist; there are categories",
    ),
    "newest none of each user": (lambda c: c.run("--max-per-user", "0"), "--max-per-user"),
    "longer than anybody": (
        lambda c: c.run("--min-length", "99"),
        "at least 99 of each user leaves none of 360 interactions",
    ),
    "rating column that there is not": (
        lambda c: c.run("--rating-column", "stars"),
        "lacks the column(s) ['stars']",
    ),
    "options before suggest": (
        lambda c: ["targets", "--dataset", "demo", "suggest"],
        "options of targets suggest come after it, got --dataset before",
    ),
    "download of an unknown set": (
        lambda c: ["data", "download", "netflix"],
        "data set 'netflix' is not published; there are ml-100k",
    ),
    "download without a licence": (
        lambda c: ["data", "download", "ml-1m", "--data-dir", str(c.folder)],
        "ml-1m comes under a licence",
    ),
    "mirror that is no address": (
        lambda c: ["data", "download", "movietweetings", "--mirror", "/srv", "--data-dir", "x"],
        "an address must begin with http:// or https://, got '/srv'",
    ),
    "unknown option": (lambda c: c.run("--polcy", "ipg"), "No such option"),
    "unknown command": (lambda c: ["fly"], "No such command 'fly'"),
    "out is a file": (existing_out, "File exists"),
    "out below a file": (lambda c: c.run("--out", c.write("", "file") / "x"), "Not a directory"),
    "out where nothing can be written": (lambda c: c.run("--out", "/proc/run"), "/proc/run"),
    "chart where nothing can be written": (
        lambda c: ["data", "describe", *c.toy.files, "--plot", "/proc/x.png"],
        "/proc/x.png",
    ),
    "encoder folder missing": (
        lambda c: c.run("--encoder-folder", c.folder / "none"),
        "none can't be read",
    ),
    "evaluation of no run": (lambda c: ["evaluate", str(c.folder)], "is no run folder"),
    "report of no run": (lambda c: ["report", str(c.folder)], "is no run folder"),
    "report of a missing run": (lambda c: ["report", str(c.out)], "is no run folder"),
    "evaluation of a file": (lambda c: ["evaluate", str(c.write(""))], "is no run folder"),
    "no run named": (lambda c: ["evaluate"], "Missing argument 'RUN'"),
    "settings that are no YAML": (lambda c: settings(c, "a: [1"), "can't be read as the settings"),
    "empty settings": (lambda c: settings(c, ""), "can't be read as the settings of a run"),
    "settings of something else": (lambda c: settings(c, "a: 1"), "can't be read as the settings"),
    "settings with a store that is no path": (
        lambda c: settings(
            c,
            "options: {}\ncommand: ''\ndevice: cpu\nstore: 5\ndata_dir: null\n"
            "encoder_folder: null\n",
        ),
        "can't be read as the settings of a run",
    ),
    "settings with unknown options": (
        lambda c: settings(
            c,
            "options: {x: 1}\ncommand: ''\ndevice: cpu\nstore: null\ndata_dir: null\n"
            "encoder_folder: null\n",
        ),
        "ExperimentOptions.x",
    ),
}


def parquet(case: Case) -> bytes:
    path = case.folder / "whole.parquet"
    pl.read_csv(case.toy.events).write_parquet(path)
    return path.read_bytes()


def refused(outcome: Outcome, fragment: str, out: Path) -> None:
    """One sentence with the fragment, exit code 2, and nothing that looks like a result."""
    assert outcome.code == 2, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
    assert len(outcome.errors) == 1, outcome.stderr
    assert outcome.stderr.endswith(outcome.errors[0] + "\n"), outcome.stderr
    assert fragment in outcome.errors[0]
    assert not (out / "metrics.json").exists()
    assert not (out / "report.html").exists()


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_end_in_one_sentence(kind: str, toy: Toy, here: Command, tmp_path: Path) -> None:
    make, fragment = BAD_FILES[kind]
    case = Case(toy, tmp_path)
    refused(here(*make(case)), fragment, case.out)


@pytest.mark.parametrize("kind", BAD_OPTIONS)
def test_bad_options_end_in_one_sentence(
    kind: str, toy: Toy, here: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, fragment = BAD_OPTIONS[kind]
    case = Case(toy, tmp_path)
    refused(here(*make(case)), fragment, case.out)


@pytest.mark.parametrize(
    "kind", ["zero rounds", "zero targets", "unknown world", "setting of the wrong type"]
)
def test_a_wrong_option_is_shown_without_all_others(
    kind: str, toy: Toy, here: Command, tmp_path: Path
) -> None:
    outcome = here(*BAD_OPTIONS[kind][0](Case(toy, tmp_path)))
    assert outcome.errors[0].count(", got ") == 1


@pytest.mark.parametrize(
    "kind",
    [
        "unknown category",
        "no category",
        "more targets than items",
        "unknown encoder setting",
        "vectors of two lengths",
        "heads that do not divide",
        "encoder folder missing",
    ],
)
def test_options_are_checked_before_anything_is_trained(
    kind: str, toy: Toy, here: Command, tmp_path: Path
) -> None:
    assert (
        "GraphAU" not in here(*BAD_OPTIONS[kind][0](Case(toy, tmp_path))).stderr.split("error")[0]
    )


MEANINGLESS = {
    "encoder that diverges": ["--set", "encoder_options.learning_rate=1e6"],
    "vectors that diverge": ["--set", "graphau.learning_rate=1e38"],
    "device without numbers": ["--device", "meta"],
    "infinite setting": ["--set", "graphau.decay=.inf"],
    "negative round": ["--set", "protocol.metrics.rounds=[-1]"],
}


@pytest.mark.parametrize("kind", MEANINGLESS)
def test_settings_that_lead_nowhere_end_in_one_sentence(
    kind: str, toy: Toy, here: Command, tmp_path: Path
) -> None:
    refused(here(*Case(toy, tmp_path).run(*MEANINGLESS[kind])), "", tmp_path / "out")


def only(folder: Path, pattern: str) -> Path:
    """The one thing in a folder that matches."""
    (found,) = folder.glob(pattern)
    return found


@pytest.mark.parametrize("stage", ["interest", "encoder"])
@pytest.mark.parametrize("content", ["truncated", "other model", "no safetensors", "empty"])
def test_corrupted_checkpoint_is_refused(
    stage: str, content: str, toy: Toy, here: Command, copied: Path
) -> None:
    store = copied / "artefacts"
    interest, done = only(store, "interest-*"), only(store, f"{stage}-*")
    checkpoint = store / f".{done.name}" / CHECKPOINT
    checkpoint.parent.mkdir()
    whole = next(done.glob("*.safetensors")).read_bytes()
    other = (interest / "vectors.safetensors").read_bytes()
    checkpoint.write_bytes(
        {
            "truncated": whole[:-50],
            "other model": other,
            "no safetensors": b"\xff" * 100,
            "empty": b"",
        }[content]
    )
    shutil.rmtree(done)
    outcome = here(*toy.run, "--out", copied)
    refused(outcome, f"checkpoint {checkpoint} is damaged or of another model", copied)
    assert "delete it to train from the start" in outcome.errors[0]
    if content == "truncated":
        checkpoint.unlink()
        assert here(*toy.run, "--out", copied).code == 0


@pytest.mark.parametrize(
    "file",
    [
        "interest-*/vectors.safetensors",
        "encoder-*/encoder.safetensors",
        "next-item-*/next_item.json",
        "guidance-*/log.parquet",
        "guidance-*/manifest.json",
    ],
)
def test_damaged_artefact_is_refused(file: str, toy: Toy, here: Command, copied: Path) -> None:
    path = only(copied / "artefacts", file)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if path.suffix != ".json" else 0] ^= 0xFF
    path.write_bytes(content)
    outcome = here(*toy.run, "--out", copied)
    refused(outcome, f"artefact {path.parent} is damaged", copied)
    assert "delete it to make it anew" in outcome.errors[0]
    if path.name == "manifest.json":
        shutil.rmtree(path.parent)
        assert here(*toy.run, "--out", copied).code == 0


def test_artefact_with_a_missing_file_is_refused(toy: Toy, here: Command, copied: Path) -> None:
    only(copied / "artefacts", "interest-*/vectors.safetensors").unlink()
    refused(here(*toy.run, "--out", copied), "is damaged", copied)


def test_encoder_that_knows_no_item_is_refused(
    toy: Toy, here: Command, finished: Path, tmp_path: Path
) -> None:
    encoder = only(finished / "artefacts", "encoder-*")
    events, items, out = tmp_path / "events.csv", tmp_path / "items.csv", tmp_path / "out"
    for old, new in ((toy.events, events), (toy.items, items)):
        new.write_text(re.sub(r"\bi(\d+),", r"other\1,", old.read_text()))
    others = ("--events", events, "--items", items)
    outcome = here(*toy.run, *others, "--encoder-folder", encoder, "--out", out)
    wanted = f"encoder {encoder} was trained on csv and knows none of the 40 items here"
    refused(outcome, wanted, out)


def test_damaged_encoder_folder_is_refused(toy: Toy, here: Command, copied: Path) -> None:
    encoder = only(copied / "artefacts", "encoder-*")
    weights = encoder / "encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    outcome = here(*toy.run, "--encoder-folder", encoder, "--out", copied)
    refused(outcome, f"encoder {encoder} can't be read", copied)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory with the options given; the test is skipped elsewhere."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def mounted(options: str) -> Path:
        remount = "remount," if folder.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", remount + options, "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"nothing can be mounted here: {error}")
        return folder

    yield mounted
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", ["12k", "40k", "80k", "160k"])
def test_full_disk_ends_in_one_sentence_and_the_run_goes_on_when_there_is_room(
    size: str, toy: Toy, here: Command, mount: Callable[[str], Path]
) -> None:
    out = mount(f"size={size}") / "out"
    outcome = here(*toy.run, "--out", out)
    metrics = out / "metrics.json"
    if metrics.exists():  # there was room for the figures, but not for the report
        assert json.loads(metrics.read_text())["metrics"]
        metrics.unlink()
    refused(outcome, "No space left on device", out)
    assert not [p for p in out.glob("artefacts/[!.]*") if not (p / "manifest.json").exists()]
    mount("size=4m")
    assert here(*toy.run, "--out", out).code == 0
    assert (out / "report.html").exists()


def test_file_that_may_not_grow_ends_in_one_sentence(
    toy: Toy, cli: Command, tmp_path: Path
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))

    outcome = cli(*toy.run, "--out", tmp_path, preexec_fn=limit)
    refused(outcome, "File too large", tmp_path)


def test_read_only_directory_ends_in_one_sentence(
    toy: Toy, here: Command, mount: Callable[[str], Path], tmp_path: Path
) -> None:
    if os.geteuid() == 0:  # permissions do not bind root
        out, rule = mount("ro"), "Read-only file system"
    else:
        out, rule = tmp_path / "read-only", "Permission denied"
        out.mkdir(mode=0o500)
    refused(here(*toy.run, "--out", out), rule, out)
    refused(here(*toy.run, "--out", out / "run"), rule, out)
    plot = out / "x.png"
    refused(here("data", "describe", *toy.files, "--plot", plot), rule, out)
