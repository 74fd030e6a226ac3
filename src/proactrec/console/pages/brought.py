"""What a campaign brought, with its certainty and when it is going to be decided."""

from zoneinfo import ZoneInfo

from proactrec.console import words
from proactrec.console.elements import Facts, Kept, Table, box, note, text
from proactrec.serving.brought import ArmMeasured, EffectNow, MeasurementNow, SampleRatio
from proactrec.serving.words import figure

EFFECTS = (
    "Arm",
    "Among",
    "#Measured",
    "Figure",
    "#Value",
    "#Without it",
    "#Difference",
    "#Interval",
)
RATIO = ("Since", "Meant", "Came", "#p")


class Brought:
    """The verdict first, then figures, which change in place."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._verdict: Kept[tuple[str, str]] = Kept(lambda said: note(*said))
        self._until = text("p", "", "hint")
        self._facts = Facts()
        self._around = box()
        with self._around:
            self._effects = Table("", EFFECTS)
        with box("details"):
            text("summary", "Did users come to arms in the shares that were meant?")
            self._ratio = Table("By the shares that held", RATIO)

    def show(self, found: MeasurementNow) -> None:
        """What is known by now."""
        self._verdict.show((f"{words.headed(found.verdict)}.", how_it_went(found)))
        self._until.set_text(_until(found))
        self._facts.show(_facts(found))
        at = words.when(found.at, self._zone)
        self._effects.name(f"Against {found.compared_with}, at {at}")
        rows = [row for arm in found.arms for row in _rows(arm)]
        self._around.visible = bool(rows)
        self._effects.show(rows)
        self._ratio.show(_epochs(found.sample_ratio))


def _facts(found: MeasurementNow) -> list[tuple[str, str, str]]:
    planned = f"of {words.count(found.planned_users)} planned" if found.planned_users else ""
    ratio = found.sample_ratio
    return [
        ("Users measured", words.count(found.matured), planned or "no end was planned"),
        ("Users assigned", words.count(found.users), f"within {found.window_hours:g} hours each"),
        (
            "Came to arms as meant",
            "yes" if ratio.sound else "no",
            f"p = {ratio.p_value:.2g}, for any number of looks",
        ),
    ]


def how_it_went(found: MeasurementNow) -> str:
    """`good`, `bad`, or nothing: not known. One arm that does harm is bad, whatever others do."""
    if not found.sample_ratio.sound:
        return "bad"
    effects = [arm.effects.get(found.metric) for arm in found.arms if arm.segment is None]
    sense = -1 if found.metric == "objections" else 1
    signs = [sense * one.difference for one in effects if one is not None and one.shown]
    return "" if not signs else ("good" if min(signs) > 0 else "bad")


def _until(found: MeasurementNow) -> str:
    """When it is going to be decided."""
    if found.kind == "final":
        return "This is the planned end: intervals are final."
    if found.planned_users is None:
        return words.TERMS["not yet decided"]
    left = found.planned_users - found.matured
    return (
        f"It is decided once {words.count(left)} more users are measured, or before if a "
        f"difference shows at any look. {words.TERMS['not yet decided']}"
    )


def _rows(arm: ArmMeasured) -> list[list[str]]:
    among = "all" if arm.segment is None else f"group {arm.segment}"
    return [
        [
            arm.arm,
            among,
            words.count(arm.matured),
            words.FIGURES[name],
            figure(name, one.value),
            figure(name, one.baseline),
            figure(name, one.difference, signed=True),
            _interval(name, one),
        ]
        for name, one in arm.effects.items()
    ]


def _interval(name: str, one: EffectNow) -> str:
    low, high = (figure(name, end, signed=True) for end in (one.low, one.high))
    return f"{low} to {high} ({100 * (1 - one.alpha):.0f} %)"


def _epochs(found: SampleRatio) -> list[list[str]]:
    return [
        [
            f"version {one.since_version}",
            ", ".join(f"{name} {share:.0%}" for name, share in one.shares.items()),
            ", ".join(f"{name} {words.count(n)}" for name, n in one.users.items()),
            f"{one.p_value:.2g}",
        ]
        for one in found.epochs
    ]
