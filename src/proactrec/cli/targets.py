"""`proactrec targets`: which items to promote; `targets suggest`: which category."""

from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from proactrec.cli import console, results
from proactrec.cli.cost import begun
from proactrec.cli.flags import option, own_parameters
from proactrec.cli.setup import setup, take_options
from proactrec.errors import InvalidInputError

LEFT_OUT = (
    *("category", "target", "goal", "target_chooser", "policy", "without", "n_rounds"),
    *("encoder", "encoder_folder", "watch", "item_weights"),
)
N_SHOWN = 20

app = typer.Typer(invoke_without_command=True)


def targets(context: typer.Context, **values: Any) -> None:
    """Choose the items to promote and show them, best first.

    Example: proactrec targets --dataset ml-100k --category Sci-Fi --n-targets 10
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    asked = setup(**values)
    with console.progress() as progress:
        experiment = begun(asked, progress)
        chosen = experiment.fitting.target_list()
        console.warn(results.concerns(experiment))
    if asked.json:
        results.print_json(chosen)
        return
    table = Table("", "item", "title", "score", "seen by")
    for place, item in enumerate(chosen, start=1):
        score = "" if item["score"] is None else f"{item['score']:.1f}"
        table.add_row(
            str(place), item["item_id"], item["title"], score, f"{item['share_seen']:.1%}"
        )
    console.Terminal().print(table)


def suggest(**values: Any) -> None:
    """Rank categories by how promising guidance toward them is, and say why.

    Only interest vectors are trained. The order is a rule of thumb, not a forecast.

    Example: proactrec targets suggest --dataset ml-100k --data-dir data
    """
    from proactrec.suggestions import grouped, suggest_categories

    asked = setup(**values)
    with console.progress() as progress:
        experiment = begun(asked, progress)
        console.warn([step.sentence for step in experiment.dataset.removed])
        found = suggest_categories(
            experiment.dataset,
            *experiment.interest,
            n_targets=experiment.protocol.targets.n_targets,
            seed=experiment.seed,
        )
    if asked.json:
        results.print_json([one._asdict() for one in found])
        return
    table = Table("", "category", "score", "items", "met by", "targets seen by", "distance")
    for one in found[:N_SHOWN]:
        place = 1 + sum(other.score > one.score for other in found)  # equal ones share it
        table.add_row(
            str(place),
            Text(one.category),
            f"{one.score:.2f}",
            str(one.n_items),
            f"{one.reach:.0%}",
            f"{one.seen:.0%}",
            f"{one.distance:+.2f}",
        )
    shown = console.Terminal()
    shown.print(table)
    for reasons, names in grouped(found[:N_SHOWN]).items():
        line = f"{', '.join(names)}: {'; '.join(reasons)}"
        shown.print(line, highlight=False, soft_wrap=True, markup=False)
    if len(found) > N_SHOWN:
        shown.print(f"{len(found) - N_SHOWN} less promising ones: see --json")


def _refuse_options(context: typer.Context) -> None:
    given = [
        name
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]
    if given:
        raise InvalidInputError(
            f"options of targets {context.invoked_subcommand} come after it, got "
            f"{option(given[0])} before"
        )


take_options(targets, own_parameters(targets))
take_options(suggest, left_out=LEFT_OUT)
app.callback()(targets)
app.command()(suggest)
