"""Plain-text mathematics made readable: ``c^{2K} z_T / sigma_U`` as HTML with sub- and superscripts and Greek letters.

Statements mix prose and formulas, so a letter counts as mathematics only where it stands alone, and a hyphen as a
minus sign only between such letters, numbers and brackets. Whatever is not recognised stays as it was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

_SMALL = "alpha α beta β gamma γ delta δ epsilon ε eps ε zeta ζ eta η theta θ kappa κ lambda λ mu μ nu ν xi ξ"
_MORE = "pi π rho ρ sigma σ tau τ phi φ chi χ psi ψ omega ω"
_CAPITAL = "Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Phi Φ Psi Ψ Omega Ω"


def _table(words: str) -> dict[str, str]:
    entries = words.split()
    return dict(zip(entries[::2], entries[1::2], strict=True))


GREEK = _table(f"{_SMALL} {_MORE}")
GREEK_CAPITALS = _table(_CAPITAL)
_BIG = {"sum": "∑", "prod": "∏"}
_LIMITS = ("max", "min", "sup", "inf")
_SIGNS = {
    "<=": "≤",
    ">=": "≥",
    "!=": "≠",
    "->": "→",
    "||": "‖",
    "+-": "±",
    "..": "…",
    "...": "…",
    "-": "−",
    "*": "·",
    "'": "′",
}

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<fixed>\b[a-z]\.[a-z]\.|(?<!\S)\(i\)(?!\S)|(?<=\w)'s\b|\d+(?:\.\d+)?e[+-]?\d+\b)"
    r"|(?P<name>[A-Za-z]+(?![A-Za-z0-9]))"
    r"|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<word>[^\W\d_]\w*)"
    r"|(?P<sign><=|>=|!=|->|\|\||\+-|\.\.\.?)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_GREEK_WORD = "|".join(sorted([*GREEK, *GREEK_CAPITALS], key=len, reverse=True))
# What may follow a minus sign or a product: a number, a lone letter, a bracket or the name of something mathematical.
_OPERAND = re.compile(
    rf"\s*(?:[\d(|{{\[]|[A-Za-z](?![A-Za-z])|(?:{_GREEK_WORD}|sqrt|exp|log|sum|prod|grad)(?![A-Za-z]))"
)
# Two factors written without a blank, as in LD/n.
_PRODUCT_FOLLOWS = re.compile(r"[/^]")
# The articles "a" and "A" and the pronoun "I" are letters of a formula only beside one of its signs.
_FORMULA_FOLLOWS = re.compile(r"[_^'*(]|\s*[-+*/=<>|)\]]")
_SET_FOLLOWS = re.compile(r"\s+[A-Z](?![A-Za-z])")
_SCRIPT_WORD = re.compile(r"[A-Za-z]+|\d+")
_DEEPEST = 12


@dataclass
class _Context:
    """What stood before: "start", "operand", "operator", "open" or "prose"; and the lone capital, if it was one."""

    before: str = "start"
    capital: bool = False


def to_html(text: str) -> str:
    """`text` as HTML: formulas typeset with sub, sup, i and span.root, everything escaped; never raises on a string."""
    return _convert(text, formula=False, depth=0)


def _convert(text: str, *, formula: bool, depth: int) -> str:
    """`formula`: inside a script or a root, where every lone letter is a symbol."""
    if depth > _DEEPEST:
        return escape(text)
    pieces: list[str] = []
    context, place = _Context(), 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        assert match is not None  # the last alternative takes any character
        kind, token, place = match.lastgroup, match.group(), match.end()
        capital_before, context.capital = context.capital, kind == "space" and context.capital
        if kind == "space":
            pieces.append(token)
        elif kind == "name":
            html, place = _name(token, text, place, context, formula, depth, capital_before)
            pieces.append(html)
        elif kind == "number":
            html, place = _scripts(text, place, depth, powers_only=True)
            pieces.append(token + html)
            context.before = "operand"
        elif kind == "sign" or token in "<>=+/":
            pieces.append(escape(_SIGNS.get(token, token)))
            context.before = "operator"
        elif token in ("-", "*"):
            pieces.append(_dash_or_star(token, text, place, context, formula))
        elif token in "([{":
            pieces.append(token)
            context.before = "open"
        elif token in ")]}|":
            html, place = _scripts(text, place, depth)
            pieces.append(token + html)
            context.before = "operand"
        else:
            pieces.append(escape(token.replace("'", "’")))
            context.before = "prose"
    return "".join(pieces)


def _name(
    token: str, text: str, place: int, context: _Context, formula: bool, depth: int, capital_before: bool
) -> tuple[str, int]:
    """A run of letters: a symbol with its scripts, a named operator, or a word of prose."""
    following = text[place : place + 1]
    if token == "sqrt" and following == "(":
        end = _closing(text, place, "(", ")")
        if end is not None:
            context.before = "operand"
            inside = _convert(text[place + 1 : end], formula=True, depth=depth + 1)
            return f'√<span class="root">{inside}</span>', end + 1
    if following == "_" and (token in _BIG or token in _LIMITS):
        scripts, end = _scripts(text, place, depth)
        context.before = "operator"
        return _BIG.get(token, token) + scripts, end
    if token == "grad" and (blank := _SET_FOLLOWS.match(text, place)):
        context.before = "operator"
        return "∇", blank.end() - 1
    if token == "in" and capital_before and _SET_FOLLOWS.match(text, place):
        context.before = "operator"
        return "∈", place
    symbol = _symbol(token, context, formula, text, place)
    if symbol is None:
        # A compound name such as step_size is one word, not a formula.
        rest = re.compile(r"\w*").match(text, place)
        end = rest.end() if rest and following == "_" else place
        context.before = "prose"
        return escape(token + text[place:end]), end
    scripts, end = _scripts(text, place, depth, star=True)
    context.before, context.capital = "operand", token.isupper() and len(token) == 1
    return symbol + scripts, end


def _symbol(token: str, context: _Context, formula: bool, text: str, place: int) -> str | None:
    if token in GREEK:
        return f"<i>{GREEK[token]}</i>"
    if token in GREEK_CAPITALS:
        return GREEK_CAPITALS[token]
    if len(token) == 2 and token[0].isupper() and _PRODUCT_FOLLOWS.match(text, place):
        return f"<i>{token}</i>"
    if len(token) > 1:
        return None
    if token in "aAI" and not (formula or context.before == "operator" or _FORMULA_FOLLOWS.match(text, place)):
        return None
    return f"<i>{token}</i>"


def _dash_or_star(token: str, text: str, place: int, context: _Context, formula: bool) -> str:
    """A minus sign or a product where operands stand on both sides, otherwise the character itself."""
    leads = token == "-" and context.before in ("start", "open", "operator")
    operand_follows = _OPERAND.match(text, place) is not None
    if (leads and (formula or operand_follows)) or (context.before == "operand" and operand_follows):
        context.before = "operator"
        return _SIGNS[token]
    context.before = "prose"
    return token


def _scripts(text: str, place: int, depth: int, *, star: bool = False, powers_only: bool = False) -> tuple[str, int]:
    """Primes, a star, at most one subscript and one superscript after a symbol, number or bracket."""
    pieces: list[str] = []
    tags = {"^": "sup"} if powers_only else {"_": "sub", "^": "sup"}
    while place < len(text):
        mark = text[place]
        if mark == "'" and not powers_only and not re.match(r"'s\b", text[place:]):
            pieces.append("′")
            place += 1
        elif mark == "*" and star and re.match(r"\*(?:[\s_^,.;:)\]}|']|$)", text[place:]):
            pieces.append("<sup>*</sup>")
            place, star = place + 1, False
        elif mark in tags and (found := _argument(text, place + 1, depth)) is not None:
            tag, (inside, place) = tags.pop(mark), found
            pieces.append(f"<{tag}>{inside}</{tag}>")
        else:
            break
    return "".join(pieces), place


def _argument(text: str, place: int, depth: int) -> tuple[str, int] | None:
    """What a script holds: a braced group, a word, a number or one sign; None where nothing of the kind follows."""
    if text[place : place + 1] == "{":
        end = _closing(text, place, "{", "}")
        if end is None:
            return None
        return _convert(text[place + 1 : end], formula=True, depth=depth + 1), end + 1
    word = _SCRIPT_WORD.match(text, place)
    if word is not None:
        return _convert(word.group(), formula=True, depth=depth + 1), word.end()
    if place < len(text) and text[place] in "+-*":
        return _SIGNS["-"] if text[place] == "-" else text[place], place + 1
    return None


def _closing(text: str, place: int, opening: str, closing: str) -> int | None:
    """Where the bracket at `place` closes, or None."""
    level = 0
    for position in range(place, len(text)):
        level += (text[position] == opening) - (text[position] == closing)
        if level == 0:
            return position
    return None
