r"""Laws by which answers may move users, each believed to be as strong as answers say.

A planner that takes one law of drift for granted is wrong about users who follow another. Here a
round moves a place :math:`m` that began at :math:`m_0`, with item :math:`e`, answer :math:`y` and
its chance :math:`p = \sigma(a\, m^\top e + o + b)`, by

.. math::
    m \leftarrow m + \frac{v a (y - p)}{1 + (v a^2 + P)\, p (1 - p)}\, e, \qquad
    m \leftarrow (1 - \alpha) m + \alpha e, \qquad
    m \leftarrow (1 - \kappa) m + \kappa m_0

to unit length after each, with :math:`\alpha = \alpha_0 / (1 + \delta n)` for an item accepted
after n others and :math:`\alpha = \eta` for a refused one, below 0 away from it. A user's own bias
is what answers tell of it,

.. math::
    b \leftarrow b + \frac{P (y - p)}{1 + (v a^2 + P)\, p (1 - p)}, \qquad
    P \leftarrow P - \frac{P^2 p (1 - p)}{1 + (v a^2 + P)\, p (1 - p)},

from :math:`b = 0` and the variance :math:`P = \tau^2` of biases among users. Where users' own steps
are learned, too, an accepted item moves by :math:`\alpha e^r`. An answer tells of r, and so that
steps before were longer or shorter than was thought. With the derivatives by r, :math:`J` of the
logit and :math:`D` of the place, and :math:`S` for the denominator above,

.. math::
    S = 1 + (v a^2 + P + R J^2)\, p (1 - p), \quad \Delta = \frac{R J (y - p)}{S}, \quad
    r \leftarrow r + \Delta, \quad m \leftarrow m + \Delta D, \quad
    R \leftarrow R - \frac{R^2 J^2 p (1 - p)}{S},

from :math:`r = 0` and the variance :math:`R = \rho^2` among users.

The strengths :math:`\theta` of these laws, and the variances of starts (:math:`v`) and of items'
own logits :math:`b_i`, are the same for all users and have a normal prior around the paper's law
(:math:`\alpha_0` alone). They are weights of the chance like the slopes of
:class:`~proactrec.policies.belief.AcceptanceModel`: by how the logit of the item shown would differ
under another strength, :math:`\partial (a\, m^\top e + b + b_i) / \partial \theta`, found by
differences, each round is one more step of an extended Kalman filter. Sources of the laws:
docs/guide/worlds.md.

Places are shares of vectors that are known, of the start and of what was shown. So a round needs
their inner products alone, and several laws cost little more than one.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from proactrec.journeys import UNKNOWN, Journeys

LawName = Literal[
    "kept", "returning", "refusal", "diminishing", "bias", "appeal", "surprise", "receptivity"
]
DRIFT: tuple[LawName, ...] = ("kept", "returning", "refusal", "diminishing")
"""Laws that move users; plans have no use for the others."""
TINY = 1e-6
KNOWN = 1e-4
"""Deviation of a strength that nothing is to be learned of."""
SURE = 2.0
"""Posterior deviations beyond which a strength is planned with."""
STEP_DIFFERENCE = 0.1
"""By which the log of a user's own step is varied."""
MOST_STEP = 0.95


class Law(NamedTuple):
    """Strengths of all laws."""

    kept: float  # share of a place that an accepted item leaves: 1 - alpha_0
    returning: float = 0.0  # share of the way back to the start, a round: kappa
    refusal: float = 0.0  # share of the way to a refused item, below 0 away: eta
    diminishing: float = 0.0  # delta
    bias: float = 0.0  # variance of users' own logits: tau^2
    appeal: float = 0.0  # variance of items' own logits
    surprise: float = 0.0  # variance of a start, in every direction: v
    receptivity: float = 0.0  # variance of the logs of users' own steps: rho^2


class Prior(NamedTuple):
    """What is thought of a strength before any answer, beside its mean."""

    deviation: float
    least: float
    most: float
    difference: float  # by which it is varied
    doubt: float = 0.0  # what errors of another kind make of it where the paper's law holds


PRIORS: dict[LawName, Prior] = {
    "kept": Prior(0.05, 0.1, 0.99, -0.02, 0.03),
    "returning": Prior(0.03, 0.0, 0.5, 0.01, 0.03),
    "refusal": Prior(0.1, -0.5, 0.5, 0.01),
    "diminishing": Prior(0.1, 0.0, 2.0, 0.05, 0.1),
    "bias": Prior(0.3, 0.0, 4.0, 0.05),
    "appeal": Prior(1.0, 0.01, 4.0, 0.05),
    "surprise": Prior(0.01, 0.0, 0.2, 0.01),
    "receptivity": Prior(0.3, 0.0, 2.0, 0.05),
}
SHARED: tuple[LawName, ...] = tuple(name for name in PRIORS if name != "receptivity")
"""All laws with one step for all users."""


def prior_of(
    law: Law, names: Sequence[LawName], told: Collection[LawName] = ()
) -> list[tuple[float, float]]:
    """Means and deviations of these strengths before any answer; those `told` are known."""
    return [
        (getattr(law, name), KNOWN if name in told else PRIORS[name].deviation) for name in names
    ]


def bounds_of(names: Sequence[LawName]) -> tuple[list[float], list[float]]:
    """Least and largest of these strengths."""
    return [PRIORS[name].least for name in names], [PRIORS[name].most for name in names]


def beyond_doubt(law: Law, before: Law, spread: Mapping[LawName, float]) -> Law:
    """The law of drift with what differs from that `before` any answer beyond doubt.

    A strength counts once it is :data:`SURE` posterior deviations (`spread`) beyond its own doubt,
    and then as far as it is beyond that.
    """
    planned: dict[str, float] = {}
    for name in DRIFT:
        first = getattr(before, name)
        away = getattr(law, name) - first
        beyond = abs(away) - PRIORS[name].doubt
        if beyond > SURE * spread.get(name, 0.0):
            planned[name] = first + math.copysign(beyond, away)
    return before._replace(**planned)


def varied(law: Law, names: Sequence[LawName]) -> Tensor:
    """The law, and beside it what it is with each of these a little stronger: (1 + n, 8).

    Where users' own steps are learned, the law comes once more, for a user of a longer step.
    """
    rows = torch.tensor(law).repeat(1 + len(names) + ("receptivity" in names), 1)
    for row, name in enumerate(names, 1):
        rows[row, Law._fields.index(name)] += PRIORS[name].difference
    return rows


class Trail(NamedTuple):
    """Where users stand under several laws; the first is the one that is believed."""

    shares: Tensor  # (n, n_laws, 1 + n_rounds), of the start and of what was shown, in a place
    bias: Tensor  # (n, n_laws), of users' logits
    step: Tensor  # (n, n_laws), log of users' own steps beside everybody's

    def packed(self, places: Tensor) -> Tensor:
        """Places (n, d) by the law that is believed, with all of this behind: (n, width)."""
        return torch.cat([places, self.bias, self.step, self.shares.flatten(1)], 1)

    @classmethod
    def unpacked(cls, packed: Tensor, dim: int, n_laws: int) -> Self:
        """What :meth:`packed` put behind places of length `dim`."""
        bias, step = packed[:, dim : dim + 2 * n_laws].split(n_laws, 1)
        return cls(packed[:, dim + 2 * n_laws :].unflatten(1, (n_laws, -1)), bias, step)

    def places(self, vectors: Tensor) -> Tensor:
        """By the law that is believed, unit rows: (n, d), from :func:`known_vectors`."""
        return (self.shares[:, :1, : vectors.shape[1]] @ vectors)[:, 0]

    def told(
        self, near: Tensor, effects: Tensor, slope: float, law: Law, names: Sequence[LawName]
    ) -> Tensor:
        r"""What answers will tell of laws: (n, 1 + n_names).

        The derivatives :math:`J` of the logit by the strengths come last; before them stands what
        the logit has beside interest, :math:`b + b_i - J \theta`, so that :math:`J` times any
        strengths can be added to it.

        Parameters
        ----------
        near : float tensor, shape (n, 1 + n_past)
            Inner products of the items shown with :func:`known_vectors`.
        effects : float tensor, shape (n, n_laws)
            The items' own logits.
        """
        interest = (self.shares[:, :, : near.shape[1]] @ near[:, :, None])[:, :, 0]
        beside = self.bias + effects
        logits = (slope * interest + beside)[:, : 1 + len(names)]
        differences = logits.new_tensor([PRIORS[name].difference for name in names])
        by_law = (logits[:, 1:] - logits[:, :1]) / differences
        strengths = logits.new_tensor([getattr(law, name) for name in names])
        return torch.cat([beside[:, :1] - by_law @ strengths[:, None], by_law], 1)


def known_vectors(start: Tensor, item_vectors: Tensor, journeys: Journeys) -> Tensor:
    """The start (n, d), and what was shown and answered, by round, or zero: (n, 1 + n_past, d)."""
    return torch.cat([start[:, None], item_vectors[_told_items(journeys)]], 1)


def _told_items(journeys: Journeys) -> Tensor:
    """What was shown and answered, by round, 0 elsewhere: (n, n_past)."""
    n_past = journeys.n_past
    return journeys.shown[:, :n_past] * (journeys.answer[:, :n_past] != UNKNOWN)


class _Turn(NamedTuple):
    """A place as scale · that before the round + item · e + home · start; all (n, n_laws)."""

    size: Tensor  # its length: 1, or 0 for who stands nowhere
    near: Tensor  # inner product with the item
    from_start: Tensor  # and with the start
    scale: Tensor
    item: Tensor
    home: Tensor

    def plus(self, kept: Tensor, item: Tensor, own: Tensor, of_start: Tensor) -> Self:
        """The sum kept · place + item · e, to unit length; `own`, `of_start`: products of e."""
        square = kept * kept * self.size + item * item * own + 2 * kept * item * self.near
        length, size = _lengths(square)
        kept, item = kept / length, item / length
        return type(self)(
            size,
            kept * self.near + item * own,
            kept * self.from_start + item * of_start,
            kept * self.scale,
            kept * self.item + item,
            kept * self.home,
        )

    def back(self, returning: Tensor, of_home: Tensor) -> Self:
        """Some of the way back to the start, whose square length is `of_home`, to unit length."""
        stays = 1 - returning
        square = stays * stays * self.size + returning * returning * of_home
        length, size = _lengths(square + 2 * stays * returning * self.from_start)
        stays, returning = stays / length, returning / length
        return self._replace(
            size=size,
            from_start=stays * self.from_start + returning * of_home,
            scale=stays * self.scale,
            item=stays * self.item,
            home=stays * self.home + returning,
        )


def _lengths(square: Tensor) -> tuple[Tensor, Tensor]:
    """What to divide by for unit length, and the length then: 0 for what has none."""
    is_somewhere = square > TINY
    return square.clamp(min=TINY).sqrt().masked_fill(~is_somewhere, 1.0), is_somewhere.to(square)


def _by_step(of_laws: Tensor) -> Tensor:
    """Derivative by the log of users' own steps, of something by law (n, n_laws, ...)."""
    return (of_laws[:, -1:] - of_laws[:, :1]) / STEP_DIFFERENCE


def _as_first(of_laws: Tensor) -> Tensor:
    """The same, but as the first is for the last law, which differs by the step alone."""
    return torch.cat([of_laws[:, :-1], of_laws[:, :1]], 1)


def _moved_on(
    shares: Tensor, longer: Tensor, products: Tensor, n_known: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shares once steps so far are thought to be longer by this (n, n_laws), in their logs.

    And the length of places, and their inner products with the item shown now and the start.
    """
    known, products = shares[:, :, :n_known], products[:, : n_known + 1, :n_known]
    known = known + _by_step(known) * longer[:, :, None]
    length, size = _lengths(((known @ products[:, :-1]) * known).sum(2))
    known = known / length[:, :, None]
    near, from_start = ((known @ products[:, at, :, None])[:, :, 0] for at in (-1, 0))
    return torch.cat([known, shares[:, :, n_known:]], 2), size, near, from_start


def walked(
    vectors: Tensor,
    journeys: Journeys,
    slope: float,
    offsets: Tensor,
    laws: Tensor,
    *,
    receptive: bool = False,
) -> Trail:
    """Where users stand after all answers so far, by each of some laws.

    Parameters
    ----------
    vectors : float tensor, shape (n, 1 + n_past, d)
        See :func:`known_vectors`.
    slope, offsets
        Of the acceptance model as it is now; offsets (n_items + 1,).
    laws : float tensor, shape (n_laws, 8)
        Rows of :class:`Law`.
    receptive : bool
        Whether users have steps of their own; then the last row is the first, of a longer step.
    """
    n_past = journeys.n_past
    kept, returning, refusal, diminishing, spread, _, variance, unlike = laws.T[:, None]
    item_idx, accepted = _told_items(journeys), journeys.accepted[:, :n_past]
    products, offset, is_told = vectors @ vectors.transpose(1, 2), offsets[item_idx], item_idx > 0
    before = accepted.cumsum(1) - accepted.long()
    shares = vectors.new_zeros(len(vectors), len(laws), 1 + journeys.n_rounds)
    shares[:, :, 0] = 1
    of_home = products[:, :1, 0]  # (n, 1)
    from_start = of_home.expand(-1, len(laws))
    size = (from_start > TINY).to(vectors)
    one, nothing = torch.ones_like(size), torch.zeros_like(size)
    bias, spread = nothing, spread.expand_as(size)
    own_step, unlike = nothing.clone(), unlike.expand_as(size)
    if receptive:
        own_step[:, -1] = STEP_DIFFERENCE
    for k in range(n_past):  # where nothing was told, steps of no length leave all as it is
        told, yes = is_told[:, k, None], accepted[:, k, None]
        own, of_start = products[:, k + 1, k + 1, None], products[:, k + 1, 0, None]
        near = (shares[:, :, : k + 1] @ products[:, k + 1, : k + 1, None])[:, :, 0]
        chance = torch.sigmoid(slope * near + offset[:, k, None] + bias)
        doubt = chance * (1 - chance)
        by_step = _by_step(slope * near + bias) if receptive else nothing
        slack = variance * slope**2 + spread + unlike * by_step**2
        certainty = told / (1 + slack * doubt)
        surprise = certainty * (yes.to(chance) - chance)
        if receptive:
            longer = _as_first(unlike * by_step * surprise)
            unlike = _as_first(unlike - (unlike * by_step) ** 2 * doubt * certainty)
            own_step = own_step + longer
            shares, size, near, from_start = _moved_on(shares, longer, products, k + 1)
        bias, spread = bias + spread * surprise, spread - spread**2 * doubt * certainty
        accepting = (1 - kept) / (1 + diminishing * before[:, k, None])
        if receptive:
            accepting = (accepting * own_step.exp()).clamp(max=MOST_STEP)
        step = told * torch.where(yes, accepting, refusal)
        turn = _Turn(size, near, from_start, one, nothing, nothing)
        turn = turn.plus(one, variance * slope * surprise, own, of_start)
        turn = turn.plus(1 - step, step, own, of_start).back(told * returning, of_home)
        shares = shares * turn.scale[:, :, None]
        shares[:, :, k + 1] = turn.item
        shares[:, :, 0] += turn.home
        size, from_start = turn.size, turn.from_start
    return Trail(shares, bias, own_step)
