"""Who may import whom: read off the source, so that no import order hides a breach."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import proactrec

ROOT = Path(proactrec.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

BASE = ("types", "errors", "rng", "config", "names", "progress", "plugins", "files", "worth")
IN_ORDER = (
    BASE,
    ("data",),
    (
        *("threads", "gpu", "parallel", "ranking", "optimizers", "tables", "training"),
        *("arousal", "graphau", "intents", "content", "cold_start"),
    ),
    ("encoders", "irn", "prorl"),
    ("targets", "suggestions", "retrieval"),
    ("journeys",),
    ("policies",),
    ("guidance",),
    ("fitting",),
)
SIMULATOR = (*BASE, "data", "threads", "gpu", "ranking", "arousal", "simulator")
CORE = tuple(name for group in IN_ORDER for name in group)
STORE = (*CORE, "measurement", "store")
TOLD = ("serving.schemas", "serving.courses", "serving.brought", "serving.words")
"""What the service tells of campaigns: their page says the same."""
SCHEMAS = ("schemas", "brought", "courses", "keeping", "learned", "looking", "studies")
ALLOWED = {
    "measurement": (*BASE, "data", "measurement"),
    **{
        part: tuple(name for group in IN_ORDER[: at + 1] for name in group)
        for at, group in enumerate(IN_ORDER)
        for part in group
    },
    "simulator": SIMULATOR,
    "evaluation": (*CORE, "measurement", "simulator", "evaluation"),
    "testing": (*CORE, "simulator", "evaluation", "store", "testing"),
    "store": STORE,
    "serving": (*STORE, "serving", "report.campaign_page"),
    "console": (
        *(
            "errors",
            "config",
            "console",
            "serving.calling",
            "serving.client",
            "serving.rates",
            "serving.words",
        ),
        "store.campaign",
        *(f"serving.{part}" for part in SCHEMAS),
    ),
    "shoppers": (*SIMULATOR, "store.campaign", "serving.schemas", "shoppers"),
    "worker": (*STORE, "serving", "simulator", "evaluation", "worker"),
    "distributed": (*CORE, "measurement", "simulator", "evaluation", "distributed"),
    "report": (*BASE, "data", "measurement", "guidance.log", "report", *TOLD),
    "llm": (*CORE, "measurement", "simulator", "evaluation", "llm"),
    "gym": (*CORE, "simulator", "evaluation", "gym"),
    "estimating": (*CORE, "simulator", "estimating"),
}
NOT_IN_CORE = {
    *("matplotlib", "jinja2", "typer", "aiohttp", "sentence_transformers", "gymnasium"),
    *("sqlalchemy", "alembic", "psycopg", "fastapi", "starlette", "uvicorn", "httpx2", "argon2"),
    *("prometheus_client", "opentelemetry", "joserfc", "nicegui", "numba", "ray", "openvino"),
}
WITH_EXTRAS = (
    *("report", "cli", "console", "gym", "store", "serving", "worker", "shoppers"),
    *("testing.databases", "retrieval.bounds", "retrieval.passes"),
    *("distributed.on_ray", "distributed.training_on_ray"),
    "__main__",
)
UNSAFE = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def has_extras(module: str) -> bool:
    """Whether a module may stand on extras of the package."""
    return any(module == part or module.startswith(f"{part}.") for part in WITH_EXTRAS)


def imports_of(tree: ast.AST) -> list[str]:
    """Full dotted names; `from a import b` gives both a and a.b, since b may be a module."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the direction"
            found += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def breaches(module: str, imported: list[str]) -> list[str]:
    """Imports of proactrec modules that `module` has no right to."""
    part = module.split(".")[0]
    if part in ("", "cli", "__main__"):
        return []
    assert part in ALLOWED, f"{module}: say in tests/test_imports.py where {part!r} stands"
    allowed = ALLOWED[part]
    inside = [n.removeprefix("proactrec.") for n in imported if n.startswith("proactrec.")]
    # `from proactrec.a import b` names proactrec.a and proactrec.a.b: one allowed is enough.
    return [
        name
        for name in inside
        if not any(name == a or name.startswith(f"{a}.") for a in allowed)
        and not any(other.startswith(f"{name}.") for other in inside)
    ]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_one_way(path: Path) -> None:
    module = module_of(path)
    found = breaches(module, imports_of(ast.parse(path.read_text())))
    assert not found, f"proactrec.{module} imports {found}; allowed: see ALLOWED in this file"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_core_needs_no_extra_and_nobody_unpickles(path: Path) -> None:
    module, tree = module_of(path), ast.parse(path.read_text())
    roots = {name.split(".")[0] for name in imports_of(tree)}
    banned = UNSAFE if has_extras(module) else UNSAFE | NOT_IN_CORE
    if module == "data.describe":
        banned = banned - {"matplotlib"}  # its plots; the next test says that it waits for the call
    if module in ("llm.transport", "llm.http"):
        banned = banned - {"aiohttp"}  # likewise
    if module == "encoders.runtime":
        banned = banned - {"openvino"}  # likewise
    if module == "content":
        banned = banned - {"sentence_transformers"}  # likewise
    assert not roots & banned, f"proactrec.{module} imports {roots & banned}"
    loads = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "torch.save")
    ]
    assert not loads, f"proactrec.{module} unpickles in lines {loads}: use safetensors"


def test_importing_the_core_loads_no_extra() -> None:
    core = [module_of(p) for p in FILES if not has_extras(module_of(p))]
    names = ", ".join(f"proactrec.{name}" for name in core if name)
    code = f"import sys, {names}; print(*{NOT_IN_CORE!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("missing", ["sqlalchemy", "alembic", "psycopg", "argon2"])
def test_a_store_without_its_extra_says_how_to_install_it(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from proactrec.errors import MissingExtraError\n"
        "try: import proactrec.store.database\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'proactrec[serve]'" in done.stdout


def test_fitting_a_policy_loads_no_simulated_user() -> None:
    policies = "[policy_type(name) for name in POLICIES if not name.startswith('oracle-')]"
    code = (
        "import sys, proactrec.fitting.fitting\n"
        f"from proactrec.policies.registry import POLICIES, policy_type\n{policies}\n"
        "print(*(name for name in sys.modules if name.startswith('proactrec.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = done.stdout.split()
    assert "proactrec.policies.foresight" in found
    wrong = ("proactrec.simulator", "proactrec.evaluation", "proactrec.cli")
    assert [name for name in found if name.startswith(wrong)] == []


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("data.load", "from proactrec.encoders import base", ["encoders.base"]),
        ("intents", "from proactrec.encoders.iclrec import ICLRec", ["encoders.iclrec.ICLRec"]),
        ("encoders.iclrec", "from proactrec.intents import cluster", []),
        ("simulator.environment", "import proactrec.policies.base", ["policies.base"]),
        ("simulator.environment", "from proactrec import graphau", ["graphau"]),
        ("report.html", "from proactrec.guidance.log import GuidanceLog", []),
        ("report.html", "from proactrec.guidance import log", []),
        ("report.html", "from proactrec.evaluation import rollout", ["evaluation.rollout"]),
        ("report.campaign_page", "from proactrec.serving.schemas import CampaignNow", []),
        ("report.campaign_page", "from proactrec.serving import host", ["serving.host"]),
        ("serving.reporting", "from proactrec.report import html", ["report.html"]),
        ("fitting.fitting", "from proactrec.evaluation import metrics", ["evaluation.metrics"]),
        ("fitting.fitting", "from proactrec.simulator import prior", ["simulator.prior"]),
        ("fitting.fitting", "from proactrec.policies import base", []),
        ("policies.registry", "from proactrec.fitting import artefacts", ["fitting.artefacts"]),
        ("guidance.log", "def f():\n    from proactrec.report import html", ["report.html"]),
        ("llm.agent", "from proactrec.simulator import response", []),
        ("llm.agent", "from proactrec.encoders import base", []),
        ("llm.agent", "from proactrec.report import html", ["report.html"]),
        ("evaluation.protocols", "from proactrec.llm import client", ["llm.client"]),
        ("evaluation.rollout", "from proactrec import gym", ["gym"]),
        ("gym", "from proactrec.evaluation import rollout", []),
        ("estimating.parts", "from proactrec.simulator.response import N_RECENT", []),
        ("estimating.parts", "from proactrec.evaluation import rollout", ["evaluation.rollout"]),
        ("guidance.guide", "from proactrec.estimating import size", ["estimating.size"]),
        ("measurement.uplift", "from proactrec.guidance import log", ["guidance.log"]),
        ("measurement.sums", "from proactrec.graphau import fit_graphau", ["graphau.fit_graphau"]),
        ("store.log", "from proactrec.guidance.rails import RailsOptions", []),
        ("store.log", "from proactrec.evaluation import rollout", ["evaluation.rollout"]),
        ("serving.app", "from proactrec.simulator import world", ["simulator.world"]),
        ("worker.jobs", "from proactrec.evaluation import forecast", []),
        ("distributed.plans", "from proactrec.guidance import ledger", []),
        ("distributed.plans", "from proactrec.serving import host", ["serving.host"]),
        ("guidance.guide", "from proactrec.distributed import plans", ["distributed.plans"]),
        ("guidance.guide", "from proactrec.store import log", ["store.log"]),
        ("targets", "from proactrec.policies.base import Policy", ["policies.base.Policy"]),
    ],
)
def test_rules_catch_what_they_should(module: str, source: str, expected: list[str]) -> None:
    assert breaches(module, imports_of(ast.parse(source))) == expected
