"""`proactrec guide fit | show | activate | forget`: a guide for real users, as one folder."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from proactrec.cli import console, options, results
from proactrec.cli.flags import flags_of, given, naming, takes
from proactrec.config import parsed_setting
from proactrec.errors import InvalidInputError
from proactrec.files import alone_in
from proactrec.fitting.fitting import Fitting
from proactrec.fitting.guides import fit_guide
from proactrec.fitting.options import FittingOptions

app = typer.Typer(
    no_args_is_help=True,
    help="Make a guide for real users, and say what a guide is.\n\n"
    "Start with: proactrec guide fit --dataset demo --out guides/demo",
)

FITTED = flags_of(FittingOptions, None, "policy", "encoder", "seed")
FITTED["policy"] = FITTED["policy"]._replace(default="foresight")


@app.command()
@takes(options.DATA, FITTED)
def fit(
    out: Annotated[
        Path, typer.Option(help="Folder of the guide; an earlier guide in it is replaced.")
    ],
    data_dir: options.DataDir = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other setting, e.g. --set rails.plain_share=0.25 --set "
            "policy_options.depth=1; repeatable.",
        ),
    ] = None,
    shows_again: Annotated[
        bool,
        typer.Option("--shows-again", help="What was shown and refused may be shown again."),
    ] = False,
    worth: options.NamedWorth = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Folder of finished stages, used again by the next fit; OUT.store if not given."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    json: options.Json = False,
    **values: Any,
) -> None:
    """Train a policy and all that it stands on, and write one folder that any process opens.

    Killed at any time, the same command goes on where it stopped.

    Example: proactrec guide fit --dataset data/shop --policy foresight --out guides/shop
    """
    from proactrec.evaluation.oracles import ReadsMinds
    from proactrec.guidance.saved import check_place
    from proactrec.policies.registry import policy_type

    check_place(out)
    plain = FittingOptions(dataset=options.dataset_options(values))
    changes = {
        **given(FITTED, values),
        **options.named_worth(worth, "policy_options.worth"),
        **dict(map(parsed_setting, set_ or [])),
    }
    with naming(FITTED, values):
        wanted = plain.changed(changes)
    if issubclass(policy_type(wanted.policy), ReadsMinds):
        raise InvalidInputError(
            f"--policy {wanted.policy} reads the minds of simulated users: real ones need another"
        )
    stages = store or out.absolute().with_name(f"{out.absolute().name}.store")
    with alone_in(out, is_replaced=True), console.progress() as progress:
        fitting = Fitting(wanted, stages, data_dir=data_dir, device=device, progress=progress)
        guide = fit_guide(fitting, shows_again=shows_again)
        guide.save(out)
    _tell(guide.about(), out, json=json)


@app.command()
def show(folder: options.GuideFolder, json: options.Json = False) -> None:
    """Say what a guide is, what it was made from, and how many items and users it knows.

    Example: proactrec guide show guides/shop
    """
    from proactrec.guidance.saved import guide_name, read_about

    _tell({"name": guide_name(folder), **read_about(folder)}, folder, json=json)


@app.command()
def activate(
    folder: options.GuideFolder,
    link: Annotated[
        Path, typer.Option("--as", help="The link that `proactrec serve --guide` was given.")
    ],
) -> None:
    """Let a service decide by another guide: its link leads there, once the guide can be opened.

    Instances notice within seconds, and decide by it from their next batch on. Back: the same
    command with the old folder, which must stay until then.

    Example: proactrec guide activate guides/shop-2026-12 --as guides/current
    """
    from proactrec.guidance.saved import guide_name, open_guide

    if link.exists() and not link.is_symlink():
        raise InvalidInputError(f"--as must name a link or nothing, {link} is something else")
    open_guide(folder)
    new = link.with_name(f".{link.name}.{os.getpid()}")
    new.symlink_to(os.path.relpath(folder.resolve(), link.parent.resolve()))
    os.replace(new, link)
    print(f"{link} leads to {folder}, guide {guide_name(folder)}")


@app.command()
def forget(
    folder: options.GuideFolder,
    user: Annotated[str, typer.Option(help="Id of the user.")],
) -> None:
    """Write a guide anew without a user; all others are guided as before.

    Example: proactrec guide forget guides/shop --user u17
    """
    from proactrec.guidance.forgetting import forget as forgotten

    forgotten(folder, user)


def _tell(about: dict[str, Any], folder: Path, *, json: bool) -> None:
    if json:
        results.print_json(about)
        return
    rails = ", ".join(f"{name} = {value}" for name, value in about["rails"].items())
    rows = {
        "guide": folder,
        **({"name": about["name"]} if "name" in about else {}),
        "policy": about["policy"],
        "rails": rails or "none",
        "made from": f"{about['dataset']['name']} ({about['dataset']['fingerprint']})",
        "knows": f"{about['n_items']:,} items, {about['n_users']:,} users",
        "knowledge": f"version {about['knowledge_version']}",
        "seed": about["seed"],
        "made": f"{about['made']}, proactrec {about['versions']['proactrec']}",
    }
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(name, str(value))
    console.Terminal(highlight=False, soft_wrap=True).print(table)
