"""The settings of a training from the part of YAML that a program writes them in.

Only entries of the outermost mapping are known, with values on one line, flat lists and flat
mappings. Nothing is constructed from tags, and anchors are not followed: an entry that has such
a thing, or one nested deeper, is kept as `Strange`, which matters only if it is asked for.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

LONGEST = 1 << 20  # characters; a training has some thousands

_ENTRY = re.compile(r"([A-Za-z_]\w*):(?: (.*))?")
_NESTED_ENTRY = re.compile(r"\s+(['\"]?)([\w.-]+)\1: (.+)")
_ITEM = re.compile(r"\s*- (.+)")
_WORDS = {"null": None, "~": None, "true": True, "false": False}
_INDICATORS = "!&*|>%@`[]{}#,?"


@dataclass(frozen=True, slots=True)
class Strange:
    """An entry that is written in a way that is not known here."""

    text: str


Value = str | int | float | bool | None | list[object] | dict[str, object] | Strange


def read_settings(text: str) -> dict[str, Value]:
    """Entries of the outermost mapping.

    Raises
    ------
    ValueError
        If the text is no such mapping.
    """
    if len(text) > LONGEST:
        raise ValueError(f"settings of more than {LONGEST} characters")
    entries: dict[str, tuple[str, list[str]]] = {}
    below: list[str] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#") or line in {"---", "..."}:
            continue
        if line[0] in " -":
            below.append(line)
            continue
        match = _ENTRY.fullmatch(line)
        if match is None or match[1] in entries:
            raise ValueError(f"settings with the line {line[:80]!r}")
        below = []
        entries[match[1]] = (match[2] or "", below)
    return {name: _value(here.strip(), lines) for name, (here, lines) in entries.items()}


def _value(here: str, below: list[str]) -> Value:
    try:
        if not below:
            return _scalar(here) if here else None
        if here:
            raise ValueError("a value that goes on on the next line")
        if items := [_ITEM.fullmatch(line) for line in below]:
            if all(items):
                return [_scalar(item[1]) for item in items if item]
            pairs = [_NESTED_ENTRY.fullmatch(line) for line in below]
            if all(pairs):
                return {pair[2]: _scalar(pair[3]) for pair in pairs if pair}
        raise ValueError("a nested value")
    except ValueError:
        return Strange(" ".join([here, *below])[:80])


def _scalar(text: str) -> str | int | float | bool | list[object] | dict[str, object] | None:
    text = text.strip()
    if text in {"[]", "{}"}:
        return [] if text == "[]" else {}
    if text.startswith('"'):
        word = json.loads(text)
        if not isinstance(word, str):
            raise ValueError("no text in quotes")
        return word
    if text.startswith("'"):
        if len(text) < 2 or not text.endswith("'") or "'" in text[1:-1].replace("''", ""):
            raise ValueError("quotes that do not close")
        return text[1:-1].replace("''", "'")
    if text[0] in _INDICATORS or ": " in text or text.endswith(":") or " #" in text:
        raise ValueError("more than a word")
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
