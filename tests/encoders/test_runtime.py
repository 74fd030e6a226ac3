"""What OpenVINO computes is what PyTorch computes, and nobody needs to have it."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset, Side
from proactrec.encoders.base import ENCODE_ROWS, Encoder
from proactrec.encoders.fitting import ENCODERS, load_encoder
from proactrec.encoders.runtime import VARIABLE, OpenVINOStates, runtime_of
from proactrec.errors import InvalidInputError, MissingExtraError
from proactrec.testing.toys import histories_of

N_ITEMS, LENGTH = 40, 12
EXACT = {"atol": 1e-5, "rtol": 0.0}


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return made(request.param)


def made(name: str, n_items: int = N_ITEMS, **changes: object) -> Encoder:
    kind = ENCODERS[name]
    small = {"embedding_dim": 16, "max_seq_len": LENGTH, "n_layers": 2, "n_heads": 2}
    encoder = kind(n_items, kind.options_type(**{**small, **changes}))
    encoder.start(0, None)
    with torch.no_grad():  # weights of ordinary size: a start near zero hides mistakes
        for weight in encoder.transformer.parameters():
            weight.mul_(8) if weight.dim() == 2 else None
    return encoder.eval()


def read(encoder: Encoder, side: Side, n: int = 3 * ENCODE_ROWS + 1) -> torch.Tensor:
    """Histories of 1 … 20 items; the first ones fill the encoder's window."""
    rng = np.random.default_rng(0)
    lengths = [20] * (ENCODE_ROWS + 5) + rng.integers(1, 21, n).tolist()
    return encoder.sequences(
        histories_of([rng.integers(1, N_ITEMS + 1, length) for length in lengths[:n]]), side=side
    )


needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")
"""Not importorskip, which would import it as is, and so report it."""


def with_openvino(encoder: Encoder) -> OpenVINOStates:
    encoder.runtime = states = OpenVINOStates(encoder.transformer)
    return states


@needs_openvino
@pytest.mark.parametrize("side", ["left", "right"])
def test_vectors_are_those_of_pytorch(encoder: Encoder, side: Side) -> None:
    item_seq = read(encoder, side)
    expected = encoder.encode(item_seq)
    with_openvino(encoder)
    torch.testing.assert_close(encoder.encode(item_seq), expected, **EXACT)


@needs_openvino
@pytest.mark.parametrize("n_layers", [1, 3])
def test_networks_of_other_depth_are_read_too(n_layers: int) -> None:
    for name in ENCODERS:
        encoder = made(name, n_layers=n_layers, n_heads=1)
        item_seq = read(encoder, "left", 60)
        expected = encoder.encode(item_seq)
        with_openvino(encoder)
        torch.testing.assert_close(encoder.encode(item_seq), expected, **EXACT)


@needs_openvino
def test_empty_and_single_histories_are_read(encoder: Encoder) -> None:
    item_seq = read(encoder, "left", 3)
    item_seq[0] = 0
    expected = encoder.encode(item_seq)
    with_openvino(encoder)
    torch.testing.assert_close(encoder.encode(item_seq), expected, **EXACT)
    for row in (0, 1):
        alone = encoder.encode(item_seq[row : row + 1])
        torch.testing.assert_close(alone, expected[row : row + 1], **EXACT)


@needs_openvino
def test_training_and_losses_stay_with_pytorch(encoder: Encoder) -> None:
    with_openvino(encoder)
    item_seq = read(encoder, "left", 4)
    states = encoder.train().last_states(item_seq)
    assert states.requires_grad
    states.sum().backward()
    assert encoder.transformer.positions.weight.grad is not None


@needs_openvino
def test_threads_may_ask_at_once() -> None:
    encoder = made("sasrec")
    parts = read(encoder, "left", 400).split(23)
    expected = [encoder.encode(part) for part in parts]
    with_openvino(encoder)
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(encoder.encode, parts), expected, strict=True):
            torch.testing.assert_close(found, wanted, **EXACT)


@needs_openvino
def test_a_loaded_encoder_has_the_runtime_that_is_asked_for(
    cyclic: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("iclrec", cyclic.n_items).save(tmp_path, cyclic)
    plain = load_encoder(tmp_path, cyclic.item_ids)
    assert plain.runtime is None
    monkeypatch.setenv(VARIABLE, "openvino")
    encoder = load_encoder(tmp_path, ["new", *cyclic.item_ids[:20]])
    assert isinstance(encoder.runtime, OpenVINOStates)
    monkeypatch.setenv(VARIABLE, "")
    same = load_encoder(tmp_path, ["new", *cyclic.item_ids[:20]])
    assert same.runtime is None
    item_seq = torch.randint(0, 22, (50, LENGTH), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(encoder.encode(item_seq), same.encode(item_seq), **EXACT)


def test_an_unknown_runtime_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "tensorrt")
    wanted = "PROACTREC_ENCODING must be torch or openvino, got 'tensorrt'"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        runtime_of(made("sasrec").transformer)


def test_without_openvino_its_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    wanted = "PROACTREC_ENCODING=openvino needs OpenVINO: pip install 'proactrec[fast]'"
    with pytest.raises(MissingExtraError, match=re.escape(wanted)):
        runtime_of(made("sasrec").transformer)


@needs_openvino
def test_nothing_is_reported_to_anybody() -> None:
    code = (
        "import sys\n"
        "from proactrec.encoders.sasrec import SASRec\n"
        "from proactrec.encoders.runtime import OpenVINOStates\n"
        "OpenVINOStates(SASRec(3).eval().transformer)\n"
        "print('openvino' in sys.modules, sys.modules['openvino_telemetry'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "None"]
