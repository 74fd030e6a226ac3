"""Proactive recommendation: guide users toward target items, and measure it honestly."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from proactrec.threads import sleep_while_waiting

if TYPE_CHECKING:
    from proactrec.config import Options as Options
    from proactrec.data.catalogue import Catalogue as Catalogue
    from proactrec.data.dataset import Dataset as Dataset
    from proactrec.data.load import load_dataset as load_dataset
    from proactrec.data.sources.table import TableOptions as TableOptions
    from proactrec.encoders.base import Encoder as Encoder
    from proactrec.encoders.fitting import evaluate_next_item as evaluate_next_item
    from proactrec.encoders.fitting import fit_encoder as fit_encoder
    from proactrec.errors import ProactrecError as ProactrecError
    from proactrec.evaluation.comparison import compare_in as compare_in
    from proactrec.evaluation.experiment import Experiment as Experiment
    from proactrec.evaluation.experiment import ExperimentOptions as ExperimentOptions
    from proactrec.evaluation.forecast import ForecastOptions as ForecastOptions
    from proactrec.evaluation.forecast import forecast as forecast
    from proactrec.evaluation.metrics import evaluate as evaluate
    from proactrec.evaluation.rollout import rollout as rollout
    from proactrec.evaluation.uplift import uplift_of_logs as uplift_of_logs
    from proactrec.fitting.fitting import Fitting as Fitting
    from proactrec.fitting.guides import fit_guide as fit_guide
    from proactrec.fitting.options import FittingOptions as FittingOptions
    from proactrec.graphau import fit_graphau as fit_graphau
    from proactrec.guidance.explanations import Explainer as Explainer
    from proactrec.guidance.guide import Guide as Guide
    from proactrec.guidance.log import GuidanceLog as GuidanceLog
    from proactrec.guidance.past import no_journeys as no_journeys
    from proactrec.guidance.rails import RailsOptions as RailsOptions
    from proactrec.guidance.saved import SavedGuide as SavedGuide
    from proactrec.guidance.saved import open_guide as open_guide
    from proactrec.guidance.tomorrow import People as People
    from proactrec.guidance.tomorrow import next_items as next_items
    from proactrec.intents import fit_intents as fit_intents
    from proactrec.measurement.sums import Sums as Sums
    from proactrec.measurement.uplift import uplift as uplift
    from proactrec.policies.base import Decision as Decision
    from proactrec.policies.base import EncoderPolicy as EncoderPolicy
    from proactrec.policies.base import Policy as Policy
    from proactrec.policies.base import View as View
    from proactrec.policies.foresight import Foresight as Foresight
    from proactrec.policies.ingredients import Ingredients as Ingredients
    from proactrec.policies.ipg import IPG as IPG
    from proactrec.policies.itmprec import ITMPRec as ITMPRec
    from proactrec.policies.next_item import NextItem as NextItem
    from proactrec.progress import PrintedProgress as PrintedProgress
    from proactrec.serving.client import Client as Client
    from proactrec.serving.schemas import EventReport as EventReport
    from proactrec.simulator.world import World as World
    from proactrec.simulator.world import WorldOptions as WorldOptions
    from proactrec.simulator.worlds import named_world as named_world
    from proactrec.store.campaign import Campaign as Campaign
    from proactrec.store.campaign import Goal as Goal
    from proactrec.targets import select_targets as select_targets
    from proactrec.worth import Worth as Worth

sleep_while_waiting()  # beside another busy process spinning costs minutes

# Loaded on first use: torch alone takes seconds, and looking at data does not need it.
_HOME = {
    "Campaign": "store.campaign",
    "Catalogue": "data.catalogue",
    "Client": "serving.client",
    "Dataset": "data.dataset",
    "Decision": "policies.base",
    "Encoder": "encoders.base",
    "EncoderPolicy": "policies.base",
    "EventReport": "serving.schemas",
    "Experiment": "evaluation.experiment",
    "ExperimentOptions": "evaluation.experiment",
    "Explainer": "guidance.explanations",
    "Fitting": "fitting.fitting",
    "FittingOptions": "fitting.options",
    "ForecastOptions": "evaluation.forecast",
    "Foresight": "policies.foresight",
    "Goal": "store.campaign",
    "GuidanceLog": "guidance.log",
    "Guide": "guidance.guide",
    "IPG": "policies.ipg",
    "ITMPRec": "policies.itmprec",
    "Ingredients": "policies.ingredients",
    "NextItem": "policies.next_item",
    "Options": "config",
    "People": "guidance.tomorrow",
    "Policy": "policies.base",
    "PrintedProgress": "progress",
    "ProactrecError": "errors",
    "RailsOptions": "guidance.rails",
    "SavedGuide": "guidance.saved",
    "Sums": "measurement.sums",
    "TableOptions": "data.sources.table",
    "View": "policies.base",
    "World": "simulator.world",
    "WorldOptions": "simulator.world",
    "Worth": "worth",
    "compare_in": "evaluation.comparison",
    "evaluate": "evaluation.metrics",
    "evaluate_next_item": "encoders.fitting",
    "fit_encoder": "encoders.fitting",
    "fit_graphau": "graphau",
    "fit_guide": "fitting.guides",
    "fit_intents": "intents",
    "forecast": "evaluation.forecast",
    "load_dataset": "data.load",
    "named_world": "simulator.worlds",
    "next_items": "guidance.tomorrow",
    "no_journeys": "guidance.past",
    "open_guide": "guidance.saved",
    "rollout": "evaluation.rollout",
    "select_targets": "targets",
    "uplift": "measurement.uplift",
    "uplift_of_logs": "evaluation.uplift",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'proactrec' has no attribute {name!r}")
    return getattr(import_module(f"proactrec.{_HOME[name]}"), name)
