"""`proactrec explain`: why a user of an earlier run was shown what was shown."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proactrec.cli import console, options, results
from proactrec.errors import InvalidInputError

if TYPE_CHECKING:
    from proactrec.evaluation.experiment import Experiment

OPT_OUT_FILE = "never-guide.txt"
STAFF, CUSTOMER = "staff", "customer"

User = Annotated[str, typer.Option("--user", help="Id of the user.")]
Target = Annotated[
    str | None, typer.Option("--target", help="Id of a target; all of the run if not given.")
]
Round = Annotated[
    int | None, typer.Option("--round", help="Number of one round; all if not given.")
]
WithoutItem = Annotated[
    str | None,
    typer.Option(
        "--without-item",
        help="Id of an item of the user's history: what would have been shown without it?",
    ),
]
For = Annotated[
    str,
    typer.Option(
        "--for",
        metavar="staff|customer",
        help="Who reads it: staff, with all figures, or the customer, with plain reasons only.",
    ),
]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page to this file.")]


def explain(
    run: results.RunFolder,
    user: User,
    target: Target = None,
    number: Round = None,
    without_item: WithoutItem = None,
    reader: For = STAFF,
    html: Html = None,
    json: options.Json = False,
) -> None:
    """Say why a user was shown what was shown, on the way to a target, and how to end it.

    Example: proactrec explain runs/scifi --user 42 --for customer --html why.html
    """
    from proactrec.guidance.explanations import Explainer
    from proactrec.guidance.wording import told, told_to_customer

    if reader not in (STAFF, CUSTOMER):
        raise InvalidInputError(f"--for must be {STAFF} or {CUSTOMER}, got {reader!r}")
    setup, command = results.earlier(run)
    if html is not None:
        results.require_report()
    with console.progress() as progress:
        experiment = setup.experiment(progress)
        paths = Explainer(experiment.replay(), experiment.item_vectors).journeys_of(
            user, target_id=target, number=number, left_out=without_item
        )
    content: dict[str, Any] = {
        "user_id": user,
        "for": reader,
        "synthetic": experiment.dataset.name == "demo",
        "is_off": _is_out(experiment, user),
    }
    if reader == CUSTOMER:
        content["paths"] = [told_to_customer(path) for path in paths]
    else:
        content |= {
            "dataset": experiment.dataset.name,
            "policy": setup.options.policy,
            "protocol": setup.options.protocol.name,
            "seed": setup.options.seed,
            "opt_out": "" if content["is_off"] else _opt_out(command, user),
            "paths": [told(path) for path in paths],
        }
    if html is not None:
        from proactrec.report.explain_page import write_explanations

        write_explanations(html, content)
    if json:
        results.print_json(content)
    else:
        _show(content, html)


def _is_out(experiment: "Experiment", user: str) -> bool:
    """Whether a user is never guided, named or drawn."""
    from proactrec.guidance.rails import opted_out

    data = experiment.dataset
    is_out = opted_out(experiment.options.rails, data.user_ids, seed=experiment.seed)
    return bool(is_out[data.user_ids.index(user)])


def _opt_out(command: str, user: str) -> str:
    """Commands that run again without guidance for this user."""
    words = shlex.split(command)
    given = [n for n, word in enumerate(words) if word.split("=")[0] == "--opt-out"]
    if given:
        value = words[given[-1]].partition("=")[2]
        listed = value or words[given[-1] + 1]
    else:
        listed, command = OPT_OUT_FILE, f"{command} --opt-out {OPT_OUT_FILE}"
    return f"echo {shlex.quote(user)} >> {shlex.quote(listed)}\n{command}"


def _show(content: dict[str, Any], page: Path | None) -> None:
    output = console.Terminal(highlight=False, soft_wrap=True)
    for path in content["paths"]:
        output.print(f"User {content['user_id']} → “{path['target']['title']}”", style="bold")
        for one in path["explanations"]:
            answer = "taken" if one["accepted"] else "passed over"
            output.print(f"\nRound {one['round']}: {one['item']['title']} ({answer})")
            for sentence in one["words"]:
                output.print(f"  {sentence}")
        output.print()
    if content["is_off"]:
        output.print("Guidance is switched off for this user (rails.opt_out, opt_out_share).")
    elif content["for"] == STAFF:
        output.print(f"To switch guidance off for this user:\n{content['opt_out']}")
    if page is not None:
        output.print(f"written: {page}")
