"""Whether a text looks like a real secret: its randomness, and the words that stand for one in examples."""

from __future__ import annotations

import base64
import itertools
import math
import re
from collections import Counter

_WORDS = re.compile(
    rb"(?i)example|sample|changeme|change|placeholder|password|passwd|passwort|pass|pwd|your|secret|token|dummy|fake|mock|"
    rb"test(?:ing|er)?|demo|default|insert|here|replace|redacted|hidden|admin|root|user(?:name)?|login|foo|bar|baz|qux|"
    rb"spam|eggs|hunter|correct|horse|battery|staple|letmein|qwerty|string|value|null|none|undefined|true|false|todo|"
    rb"name|key|auth|api|my|the|valid|invalid|wrong|bad|good|some|random|super|very|long|new|old|abcd?(?:efg?h?)?|"
    rb"0?123(?:4(?:5(?:6(?:7(?:89?)?)?)?)?)?|xyz|lorem|ipsum|hello|world|swordfish|monkey|dragon|alice|bob|"
    rb"client|server|access|private|public|id|anoncvs|anonymous|account|base64|encoded|debian|ubuntu|repo|owner|org|"
    rb"not|real|more|less|site|host|port|data|some|payload|john|doe|jane|api"
)
_REFERENCE = re.compile(
    rb"[${}<>%()\[\]|`]|\.\.\.|\*{3}|^(?:/|\./|~/|https?:|file:|env:|vault:|arn:|op:)|\\[nrtux0]|::"
)
_PUBLISHED = frozenset({  # RFC 6749, RFC 6750
    b"2YotnFZFEjr1zCsicMWpAA", b"tGzv3JOkF0XG5Qx2TlKWIA", b"SplxlOBeZQQYbYS6WxSbIA", b"czZCaGRSa3F0MzpnWDFmQmF0M2JW",
})  # fmt: skip
_NAMES = re.compile(rb"(?:[a-z]*[0-9]{0,3}[_.:/-]){1,8}[a-z]*[0-9]{0,3}|[A-Za-z]{3,}[0-9]{0,3}|[0-9.:TZ-]+")
_PARTS = re.compile(rb"[A-Z][a-z]{3,}|[a-z]{4,}|\b[A-Z]{3,}(?![a-z])")
_FILE = re.compile(rb"\.[A-Za-z]{1,5}$")


def entropy(value: bytes) -> float:
    """Shannon's entropy in bits a byte."""
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values()) if total else 0.0


def is_placeholder(value: bytes) -> bool:
    """Whether a value is made of the words of examples, is a reference to another value, or repeats itself."""
    if value in _PUBLISHED or b"EXAMPLE" in value or _REFERENCE.search(value) or len(set(value)) < min(6, len(value)):
        return True
    rest = re.sub(rb"[^A-Za-z]", b"", _WORDS.sub(b"", value))
    return len(rest) < 3 or _counts_up(value)


def is_random(value: bytes, least_bits: float) -> bool:
    """Whether a value has letters, digits, and the entropy of a made secret; also what it is base64 of."""
    letters = re.search(rb"[A-Za-z]", value)
    digits = re.search(rb"[0-9]", value)
    if not (letters and digits) or entropy(value) < least_bits or is_placeholder(value) or is_name(value):
        return False
    return not _is_encoded_placeholder(value)


def is_password(value: bytes) -> bool:
    """Whether a short value looks like a password: two classes of characters at least, and no name of a thing."""
    if is_placeholder(value) or _FILE.search(value) or _is_encoded_placeholder(value):
        return False
    classes = sum(bool(re.search(one, value)) for one in (rb"[a-z]", rb"[A-Z]", rb"[0-9]", rb"[^A-Za-z0-9_.:/-]"))
    return classes >= 2 and bool(re.search(rb"[0-9]", value)) and entropy(value) >= 2.7 and not is_name(value)


def is_name(value: bytes) -> bool:
    """An identifier, a version, a date: `oauth2_flow`, `libsecret-1-0`, `Utf8TokenOfTheParser`."""
    if _NAMES.fullmatch(value):
        return True
    words = sum(len(word) for word in _PARTS.findall(value))
    return words * 10 >= len(value) * 6 and len(re.findall(rb"[0-9]", value)) * 7 <= len(value)


def _is_encoded_placeholder(value: bytes) -> bool:
    """Whether a value is base64 of a text that is a placeholder, or a user's name and a placeholder."""
    try:
        text = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except ValueError:
        return False
    if not (text.isascii() and text.decode().isprintable()):
        return False
    return is_placeholder(text.rpartition(b":")[2].replace(b" ", b""))


def _counts_up(value: bytes) -> bool:
    """`abcdefgh12345678`, `0123456789abcdef`: most characters follow the one before."""
    steps = sum(after - before == 1 for before, after in itertools.pairwise(value))
    return steps * 2 > len(value)
