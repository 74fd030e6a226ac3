"""Policies by name, or by the file of somebody's own."""

from proactrec.names import unknown
from proactrec.plugins import from_file, is_file, loaded
from proactrec.policies.base import Policy

POLICIES = {
    "itmprec": "proactrec.policies.itmprec:ITMPRec",
    "foresight": "proactrec.policies.foresight:Foresight",
    "ipg": "proactrec.policies.ipg:IPG",
    "next-item": "proactrec.policies.next_item:NextItem",
    "irn": "proactrec.policies.irn:IRNPolicy",
    "prorl": "proactrec.policies.prorl:ProRLPolicy",
    "nearest-to-target": "proactrec.policies.reference:Nearest",
    "target-now": "proactrec.policies.reference:TargetNow",
    "popular": "proactrec.policies.reference:Popular",
    "random": "proactrec.policies.reference:Random",
    "oracle-greedy": "proactrec.evaluation.oracles:OracleGreedy",
    "oracle-lookahead": "proactrec.evaluation.oracles:OracleLookahead",
    "oracle-worth": "proactrec.evaluation.oracle_of_worth:OracleWorth",
    "llm-ipp": "proactrec.llm.path_planner:LLMIPP",
}
"""As module:class, loaded on first use: oracles need the simulator, nobody else does."""
OWN = ", or the path of a .py file with one of your own"
SERVED = tuple(name for name in POLICIES if POLICIES[name].startswith("proactrec.policies."))
"""Those that need nothing but what a guide's folder may hold: no simulator, no language model."""


def policy_type(name: str) -> type[Policy]:
    """The policy class of a name, or the last one defined in a file ``path/to/policy.py``.

    Raises
    ------
    UnknownIdError
        If there is no such policy or file.
    InvalidInputError
        If the file defines no policy.
    """
    if is_file(name):
        return from_file(name, Policy)  # type: ignore[type-abstract]
    if name not in POLICIES:
        raise unknown("policy", name, POLICIES, OWN)
    found: type[Policy] = loaded(POLICIES[name])
    return found
