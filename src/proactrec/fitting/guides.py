"""From fitting to a guide for real users: everything trained, nothing held back from histories."""

from dataclasses import replace

from proactrec.fitting.fitting import Fitting
from proactrec.guidance.known import KnownUsers
from proactrec.guidance.rails import check_rails
from proactrec.guidance.saved import Recipe, SavedGuide


def fit_guide(fitting: Fitting, *, shows_again: bool = False) -> SavedGuide:
    """Train what is not trained yet, and put it together.

    The guide always has a recommender: whoever opts out gets what it recommends.

    Parameters
    ----------
    shows_again : bool
        Whether what was shown and refused may be shown again.
    """
    data = fitting.dataset
    check_rails(fitting.options.rails, data)
    guide = replace(fitting.guide_with_rails, shows_again=shows_again)
    recipe = Recipe(
        {"name": data.name, "fingerprint": data.fingerprint},
        fitting.options.policy,
        fitting.policy_options(fitting.policy_kind.options_type).model_dump(mode="json"),
        fitting.encoder_folder,
        fitting.models,
        fitting.used_intents,
    )
    return SavedGuide(guide, KnownUsers.of(data), recipe, fitting.seed, len(fitting.items))
