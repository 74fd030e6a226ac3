"""What a campaign brought, in figures and words: for the service and the command line alike."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from proactrec.measurement.effects import LEAST, Cell, Compared, Plan, effects
from proactrec.measurement.sample_ratio import ALPHA as BROKEN
from proactrec.measurement.sample_ratio import p_value
from proactrec.serving.brought import (
    ArmMeasured,
    EffectNow,
    MeasurementNow,
    SampleRatio,
    SampleRatioEpoch,
)
from proactrec.serving.schemas import moment
from proactrec.serving.words import figure
from proactrec.store.campaign import HOLD_OUT, Campaign
from proactrec.store.campaigns import Version
from proactrec.store.outcomes import COLUMNS, FIGURES, LAYOUT, Outcomes, outcomes

NAMES = {
    "target": "share of users who take a target",
    "target_share": "share of targets among the items that users take",
    "taken": "items a user takes",
    "purchases": "purchases of a user",
    "objections": "share of users who opt out or complain",
    "acceptance": "share of answers that accept",
}
UNSOUND = (
    "users did not come to arms in the shares that were meant (p = {p:.2g}): nothing here can be "
    "believed until it is known why"
)


def measured(connection: Connection, version: Version, now: int) -> MeasurementNow:
    """What a campaign brought by now."""
    return measurement_of(version, outcomes(connection, version, now), now)


def measurement_of(version: Version, found: Outcomes, now: int) -> MeasurementNow:
    """What a campaign brought, by sums as of a time.

    Its users are compared by the arm that was drawn for them, whatever came of it; nothing is said
    while they are few, or where they were not divided as was meant.
    """
    said = version.said
    plan = plan_of(said, found)
    compared, ratio = effects(found.cells, plan), _sample_ratio(found)
    arms = [_arm(one, found, plan, ratio) for one in compared]
    counts = {arm: _n(found.cells, arm, None) for arm in (plan.baseline, *plan.arms)}
    return MeasurementNow(
        campaign_id=version.campaign_id,
        version=version.version,
        at=moment(now),
        metric=plan.metric,
        window_hours=said.measure.window_hours,
        planned_users=plan.n_planned,
        users=sum(sum(users.values()) for users in found.n_users.values()),
        matured=sum(counts.values()),
        compared_with=plan.baseline,
        kind=compared[0].kind if compared else "sequence",
        sample_ratio=ratio,
        arms=(_baseline(found, plan), *arms),
        verdict=_verdict(arms, ratio, plan),
    )


def plan_of(said: Campaign, found: Outcomes) -> Plan:
    """What was said before anybody looked; compared with whom nobody guides, else the first arm."""
    shares = [name for epoch in found.shares.values() for name, share in epoch.items() if share]
    names = list(dict.fromkeys([*shares, *(arm.name for arm in said.arms)]))
    baseline = HOLD_OUT if HOLD_OUT in names or said.hold_out else said.arms[0].name
    others = tuple(name for name in names if name != baseline)
    measure = said.measure
    return Plan(
        LAYOUT, tuple(FIGURES), measure.metric, baseline, others, measure.users, measure.segments
    )


def _sample_ratio(found: Outcomes) -> SampleRatio:
    epochs = [(shares, found.n_users[epoch]) for epoch, shares in found.shares.items()]
    p, told = p_value(epochs), zip(found.shares, epochs, strict=True)
    by_epoch = tuple(
        SampleRatioEpoch(since_version=epoch, shares=one[0], users=one[1], p_value=p_value([one]))
        for epoch, one in told
    )
    return SampleRatio(p_value=p, sound=p >= BROKEN, epochs=by_epoch)


def _baseline(found: Outcomes, plan: Plan) -> ArmMeasured:
    return ArmMeasured(
        arm=plan.baseline,
        segment=None,
        users=_assigned(found, plan.baseline),
        matured=_n(found.cells, plan.baseline, None),
        sums=_sums(found.cells, plan.baseline, None),
        effects={},
        verdict="others are compared with it",
    )


def _arm(one: Compared, found: Outcomes, plan: Plan, ratio: SampleRatio) -> ArmMeasured:
    return ArmMeasured(
        arm=one.arm,
        segment=one.segment,
        users=one.n_users[0] if one.segment else _assigned(found, one.arm),
        matured=one.n_users[0],
        sums=_sums(found.cells, one.arm, one.segment),
        effects={
            name: EffectNow(
                **{key: value for key, value in effect._asdict().items() if key != "metric"},
                shown=effect.is_shown,
            )
            for name, effect in one.effects.items()
        },
        verdict=_said(one, plan, ratio),
    )


def _said(one: Compared, plan: Plan, ratio: SampleRatio) -> str:
    """What may be said of an arm, in a sentence."""
    if not ratio.sound:
        return UNSOUND.format(p=ratio.p_value)
    if not one.effects:
        n, other, least = *one.n_users, LEAST[one.kind]
        return (
            f"too few users are measured: {n:,} of {one.arm} and {other:,} of {plan.baseline}, "
            f"{least} of each are needed while arms have the same shares"
        )
    effect = one.effects[plan.metric]
    low, high = (figure(plan.metric, end, signed=True) for end in (effect.low, effect.high))
    what, span = NAMES[plan.metric], f"{low} to {high}"
    if effect.is_shown:
        way = "above" if effect.difference > 0 else "below"
        end = "" if one.kind == "final" else ": sure enough to stop now"
        return f"{what}: credibly {way} {plan.baseline} ({span}){end}"
    if one.kind == "final":
        return (
            f"{what}: no difference from {plan.baseline} is shown ({span}); one of "
            f"{figure(plan.metric, effect.detectable, signed=True)} would have been, in 4 of 5 "
            "cases"
        )
    return f"{what}: no difference from {plan.baseline} is sure yet ({span})"


def _verdict(arms: Iterable[ArmMeasured], ratio: SampleRatio, plan: Plan) -> str:
    if not ratio.sound:
        return UNSOUND.format(p=ratio.p_value)
    of_all = [one for one in arms if one.segment is None]
    if not of_all:
        return "there is one arm and nobody is held out: nothing can be compared"
    return "; ".join(f"{one.arm}: {one.verdict}" for one in of_all)


def _assigned(found: Outcomes, arm: str) -> int:
    return sum(users.get(arm, 0) for users in found.n_users.values())


def _of(cells: Iterable[Cell], arm: str, segment: str | None) -> list[Cell]:
    return [
        cell for cell in cells if cell.arm == arm and (segment is None or segment in cell.groups)
    ]


def _n(cells: Iterable[Cell], arm: str, segment: str | None) -> int:
    return sum(int(cell.table[0, 0]) for cell in _of(cells, arm, segment))


def _sums(cells: Iterable[Cell], arm: str, segment: str | None) -> Mapping[str, int]:
    rows = [cell.table[0, 1:] for cell in _of(cells, arm, segment)]
    totals = [sum(column) for column in zip(*rows, strict=True)] or [0.0] * len(COLUMNS)
    return dict(zip(COLUMNS, map(int, totals), strict=True))
