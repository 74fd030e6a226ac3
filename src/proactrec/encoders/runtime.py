"""What computes the vectors of histories: PyTorch, or OpenVINO where it is asked for.

OpenVINO fuses attention, gelu and norms, and keeps its memory. Its vectors are those of PyTorch
within 1e-5, so decisions are the same but for ties that no reader could tell apart. Training stays
with PyTorch, and so does a GPU.
"""

import os
import sys
import warnings
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from proactrec.errors import InvalidInputError, MissingExtraError

if TYPE_CHECKING:
    from proactrec.encoders.layers import CausalTransformer

VARIABLE = "PROACTREC_ENCODING"
"""Environment variable that names the runtime."""
RUNTIMES = ("torch", "openvino")
INSTALL = f"{VARIABLE}=openvino needs OpenVINO: pip install 'proactrec[fast]'"
SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",  # not bfloat16, which it takes where the processor has it
    "INFERENCE_NUM_THREADS": 1,  # blocks of journeys run side by side
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,  # else those that run side by side share a core
}

STEP, FEW_ROWS = 8, 4
"""More rows than a few, and lengths, are padded to multiples: each new shape costs milliseconds."""


def runtime_of(network: "CausalTransformer") -> "OpenVINOStates | None":
    """What computes last states instead of the network, as :data:`VARIABLE` says; None: nothing.

    Raises
    ------
    InvalidInputError
        If there is no such runtime.
    MissingExtraError
        If it is not installed.
    """
    name = os.environ.get(VARIABLE) or "torch"
    if name not in RUNTIMES:
        raise InvalidInputError(f"{VARIABLE} must be {' or '.join(RUNTIMES)}, got {name!r}")
    return OpenVINOStates(network) if name == "openvino" else None


def runtime_packages() -> tuple[str, ...]:
    """Packages besides PyTorch that compute last states now, for records."""
    return ("openvino",) if os.environ.get(VARIABLE) == "openvino" else ()


class OpenVINOStates:
    """Last states of a network by OpenVINO, with the weights that it has now.

    Any number of threads may ask at once: each takes a compiled network that nobody else is using.

    Parameters
    ----------
    network : CausalTransformer
        In evaluation mode, on the CPU.

    Raises
    ------
    MissingExtraError
        If OpenVINO is not installed.
    """

    def __init__(self, network: "CausalTransformer") -> None:
        self._openvino, self._max_len = _openvino(), network.max_len
        self._model = self._converted(network)
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def __call__(self, item_seq: Tensor) -> Tensor:
        """States (B, d) of int sequences (B, L), as of the network's `newest`."""
        n_rows, length = item_seq.shape
        padding = min(-length % STEP, self._max_len - length)
        more = -n_rows % STEP if n_rows > FEW_ROWS else 0
        padded = F.pad(item_seq, (padding, 0, 0, more))
        try:
            request = self._idle.get_nowait()
        except Empty:
            compiled = self._openvino.compile_model(self._model, "CPU", SETTINGS)
            request = compiled.create_infer_request()
        found = request.infer([padded.numpy()], share_inputs=True)[0]
        self._idle.put(request)
        return torch.from_numpy(found)[:n_rows]

    def _converted(self, network: "CausalTransformer") -> Any:
        """OpenVINO's model of the network, for any number of sequences."""
        example = torch.ones(2, network.max_len, dtype=torch.int64)
        network.newest(example)  # what is made once for a length must not become part of the trace
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing: sizes of heads become constants
            model = self._openvino.convert_model(NewestStates(network), example_input=example)
        model.reshape([-1, -1 if network.cuts_padding else network.max_len])
        return model


class NewestStates(nn.Module):
    """A network as what gives the last states of sequences: what is traced."""

    def __init__(self, network: "CausalTransformer") -> None:
        super().__init__()
        self.network = network

    def forward(self, item_seq: Tensor) -> Tensor:
        """States (B, d) of int sequences (B, L)."""
        return self.network.newest(item_seq)


def _openvino() -> Any:
    # Every import is reported to Google Analytics, unless the package that does it is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError(INSTALL) from error
    return openvino
