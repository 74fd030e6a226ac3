"""Policies by name, or by the file of somebody's own."""

import hashlib
import importlib
import importlib.util
from pathlib import Path
from typing import Any, Protocol

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.evaluation.oracles import OracleGreedy, OracleLookahead
from proactrec.policies.base import Policy
from proactrec.policies.foresight import Foresight
from proactrec.policies.ipg import IPG
from proactrec.policies.irn import IRNPolicy
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.policies.reference import Nearest, Popular, Random, TargetNow
from proactrec.progress import Progress
from proactrec.simulator.response import Response

POLICIES: dict[str, type[Policy]] = {
    kind.name: kind
    for kind in (
        ITMPRec,
        Foresight,
        IPG,
        NextItem,
        IRNPolicy,
        Nearest,
        TargetNow,
        Popular,
        Random,
        OracleGreedy,
        OracleLookahead,
    )
}
LAZY_POLICIES = {"llm-ipp": "proactrec.llm.path_planner:LLMIPP"}
RESPONSES = {"llm": "proactrec.llm.click_agent:ClickAgent"}
"""Policies, and click models beside the calibrated one, as module:class, loaded on first use."""


class ResponseKind(Protocol):
    """A click model class, as the registry knows it."""

    options_type: type[Options]

    def build(self, dataset: Dataset, options: Any, cache: Path, progress: Progress) -> Response:
        """The click model of a run."""
        ...

    def decides(self, options: Any) -> dict[str, Any]:
        """What tells one's answers from another's."""
        ...


def response_type(name: str) -> ResponseKind:
    """The click model class of a name, or :class:`UnknownIdError` with the known ones."""
    if name not in RESPONSES:
        raise UnknownIdError(
            f"response {name!r} does not exist; there are distribution, {', '.join(RESPONSES)}"
        )
    found: ResponseKind = _loaded(RESPONSES[name])
    return found


def policy_type(name: str) -> type[Policy]:
    """The policy class of a name, or the last one defined in a file ``path/to/policy.py``.

    Raises
    ------
    UnknownIdError
        If there is no such policy or file.
    InvalidInputError
        If the file defines no policy.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name in LAZY_POLICIES:
        found: type[Policy] = _loaded(LAZY_POLICIES[name])
        return found
    if name not in POLICIES:
        raise UnknownIdError(
            f"policy {name!r} does not exist; there are {', '.join((*POLICIES, *LAZY_POLICIES))}, "
            "or the path of a .py file with one of your own"
        )
    return POLICIES[name]


def policy_source(name: str) -> str:
    """What tells apart two versions of a policy: its name, or the hash of its file."""
    if not name.endswith(".py"):
        return name
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


def _loaded(name: str) -> Any:
    """What ``module:name`` stands for."""
    module, _, kind = name.partition(":")
    return getattr(importlib.import_module(module), kind)


def _from_file(path: Path) -> type[Policy]:
    if not path.is_file():
        raise UnknownIdError(f"policy file {path} does not exist")
    spec = importlib.util.spec_from_file_location(f"proactrec_policy_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InvalidInputError(
            f"policy file {path} can't be run: {type(error).__name__}: {error}"
        ) from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Policy)
        and value.__module__ == module.__name__
    ]
    if not found:
        raise InvalidInputError(f"policy file {path} must define a subclass of Policy, has none")
    return found[-1]
