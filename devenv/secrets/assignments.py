"""Secrets that are known by what stands before them: `password = "…"`, `api_key: …`, logins in addresses, netrc."""

from __future__ import annotations

import re
from collections.abc import Iterator

from devenv.secrets.values import entropy, is_password, is_placeholder, is_random

Hit = tuple[int, str, str]
"""Position, kind, reason."""

_NAME = rb"(?:[a-z0-9_.-]{0,30}[\"'\]]{0,2}[ \t]{0,8}(?::[ \t]?(?:str|string)[ \t]?)?(?:=>|:=|=|:)[ \t]{0,4})"
_QUOTED = rb"(?:[rbuf]?(?P<quote>\\?[\"'])(?P<quoted>[^\"'\s\\]{8,200})(?P=quote))"
_BARE = rb"(?P<bare>[^\s\"'\\]{8,200})(?=[ \t]*(?:[#;][^\n]*)?(?:\r?\n|\\n|$))"
_ASSIGNED = re.compile(
    rb"(?:passw(?:or)?d|passphrase|pwd|secret(?:[_-]?(?:access|app|client|api))?(?:[_-]?key)?)" + _NAME
    + rb"(?:" + _QUOTED + rb"|" + _BARE + rb")", re.IGNORECASE,
)  # fmt: skip
_HASHED = re.compile(
    rb"passw(?:or)?d[a-z0-9_.]{0,20}[\"'\]]{0,2}[ \t]{0,4}[=:][ \t]{0,4}[ub]?[\"']"
    rb"(?:argon2:\$argon2|sha(?:1|256|512):[0-9a-f]{8,}:|\$2[aby]\$|\$argon2|\$6\$|scrypt:|pbkdf2:)", re.IGNORECASE,
)  # fmt: skip
_LINE_START = re.compile(
    rb"(?:^|\n|\\n)[ \t]*(?:-[ \t]+)?(?:export[ \t]+|set[ \t]+|ENV[ \t]+|ARG[ \t]+)?[A-Za-z0-9_.-]*\Z"
)
_NETRC = re.compile(
    rb"(?:^|\s)(?:machine\s{1,8}(?!\S*\bexample)\S{1,200}|default)\s{1,8}login\s{1,8}\S{1,100}\s{1,8}"
    rb"(?:account\s{1,8}\S{1,100}\s{1,8})?password\s{1,8}(?P<value>[^\s\0]{6,200})"
)
_URL = re.compile(
    rb"://(?P<user>[^\s/@:\"'<>`\\]{0,80}):(?P<value>[^\s/@\"'<>`\\]{1,400})@(?P<host>[A-Za-z0-9\[][\w.:\]-]*)"
)
_NO_HOST = re.compile(rb"\bexample\b|^(?:server|host|hostname|sha)\b")
_TOKEN_URL = re.compile(rb"://(?P<value>[\w.~%-]{20,400})@[A-Za-z0-9]")
_DOCKER = re.compile(rb"\"auth\\?\"\s{0,8}:\s{0,8}\\?\"\Z")
_AZURE = re.compile(rb"(?:(?<=Account)|(?<=Access))Key=(?P<value>[A-Za-z0-9+/]{42,88}={1,2})")
_LONG_URL = 1200
_SAS = re.compile(rb"sig=(?P<value>[A-Za-z0-9%+/]{40,80}(?:%3[Dd]|=))")

_LONG_NAME = re.compile(
    rb"(?:(?:api|access|auth|account|app|client|encryption|master|service|signing|secret|private|ssh|storage)"
    rb"[_ .-]?key(?:[_-]?data)?"
    rb"|token|secret(?:[_-]?(?:access|key)){0,3}|passw(?:or)?d|credentials?|authorization|\bauth|bearer)"
    rb"(?:[_-]?(?:id|value|string))?[\"'\]\\]{0,3}\s{0,4}(?:=>|:=|[=:])\s{0,4}(?:(?:bearer|basic|token)\s)?[rbuf]?\\?[\"']?\Z",
    re.IGNORECASE,
)
_HEADER = re.compile(rb"authorization[\"']?\s{0,4}[:=,]\s{0,4}[\"']?(?:bearer|basic|token)\s{1,4}\Z", re.IGNORECASE)
_HOOK = re.compile(
    rb"(?:hooks\.slack\.com/(?:services|workflows)/[\w/]{10,60}/|discord(?:app)?\.com/api/webhooks/[0-9]{10,24}/"
    rb"|webhook\.office\.com/\S{40,160}/|api\.telegram\.org/bot[0-9]{6,12}:|oapi\.dingtalk\.com/robot/send\?access_token="
    rb"|open\.feishu\.cn/open-apis/bot/v2/hook/|qyapi\.weixin\.qq\.com/cgi-bin/webhook/send\?key=)\Z"
)
_CUE = re.compile(rb"key|token|secret|passw|credential|auth|bearer")
_KAGGLE = re.compile(rb"\"username\"\s*:\s*\"[^\"]+\"\s*,\s*\"key\"\s*:\s*\"\Z")
_BOT = re.compile(rb"(?<![0-9A-Za-z])[0-9]{8,10}:\Z")
_VALUE = re.compile(rb"[\w+/=.~-]{20,4000}")
_HASHES = re.compile(rb"[0-9a-fA-F]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PUBLIC_NAME = re.compile(
    rb"(?:public|site|csrf|next|page|sync|continuation|integrity|cache|nonce|checksum|digest|sha)[_.-]?\w*[\"']?\s*[=:]",
    re.IGNORECASE,
)


def assigned(data: bytes, at: int) -> Iterator[Hit]:
    """A value that is assigned to the word at this position: `passw…`, `pwd`, `secret…`."""
    if data[at - 1 : at].isspace() and data[at + 8 : at + 9].isspace() and b"login" in data[max(0, at - 320) : at]:
        login = _NETRC.search(data, max(0, at - 420), at + 220)
        if login and _is_login(login["value"]) and login.end() > at:
            yield at, "netrc", "a login as netrc has it"
        return
    hashed = _HASHED.match(data, at)
    if hashed:
        yield at, "password-hash", "the hash of a password"
        return
    found = _ASSIGNED.match(data, at)
    if found is None:
        return
    value = found["quoted"] or found["bare"]
    if found["bare"] and not _LINE_START.search(data, max(0, at - 60), at):
        return  # in code, what has no quotes is a name
    if is_password(value):
        yield at, "password", "a password or secret that is assigned to a name"


def logins(data: bytes) -> Iterator[Hit]:
    """Logins and signatures in addresses, as git, pip and apt keep them."""
    for at in _each(data, b"://"):
        found = _URL.match(data, at)
        if (place := data.find(b"sig=", at, at + _LONG_URL)) >= 0:
            signed = _SAS.match(data, place)
            if signed and entropy(signed["value"]) > 4:
                yield at, "azure-key", "a signed address (SAS)"
        if found:
            if _is_login(found["value"]) and not _NO_HOST.search(found["host"]):
                yield at, "url-login", "a password in an address"
            continue
        found = _TOKEN_URL.match(data, at)
        if found and is_random(found["value"], 3.3) and data[max(0, at - 5) : at].lower().endswith((b"http", b"https")):
            yield at, "url-login", "a token in an address"


def azure(data: bytes) -> Iterator[Hit]:
    """Keys of Azure: known by the word before them, because `+` and `/` cut their runs of characters."""
    for at in _each(data, b"Key="):
        found = _AZURE.match(data, at)
        if found and entropy(found["value"]) > 4:
            yield at, "azure-key", "a key of Azure"


def _is_login(value: bytes) -> bool:
    """Whether a password in an address or in netrc is one: examples have a word there."""
    made = len(value) >= 6 and re.search(rb"[0-9A-Z]|%[0-9A-F]{2}", value)
    return bool(made) and not is_placeholder(value)


def _each(data: bytes, word: bytes) -> Iterator[int]:
    at = data.find(word)
    while at >= 0:
        yield at
        at = data.find(word, at + len(word))


def long_value(data: bytes, start: int, end: int) -> Iterator[Hit]:
    """A long random run of characters behind a word such as `token=`, or in an address that takes messages."""
    before = data[max(0, start - 96) : start]
    run = data[start:end]
    if run.startswith(b"eyJ"):
        return  # the beginning of a JSON text: signed logins have their own rule
    if before[-1:] in b"/:=" and _hooked(before, run):
        yield start, "webhook", "an address or a token that lets anybody write"
        return
    if not _CUE.search(before.lower()):
        return
    if _KAGGLE.search(before):
        yield start, "kaggle-key", "a key of Kaggle"
        return
    if not (_LONG_NAME.search(before) or _HEADER.search(before)) or _PUBLIC_NAME.search(before[-48:]):
        return
    whole = _VALUE.match(data, start)
    value = whole[0] if whole else run
    if is_random(value, 3.0 if _HASHES.fullmatch(value) else 3.5):
        if _DOCKER.search(before):
            yield start, "docker-login", "a registry's login as Docker keeps it"
            return
        yield start, "token", "a random value that is assigned to a name such as token or key"


def _hooked(before: bytes, run: bytes) -> bool:
    place = _BOT.search(before) if before.endswith(b":") else len(before) > 30 and _HOOK.search(before)
    return bool(place) and (len(run) == 35 or not before.endswith(b":")) and is_random(run, 3.3)
