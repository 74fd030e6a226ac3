"""Proactive recommendation: guide users toward target items, and measure it honestly."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from proactrec.threads import sleep_while_waiting

if TYPE_CHECKING:
    from proactrec.data.load import load_dataset as load_dataset
    from proactrec.encoders.fitting import evaluate_next_item as evaluate_next_item
    from proactrec.encoders.fitting import fit_encoder as fit_encoder
    from proactrec.evaluation.experiment import Experiment as Experiment
    from proactrec.evaluation.experiment import ExperimentOptions as ExperimentOptions
    from proactrec.evaluation.metrics import evaluate as evaluate
    from proactrec.evaluation.rollout import rollout as rollout
    from proactrec.graphau import fit_graphau as fit_graphau
    from proactrec.guidance.saved import open_guide as open_guide
    from proactrec.intents import fit_intents as fit_intents
    from proactrec.policies.ipg import IPG as IPG
    from proactrec.policies.itmprec import ITMPRec as ITMPRec
    from proactrec.policies.next_item import NextItem as NextItem
    from proactrec.progress import PrintedProgress as PrintedProgress
    from proactrec.simulator.world import World as World
    from proactrec.targets import select_targets as select_targets

sleep_while_waiting()  # beside another busy process spinning costs minutes

# Loaded on first use: torch alone takes seconds, and looking at data does not need it.
_HOME = {
    "Experiment": "evaluation.experiment",
    "ExperimentOptions": "evaluation.experiment",
    "IPG": "policies.ipg",
    "ITMPRec": "policies.itmprec",
    "NextItem": "policies.next_item",
    "PrintedProgress": "progress",
    "World": "simulator.world",
    "evaluate": "evaluation.metrics",
    "evaluate_next_item": "encoders.fitting",
    "fit_encoder": "encoders.fitting",
    "fit_graphau": "graphau",
    "fit_intents": "intents",
    "load_dataset": "data.load",
    "open_guide": "guidance.saved",
    "rollout": "evaluation.rollout",
    "select_targets": "targets",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'proactrec' has no attribute {name!r}")
    return getattr(import_module(f"proactrec.{_HOME[name]}"), name)
