"""The options of all commands that run an experiment, declared once."""

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
import yaml

from proactrec.cli import options
from proactrec.config import set_nested
from proactrec.errors import InvalidInputError

if TYPE_CHECKING:
    from proactrec.evaluation.experiment import Experiment, ExperimentOptions
    from proactrec.progress import Progress

GUIDE, MACHINE = "Guidance", "Machine"


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
        """The experiment, reporting to `progress`; creates the run folder."""
        from proactrec.evaluation.experiment import Experiment

        self.out.mkdir(parents=True, exist_ok=True)
        return Experiment(
            self.options,
            self.store,
            data_dir=self.data_dir,
            encoder_folder=self.encoder_folder,
            device=self.device,
            progress=progress,
        )


@options.takes_dataset_options
def setup(
    dataset: options.DatasetName = "demo",
    out: Annotated[
        Path,
        typer.Option(help="Run folder: figures, report and stages.", rich_help_panel=MACHINE),
    ] = Path("runs/latest"),
    data_dir: options.DataDir = None,
    category: Annotated[
        str | None,
        typer.Option(
            help="Category to promote, e.g. Sci-Fi; published data sets have a default.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Id of an item to promote, instead of choosing; repeatable.", rich_help_panel=GUIDE
        ),
    ] = None,
    n_targets: Annotated[
        int | None, typer.Option(help="Number of targets to choose.", rich_help_panel=GUIDE)
    ] = None,
    n_rounds: Annotated[
        int | None, typer.Option(help="Items shown to every user.", rich_help_panel=GUIDE)
    ] = None,
    n_users: Annotated[
        int | None,
        typer.Option(
            help="Users to guide, drawn at random; everybody by default.", rich_help_panel=GUIDE
        ),
    ] = None,
    policy: Annotated[
        str,
        typer.Option(
            help="Who chooses the items: itmprec, foresight, ipg, irn, llm-ipp, next-item, "
            "nearest-to-target, target-now, popular, random, oracle-greedy, oracle-lookahead, or "
            "a .py file of your own.",
            rich_help_panel=GUIDE,
        ),
    ] = "itmprec",
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Switch off a part of ITMPRec: P, IIS or TIAC; repeatable.", rich_help_panel=GUIDE
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="Sequence encoder: iclrec, sasrec, mstein, icsrec, bsarec, or a .py file of your "
            "own.",
            rich_help_panel=GUIDE,
        ),
    ] = "iclrec",
    encoder_folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a trained encoder to use instead of training.", rich_help_panel=GUIDE
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="common: the same calibrated users for every policy; official: what the authors' "
            "public code computes; paper: the printed equations.",
            rich_help_panel=GUIDE,
        ),
    ] = "common",
    world: Annotated[
        str | None,
        typer.Option(
            help="How strongly interest decides acceptance: flat, medium, steep or official.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    receptivity: Annotated[
        str | None,
        typer.Option(
            help="How far an accepted item moves a user: constant, per-user or arousal.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    hidden: Annotated[
        str,
        typer.Option(
            help="Interest vectors of the simulated users: interest (the run's own), or others "
            "that no policy was fitted to: factors, neighbours, content, divided; or GraphAU's on "
            "other data: other-seed, half, everything.",
            rich_help_panel=GUIDE,
        ),
    ] = "interest",
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
    llm_url: Annotated[
        str | None,
        typer.Option(
            help="OpenAI-compatible endpoint, e.g. http://localhost:8000/v1; its key comes from "
            "PROACTREC_LLM_KEY.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    llm_model: Annotated[
        str | None,
        typer.Option(help="Model, as the endpoint calls it.", rich_help_panel=GUIDE),
    ] = None,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay",
            help="Take all of the language model's answers from the store; ask nothing.",
            rich_help_panel=GUIDE,
        ),
    ] = False,
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
    seed: Annotated[
        int, typer.Option(help="Decides everything random.", rich_help_panel=GUIDE)
    ] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Any other setting by its name in settings.yaml of a run, "
            "e.g. --set graphau.uniformity_weight=0.7; repeatable.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    filter: Annotated[
        str | None,
        typer.Option(help="Users and items kept: k-core, paper or none; decided by the protocol."),
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
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on standard output.")
    ] = False,
    **of_data: Any,
) -> Setup:
    """Everything that the options say, checked."""
    from proactrec.evaluation.protocols import protocol_of

    chosen = protocol_of(protocol)
    data = options.dataset_options(
        dataset=dataset,
        filter=filter or chosen.filter,  # type: ignore[arg-type]
        **of_data,
    )
    content = {
        "dataset": data.model_dump(),
        "category": category,
        "target_items": target or [],
        "n_users": n_users,
        "policy": policy,
        "without": without or [],
        "encoder": encoder,
        "hidden": hidden,
        "protocol": chosen.model_dump(),
        "seed": seed,
    }
    changes: dict[str, Any] = {
        "protocol.targets.n_targets": n_targets,
        "protocol.rollout.n_rounds": n_rounds,
        "protocol.world.world": world,
        "protocol.world.receptivity": receptivity,
        "rails.equal_groups": groups and _listed_groups(groups),
    }
    if named_world is not None:
        is_alone = not (world or receptivity or hidden != "interest")
        changes |= _named_world(named_world, is_alone=is_alone)
    changes |= _language_models(policy, response, llm_url, llm_model, replay=replay)
    for name, value in changes.items():
        if value is not None:
            set_nested(content, name, value)
    for text in set_ or []:
        set_nested(content, *parsed_setting(text))
    if opt_out is not None:
        _opt_out_too(content, listed_ids(opt_out))
    _check_model_named(content)
    return Setup(
        options=experiment_options(content),
        out=out,
        store=store or out / "artefacts",
        data_dir=data_dir,
        encoder_folder=encoder_folder,
        device=device,
        json=json,
    )


def language_model(
    part: str, url: str | None, model: str | None, *, replay: bool
) -> dict[str, Any]:
    """Settings by which a part of an experiment asks a language model; None: not given."""
    return {f"{part}.url": url, f"{part}.model": model, f"{part}.replay": replay or None}


def _named_world(name: str, *, is_alone: bool) -> dict[str, Any]:
    from proactrec.simulator import worlds

    if not is_alone:
        raise InvalidInputError(
            f"--named-world {name} says it all: leave out --world, --receptivity and --hidden"
        )
    return worlds.named_world(name).changes()


def _language_models(
    policy: str, response: str, url: str | None, model: str | None, *, replay: bool
) -> dict[str, Any]:
    """Settings of the parts that ask one: users that it plays, and a policy that it plans for."""
    changes: dict[str, Any] = {}
    if response != "distribution":
        changes["response.kind"] = response
        changes |= language_model("response", url, model, replay=replay)
    if policy == "llm-ipp":
        changes |= language_model("policy_options", url, model, replay=replay)
    elif response == "distribution" and (url or model or replay):
        raise InvalidInputError(
            "--llm-url, --llm-model and --replay need --response llm or --policy llm-ipp"
        )
    return changes


def _opt_out_too(content: dict[str, Any], user_ids: list[str]) -> None:
    """Add users to those of `--set`, whose form is for the options to check."""
    rails = content.setdefault("rails", {})
    given = rails.setdefault("opt_out", []) if isinstance(rails, dict) else None
    if isinstance(given, list):
        rails["opt_out"] = [*given, *(user_id for user_id in user_ids if user_id not in given)]


def listed_ids(path: Path) -> list[str]:
    """Ids of users in a file, one a line."""
    lines = _lines(path, "--opt-out must name a file of user ids")
    return [line.strip() for line in lines if line.strip()]


def _lines(path: Path, rule: str) -> list[str]:
    if not path.is_file():
        raise InvalidInputError(f"{rule}, there is no {path}")
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"{rule} as utf-8 text, {path} has byte 0x{error.object[error.start]:02x} "
            f"at place {error.start}"
        ) from error


def _listed_groups(path: Path) -> dict[str, str]:
    """Group of every user of a file; a first line of the columns' names is left aside."""
    found: dict[str, str] = {}
    lines = _lines(path, "--groups must name a file of user_id,group lines")
    for number, line in enumerate(lines, start=1):
        user_id, _, group = (part.strip() for part in line.partition(","))
        if not line.strip() or (number, user_id, group) == (1, "user_id", "group"):
            continue
        if not (user_id and group) or found.setdefault(user_id, group) != group:
            raise InvalidInputError(
                f"--groups must hold lines of user_id,group, a user once, line {number} is {line!r}"
            )
    return found


def _check_model_named(content: dict[str, Any]) -> None:
    asks = {
        "response": content.get("response", {}).get("kind") == "llm",
        "policy_options": content["policy"] == "llm-ipp",
    }
    for part, is_asking in asks.items():
        if is_asking and not content.get(part, {}).get("model"):
            raise InvalidInputError("a language model needs its name: give --llm-model NAME")


def experiment_options(content: dict[str, Any]) -> "ExperimentOptions":
    """Options from plain content, e.g. a run's `settings.yaml`."""
    from proactrec.evaluation.experiment import ExperimentOptions

    return ExperimentOptions(**content)


def experiment_command(action: Callable[[Setup], None]) -> Callable[..., None]:
    """A command with all of :func:`setup`'s options that hands the result to `action`."""

    def command(**values: Any) -> None:
        action(setup(**values))

    command.__name__, command.__doc__ = action.__name__, action.__doc__
    take_options(command, own={}, left_out=())
    return command


def take_options(
    command: Callable[..., None],
    own: Mapping[str, inspect.Parameter],
    left_out: Collection[str],
) -> None:
    """Give a command the options of its own, then those of :func:`setup` that are not left out."""
    shared = inspect.signature(setup).parameters
    kept = [p for name, p in shared.items() if name not in own and name not in left_out]
    taken = [*own.values(), *kept]
    command.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in taken}


def parsed_setting(text: str) -> tuple[str, Any]:
    """Name and value of a `--set` option."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise InvalidInputError(f"--set must have the form NAME=VALUE, got {text!r}")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InvalidInputError(f"--set {name} has a value that is not YAML: {value!r}") from error
