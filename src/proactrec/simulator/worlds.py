"""Named worlds: kinds of simulated users whose settings never change under their name."""

from typing import Any, NamedTuple

from proactrec.names import spelled, unknown
from proactrec.simulator.laws import LawOptions
from proactrec.simulator.response import WorldName
from proactrec.simulator.world import WorldOptions


class NamedWorld(NamedTuple):
    """Every setting of simulated users."""

    about: str
    options: WorldOptions = WorldOptions()
    hidden: str = "interest"

    def changes(self) -> dict[str, Any]:
        """What it changes in an experiment, by dotted names."""
        return {"protocol.world": self.options.model_dump(), "hidden": self.hidden}


SLOPED: tuple[WorldName, ...] = ("flat", "medium", "steep")
LAWFUL: dict[str, tuple[str, LawOptions]] = {
    "returning-v1": (
        "users go a tenth of the way back to their start every round",
        LawOptions(returning=0.1),
    ),
    "reactance-v1": ("a refused item pushes users away from it", LawOptions(reactance=0.1)),
    "exposure-v1": (
        "a refused item still draws users toward it, a little",
        LawOptions(exposure=0.05),
    ),
    "diminishing-v1": (
        "every accepted item moves users less than the one before",
        LawOptions(diminishing=0.2),
    ),
    "wandering-v1": ("users wander by themselves every round", LawOptions(wandering=0.1)),
    "appeal-v1": ("some items are accepted more by everybody", LawOptions(appeal=1.0)),
    "users-differ-v1": (
        "some users accept more, and some choose more sharply",
        LawOptions(user_bias=1.0, user_slope=0.5),
    ),
    "days-v1": ("users have better and worse days", LawOptions(day=1.0)),
    "lapses-v1": (
        "a tenth is accepted whatever it is, and a tenth refused",
        LawOptions(lapses=0.1, ceiling=0.9),
    ),
}
"""One law each, or two that belong together; see docs/guide/worlds.md for sources."""
WORLDS: dict[str, NamedWorld] = {
    "flat-v1": NamedWorld("interest hardly decides what is accepted", WorldOptions(world="flat")),
    "medium-v1": NamedWorld("interest decides as strongly as by default"),
    "steep-v1": NamedWorld("interest decides nearly alone", WorldOptions(world="steep")),
    "per-user-v1": NamedWorld(
        "every user is moved as far as suits that user", WorldOptions(receptivity="per-user")
    ),
    "per-user-v2": NamedWorld(
        "per-user-v1, but who accepted the target goes on being moved",
        WorldOptions(receptivity="per-user", after_success="continue"),
    ),
    "susceptibility-v1": NamedWorld(
        "most users are hardly moved by an acceptance, and some far",
        WorldOptions(receptivity="per-user", concentration=5.0, after_success="continue"),
    ),
    "arousal-v1": NamedWorld(
        "users move the further, the nearer the target is to what they like",
        WorldOptions(receptivity="arousal"),
    ),
    "factors-v1": NamedWorld("items are near that share latent factors", hidden="factors"),
    "neighbours-v1": NamedWorld(
        "items are near that have the same neighbours", hidden="neighbours"
    ),
    "content-v1": NamedWorld("items are near that share categories", hidden="content"),
    "divided-v1": NamedWorld(
        "every user goes by one of factors, neighbours and content", hidden="divided"
    ),
    "other-seed-v1": NamedWorld(
        "interest vectors of the same kind and data, from another seed", hidden="other-seed"
    ),
    "half-v1": NamedWorld("interest vectors fitted on half of the users", hidden="half"),
    "everything-v1": NamedWorld(
        "interest vectors that know the held-out items too", hidden="everything"
    ),
    "bored-v1": NamedWorld(
        "more of the categories accepted of late is accepted less", WorldOptions(boredom=2.0)
    ),
    "impatient-v1": NamedWorld(
        "users leave after five refusals in a row", WorldOptions(patience=5)
    ),
    **{
        f"{name}-v2": NamedWorld(
            f"{name}-v1, but who accepted the target goes on being moved",
            WorldOptions(world=name, after_success="continue"),
        )
        for name in SLOPED
    },
    **{
        f"{kind}-v2": NamedWorld(
            f"{kind}-v1, but who accepted the target goes on being moved",
            WorldOptions(after_success="continue"),
            hidden=kind,
        )
        for kind in ("factors", "neighbours", "content", "divided")
    },
    **{
        f"leaving-{percent}-v1": NamedWorld(
            f"medium-v2, and {percent} % of users leave after each round",
            WorldOptions(after_success="continue", leaving=percent / 100),
        )
        for percent in (2, 5, 10)
    },
    "leaving-refused-v1": NamedWorld(
        "medium-v2, and 2 % of users leave after a round, 10 % after a refusal",
        WorldOptions(after_success="continue", leaving=0.02, leaving_refused=0.1),
    ),
    "leaving-users-v1": NamedWorld(
        "medium-v2, and 5 % of users leave after each round, some far sooner than others",
        WorldOptions(after_success="continue", leaving=0.05, frailty=1.0),
    ),
    "slate-v1": NamedWorld(
        "three items a round; the second and third are looked at less often",
        WorldOptions(n_slots=3, position_decay=0.7),
    ),
    **{
        f"{name}-receptivity-v1": NamedWorld(
            f"medium-v2, but an accepted item leaves {round(100 * kept)} % of the old vector",
            WorldOptions(after_success="continue", kept_share=kept),
        )
        for name, kept in (("weak", 0.95), ("strong", 0.6))
    },
    **{
        name: NamedWorld(
            f"medium-v2, and {about}", WorldOptions(after_success="continue", laws=laws)
        )
        for name, (about, laws) in LAWFUL.items()
    },
}
"""Other users are another version (`medium-v2`); a version is never changed."""


def named_world(name: str) -> NamedWorld:
    """The world of a name, or :class:`UnknownIdError` with the known ones."""
    found = WORLDS.get(spelled(name, WORLDS))
    if found is None:
        raise unknown("named world", name, WORLDS)
    return found
