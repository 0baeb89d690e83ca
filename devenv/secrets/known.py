"""This user's own secrets, to be found wherever they lie: as they are, quoted, escaped and in base64."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from devenv.doors.settings.credentials import Credential
from devenv.secrets.values import is_placeholder

LEAST = 8
"""Characters of the shortest value that is looked for: shorter ones are in every file by chance."""
_FRAGMENT = re.compile(rb"[A-Za-z0-9_-]{20,}")


@dataclasses.dataclass(frozen=True, slots=True)
class _Needle:
    origin: str
    form: bytes
    fragment: bytes
    """A part of it that lies in a long run of token characters; empty where it has none."""


@dataclasses.dataclass(frozen=True, slots=True)
class KnownValues:
    """Values to look for, each with its origin, such as `the proxy`. They are in no `repr`."""

    _needles: tuple[_Needle, ...] = dataclasses.field(default=(), repr=False)

    @classmethod
    def of(cls, credentials: Iterable[Credential]) -> KnownValues:
        """Of values with 8 characters at least that are no common word."""
        origins = {
            one.value: one.origin
            for one in credentials
            if len(one.value) >= LEAST and not (one.value.isalpha() and is_placeholder(one.value.encode()))
        }
        forms = {form: origin for value, origin in origins.items() for form in _forms(value)}
        return cls(tuple(_Needle(origin, form, _fragment(form)) for form, origin in sorted(forms.items())))

    def __bool__(self) -> bool:
        return bool(self._needles)

    def find(self, data: bytes, runs: bytes) -> Iterator[tuple[int, str]]:
        """(position, origin) of each value that `data` holds; `runs` are its long runs of token characters, joined."""
        for needle in self._needles:
            if needle.fragment and needle.fragment not in runs:
                continue
            at = data.find(needle.form)
            while at >= 0:
                yield at, needle.origin
                at = data.find(needle.form, at + 1)


def _fragment(form: bytes) -> bytes:
    return max(_FRAGMENT.findall(form), key=len, default=b"")


def _forms(value: str) -> Iterator[bytes]:
    plain = value.encode()
    yield plain
    yield quote(value, safe="").encode()
    yield json.dumps(value)[1:-1].encode()
    yield json.dumps(value, ensure_ascii=False)[1:-1].encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # The first and last characters also depend on the bytes before and after.
            first, bits = (0, 2, 3)[shift], (shift + len(plain)) * 8
            form = encode(bytes(shift) + plain)[first : bits // 6]
            if len(form) >= LEAST:
                yield form
