"""`proactrec next`: what real users are shown next, from a guide and today's logs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proactrec.cli import console, options, results
from proactrec.cli.flags import flags_of, takes
from proactrec.cli.reading import COLUMNS, FILES, Weight, import_options
from proactrec.cli.setup import listed_ids
from proactrec.data.importing.options import ImportOptions
from proactrec.errors import InvalidInputError

if TYPE_CHECKING:
    import polars as pl

    from proactrec.guidance.tomorrow import People
    from proactrec.journeys import Journeys

FLAGS = {
    **flags_of(
        ImportOptions,
        COLUMNS,
        user_column="columns.user",
        item_column="columns.item",
        time_column="columns.time",
        title_column="item_columns.title",
        category_column="item_columns.categories",
        levels="item_columns.levels",
    ),
    **FILES,
}


@takes(FLAGS)
def next_items(
    folder: options.GuideFolder,
    events: Annotated[
        list[str],
        typer.Option(
            help="What users did: .csv, .tsv, .jsonl (also .gz) or .parquet files, folders or "
            "patterns; repeatable. What the guide was fitted on may be in it or not."
        ),
    ],
    target: options.Targets = None,
    category: options.Category = None,
    user: Annotated[
        list[str] | None,
        typer.Option(
            help="Id of a user; repeatable. Everybody in --events if not given.",
            rich_help_panel=options.WHO,
        ),
    ] = None,
    journeys: Annotated[
        Path | None,
        typer.Option(
            help="What was shown before: .csv or .parquet with user_id, target_id, round, item_id, "
            "guided, answer (1, 0, or empty: not known yet).",
            rich_help_panel=options.WHO,
        ),
    ] = None,
    opt_out: options.OptOut = None,
    known_items: Annotated[
        bool,
        typer.Option(
            "--known-items",
            help="Show only items that the guide was fitted on, none that came later or were "
            "left out by its filter.",
            rich_help_panel=options.WHO,
        ),
    ] = False,
    n_rounds: options.Rounds = None,
    seed: options.GuideSeed = None,
    out: Annotated[Path | None, typer.Option(help="File to write: .parquet or .csv.")] = None,
    json: options.Json = False,
    weight: Weight = None,
    **values: Any,
) -> None:
    """Say what real users are shown next on the way to a target, and why.

    One row per user and target: `item_id` is what to show (empty: nothing), `guided` whether it
    is a step of guidance, `reason` why: step, target, or what made it a plain recommendation.

    Example: proactrec next guides/shop --events today.parquet --category Jazz --out next.parquet
    """
    from proactrec.data.importing.reading import read_logs
    from proactrec.guidance.saved import open_guide, read_about
    from proactrec.guidance.tomorrow import People, next_items

    _check(target, category, out, json=json)
    read_about(folder)  # a wrong folder is said before files are read
    asked = import_options(FLAGS, values, events, weight)
    with console.progress() as progress:
        read = read_logs(asked, progress=progress)
        guide = open_guide(folder, None if known_items else read.catalogue, seed=seed)
        is_known = read.events["item_id"].is_in(guide.guide.items.item_ids)
        is_out = set(listed_ids(opt_out)) if opt_out else ()
        people = People.of(guide, read.events.filter(is_known), user, is_out)
        walks = _walks(people, target, category, journeys, n_rounds)
        table = next_items(people, walks)
    if read.guesses:
        console.note(f"guessed columns: {'; '.join(read.guesses)}")
    console.warn(read.problems)
    if n_left := (~is_known).sum():
        console.note(f"--known-items: {n_left:,} events of other items were left aside")
    if opt_out is not None:
        n_here = len(set(people.opted_out) & set(people.user_ids))
        n_absent = len(people.opted_out) - n_here
        console.note(f"--opt-out: {n_here:,} of its users are here, {n_absent:,} are not")
    _give(table, out, json=json)
    console.note(_summary(table, people))


def _check(target: list[str] | None, category: str | None, out: Path | None, *, json: bool) -> None:
    options.check_goal(target, category)
    if (out is None) != json:
        raise InvalidInputError("give --out FILE or --json, one of them")
    if out is not None and out.suffix not in (".parquet", ".csv"):
        raise InvalidInputError(f"--out must end in .parquet or .csv, got {out}")


def _walks(
    people: "People",
    target: list[str] | None,
    category: str | None,
    past: Path | None,
    n_rounds: int | None,
) -> "Journeys":
    """Journeys of all users, with what was shown before."""
    from proactrec.guidance.past import checked_journeys, no_journeys

    known = people.guide.guide.items
    for target_id in target or ():
        if target_id not in known.index:
            raise InvalidInputError(
                f"--target {target_id!r} is in no event, and the guide does not know it"
            )
    rounds = no_journeys()
    if past is not None:
        rounds, left = checked_journeys(_table(past), people.index, known.index)
        console.warn([f"--journeys: {one}" for one in left])
        _check_rounds(rounds, n_rounds)
    if category is not None:
        return people.journeys_in(rounds, category, n_rounds)
    return people.journeys(rounds, target or (), n_rounds)


def _check_rounds(past: "pl.DataFrame", n_rounds: int | None) -> None:
    """Refuse fewer rounds than there were already."""
    if n_rounds is None or past.is_empty():
        return
    last: Any = past["round"].max()
    if last <= n_rounds:
        return
    raise InvalidInputError(
        f"--n-rounds must be at least the rounds in --journeys, of which the last is {last}, "
        f"got {n_rounds}"
    )


def _table(path: Path) -> "pl.DataFrame":
    from proactrec.data.sources.files import read_delimited, read_parquet

    if not path.is_file() or path.suffix not in (".parquet", ".csv"):
        raise InvalidInputError(f"--journeys must name a .parquet or .csv file, got {path}")
    if path.suffix == ".parquet":
        return read_parquet(path)
    return read_delimited(path, ",", quote='"')


def _give(table: "pl.DataFrame", out: Path | None, *, json: bool) -> None:
    from proactrec.files import replacing

    if json or out is None:
        results.print_json(table.to_dicts())
        return
    with replacing(out) as partial:
        (table.write_csv if out.suffix == ".csv" else table.write_parquet)(partial)
    console.note(f"written: {out}")


def _summary(table: "pl.DataFrame", people: "People") -> str:
    """How many rows are what, and who and what the guide was not fitted on."""
    n_guided, n_none = int(table["guided"].sum()), table["item_id"].null_count()
    n_users, n_new = len(people.user_ids), people.is_known.count(False)
    n_later = len(people.guide.guide.items) - people.guide.n_fitted_items
    n_shown = table.filter(~table["known_item"])["item_id"].count()
    return (
        f"{table.height:,} rows: {n_guided:,} guided, {table.height - n_guided - n_none:,} plain, "
        f"{n_none:,} with nothing to show; {n_new:,} of {n_users:,} users and {n_later:,} items "
        f"are not of those the guide was fitted on, {n_shown:,} rows show such an item"
    )
