"""Policies by name."""

from collections.abc import Callable

from proactrec.encoders.base import Encoder
from proactrec.errors import UnknownIdError
from proactrec.intents import Intents
from proactrec.policies.base import Policy
from proactrec.policies.ipg import IPG
from proactrec.policies.itmprec import ITMPRec, ITMPRecOptions
from proactrec.policies.next_item import NextItem

Builder = Callable[[Encoder, Intents, ITMPRecOptions], Policy]

POLICIES: dict[str, Builder] = {
    "itmprec": ITMPRec,
    "ipg": lambda encoder, _, options: IPG(encoder, options),
    "next-item": lambda encoder, *_: NextItem(encoder),
}


def policy_builder(name: str) -> Builder:
    """The builder of a policy, or :class:`UnknownIdError` with the known ones."""
    if name not in POLICIES:
        raise UnknownIdError(f"policy {name!r} does not exist; there are {', '.join(POLICIES)}")
    return POLICIES[name]
