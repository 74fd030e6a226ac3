"""The picture of the load test: latency of decisions by rate."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from proactrec.report.drawing import styled
from shared.pictures import Pictures


def pictures(content: Mapping[str, Any], stem: str) -> Pictures:
    """The picture of a page, from its JSON."""
    return {f"{stem}.png": partial(_drawn, content["groups"])}


def _drawn(groups: Sequence[Mapping[str, Any]]) -> Figure:
    title = "Decisions since they were due: p99 lines, p50 dots"
    with styled(title, width=6.4) as (figure, axes):
        for group in groups:
            rates = [cell["rate"] for cell in group["cells"]]
            due = [cell["ask"]["due"] for cell in group["cells"]]
            name = f"{group['setting']}, {group['kind']}"
            (line,) = axes.plot(rates, [one["p99"] for one in due], marker="o", label=name)
            p50, colour = [one["p50"] for one in due], line.get_color()
            axes.plot(rates, p50, marker=".", linestyle=":", color=colour)
        axes.set(xlabel="decisions a second, and as many events", ylabel="ms", yscale="log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))  # formulas are not read here
        axes.legend(fontsize=8)
    return figure
