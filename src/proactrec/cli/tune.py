"""`proactrec tune`: settings of an encoder, chosen on the validation split."""

from typing import Annotated, Any

import typer
from rich.table import Table

from proactrec.cli import console, results
from proactrec.cli.cost import begun
from proactrec.cli.flags import own_parameters
from proactrec.cli.setup import setup, take_options

RESULT, JOURNAL, SHOWN = "tuning.json", "trials.journal", 10
LEFT_OUT = (
    *("policy", "without", "encoder_folder", "target", "goal", "target_chooser", "n_targets"),
    *("n_rounds", "category", "watch", "item_weights"),
)


def tune(
    trials: Annotated[
        int, typer.Option(min=1, help="Settings to try in all, the defaults first.")
    ] = 20,
    **values: Any,
) -> None:
    """Try settings of an encoder and keep the best by validation NDCG@20; never by the test split.

    Killed at any time, the same command goes on; a larger --trials tries more. Settings given with
    --set encoder_options.NAME=VALUE are kept as they are.

    Example: proactrec tune --dataset ml-100k --encoder bsarec --trials 30 --out runs/tuning
    """
    from proactrec.encoders.tuning import tune as search
    from proactrec.files import write_json

    asked = setup(**values)
    with console.progress() as progress:
        experiment = begun(asked, progress)
        options = experiment.options
        found = search(
            options.encoder,
            experiment.dataset,
            experiment.interest.item_vectors,
            asked.out / JOURNAL,
            n_trials=trials,
            options=options.encoder_options,
            seed=options.seed,
            device=experiment.device,
            progress=progress,
        )
    rows = [trial._asdict() for trial in found]
    write_json(asked.out / RESULT, {"encoder": options.encoder, "trials": rows})
    if asked.json:
        results.print_json(rows)
        return
    table = Table("validation NDCG@20", "epochs", *found[0].options)
    for trial in found[:SHOWN]:
        score = f"{trial.score:.4f}" + ("" if trial.is_complete else " (given up)")
        table.add_row(score, str(trial.n_epochs), *map(str, trial.options.values()))
    console.Terminal().print(table)
    settings = (f"--set encoder_options.{name}={value}" for name, value in found[0].options.items())
    print("use the best with:", *settings)


take_options(tune, own_parameters(tune), LEFT_OUT)
