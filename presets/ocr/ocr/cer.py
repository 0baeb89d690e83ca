"""How far a text that was read is from the text that was there."""

from __future__ import annotations

# The same sign in full and half width looks alike in print, and gaps are the layout's: neither is an error.
_SAME = str.maketrans({"：": ":", "，": ",", "（": "(", "）": ")", " ": "", "\u3000": "", "\n": "", "\t": ""})


def distance(left: str, right: str) -> int:
    """The fewest insertions, deletions and replacements that make `left` into `right`."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


def error_rate(found: str, wanted: str) -> float:
    """Edits per character of the wanted text; 1.0 for an empty `found`."""
    text = wanted.translate(_SAME)
    return distance(found.translate(_SAME), text) / len(text)
