"""What a planner plays with that is told by which law users move and answer."""

from proactrec.evaluation.benchmark.suites import Changes
from proactrec.policies.laws import DRIFT, LawName
from proactrec.simulator.world import WorldOptions

TOLD = "Foresight, told the law"


def told_in(world: WorldOptions) -> Changes:
    """Its settings: strengths of drift, and of users' and items' own logits where they have any.

    How far answers tell where users stand is learned there, too. Wandering, days, lapses and slopes
    of users' own are no laws that Foresight knows.
    """
    laws = world.laws
    told: dict[LawName, float] = {
        "kept": world.kept_share,
        "returning": laws.returning,
        "refusal": laws.exposure - laws.reactance,
        "diminishing": laws.diminishing,
        "bias": laws.user_bias**2,
        "appeal": laws.appeal**2,
    }
    told = {name: strength for name, strength in told.items() if strength or name in DRIFT}
    return {
        "policy": "foresight",
        "policy_options.laws": [*told, "surprise"],
        "policy_options.told": told,
    }
