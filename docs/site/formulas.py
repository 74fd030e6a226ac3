"""Formulas as MathML, which browsers show by themselves: no script, no font, nothing fetched."""

import re

from docutils.utils.math.latex2mathml import tex2mathml

MEANT_BY_MARKDOWN = "*_|`[]\\"
ACCENTED = re.compile(
    r"(\\(?:hat|widehat|bar|tilde)(?![a-zA-Z]) *(?:\{[^{}]*\}|\\[a-zA-Z]+|[a-zA-Z]))(?=[_^])"
)


def mathml(tex: str, *, display: bool = False) -> str:
    r"""A formula in TeX, such as ``\sigma(x)``, as HTML that Markdown leaves alone."""
    # MathML sizes brackets by itself, and the converter has one name for dots.
    plain = re.sub(r"\\[Bb]igg?[lr]?(?![a-zA-Z])", "", tex).replace(r"\dots", r"\ldots")
    plain = plain.replace("\n", " ").strip()
    plain = re.sub(r"(\\[td]?frac) *(\d)(\d)", r"\1{\2}{\3}", plain)  # to the converter, 12 is one
    plain = ACCENTED.sub(r"\1{}", plain)  # else the converter puts the index below the letter
    made = re.sub(r">\s+<", "><", tex2mathml(plain, as_block=display))
    text = re.sub(r"(?<=>)[^<]+(?=<)", lambda found: _escaped(found[0]), made)
    return f'<span class="formula">{text}</span>'


def _escaped(text: str) -> str:
    return "".join(f"&#{ord(one)};" if one in MEANT_BY_MARKDOWN else one for one in text)
