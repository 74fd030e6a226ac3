"""An import from files to a folder: look, guess, read, check, write; whole or not at all."""

import os
import shutil
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import polars as pl
import yaml

from proactrec.data.imported import EVENTS, FORMAT_VERSION, ITEMS, SETTINGS, is_import
from proactrec.data.importing import behaviour, files, items, told
from proactrec.data.importing.events import Gathered, Ids, gather
from proactrec.data.importing.facts import facts
from proactrec.data.importing.guess import Guess, guess_events, guess_items
from proactrec.data.importing.options import ImportOptions
from proactrec.data.importing.problems import Problems
from proactrec.data.importing.tables import open_table
from proactrec.data.importing.tables.base import Table, check_columns, first_sample
from proactrec.data.importing.verdicts import verdicts
from proactrec.errors import DataError, InvalidInputError
from proactrec.files import write_json, write_text
from proactrec.progress import Progress, silent

FIGURES, PAGE = "import.json", "report.html"
MOST_SUSPECTS = 100
Render = Callable[[dict[str, Any]], str]


class Plan(NamedTuple):
    """What the files are and how their columns are understood."""

    options: ImportOptions  # every column named
    events: list[Table]
    items: list[Table]
    guesses: list[tuple[Guess, str]]  # with examples of the column's values
    notes: list[str]


class Import:
    """One import, in a hidden folder beside `out` until it is complete.

    Use it in a `with` block: what is unfinished at its end is deleted.

    Parameters
    ----------
    out : Path
        Folder to make.
    overwrite : bool
        Whether an earlier import may lie there.

    Raises
    ------
    InvalidInputError
        If `out` is a file, or a folder that is not empty (nor an import that may be replaced).
    """

    def __init__(self, options: ImportOptions, out: Path, *, overwrite: bool = False) -> None:
        self._options, self.out = options, out.absolute()
        if out.exists() and not out.is_dir():
            raise InvalidInputError(f"--out {out} is a file, a folder is needed")
        is_free = not out.exists() or not any(out.iterdir())
        if not is_free and not is_import(out):
            raise InvalidInputError(f"--out {out} is not empty, and no earlier import")
        if not is_free and not overwrite:
            raise InvalidInputError(f"--out {out} holds an import already: give --overwrite")
        self._partial = self.out.parent / f".{self.out.name}.import-{os.getpid()}"
        self._unpacked = self._partial / "unpacked"

    def __enter__(self) -> Self:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self._partial.mkdir()
        self._unpacked.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)

    @cached_property
    def plan(self) -> Plan:
        """Files and columns; what was not said is guessed."""
        options = self._options
        events, notes = self._tables(options.events)
        items_, more = self._tables(options.items) if options.items else ([], [])
        given = options.columns
        check_columns(events[0], [name for name in given.model_dump().values() if name])
        sample = first_sample(events)
        columns, found = guess_events(sample, given)
        guesses = _with_examples(found, sample)
        item_columns = options.item_columns
        if items_:
            item_sample = first_sample(items_)
            some = sample[str(columns.item)].drop_nulls().cast(pl.String, strict=False)
            item_columns, found = guess_items(
                item_sample, item_columns, str(columns.item), set(some.to_list())
            )
            guesses += _with_examples(found, item_sample)
        return Plan(
            options.model_copy(update={"columns": columns, "item_columns": item_columns}),
            events,
            items_,
            guesses,
            [*notes, *more],
        )

    def run(self, *, render: Render | None = None, progress: Progress = silent) -> dict[str, Any]:
        """Write the folder; gives what `import.json` holds.

        Parameters
        ----------
        render
            Makes the data report (HTML) of the result.

        Raises
        ------
        DataError
            If a file cannot be used, too many rows are bad, or none is left.
        """
        plan, options = self.plan, self.plan.options
        gathered = gather(plan.events, options.columns, options, progress)
        _check_share(gathered.problems, gathered.n_rows, options.max_bad_share, plan.events)
        progress("check", 0, 3, "sort")
        cleaned = _cleaned(gathered, options)
        progress("check", 1, 3, "catalogue")
        catalogue, found = self._catalogue(cleaned.pairs, gathered.items)
        progress("check", 2, 3, "facts")
        result = self._result(gathered, cleaned, catalogue, found)
        progress("check", 3, 3)
        self._write(gathered, cleaned.pairs, catalogue, result, render)
        return result

    def _tables(self, patterns: Sequence[str]) -> tuple[list[Table], list[str]]:
        paths, ignored = files.find(patterns)
        notes, tables, empty = [], [], []
        for path in paths:
            try:
                tables.append(open_table(path, self._options.files, self._unpacked))
            except DataError as error:
                # One of many may be empty: a day without events. A single one may not.
                if len(paths) == 1 or path.stat().st_size:
                    raise
                empty.append(str(error))
        if not tables:
            raise DataError(f"all {len(paths)} files of {', '.join(patterns)} are empty")
        if empty:
            notes.append(f"{len(empty)} of {len(paths)} files are empty, first: {empty[0]}")
        if ignored:
            notes.append(f"{len(ignored)} files of other kinds were not read, first {ignored[0]}")
        return tables, notes

    def _catalogue(self, pairs: pl.DataFrame, ids: Ids) -> tuple[pl.DataFrame, items.FoundItems]:
        plan, options = self.plan, self.plan.options
        found = items.none()
        if plan.items:
            found = items.read_items(plan.items, options)
            _check_share(found.problems, found.n_rows, options.max_bad_share, plan.items)
        counts = pairs.group_by("item").agg(n_users=pl.len()).sort("item")
        touched = counts.select(ids.texts(pl.col("item")).alias("item_id"), "n_users")
        joined = touched.join(
            found.table.with_columns(is_listed=True),
            on="item_id",
            how="full",
            coalesce=True,
            maintain_order="right_left",
        )
        return joined.with_columns(
            pl.col("n_users").fill_null(0),
            pl.col("title", "text").fill_null(""),
            pl.col("categories").fill_null([]),
            pl.col("is_listed").fill_null(False),
        ), found

    def _result(
        self,
        gathered: Gathered,
        cleaned: "_Cleaned",
        catalogue: pl.DataFrame,
        found: items.FoundItems,
    ) -> dict[str, Any]:
        plan, options = self.plan, self.plan.options
        numbers = facts(cleaned.pairs, catalogue, has_dates=gathered.time_unit != "order")
        n_unlisted = int((~catalogue["is_listed"]).sum()) if plan.items else 0
        unused = told.unused_columns(options, plan.events, plan.items)
        kinds = gathered.kinds if options.columns.event_type else {}
        about: dict[str, Any] = {
            "kinds": told.about_kinds(kinds, options.weights),
            "weights": options.weights,
            "time_unit": gathered.time_unit,
            "resolution": _resolution(cleaned.resolution),
            "n_suspects": len(cleaned.suspects),
            "suspect_share": cleaned.n_suspect_events / max(1, cleaned.n_good),
            "bots": options.bots,
            "rating_columns": told.ratings_among(unused["events"]),
            "repeat_share": cleaned.n_repeats / max(1, cleaned.n_events),
        }
        return {
            "steps": _steps(gathered, cleaned),
            "problems": gathered.problems.sentences(),
            "item_problems": found.problems.sentences(),
            "notes": [
                *plan.notes,
                *gathered.notes,
                *told.id_notes(gathered.users, gathered.items),
                *told.column_notes(unused),
                *told.kind_notes(about["kinds"], options.weights),
                *told.item_notes(found, n_unlisted, catalogue),
            ],
            "unused_columns": unused,
            "facts": numbers,
            "about": about,
            "verdicts": [v._asdict() for v in verdicts(numbers, about)],
            "suspects": cleaned.suspects[:MOST_SUSPECTS],
            "columns": options.columns.model_dump(),
            "item_columns": options.item_columns.model_dump() if plan.items else None,
            "category_separator": found.separator,
            "level_separator": found.level_separator,
            "guesses": [guess._asdict() for guess, _ in plan.guesses],
            "files": [
                {"path": str(t.path), "rows": t.n_rows, "bytes": t.path.stat().st_size}
                for t in [*plan.events, *plan.items]
            ],
        }

    def _write(
        self,
        gathered: Gathered,
        pairs: pl.DataFrame,
        catalogue: pl.DataFrame,
        result: dict[str, Any],
        render: Render | None,
    ) -> None:
        shutil.rmtree(self._unpacked)
        write_events(pairs, gathered, self._partial / EVENTS)
        listed = catalogue.select("item_id", "title", "categories", "text")
        listed.write_parquet(self._partial / ITEMS, compression="zstd")
        settings = {
            "format_version": FORMAT_VERSION,
            "n_interactions": pairs.height,
            "n_items": listed.height,
            "options": self.plan.options.model_dump(mode="json"),
        }
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        write_text(self._partial / SETTINGS, text)
        write_json(self._partial / FIGURES, result)
        if render is not None:
            write_text(self._partial / PAGE, render(result))
        _place(self._partial, self.out)


class _Cleaned(NamedTuple):
    pairs: pl.DataFrame  # user, item, time, session, n_events, weight
    n_good: int  # usable events with a weight
    n_events: int  # the same without bots that are dropped
    n_repeats: int
    n_weightless: int  # events of a kind without weight
    n_bot_events: int  # left out
    n_light_pairs: int  # below min_weight
    suspects: list[dict[str, Any]]
    n_suspect_events: int
    resolution: int


def _cleaned(gathered: Gathered, options: ImportOptions) -> _Cleaned:
    n_good = gathered.n_rows - gathered.problems.n
    events = behaviour.sorted_events(gathered.events)
    without = "no event has a weight above 0"
    if not options.weights:
        without = f"no event is of a kind that counts: {told.listed(list(gathered.kinds))}"
    _check_some(events, without if n_good else "no usable row is left")
    has_dates = gathered.time_unit != "order"
    resolution = behaviour.resolution_of(events["time"]) if has_dates else behaviour.DAY
    found = behaviour.suspects(events, options, resolution)
    n_bot_events = 0
    if options.bots == "drop" and found:
        n_before = events.height
        events = events.filter(~pl.col("user").is_in([suspect.user for suspect in found]))
        n_bot_events = n_before - events.height
        _check_some(events, "all users are suspected bots")
    n_events = events.height
    pause = options.session_minutes if has_dates else None
    pairs = behaviour.first_of_pairs(behaviour.with_sessions(events, pause))
    heavy = pairs.filter(pl.col("weight") >= options.min_weight) if options.min_weight else pairs
    _check_some(heavy, f"no user and item reach the weight {options.min_weight:g}")
    return _Cleaned(
        heavy,
        gathered.events.height,
        n_events,
        n_events - pairs.height,
        n_good - gathered.events.height,
        n_bot_events,
        pairs.height - heavy.height,
        _named(found, gathered.users),
        sum(suspect.n_events for suspect in found),
        resolution,
    )


def _named(suspects: list[behaviour.Suspect], users: Ids) -> list[dict[str, Any]]:
    """Suspects with their ids, most events first."""
    names = users.listed([suspect.user for suspect in suspects])
    named = [{**s._asdict(), "user": name} for s, name in zip(suspects, names, strict=True)]
    return sorted(named, key=lambda suspect: (-suspect["n_events"], suspect["user"]))


def write_events(pairs: pl.DataFrame, gathered: Gathered, path: Path) -> None:
    """Pairs with their ids as a Parquet file, written piece by piece."""
    time = pl.col("time")
    if gathered.time_unit != "order":
        time = time.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    pairs.lazy().select(
        gathered.users.texts(pl.col("user")).alias("user_id"),
        gathered.items.texts(pl.col("item")).alias("item_id"),
        time.alias("timestamp"),
        "n_events",
        "weight",
        "session",
    ).sink_parquet(path, compression="zstd", compression_level=1, maintain_order=True)


def _check_some(table: pl.DataFrame, sentence: str) -> None:
    if table.height == 0:
        raise DataError(f"nothing to import: {sentence}")


def _check_share(problems: Problems, n_rows: int, most: float, tables: Sequence[Table]) -> None:
    if problems.n > most * n_rows:
        raise DataError(
            f"{problems.n:,} of {n_rows:,} rows of {tables[0].path}"
            f"{f' and {len(tables) - 1} more' if len(tables) > 1 else ''} cannot be used, "
            f"more than --max-bad {most:g} allows: {'; '.join(problems.sentences())}"
        )
    if n_rows == 0:
        raise DataError(f"{tables[0].path} has no rows")


def _steps(gathered: Gathered, cleaned: _Cleaned) -> list[tuple[str, int]]:
    """From rows read to interactions written; the numbers between add up."""
    steps = [
        ("rows read", gathered.n_rows),
        ("unusable rows", -gathered.problems.n),
        ("events of kinds that do not count", -cleaned.n_weightless),
        ("events of suspected bots", -cleaned.n_bot_events),
        ("repeats of a user and an item", -cleaned.n_repeats),
        ("users and items below the least weight", -cleaned.n_light_pairs),
        ("interactions written", cleaned.pairs.height),
    ]
    return [(name, n) for name, n in steps if n or name in ("rows read", "interactions written")]


def _resolution(microseconds: int) -> str:
    if microseconds >= behaviour.DAY:
        return "days"
    return "minutes" if microseconds >= behaviour.MINUTE else "seconds"


def _with_examples(guesses: list[Guess], sample: pl.DataFrame) -> list[tuple[Guess, str]]:
    return [(guess, _example(sample[guess.column]) if guess.column else "") for guess in guesses]


def _example(values: pl.Series, n: int = 3) -> str:
    filled = values.drop_nulls()
    first = filled[:1] if filled.dtype.is_nested() else filled.unique(maintain_order=True)[:n]
    return ", ".join(str(value)[:40] for value in first.to_list())


def _place(partial: Path, out: Path) -> None:
    if not out.exists() or not any(out.iterdir()):
        os.replace(partial, out)
        return
    old = partial.with_name(f"{partial.name}-old")
    os.replace(out, old)
    os.replace(partial, out)
    shutil.rmtree(old)
