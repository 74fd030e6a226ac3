"""The methods that benchmarks run, by suite."""

from collections.abc import Mapping
from typing import Any

from proactrec.policies.laws import PRIORS, SHARED

Changes = Mapping[str, Any]
"""Settings of an experiment by their dotted names, e.g. ``{"policy": "ipg"}``."""
TABLE_4: dict[str, Changes] = {
    **{
        name: {"policy": "next-item", "encoder": name.lower()}
        for name in ("SASRec", "ICLRec", "MStein", "BSARec", "ICSRec")
    },
    "IRN": {"policy": "irn"},
    "IRN, re-planned": {"policy": "irn", "policy_options.mode": "replan"},
    "IPG": {"policy": "ipg"},
    "ITMPRec": {"policy": "itmprec"},
}
SHORT: dict[str, Changes] = {
    "next-item": {"policy": "next-item"},
    "ITMPRec": {"policy": "itmprec"},
    "Foresight": {"policy": "foresight"},
}
"""Plain recommendation, the paper's method and our own planner."""
BEYOND: dict[str, Changes] = {
    "ITMPRec": SHORT["ITMPRec"],
    "Foresight": SHORT["Foresight"],
    "one round": {"policy": "foresight", "policy_options.depth": 1},
    "no learning": {"policy": "foresight", "policy_options.learns": False},
    "no item effects": {"policy": "foresight", "policy_options.item_shrinkage": None},
    "no surprise": {
        "policy": "foresight",
        "policy_options.belief_variance": 0.0,
        "policy_options.laws": [law for law in SHARED if law != "surprise"],
    },
    "one model": {"policy": "foresight", "policy_options.n_models": 1},
    "one view": {"policy": "foresight", "policy_options.other_views": []},
    "interest alone": {"policy": "foresight", "policy_options.worth.step": 0.0},
    "exploring": {"policy": "foresight", "policy_options.optimism": 1.0},
    "paper's law": {"policy": "foresight", "policy_options.laws": []},
    "learning receptivity": {"policy": "foresight", "policy_options.laws": list(PRIORS)},
    "one round of waiting": {"policy": "foresight", "policy_options.longest_wait": 0},
    "nobody leaves": {
        "policy": "foresight",
        "policy_options.worth.leaving": 0.0,
        "policy_options.worth.learns_leaving": False,
    },
}
"""Our own planner, without each of its parts, and with two more."""
REFERENCES: dict[str, Changes] = {
    name: {"policy": name}
    for name in (
        "random",
        "popular",
        "target-now",
        "nearest-to-target",
        "oracle-greedy",
        "oracle-lookahead",
        "oracle-worth",
    )
}
TABLE_3: dict[str, Changes] = {
    "w/o P": {"without": ["P"]},
    "w/o IIS": {"without": ["IIS"]},
    "w/o TIAC": {"without": ["TIAC"]},
    "ITMPRec": {},
}
SENSITIVITY: dict[str, dict[str, int]] = {
    "favourites": {f"Q = {q}": q for q in (1, 5, 10, 20, 30, 40, 50)},
    "intents": {f"{n} intents": n for n in (2, 4, 8, 16, 32, 64, 128, 256)},
}
"""The methods of Figure 4, and the number that each stands for: Q of TIAC, prototypes of IIS."""
FIGURE_4: dict[str, Changes] = {
    **{name: {"policy_options.n_curious": q} for name, q in SENSITIVITY["favourites"].items()},
    **{name: {"protocol.intents.n_intents": n} for name, n in SENSITIVITY["intents"].items()},
}
RIVALS: dict[str, Changes] = {
    "ITMPRec": SHORT["ITMPRec"],
    "IPG": TABLE_4["IPG"],
    "IRN, re-planned": TABLE_4["IRN, re-planned"],
    "ProRL": {"policy": "prorl"},
    "ProRL, re-planned": {"policy": "prorl", "policy_options.mode": "replan"},
    "nearest-to-target": REFERENCES["nearest-to-target"],
    "Foresight": SHORT["Foresight"],
    "Foresight, paper's law": BEYOND["paper's law"],
    "Foresight, learning receptivity": BEYOND["learning receptivity"],
    "oracle-greedy": REFERENCES["oracle-greedy"],
    "oracle-lookahead": REFERENCES["oracle-lookahead"],
}
"""Everybody who guides to targets, between the nearest item and oracles."""
SUITES: dict[str, dict[str, Changes]] = {
    "table4": {**TABLE_4, **REFERENCES},
    "table3": TABLE_3,
    "figure4": FIGURE_4,
    "beyond": {**BEYOND, **REFERENCES},
    "short": SHORT,
    "rivals": RIVALS,
}
