"""Who is shown what does not depend on what computes the encoder."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from proactrec.data.load import DatasetOptions
from proactrec.encoders.runtime import VARIABLE, OpenVINOStates
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.protocols import protocol_of
from proactrec.evaluation.rollout import rollout
from proactrec.guidance.log import GuidanceLog
from proactrec.policies.base import EncoderPolicy

SHORT = {"n_epochs": 1, "min_epochs": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that models are trained once."""
    return tmp_path_factory.mktemp("store")


def options(policy: str, protocol: str) -> ExperimentOptions:
    data = DatasetOptions(name="demo")
    plain = ExperimentOptions(dataset=data, protocol=protocol_of(protocol), policy=policy)
    return plain.changed(
        {
            "protocol.targets.n_targets": 3,
            "graphau.stopping": SHORT,
            "encoder_options": {"stopping": SHORT},
            "n_users": 100,
        }
    )


def played(run: Experiment) -> GuidanceLog:
    """Guidance anew: the store would hand out what another runtime brought."""
    about = run.world, run.dataset, run.targets.item_idx, run.protocol.rollout
    return rollout(run.guide, *about, user_idx=run.guided_users).log


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")
@pytest.mark.parametrize("protocol", ["common", "official"])  # padded on the left, on the right
@pytest.mark.parametrize("policy", ["itmprec", "ipg"])
def test_openvino_decides_as_pytorch_does(
    policy: str, protocol: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = played(Experiment(options(policy, protocol), store))
    monkeypatch.setenv(VARIABLE, "openvino")
    run = Experiment(options(policy, protocol), store)
    fast = played(run)
    assert isinstance(run.guide.policy, EncoderPolicy)
    assert isinstance(run.guide.policy.encoder.runtime, OpenVINOStates)
    assert plain.accepted.any()
    np.testing.assert_array_equal(fast.item_idx, plain.item_idx)
    np.testing.assert_array_equal(fast.accepted, plain.accepted)
