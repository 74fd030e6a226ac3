"""Where models are trained and policies guide, the CPU or a GPU: with which versions and memory."""

import platform
import resource
import sys
from importlib.metadata import version

from proactrec.encoders.runtime import runtime_packages
from proactrec.errors import InvalidInputError
from proactrec.gpu import usable_device
from proactrec.policies.base import Policy

PACKAGES = ("proactrec", "torch", "numpy", "polars", "faiss-cpu")


def versions() -> dict[str, str]:
    """Of Python and of the packages that figures come from."""
    packages = (*PACKAGES, *runtime_packages())
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def device_for(policy: type[Policy], device: str) -> str:
    """The device, where the policy can use it too."""
    name = usable_device(device)
    if name == "cpu" or policy.uses_gpu:
        return name
    if device.lower() == "auto":
        return "cpu"
    raise InvalidInputError(f"device must be cpu for the policy {policy.name}, got {device!r}")


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
