"""Ways to compute the last states of an encoder's network that encoding.py measures.

Each takes a network and gives a function of sequences (B, L) without common padding, which stands
for the network in :attr:`Encoder.runtime`; None: the network itself. All work in one thread.
"""

import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from proactrec.encoders.layers import CausalTransformer
from proactrec.encoders.runtime import NewestStates, OpenVINOStates

States = Callable[[Tensor], Tensor]
FoundT = TypeVar("FoundT")


def eager(network: CausalTransformer) -> None:
    """PyTorch, as it is."""


def compiled(network: CausalTransformer) -> States:
    """`torch.compile`, for any number and length of sequences."""
    made = torch.compile(NewestStates(network), dynamic=True)
    return lambda item_seq: made(item_seq.contiguous())


def traced(network: CausalTransformer) -> States:
    """TorchScript, frozen; deprecated in PyTorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        states, example = NewestStates(network).eval(), example_of(network)
        made = torch.jit.trace(states, (example,), check_trace=False)
        made = torch.jit.freeze(made)
    return lambda item_seq: made(item_seq)


def onnx_basic(network: CausalTransformer) -> States:
    """ONNX Runtime with what it calls basic optimisations: no fusions of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return session_of(exported(network, Path(folder)), "ORT_ENABLE_BASIC")


def onnx_all(network: CausalTransformer) -> States:
    """ONNX Runtime with all of its optimisations, as it is by default."""
    with tempfile.TemporaryDirectory() as folder:
        return session_of(exported(network, Path(folder)), "ORT_ENABLE_ALL")


def onnx_fused(network: CausalTransformer) -> States:
    """ONNX Runtime, basic, after the fusions of `onnxruntime.transformers` for BERT."""
    from onnxruntime.transformers import optimizer

    first = network.layers[0]
    n_heads: Any = first.n_heads
    with tempfile.TemporaryDirectory() as folder:
        path = exported(network, Path(folder))
        fused = optimizer.optimize_model(
            str(path),
            model_type="bert",
            num_heads=n_heads,
            hidden_size=network.items.embedding_dim,
            opt_level=0,
        )
        path = Path(folder) / "fused.onnx"
        fused.save_model_to_file(str(path))
        return session_of(path, "ORT_ENABLE_BASIC")


WAYS: dict[str, Callable[[CausalTransformer], States | None]] = {
    "torch": eager,
    "torch.compile": compiled,
    "TorchScript": traced,
    "ONNX Runtime, basic": onnx_basic,
    "ONNX Runtime, all": onnx_all,
    "ONNX Runtime, BERT": onnx_fused,
    "OpenVINO": OpenVINOStates,
}

ONNX = ("onnxruntime", "onnx", "onnxscript")
NEEDS = {**{way: ONNX for way in WAYS if "ONNX" in way}, "OpenVINO": ("openvino",)}
"""Packages of ways that need more than PyTorch."""


def installed() -> list[str]:
    """Ways that can be made here."""
    return [way for way in WAYS if all(map(find_spec, NEEDS.get(way, ())))]


def flop_of(work: Callable[[], FoundT]) -> tuple[FoundT, int]:
    """What work in this thread gives, and the floating-point operations of its products."""
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={attention: attention_flop}) as counter:
        found = work()
    return found, counter.get_total_flops()


def attention_flop(
    query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *_: Any, **__: Any
) -> int:
    """Operations of both products of attention, of tensors of these shapes."""
    return int(sdpa_flop_count(query, key, value))


def example_of(network: CausalTransformer) -> Tensor:
    """Two sequences."""
    return torch.ones(2, network.max_len, dtype=torch.int64)


def exported(network: CausalTransformer, folder: Path) -> Path:
    """The network as ONNX, for any number of sequences of any length that it reads."""
    free = torch.export.Dim.DYNAMIC
    length = {1: free} if network.cuts_padding else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            NewestStates(network),
            (example_of(network),),
            dynamo=True,
            dynamic_shapes=({0: free, **length},),
            input_names=["item_seq"],
            verbose=False,
        )
    program.save(folder / "network.onnx")
    return folder / "network.onnx"


def session_of(path: Path, level: str) -> States:
    """What ONNX Runtime makes of a file, in one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    (name,) = (node.name for node in session.get_inputs())

    def states(item_seq: Tensor) -> Tensor:
        (found,) = session.run(None, {name: item_seq.contiguous().numpy()})
        return torch.from_numpy(found)

    return states
