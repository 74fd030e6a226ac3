"""What proactrec will and will not be able to do with an import, in words and with reasons."""

from typing import Any, Literal, NamedTuple

Mark = Literal["yes", "but", "no"]

FEW_USERS, FEW_ITEMS = 100, 50
POOL = 20
"""Items that a category should have for a choice of targets."""
LONG = 50
"""Newest items of a history that encoders read."""


class Verdict(NamedTuple):
    """One thing, whether it works, and why."""

    what: str
    mark: Mark
    why: str


def verdicts(facts: dict[str, Any], about: dict[str, Any]) -> list[Verdict]:
    """A verdict a topic.

    Parameters
    ----------
    facts : dict
        From :func:`proactrec.data.importing.facts.facts`.
    about : dict
        `kinds` (rows, weight and meaning of each kind of event), `weights`, `time_unit`,
        `n_suspects`, `rating_columns`, `repeat_share` (events that repeat a user and an item).
    """
    return [
        _interest(facts),
        _order(facts, about),
        _categories(facts),
        _cold(facts),
        _popularity(facts),
        _repeats(facts, about),
        *_feedback(about),
        *_bots(about),
        *_gaps(facts),
    ]


def _interest(facts: dict[str, Any]) -> Verdict:
    core = facts["core"]
    size = (
        f"{core['n_users']:,} of {facts['n_users']:,} users and {core['n_items']:,} items have "
        f"5 interactions or more (the default filter), {core['n_pairs']:,} interactions in all"
    )
    what = "Learn what users like"
    if core["n_users"] < 2 or core["n_items"] < 2:
        return Verdict(what, "no", f"{size}. Nothing is left to learn from: try --filter none.")
    if core["n_users"] < FEW_USERS or core["n_items"] < FEW_ITEMS:
        return Verdict(what, "but", f"{size}. That is few: expect wide intervals.")
    return Verdict(what, "yes", f"{size}.")


def _order(facts: dict[str, Any], about: dict[str, Any]) -> Verdict:
    what = "Learn from the order of events"
    ties = f"{100 * facts['tie_share']:.1f} % of neighbouring events of a user share one time"
    median = facts["median_length"]
    length = f"The median user has {median:g} items; encoders read the newest {LONG}"
    if about["time_unit"] == "order":
        return Verdict(what, "but", f"There are no dates, only an order. {length}.")
    if facts["tie_share"] > 0.3:
        why = f"{ties}: there the order of the rows decides, which may mean nothing. {length}."
        return Verdict(what, "but", why)
    if median < 5:
        return Verdict(what, "but", f"{length}: histories are short. {ties}.")
    return Verdict(what, "yes", f"{length}. {ties}.")


def _categories(facts: dict[str, Any]) -> Verdict:
    what = "Choose targets in a category"
    if not facts["n_categories"]:
        why = "No item has a category: targets must be named (--target ID)."
        return Verdict(what, "no", why)
    large = [name for name, size in facts["categories"].items() if size >= POOL]
    share = (
        f"{100 * facts['category_share_items']:.0f} % of the items have a category, and they make "
        f"{100 * facts['category_share_interactions']:.0f} % of the interactions"
    )
    if not large:
        return Verdict(what, "but", f"{share}. No category has {POOL} items.")
    shown = ", ".join(large[:5])
    why = f"{share}. {len(large)} categories have {POOL} items or more, the largest: {shown}."
    return Verdict(what, "yes" if facts["category_share_items"] > 0.5 else "but", why)


def _cold(facts: dict[str, Any]) -> Verdict:
    what, n = "Promote items that nobody has seen", facts["n_items_without_events"]
    has_content = facts["n_categories"] > 0 or facts["n_with_text"] > 0
    described = facts["n_items"] - facts["n_without_title"]
    if n == 0:
        why = "There is none: every item of the catalogue has interactions."
        return Verdict(what, "no", why)
    if not has_content and described == 0:
        why = (
            f"{n:,} items have no interactions, and no title, text or category says where they lie."
        )
        return Verdict(what, "no", why)
    why = (
        f"{n:,} items have no interactions. With --cold-items they are placed by their title, "
        "text and categories: a guess, see docs/methods/content.md."
    )
    return Verdict(what, "but", why)


def _popularity(facts: dict[str, Any]) -> Verdict:
    share = facts["top_percent_share"]
    why = (
        f"The most popular 1 % of the items make {100 * share:.0f} % of the interactions; "
        f"{facts['n_items_below_5']:,} items have fewer than 5."
    )
    return Verdict("Reach the long tail", "but" if share > 0.5 else "yes", why)


def _repeats(facts: dict[str, Any], about: dict[str, Any]) -> Verdict:
    share = about["repeat_share"]
    if share == 0:
        return Verdict("Learn from repeats", "no", "There is none: no user meets an item twice.")
    why = (
        f"{100 * share:.1f} % of the events repeat a user and an item. Only the first of each "
        "counts: how often somebody comes back is not learnt."
    )
    return Verdict("Learn from repeats", "no", why)


def _feedback(about: dict[str, Any]) -> list[Verdict]:
    what, found = "Tell likes from dislikes", []
    if about["rating_columns"]:
        names = ", ".join(about["rating_columns"])
        why = (
            f"The column(s) {names} look like ratings and are not used: a low one counts as liking."
        )
        found.append(Verdict(what, "no", why))
    refused = [one["kind"] for one in about["kinds"] if one["meaning"] == "refusal"]
    counted = [one["kind"] or "(none)" for one in about["kinds"] if one["weight"]]
    if refused and not about["weights"]:
        why = (
            f"Events of the kinds {', '.join(refused[:6])} say no liking and do not count; nothing "
            "is learnt from them either."
        )
        found.append(Verdict(what, "but", why))
    if len(counted) > 1 and not about["weights"]:
        kinds = ", ".join(counted[:6])
        why = f"These kinds of events count the same: {kinds}. --weight KIND=NUMBER changes that."
        found.append(Verdict("Weigh kinds of events", "but", why))
    return found


def _bots(about: dict[str, Any]) -> list[Verdict]:
    if about["resolution"] == "days":
        why = "Times are no finer than days: rates within a minute or a day cannot be seen."
        return [Verdict("Recognise bots", "no", why)]
    if not about["n_suspects"]:
        return []
    n, share = about["n_suspects"], about["suspect_share"]
    what = "are in" if about["bots"] == "flag" else "were left out"
    events = f"their {100 * share:.1f} % of the events {what} (--bots)"
    why = f"{n:,} users have impossible rates; {events}."
    return [Verdict("Trust that users are people", "but", why)]


def _gaps(facts: dict[str, Any]) -> list[Verdict]:
    if not facts["gaps"] or facts["gaps"][0]["days"] < 7:
        return []
    gap = facts["gaps"][0]
    why = f"From {gap['from']} on, {gap['days']:,} days have no event at all: is a file missing?"
    return [Verdict("See the whole period", "but", why)]
