"""The options of all commands that run an experiment, declared once."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from proactrec.cli import options
from proactrec.cli.flags import Flag, flags_of, given, naming, own_parameters, parameters, sign
from proactrec.config import MOST_SHOWN, parsed_setting, set_nested
from proactrec.errors import InvalidInputError
from proactrec.names import spelled

if TYPE_CHECKING:
    from proactrec.evaluation.experiment import Experiment, ExperimentOptions
    from proactrec.progress import Progress

GUIDE, MACHINE = "Guidance", "Machine"
ValueT = TypeVar("ValueT")
OF_WORLD = {
    "protocol.world.world",
    "protocol.world.receptivity",
    "protocol.world.leaving",
    "hidden",
}
"""Settings that a named world decides."""


class Setup(NamedTuple):
    """An experiment that a command is about, and where its results go."""

    options: "ExperimentOptions"
    out: Path
    store: Path
    data_dir: Path | None
    encoder_folder: Path | None
    device: str
    json: bool

    def experiment(self, progress: "Progress") -> "Experiment":
        """The experiment, reporting to `progress`; what is written first makes the run folder."""
        from proactrec.evaluation.experiment import Experiment

        return Experiment(
            self.options,
            self.store,
            data_dir=self.data_dir,
            encoder_folder=self.encoder_folder,
            device=self.device,
            progress=progress,
        )


@cache
def run_flags() -> dict[str, Flag]:
    """Flags of a run that stand for its settings; made on use, as the models load torch."""
    from proactrec.evaluation.experiment import ExperimentOptions

    own = ("category", "n_users", "policy", "without", "encoder", "hidden", "seed")
    settled = (
        "protocol.targets.n_targets",
        "protocol.rollout.n_rounds",
        "protocol.world.world",
        "protocol.world.receptivity",
        "protocol.world.leaving",
    )
    goal = flags_of(ExperimentOptions, GUIDE, goal="goal.target", target_chooser="goal.chooser")
    by_protocol = {**flags_of(ExperimentOptions, GUIDE, *settled), "filter": options.DATA["filter"]}
    return {
        **flags_of(ExperimentOptions, GUIDE, *own, target="target_items"),
        **flags_of(ExperimentOptions, GUIDE, "protocol.metrics.watch"),
        **goal,
        **options.DATA,
        **{
            name: flag._replace(default=None, decided_by="the protocol's")
            for name, flag in by_protocol.items()
        },
        **model_flags(),
    }


def model_flags() -> dict[str, Flag]:
    """Flags for whatever asks a language model; which setting they stand for, that decides."""
    from proactrec.llm.prompted import PromptedOptions

    found = flags_of(PromptedOptions, GUIDE, llm_url="url", llm_model="model", replay="replay")
    return found | {"llm_url": found["llm_url"]._replace(default=None)}


def setup(
    out: Annotated[
        Path,
        typer.Option(help="Run folder: figures, report and stages.", rich_help_panel=MACHINE),
    ] = Path("runs/latest"),
    data_dir: options.DataDir = None,
    encoder_folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a trained encoder to use instead of training.", rich_help_panel=GUIDE
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="campaign: calibrated users, the same for every policy, who go on being moved "
            "after they accepted the target; common: the same, but their journeys end with it, as "
            "published; official: what the authors' public code computes; paper: the printed "
            "equations.",
            rich_help_panel=GUIDE,
        ),
    ] = "campaign",
    worth: options.NamedWorth = None,
    named_world: Annotated[
        str | None,
        typer.Option(
            help="A named kind of users, see `proactrec worlds`, instead of --world, "
            "--receptivity and --hidden.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    response: Annotated[
        str,
        typer.Option(
            help="Click model: distribution (calibrated), or llm (a language model).",
            rich_help_panel=GUIDE,
        ),
    ] = "distribution",
    opt_out: Annotated[
        Path | None,
        typer.Option(
            help="File of user ids, one a line, who are never guided, beside those of --set "
            "rails.opt_out; other rails by --set rails.…",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option(
            help="File of user_id,group lines: the campaigns of --set rails.guided_pairs=… are "
            "shared out evenly over these groups.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    item_weights: Annotated[
        Path | None,
        typer.Option(
            help="File of item_id,weight lines: what items weigh in the interest in categories of "
            "--watch; 1 if not given.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other setting by its name in settings.yaml of a run, "
            "e.g. --set graphau.uniformity_weight=0.7; repeatable.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Folder of finished stages that runs may share; OUT/artefacts if not given.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda or auto.", rich_help_panel=MACHINE)
    ] = "cpu",
    json: options.Json = False,
    **values: Any,
) -> Setup:
    """Everything that the options say, checked; `values` are those of :func:`run_flags`."""
    from proactrec.evaluation.experiment import ExperimentOptions
    from proactrec.evaluation.protocols import protocol_of
    from proactrec.policies.registry import POLICIES

    chosen, response = protocol_of(protocol), spelled(response, ("distribution", "llm"))
    if values.get("target") and values.get("n_targets") is not None:
        raise InvalidInputError(
            f"--n-targets must be left out where --target names them, got {values['n_targets']}"
        )
    if values.get("goal") not in (None, "every") and values.get("n_targets") is not None:
        raise InvalidInputError(
            f"--n-targets must be left out with --goal {values['goal']}, which takes all of the "
            f"category, got {values['n_targets']}"
        )
    data = options.dataset_options({**values, "filter": values.get("filter") or chosen.filter})
    flags = {n: f for n, f in run_flags().items() if f.model is ExperimentOptions}
    changes = given(flags, values)
    if "policy" in changes:
        changes["policy"] = spelled(changes["policy"], POLICIES)
    if groups is not None:
        changes["rails.equal_groups"] = _listed_groups(groups)
    if item_weights is not None:
        changes["protocol.metrics.item_weights"] = _listed_weights(item_weights)
    if named_world is not None:
        changes |= _named_world(named_world, is_alone=not OF_WORLD & changes.keys())
    changes |= options.named_worth(worth, "protocol.worth")
    changes |= _language_models(changes.get("policy"), response, values)
    content = ExperimentOptions(dataset=data, protocol=chosen).model_dump()
    settings = list(map(parsed_setting, set_ or []))
    for name, value in [*changes.items(), *settings]:
        set_nested(content, name, value)
    if opt_out is not None:
        _opt_out_too(content, listed_ids(opt_out))
    _check_model_named(content)
    with naming(flags, values):
        wanted = ExperimentOptions(**content)
    if any(name == "protocol.metrics.rounds" for name, _ in settings):
        _check_rounds(wanted)
    return Setup(
        options=wanted,
        out=out,
        store=store or out / "artefacts",
        data_dir=data_dir,
        encoder_folder=encoder_folder,
        device=device,
        json=json,
    )


def _check_rounds(options: "ExperimentOptions") -> None:
    """Refuse rounds that were asked for by name and will not be played."""
    asked, played = max(options.protocol.metrics.rounds), options.protocol.rollout.n_rounds
    if asked > played:
        raise InvalidInputError(
            f"protocol.metrics.rounds must be at most the {played} rounds that are played, "
            f"got {asked}"
        )


def language_model(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by which a part of an experiment asks the language model that flags name."""
    return {f"{part}.{name}": value for name, value in given(model_flags(), values).items()}


def _named_world(name: str, *, is_alone: bool) -> dict[str, Any]:
    from proactrec.simulator import worlds

    if not is_alone:
        raise InvalidInputError(
            f"--named-world {name} says it all: leave out --world, --receptivity, --leaving and "
            "--hidden"
        )
    return worlds.named_world(name).changes()


def _language_models(
    policy: str | None, response: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings of the parts that ask one: users that it plays, and a policy that it plans for."""
    changes: dict[str, Any] = {}
    if response != "distribution":
        changes = {"response.kind": response, **language_model("response", values)}
    if policy == "llm-ipp":
        changes |= language_model("policy_options", values)
    elif response == "distribution" and language_model("response", values):
        raise InvalidInputError(
            "--llm-url, --llm-model and --replay need --response llm or --policy llm-ipp"
        )
    return changes


def _opt_out_too(content: dict[str, Any], user_ids: list[str]) -> None:
    """Add users to those of `--set`, whose form is for the options to check."""
    rails = content.setdefault("rails", {})
    named = rails.setdefault("opt_out", ()) if isinstance(rails, dict) else None
    if isinstance(named, list | tuple):
        rails["opt_out"] = [*named, *(user_id for user_id in user_ids if user_id not in named)]


def listed_ids(path: Path, option: str = "--opt-out", most: int | None = None) -> list[str]:
    """Ids of users in a file, one a line; of at most so many characters."""
    rule = f"{option} must name a file of user ids"
    found = [line.strip() for line in _lines(path, rule) if line.strip()]
    for number, one in enumerate(found, start=1):
        if "\0" in one or (most is not None and len(one) > most):
            size = f"of at most {most:,} characters, " if most is not None else ""
            raise InvalidInputError(
                f"{rule} {size}without NUL, id {number} is {one[:MOST_SHOWN]!r}"
            )
    return found


def _lines(path: Path, rule: str) -> list[str]:
    if path.is_dir() or not path.exists():  # a pipe is as good as a file
        why = f"{path} is a folder" if path.is_dir() else f"there is no {path}"
        raise InvalidInputError(f"{rule}, {why}")
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{rule} as utf-8 text, {path} has byte 0x{error.object[error.start]:02x} "
            f"at place {error.start}"
        ) from error


def _listed_groups(path: Path) -> dict[str, str]:
    """Group of every user of a file."""
    return _listed(path, "--groups", "user_id,group", str.partition, str, "a user once")


def _listed_weights(path: Path) -> dict[str, float]:
    """Weight of every item of a file."""
    rule = "from 0 on and an item once"
    return _listed(path, "--item-weights", "item_id,weight", str.rpartition, _weight, rule)


def _weight(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if isfinite(found) and found >= 0 else None


def _listed(
    path: Path,
    option: str,
    form: str,
    parted: Callable[[str, str], tuple[str, str, str]],
    read: Callable[[str], ValueT | None],
    rule: str,
) -> dict[str, ValueT]:
    """Value of every id of a file; a first line of the columns' names is left aside."""
    found: dict[str, ValueT] = {}
    lines = _lines(path, f"{option} must name a file of {form} lines")
    for number, line in enumerate(lines, start=1):
        one, _, text = (part.strip() for part in parted(line, ","))
        if not line.strip() or (number == 1 and f"{one},{text}" == form):
            continue
        value = read(text) if one and text else None
        if value is None or found.setdefault(one, value) != value:
            raise InvalidInputError(
                f"{option} must hold lines of {form}, {rule}, line {number} is "
                f"{line[:MOST_SHOWN]!r}"
            )
    return found


def _check_model_named(content: dict[str, Any]) -> None:
    asks = {
        "response": _part(content, "response").get("kind") == "llm",
        "policy_options": content["policy"] == "llm-ipp",
    }
    for part, is_asking in asks.items():
        if is_asking and not _part(content, part).get("model"):
            raise InvalidInputError("a language model needs its name: give --llm-model NAME")


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of content, of which it was not checked yet that it is a mapping."""
    found = content.get(name)
    return found if isinstance(found, Mapping) else {}


def experiment_options(content: dict[str, Any]) -> "ExperimentOptions":
    """Options from plain content, e.g. a run's `settings.yaml`."""
    from proactrec.evaluation.experiment import ExperimentOptions

    return ExperimentOptions(**content)


def experiment_command(action: Callable[[Setup], None]) -> Callable[..., None]:
    """A command with all of :func:`setup`'s options that hands the result to `action`."""

    def command(**values: Any) -> None:
        action(setup(**values))

    command.__name__, command.__doc__ = action.__name__, action.__doc__
    take_options(command)
    return command


def take_options(
    command: Callable[..., None],
    own: Iterable[inspect.Parameter] = (),
    left_out: Collection[str] = (),
) -> None:
    """Give a command the options of its own, then those of :func:`setup` that are not left out."""
    shared = [*parameters(run_flags()), *own_parameters(setup)]
    sign(command, [*own, *(one for one in shared if one.name not in left_out)])
