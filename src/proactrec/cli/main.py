"""The command `proactrec`: its commands, and how errors end."""

import os
import sys
import warnings
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException
from typer.main import get_group

from proactrec.cli import ending, streams
from proactrec.errors import InvalidInputError
from proactrec.threads import settle

# Name: where the function or group is, and the first line of its help. Loaded when it is called:
# the list of commands needs neither torch nor polars, which take a second.
COMMANDS = {
    "run": (
        "run.run",
        "Do the whole job: train, choose targets, guide simulated users, measure, write a report.",
    ),
    "train": (
        "run.train",
        "Fit interest vectors and the sequence encoder, and show how well it predicts the next "
        "item.",
    ),
    "simulate": (
        "run.simulate",
        "Guide the simulated users and keep the log of every (user, target, round) as Parquet.",
    ),
    "evaluate": ("results.evaluate", "Measure an earlier run again, from its log."),
    "report": ("results.report", "Write the HTML report of an earlier run again."),
    "explain": (
        "explain.explain",
        "Say why a user was shown what was shown, on the way to a target, and how to end it.",
    ),
    "tune": (
        "tune.tune",
        "Try settings of an encoder and keep the best by validation NDCG@20; never by the test "
        "split.",
    ),
    "benchmark": (
        "benchmark.benchmark",
        "Run many methods with the same users, side by side, and compare them in tables and plots.",
    ),
    "compare": (
        "compare.compare",
        "Say whether one method is better than another, and in which worlds.",
    ),
    "worlds": (
        "worlds.worlds",
        "List the named kinds of simulated users, whose settings never change.",
    ),
    "guide": ("guide.app", "Make a guide for real users, and say what a guide is."),
    "next": (
        "next_items.next_items",
        "Say what real users are shown next on the way to a target, and why.",
    ),
    "plan": (
        "plan.plan",
        "Plan what many users are shown next on the way to a target, from Parquet to Parquet.",
    ),
    "serve": ("serve.serve", "Serve campaigns to real users over HTTP, until Ctrl-C or SIGTERM."),
    "console": (
        "web_console.console",
        "Open a console of a service, in which campaigns are made, watched and stopped.",
    ),
    "shoppers": (
        "shoppers.shoppers",
        "Send simulated users of a data set to a service: they ask, see, answer and report.",
    ),
    "forecast": (
        "forecast.forecast",
        "Say what the run that the same options would make will achieve, with 80 and 95 % "
        "intervals.",
    ),
    "uplift": (
        "uplift.uplift",
        "Measure what guidance added: guided users less held-out users, with 95 % intervals.",
    ),
    "campaign": (
        "campaign.app",
        "Make campaigns, plan what users are shown and take in what they did, without a server: on "
        "the store that the service uses too.",
    ),
    "knowledge": (
        "knowledge.app",
        "Look at what was learned of users' answers, watch it, and go back.",
    ),
    "keys": ("keys.app", "Make, list and revoke keys of the service."),
    "users": ("users.app", "Tell all that is held of a user, or erase it."),
    "care": (
        "care.app",
        "Say whom nobody guides, and what nobody is guided to, whatever campaigns say.",
    ),
    "audit": ("audit.audit", "Show who changed what, the newest first."),
    "backup": (
        "backup.backup",
        "Write all that a store holds to one file, while instances go on.",
    ),
    "restore": (
        "backup.restore",
        "Put a backup into an empty store, checked byte by byte, all or nothing.",
    ),
    "work": (
        "work.work",
        "Settle what nobody answered, learn, forecast, and let campaigns grow, pause or end.",
    ),
    "estimate": (
        "estimate.estimate",
        "Say what a size will cost: time and memory of every stage, and whether it fits.",
    ),
    "doctor": (
        "doctor.doctor",
        "Look whether everything is here that a run needs, and whether a service is well.",
    ),
    "data": ("data.app", "Fetch data sets and look at them before anything is trained."),
    "llm": ("llm.app", "Look at a language model before it plays the users."),
    "targets": ("targets.app", "Choose the items to promote and show them, best first."),
}


def command(name: str) -> Any:
    """The command or group of this name, from its module."""
    module, member = COMMANDS[name][0].split(".")
    found, around = getattr(import_module(f"proactrec.cli.{module}"), member), typer.Typer()
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name)
    else:
        around.command(name)(found)
    return get_group(around).commands[name]


class _OnUse(TyperCommand):
    """One line of the list of commands; it becomes the command when that is rightly called."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        from proactrec.cli import signatures  # not for the list of commands

        signatures.check(str(self.name), args, parent)
        return command(str(self.name)).make_context(info_name, args, parent=parent, **extra)


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # which may be keys
    rich_markup_mode="rich",
    help="Guide users toward target items over several rounds, and measure it honestly.\n\n"
    "Start with: proactrec run --dataset demo --out runs/demo",
)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"proactrec {version('proactrec')}")
        raise typer.Exit


@app.callback()
def _before_a_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_tell_version, help="Say which version this is."
        ),
    ] = False,
) -> None:
    """Take options of the program itself."""


for _name, (_, _line) in COMMANDS.items():
    app.command(_name, cls=_OnUse, help=_line)(lambda: None)


def main() -> None:
    """Run the command line: what a user can cause ends in one sentence and exit code 2."""
    warnings.showwarning = _show_warning
    streams.settle()
    with ending.told_to_stop() as say_so:
        code = _run()
        if code == ending.STOPPED:
            code = say_so()
    sys.exit(code)


def _run() -> int:
    """Run the command that was typed; its exit code."""
    try:
        settle()
        _check_ranks(sys.argv[1:])
        code = app(standalone_mode=False)
        ending.finish_output()
    except TyperException as error:
        return ending.refuse(error.format_message().replace("Value error, ", ""))
    except typer.Abort:
        return ending.refuse("it was asked whether to go on, and there was no answer")
    except KeyboardInterrupt:
        return ending.STOPPED
    except BrokenPipeError:
        return 1
    except Exception as error:
        if ending.is_told_to_stop(error):
            return ending.STOPPED
        sentence = ending.sentence_of(error)
        if sentence is None:
            raise
        return ending.refuse(sentence)
    return code or 0


def _check_ranks(arguments: list[str]) -> None:
    """Let processes that torchrun started train only, and the first of them speak.

    Raises
    ------
    InvalidInputError
        If they are to do something else, which all of them would do.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return
    if arguments[:1] != ["train"]:
        raise InvalidInputError(
            f"processes of torchrun must train, got {' '.join(arguments[:1])!r}: train first, then "
            "do the rest in one process, which finds the models in the store"
        )
    if os.environ.get("RANK", "0") != "0":
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the end


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    streams.say(f"warning: {message}", is_error=True)
