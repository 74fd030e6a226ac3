"""`make docs`: the site, from docs/, docstrings and commands. Whatever is broken is an error.

Three things end the build: a link, or a place within a page, that is not there; a page that the
navigation leaves out; what the site's generator warns of. Nothing is fetched.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from html import escape
from pathlib import Path
from typing import Any

import links
import pages
import reference
import yaml

HERE = Path(__file__).resolve().parent
ROOT, DOCS = HERE.parents[1], HERE.parent
IMAGES = ("*.png", "*.jpg", "*.svg")


def main() -> int:
    """Build, and say what is broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--into", type=Path, default=ROOT / "runs" / "docs", help="folder to fill")
    parser.add_argument("--publish", type=Path, help="folder of all versions, to put this one into")
    asked = parser.parse_args()
    problems = build(asked.into.resolve(), is_published=asked.publish is not None)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        return 1
    print(f"open {asked.into / 'site' / 'index.html'}")
    if asked.publish is not None:
        publish(asked.into / "site", asked.publish, project()["version"])
    return 0


def project() -> dict[str, Any]:
    """What pyproject.toml says of the project."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def build(into: Path, *, is_published: bool) -> list[str]:
    """Make INTO/site anew; what is wrong with it. Only what is published has other versions."""
    source, site = into / "source", into / "site"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    repository = project()["urls"].get("Source", project()["urls"]["Documentation"])
    made = reference.pages()
    try:
        write(source, repository, made)
    except pages.BrokenLinkError as error:
        return [str(error)]
    settings = yaml.safe_load((HERE / "mkdocs.yml").read_text())
    nav = navigation(settings["nav"], source, made)
    if missing := sorted(found(source) - set(listed(nav))):
        return [f"the navigation leaves out {one}: see docs/site/mkdocs.yml" for one in missing]
    settings |= {"nav": nav, "docs_dir": "source", "site_dir": "site"}
    options = settings["plugins"][-1]["mkdocstrings"]["handlers"]["python"]
    options["paths"] = [str(ROOT / "src")]
    options["options"]["extensions"] = [str(HERE / "docstrings.py")]
    settings["hooks"] = [str(HERE / "rendered.py")]
    if not is_published:
        del settings["extra"]["version"]
    settings["site_description"] = project()["description"]
    (into / "mkdocs.yml").write_text(yaml.safe_dump(settings, sort_keys=False))
    if told := generated(into):
        return told
    return links.broken(site)


def write(source: Path, repository: str, made: list[reference.Page]) -> None:
    """All pages and files of the site, as its generator reads them."""
    shutil.copytree(DOCS, source, ignore=shutil.ignore_patterns("site", "__pycache__"))
    plots = [str(ROOT / "benchmarks" / "plots.py"), "--results", str(source / "results")]
    subprocess.run([sys.executable, *plots], check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(
        HERE,
        source / "assets",
        ignore=lambda _, names: {name for name in names if not name.endswith((".css", ".js"))},
    )
    for path in found(source):
        file = source / path
        file.write_text(pages.page(file.read_text(), path, repository))
    (source / "gallery.md").write_text(gallery(source))
    for page in made:
        (source / page.path).parent.mkdir(parents=True, exist_ok=True)
        (source / page.path).write_text(page.text)


def found(source: Path) -> set[str]:
    """Paths of all pages."""
    return {path.relative_to(source).as_posix() for path in source.rglob("*.md")}


def gallery(source: Path) -> str:
    """A page of the first picture of every page that has one."""
    text = [
        "# Gallery",
        "The first picture of each page that has one; the page says what it shows, "
        "how it was made, and by which command.",
    ]
    for path in sorted(found(source) - {"index.md"}):
        lines = (source / path).read_text().splitlines()
        title = next(line.lstrip("# ") for line in lines if line.startswith("# "))
        picture = next((line for line in lines if line.startswith("[![")), None)
        if picture is not None:
            folder = Path(path).parent.as_posix()
            words, _, file = picture.removeprefix("[![").partition("](")
            file = file.partition(")")[0]
            text.append(f"## [{title}]({path})")
            text.append(f"[![{words}]({folder}/{file}){{ loading=lazy }}]({path})")
    return "\n\n".join(text) + "\n"


def navigation(nav: list[Any], source: Path, made: list[reference.Page]) -> list[Any]:
    """The navigation with patterns replaced by pages, and with those of the reference."""
    named = {one for one in listed(nav) if "*" not in one}
    whole = [_expanded(part, source, named) for part in nav]
    (last,) = (part for part in whole if "Reference" in part)
    commands = [{page.title: page.path} for page in made if "/commands/" in page.path]
    last["Reference"][1:1] = [{"Commands": commands}, {"Modules": _tree(made)}]
    return whole


def _expanded(part: Any, source: Path, named: set[str]) -> Any:
    if isinstance(part, str):
        return part
    ((title, inner),) = part.items()
    if isinstance(inner, str) and "*" in inner:
        matching = {path for path in found(source) if fnmatch(path, inner)} - named
        return {title: sorted(matching, key=lambda path: (Path(path).stem != "index", path))}
    if isinstance(inner, list):
        return {title: [_expanded(one, source, named) for one in inner]}
    return part


def _tree(made: list[reference.Page]) -> list[Any]:
    """Modules by package."""
    tree: dict[str, Any] = {}
    for page in made:
        if "/modules/" in page.path:
            package, _, rest = page.title.partition(".")
            if rest:
                tree.setdefault(package, []).append({rest: page.path})
            else:
                tree.setdefault(page.title, []).insert(0, {page.title: page.path})
    return [
        {name: one[0][name]} if len(one) == 1 and name in one[0] else {name: one}
        for name, one in tree.items()
    ]


def listed(nav: Any) -> Iterator[str]:
    """Paths that a navigation names."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for inner in nav.values():
            yield from listed(inner)
    else:
        for inner in nav:
            yield from listed(inner)


def generated(into: Path) -> list[str]:
    """Run the generator, which checks links in its own way; what it complains of."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "--config-file", str(into / "mkdocs.yml")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT / "src")])},
        capture_output=True,
        text=True,
        check=False,
    )
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def publish(site: Path, versions: Path, version: str) -> None:
    """Put a version beside the others, and lead whoever names none to the newest."""
    versions.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(versions / version, ignore_errors=True)
    shutil.copytree(site, versions / version)
    there = sorted(
        (path.name for path in versions.iterdir() if path.is_dir()),
        key=lambda name: [int(part) if part.isdigit() else -1 for part in name.split(".")],
        reverse=True,
    )
    told = [{"version": one, "title": one, "aliases": []} for one in there]
    (versions / "versions.json").write_text(json.dumps(told))
    newest = escape(there[0])
    (versions / "index.html").write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>proactrec</title>'
        f'<meta http-equiv="refresh" content="0; url={newest}/">'
        f'<a href="{newest}/">proactrec {newest}</a></html>\n'
    )


if __name__ == "__main__":
    sys.exit(main())
