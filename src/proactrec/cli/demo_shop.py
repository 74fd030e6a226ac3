"""The demo of a service: a guide of the generated world, and shoppers who visit a campaign."""

import os
from pathlib import Path

from proactrec.cli import console
from proactrec.cli.serve import COMMAND
from proactrec.cli.shoppers import KEY
from proactrec.serving.supervisor import Child

CATEGORY = "Science Fiction"
N_EPOCHS = 3


def demo_guide(folder: Path) -> Path:
    """The guide in a folder, fitted on the demo world if it is not there yet."""
    from proactrec.data.load import DatasetOptions
    from proactrec.fitting.fitting import Fitting
    from proactrec.fitting.guides import fit_guide
    from proactrec.fitting.options import FittingOptions

    guide = folder / "guide"
    if (guide / "guide.json").is_file():
        return guide
    console.note(f"fitting a guide of the demo world in {guide}")
    wanted = FittingOptions(dataset=DatasetOptions(name="demo")).changed(
        {"policy": "foresight", "encoder_options.stopping.n_epochs": N_EPOCHS}
    )
    with console.progress() as progress:
        fitting = Fitting(wanted, folder / "fitting", progress=progress)
        fit_guide(fitting).save(guide)
    return guide


def visitors(api: str, key: str) -> Child:
    """The process of the shoppers; their key is told by the environment, not on a command line."""
    os.environ[KEY] = key
    command = [*COMMAND, "shoppers", "--api", api, "--dataset", "demo", "--category", CATEGORY]
    # Not beside log lines, which are kept.
    print(f"sign in to the console with the key {key}", flush=True)
    print(f"try: curl -H 'Authorization: Bearer {key}' {api}/v1/campaigns", flush=True)
    return Child("shoppers", command, may_end=True)
