"""From fitting to a guide for real users: everything trained, nothing held back from histories."""

from proactrec.fitting.fitting import Fitting
from proactrec.guidance.course import Rails
from proactrec.guidance.guide import Guide
from proactrec.guidance.known import KnownUsers
from proactrec.guidance.rails import check_rails
from proactrec.guidance.saved import Recipe, SavedGuide
from proactrec.policies.next_item import NextItem


def fit_guide(fitting: Fitting, *, shows_again: bool = False) -> SavedGuide:
    """Train what is not trained yet, and put it together.

    The guide always has a recommender: whoever opts out gets what it recommends.

    Parameters
    ----------
    shows_again : bool
        Whether what was shown and refused may be shown again.
    """
    data, rails, items = fitting.dataset, fitting.options.rails, fitting.items
    check_rails(rails, data)
    policy, recommender = fitting.policy, NextItem(fitting.encoder)
    recipe = Recipe(
        {"name": data.name, "fingerprint": data.fingerprint},
        fitting.options.policy,
        fitting.policy_options(fitting.policy_kind.options_type).model_dump(mode="json"),
        fitting.encoder_folder,
        fitting.models,
        fitting.used_intents,
    )
    guide = Guide(
        policy,
        items,
        Rails(rails, items, seed=fitting.seed),
        recommender,
        shows_again=shows_again,
    )
    return SavedGuide(guide, KnownUsers.of(data), recipe, fitting.seed, len(items))
