"""The tables of `llm_real.py`'s page."""

from typing import Any

from llm_cost import PRICES

SIMPLER = ("calibrated users", "popularity", "always yes")


def body(found: dict[str, Any]) -> str:
    """Markdown, of the parts that there are."""
    parts = {
        "held_out": held_out,
        "digits": digits,
        "injections": injections,
        "paths": paths,
    }
    texts = [make(found[name]) for name, make in parts.items() if found[name]]
    return "\n\n".join([*texts, *spent(found)])


def value(interval: dict[str, Any], decimals: int = 3) -> str:
    """Mean and 95 % interval, or a dash."""
    if interval["mean"] is None:
        return "–"
    said = f"{interval['mean']:.{decimals}f}"
    if interval.get("low") is None or interval["low"] == interval["high"]:
        return said
    return f"{said} ({interval['low']:.{decimals}f} to {interval['high']:.{decimals}f})"


def table(heads: list[str], rows: dict[str, list[str]], corner: str = "") -> str:
    """Markdown: a label and its cells a row."""
    lines = [f"| {' | '.join([corner, *heads])} |", f"| --- {'| ---: ' * len(heads)}|"]
    lines += [f"| {label} | {' | '.join(cells)} |" for label, cells in rows.items()]
    return "\n".join(lines)


def held_out(found: dict[str, Any]) -> str:
    """Every click model on the same pairs."""
    models = found["click_models"]

    def row(*keys: str) -> list[str]:
        cells = []
        for figures in models.values():
            for key in keys:
                figures = figures[key]
            cells.append(value(figures))
        return cells

    rows = {
        "AUC, real against random items": row("auc", "random"),
        "AUC, real against popular items": row("auc", "popular"),
        "balanced accuracy at 0.5": row("accuracy"),
        "mean chance: real items": row("mean_chance", "real"),
        "mean chance: random items": row("mean_chance", "random"),
        "mean chance: popular items": row("mean_chance", "popular"),
        "Brier score (one in three is real)": row("brier"),
        "expected calibration error": row("calibration_error"),
        "rank correlation with popularity, random items": row("popularity", "rank_correlation"),
        "history backwards: how far the chance moves": row("order", "mean_difference"),
        "history backwards: same decision": row("order", "same_decision"),
        "agreement with the language model: correlation": agreeing(found, "correlation"),
        "agreement with the language model: kappa at 0.5": agreeing(found, "kappa"),
        "no answer": [f"{one['share_without_answer']:.1%}" for one in models.values()],
    }
    about = (
        f"**Held-out items.** {found['n_users']} users, {found['n_pairs']:,} pairs: each user's "
        "real next item, a random and a popular one that the user never touched; "
        f"{found['n_backwards']} of them again with the history from new to old. In brackets: 95 % "
        "bootstrap interval over users."
    )
    parts = [about, table(list(models), rows), fifths(found), reliability(found)]
    return "\n\n".join(parts)


def agreeing(found: dict[str, Any], name: str) -> list[str]:
    """How far each of the simpler answers agrees with the language model."""
    return ["", *(value(found["agreement"][model][name]) for model in SIMPLER)]


def fifths(found: dict[str, Any]) -> str:
    """Acceptance of random items by fifth of the catalogue."""
    models = {name: found["click_models"][name] for name in ("language model", SIMPLER[0])}
    of = [figures["popularity"]["fifths"] for figures in models.values()]
    rows = {
        f"{one['least']} to {one['most']} users": [
            str(one["n"]),
            *(value(fifth[at]["mean_chance"]) for fifth in of),
        ]
        for at, one in enumerate(of[0])
    }
    return table(["random items asked about", *(f"mean chance: {name}" for name in models)], rows)


def reliability(found: dict[str, Any]) -> str:
    """How often items are real that the language model gives such a chance."""
    bins = found["click_models"]["language model"]["reliability"]
    rows = {f"{one['mean_chance']:.3f}": [str(one["n"]), value(one["share_real"])] for one in bins}
    return table(["pairs", "real items among them"], rows, "language model's mean chance")


def digits(found: dict[str, Any]) -> str:
    """What becomes of plain text."""
    rows = {
        "answers that could not be read": [f"{found['share_unreadable']:.0%}"],
        "still none after asking once more": [f"{found['share_unreadable_twice']:.0%}"],
    }
    return "\n\n".join(
        [
            f"**Asked for a digit as text** (`reads=text`, 16 tokens), {found['n']} pairs.",
            table([f"of {found['n']}"], rows),
            f"The first answer, for instance: `{found['texts'][0]!r}`.",
        ]
    )


def injections(found: dict[str, Any]) -> str:
    """Titles that give orders."""
    rows = {
        name: [
            value(one["mean_chance"]),
            value(one["moved"]),
            f"{one['share_accepted']:.0%}",
            f"{one['share_turned']:.0%}",
        ]
        for name, one in found["titles"].items()
    }
    heads = ["mean chance", "more than harmless words", "accepted", "turned to a yes"]
    about = (
        f"**Injections.** {found['n']} titles of random items, each followed by harmless words or "
        "by an order of the injection set (most want a 1), escaped and fenced as always, or as it "
        "is."
    )
    return f"{about}\n\n{table(heads, rows)}"


def paths(found: dict[str, Any]) -> str:
    """LLM-IPP, and what became of its names."""
    one = next(iter(found.values()))
    rows = {
        label: [
            value(result["figures"]["ioi"]),
            value(result["figures"]["ior"], 1),
            value(result["figures"]["hr"]),
        ]
        for label, result in found.items()
    }
    names = {label: result["names"] for label, result in found.items() if result["names"]}
    counted = {
        key: [str(counts[key]) for counts in names.values()]
        for key in next(iter(names.values()), {})
    }
    last = one["n_rounds"]
    about = (
        f"**LLM-IPP.** {one['n_pairs']} users on the way to {', '.join(one['targets'])}, "
        f"{last} rounds, protocol `common`; one path of at most 7 names and the target for each "
        "(`path_len=8`, `replan=never`), then next items."
    )
    tables = [table([f"IoI@{last}", f"IoR@{last}", f"HR@{last}"], rows)]
    if counted:
        tables.append(table(list(names), counted))
    return "\n\n".join([about, *tables])


def spent(found: dict[str, Any]) -> list[str]:
    """Tokens and time by part; then what another model would cost."""
    parts: dict[str, dict[str, float]] = found["spent"]
    if not parts:
        return []
    rows = {
        name: [
            f"{one['n_requests']:,.0f}",
            f"{one['prompt_tokens'] / one['n_requests']:.0f} + "
            f"{one['answer_tokens'] / one['n_requests']:.0f}",
            f"{one['seconds'] / one['n_requests']:.2f} s",
            f"{one['cpu_seconds'] / one['n_requests']:.2f} s" if one["cpu_seconds"] else "–",
        ]
        for name, one in parts.items()
    }
    heads = ["requests", "tokens a request: prompt + answer", "time a request", "of a core"]
    about = "**Cost and speed**, of what was asked for this page; paused time counts as time."
    return [about, table(heads, rows), larger(parts)]


def larger(parts: dict[str, dict[str, float]]) -> str:
    """Money for the same requests at some prices."""
    n, prompt, answer = (
        sum(one[name] for one in parts.values())
        for name in ("n_requests", "prompt_tokens", "answer_tokens")
    )
    costs = ", ".join(
        f"{(prompt * price[0] + answer * price[1]) / 1e6:.2f} at {price[0]:.2f} / {price[1]:.2f}"
        for price in PRICES
    )
    return (
        f"In all {n:,.0f} requests, {prompt / 1e6:.2f} M tokens of prompts and {answer / 1e3:.0f} "
        "k of answers. Another model's bill for them, at prices of a million tokens in / out: "
        f"{costs}."
    )
