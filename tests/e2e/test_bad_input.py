"""Whatever is wrong with the input ends in one clear sentence and exit code 2."""

import gzip
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from safetensors.torch import load_file, save_file

from proactrec.cli.setup import experiment_options
from proactrec.evaluation.experiment import Experiment
from proactrec.evaluation.store import CHECKPOINT

from .conftest import Command, Outcome, Toy

# Not everything odd is an error: in this process the program's own warnings must not become one.
pytestmark = pytest.mark.filterwarnings("always::proactrec.errors.DataWarning")
