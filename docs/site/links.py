"""Links of a built site that lead nowhere: pages, files, and places within pages."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LEADS = {"a": "href", "img": "src", "link": "href", "script": "src", "source": "src"}


class _Page(HTMLParser):
    """Where a page leads, and the places that others may name."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        self.places |= {value for value in (of.get("id"), of.get("name")) if value}
        lead = of.get(LEADS.get(tag, ""))
        # The address that a page gives itself is that of the published site.
        if lead and of.get("rel") not in ("canonical", "alternate"):
            self.leads.append(lead)


def broken(site: Path) -> list[str]:
    """What leads nowhere, in words; links to other hosts are not followed."""
    pages = {path.resolve(): _Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        if path.name == "404.html":  # served from any address, so its links begin at the root
            continue
        found += [
            f"{path.relative_to(site.resolve())} leads to {lead}"
            for lead in dict.fromkeys(page.leads)
            if not _leads(path, lead, pages)
        ]
    return found


def _leads(path: Path, lead: str, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(lead)
    if parts.scheme or parts.netloc:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return False
    place = unquote(parts.fragment)
    return not place or target not in pages or place in pages[target].places
