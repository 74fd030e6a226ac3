"""The one place where explanations become sentences, addressed to the user."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from proactrec.guidance.explained import Cause, Explanation, ItemName, ToldJourney

RAILS = {
    "opted_out": "guidance is switched off for you",
    "paused": "guidance pauses, since you passed over what it showed",
    "budget_spent": "the number of guided rounds is used up",
    "plain_share": "some rounds are kept free of guidance",
    "nothing_passes": "nothing that guidance wanted keeps to the rules",
    "overruled": "what guidance wanted is against the rules",
    "not_chosen": "guidance is limited in number, and others were chosen for it",
    "daily_cap": "the guided rounds of your day are used up",
}
"""Why a round is plain, by the rail; see :mod:`proactrec.guidance.decision`."""
NEXT_TARGET = "From here on you are led to “{target}”, as {why}."
WHY_NEXT = {
    "accepted": "you took “{before}”",
    "refused": "you passed over “{before}”",
    "other": "“{before}” is closed by a rule, or suits less by now",
}
STEP = "Promoted: shown to lead you toward “{target}”."
TARGET = "Promoted: this is the item that you are led to."
PLAIN = "Not promoted: a plain recommendation, as {rail}."
UNGUIDED = "Not promoted: the recommender that chose it pays no heed to “{target}”."
ONE_CAUSE = "It builds on {causes} in your history: without it, “{instead}” would have been shown."
CAUSES = "It builds on {causes} in your history: without them, “{instead}” would have been shown."
WEAK = (
    "Of your history, {causes} speak{s} most for it; but it would have been shown even without "
    "{them}, so it rests little on single items of your history."
)
NO_CAUSE = "It rests on no item of your history: without any one of them, it is shown as well."
NEAREST = (
    "The recommender gives no reasons. Nearest to it in your history: {causes}; that it was chosen "
    "for them is not known."
)
SHARED = "It shares {shared} with “{target}”."
CLOSER = (
    "Your similarity to “{target}” is {now}; with this item taken it is {after}. The item's own is "
    "{item}."
)
CHANCE = "Predicted: you take it with a chance of {chance}; that moves your interest by {gain}."
RAISED = (
    "It is shown now: waiting about {rounds} would raise the chance that you take it from {now} to "
    "{then}, and {risk} of users would have left by then."
)
NOT_RAISED = (
    "It is shown now: waiting about {rounds} would not raise the chance that you take it ({now} "
    "now, {then} then), and {risk} of users would have left by then."
)
NO_WAIT = "It is shown now: no round is left to wait for."
WAITS = (
    "“{target}” waits: in about {rounds} the chance that you take it is expected to be {then}, now "
    "it is {now}; {risk} of users will have left by then."
)
PLACE = "Leaving the target aside, it is number {place} of {n} for you."
PARTS = "Its score: (relevance {relevance}{intent}) × progress toward the target {gain}."
NO_PROGRESS = "It does not lead closer by itself: its progress is {gain}."
WHAT_IF = "Without “{left_out}” in your history, “{what_if}” would have been shown."
WHAT_IF_SAME = "Without “{left_out}” in your history, the same would have been shown."


def told(path: ToldJourney) -> dict[str, Any]:
    """A journey as JSON takes it, each explanation with its sentences as `words`."""
    content = asdict(path)
    if path.former is None:
        del content["former"]
    for explanation, found in zip(path.explanations, content["explanations"], strict=True):
        found["words"] = in_words(path, explanation)
    return content


def told_to_customer(path: ToldJourney) -> dict[str, Any]:
    """The same for the one who was guided: plain reasons; no figures and no ids."""
    return {
        "target": _called_item(path.target),
        "left_out": None if path.left_out is None else _called_item(path.left_out),
        "explanations": [
            {
                "round": one.round,
                "item": _called_item(one.item),
                "accepted": one.accepted,
                "is_target": one.is_target,
                "is_promoted": one.is_promoted,
                "knows_policy": one.knows_policy,
                "shared": one.shared,
                "words": in_plain_words(path, one),
            }
            for one in path.explanations
        ],
    }


def in_words(path: ToldJourney, explanation: Explanation) -> list[str]:
    """Sentences about one item of a journey; only of figures that its policy has."""
    target = path.target.title
    sentences = [_next_target(path, explanation), _kind(explanation, target), _causes(explanation)]
    if _leads(explanation):
        sentences += [_closer(explanation, target), _shared(explanation, target)]
    sentences += _expected(explanation)
    if explanation.is_promoted:
        sentences.append(_waiting(explanation, target))
    return [sentence for sentence in (*sentences, _what_if(path, explanation)) if sentence]


def in_plain_words(path: ToldJourney, explanation: Explanation) -> list[str]:
    """Those of the sentences that have no figures in them."""
    target = path.target.title
    sentences = [_next_target(path, explanation), _kind(explanation, target), _causes(explanation)]
    if _leads(explanation):
        sentences.append(_shared(explanation, target))
    return [sentence for sentence in (*sentences, _what_if(path, explanation)) if sentence]


def _called_item(item: ItemName) -> dict[str, Any]:
    return {"title": item.title, "categories": item.categories}


def _next_target(path: ToldJourney, explanation: Explanation) -> str:
    """Said with the first item on the way to another target than before."""
    if path.former is None or explanation is not path.explanations[0]:
        return ""
    why = WHY_NEXT[path.former.because].format(before=path.former.item.title)
    return NEXT_TARGET.format(target=path.target.title, why=why)


def _kind(explanation: Explanation, target: str) -> str:
    if explanation.rail is not None:
        return PLAIN.format(rail=RAILS[explanation.rail])
    if not explanation.is_promoted:
        return UNGUIDED.format(target=target)
    return TARGET if explanation.is_target else STEP.format(target=target)


def _causes(explanation: Explanation) -> str:
    causes = explanation.causes
    if not causes:
        return NO_CAUSE if explanation.knows_policy else ""
    names = _listed([_called(cause) for cause in causes])
    if not explanation.knows_policy:
        return NEAREST.format(causes=names)
    is_one = len(causes) == 1
    if explanation.instead is None:
        return WEAK.format(causes=names, s="s" * is_one, them="it" if is_one else "them")
    text = ONE_CAUSE if is_one else CAUSES
    return text.format(causes=names, instead=explanation.instead.title)


def _called(cause: Cause) -> str:
    when = "" if cause.accepted_in is None else f" (taken in round {cause.accepted_in})"
    return f"“{cause.item.title}”{when}"


def _leads(explanation: Explanation) -> bool:
    return explanation.is_promoted and not explanation.is_target


def _closer(explanation: Explanation, target: str) -> str:
    figures = explanation.figures
    if "similarity_after" not in figures:
        return ""
    now, after, item = (
        _signed(figures[name]) for name in ("similarity_now", "similarity_after", "item_to_target")
    )
    return CLOSER.format(target=target, now=now, after=after, item=item)


def _shared(explanation: Explanation, target: str) -> str:
    if not explanation.shared:
        return ""
    return SHARED.format(shared=_listed(explanation.shared), target=target)


def _what_if(path: ToldJourney, explanation: Explanation) -> str:
    if path.left_out is None or explanation.what_if is None:
        return ""
    is_same = explanation.what_if == explanation.item
    text, other = (WHAT_IF_SAME if is_same else WHAT_IF), explanation.what_if.title
    return text.format(left_out=path.left_out.title, what_if=other)


def _expected(explanation: Explanation) -> list[str]:
    figures, found = explanation.figures, []
    if "chance" in figures:
        gain = _signed(figures["gain"], 3)
        found.append(CHANCE.format(chance=f"{100 * figures['chance']:.0f} %", gain=gain))
    if "progress" in figures:
        gain = _signed(figures["progress"])
        intent = f" + intent {figures['intent']:.2f}" if "intent" in figures else ""
        relevance = f"{figures['relevance']:.2f}"
        text = PARTS if figures["progress"] > 0 else NO_PROGRESS
        found.append(text.format(relevance=relevance, intent=intent, gain=gain))
    if "place" in figures:
        place, n = (f"{figures[name]:,.0f}" for name in ("place", "n_allowed"))
        found.append(PLACE.format(place=place, n=n))
    return found


def _waiting(explanation: Explanation, target: str) -> str:
    """Why the target is shown now, or what it waits for; of policies that weigh that."""
    figures = explanation.figures
    if "target_chance" not in figures:
        return ""
    if "wait_rounds" not in figures:
        return NO_WAIT if explanation.is_target else ""
    names = {"now": "target_chance", "then": "wait_chance", "risk": "wait_risk"}
    said = {word: f"{100 * figures[name]:.0f} %" for word, name in names.items()}
    n = max(1, round(figures["wait_rounds"]))
    is_raised = figures["wait_chance"] > figures["target_chance"] and said["then"] != said["now"]
    text = (RAISED if is_raised else NOT_RAISED) if explanation.is_target else WAITS
    return text.format(target=target, rounds=f"{n} round{'s' if n > 1 else ''}", **said)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
