"""The reference's pages, once they are HTML: no dash that nothing follows, no tuple of errors.

The site's generator loads this file by its path, see build.py.
"""

import re
from typing import Any

NOTHING_TOLD = re.compile(r'\s*–\s*<div class="doc-md-description">\s*</div>')
ERRORS = re.compile(r"<code>\(((?:(?!</code>).)*Error(?:(?!</code>).)*)\)</code>", re.S)


def on_page_content(html: str, **_: Any) -> str:
    """What a page shows; the generator calls this by its name."""
    return ERRORS.sub(r"<code>\1</code>", NOTHING_TOLD.sub("", html))
