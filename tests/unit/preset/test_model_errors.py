"""pydantic's findings in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devenv.errors import PresetError
from devenv.preset import model_errors
from devenv.preset.load import load
from devenv.preset.model import Base, Preset
from tests.unit.preset.conftest import ROOT, Write

Mistakes = Callable[[str], list[PresetError]]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("§revison: abc", "unknown key 'revison'", "known keys: alternatives, apt,"),
        ("§pyton: '3.11'", "unknown key 'pyton'", "did you mean 'python'?"),
        ("§code-server: {}", "unknown key 'code-server'", "did you mean 'code_server'?"),
        ("§Python: '3.11'", "unknown key 'Python'", "did you mean 'python'?"),
        ("services: {a: {command: [x], §prot: 3}}", "unknown key 'prot'", "did you mean 'port'?"),
        ("gateway: {hosts: [§'*.']}", "entry 1 of 'gateway.hosts' cannot be '*.'", "a host name in lower case"),
        ("gateway: {peers: [§999.1.1.1/99]}", "entry 1 of 'gateway.peers': not an IP address or a network", None),
        ("python: §3", "'python' takes text, not the number 3", "such as '3.11'"),
        ("env: {A: §5}", "'env.A' takes text, not the number 5", "put it in quotes: '5'"),
        ("env: {A: §true}", "'env.A' takes text, not true", "put it in quotes: 'true'"),
        ("env: {A: §[x]}", "'env.A' takes text, not a list", None),
        ("env: {A: §{x: y}}", "'env.A' takes text, not a mapping", None),
        ("env: §[A=1]", "'env' takes a mapping, not a list", "write 'key: value' lines below it, indented"),
        ("env: §A=1", "'env' takes a mapping, not 'A=1'", "write 'key: value' lines below it, indented"),
        ("env: {§1A: x}", "'1A' cannot be a key of 'env'", "letters, digits and '_'"),
        ('env: {A: §"x\\ny"}', "'env.A' cannot be 'x\\ny'", "it takes text on one line"),
        ("pip: §requests", "'pip' takes a list, not 'requests'", "begin each entry with '- ' on a line of its own"),
        ("pip: §{requests: 1}", "'pip' takes a list, not a mapping", None),
        ("pip: [a, §5]", "entry 2 of 'pip' takes text, not the number 5", "put it in quotes: '5'"),
        ("pip: [§null]", "entry 1 of 'pip' takes text, not null", None),
        ("pip: [a, §'b ==']", "entry 2 of 'pip': not a PEP 508 requirement: ", None),
        ("pip: [§'git+https://x/y']", "entry 1 of 'pip': not a PEP 508 requirement: it has no name; write NAME @ git+https", None),
        ("pip: [§'a; rm -rf /']", "entry 1 of 'pip': not a PEP 508 requirement: ", None),
        ("pip: [§'a @ http://x/y.whl']", "entry 1 of 'pip': direct references (name @ url) cannot be locked", None),
        ("apt: [§'git;reboot']", "entry 1 of 'apt' cannot be 'git;reboot'", "it takes an apt package"),
        ("apt: [§$(x)]", "entry 1 of 'apt' cannot be '$(x)'", "it takes an apt package"),
        ("apt: [§-o=x]", "entry 1 of 'apt' cannot be '-o=x'", "it takes an apt package"),
        ('apt: [§"git\\n"]', "entry 1 of 'apt' cannot be 'git\\n'", "it takes an apt package"),
        ("node: 22.1.0\nnpm: [§left-pad]", "entry 1 of 'npm' cannot be 'left-pad'", "exact version"),
        ("cuda: §٣.٣", "'cuda' cannot be '٣.٣'", "it takes an exact version"),
        ("cuda: §12", "'cuda' takes text, not the number 12", "it takes an exact version"),
        ("ports: {a: §'80'}", "'ports.a' takes a whole number, not '80'", "without quotes: 80"),
        ("ports: {a: §80.5}", "'ports.a' takes a whole number, not '80.5'", None),
        ("ports: {a: §true}", "'ports.a' takes a whole number, not true", None),
        ("ports: {a: §0}", "'ports.a' is at least 1, not 0", None),
        ("ports: {a: §70000}", "'ports.a' is at most 65535, not 70000", None),
        ("ports: {§A b: 1}", "'A b' cannot be a key of 'ports'", "it takes lower-case letters"),
        ("services: {a: {command: §[]}}", "'services.a.command' is empty", None),
        ("services: {a: {command: §run}}", "'services.a.command' takes a list, not 'run'", "begin each entry"),
        ("services: {a: {command: [x, §'']}}", "entry 2 of 'services.a.command' cannot be ''", "one argument"),
        ("services: {§a: {}}", "'command' is missing in 'services.a'", None),
        ("services: {a: {command: [x], auth: §tokn}}",
         "'services.a.auth' is one of 'token', 'own', 'none', not 'tokn'", "did you mean 'token'?"),
        ("services: {a: {command: [x], auth: §3}}",
         "'services.a.auth' is one of 'token', 'own', 'none', not the number 3", None),
        ("services: {a: {command: [x], port: 80, listen: §'0.0.0.0:81'}}",
         "'services.a.listen' cannot be '0.0.0.0:81'", "it takes '127.0.0.1:PORT'"),
        ("services: {a: §x}", "'services.a' takes a mapping, not 'x'", "known keys: auth, command,"),
        ("jupyter: §4.3.1", "'jupyter' takes a mapping, not '4.3.1'", "known keys: version"),
        ("§jupyter: {}", "'version' is missing in 'jupyter'", "it takes an exact version"),
        ("§base: {}", "'base': give either 'bootstrap' or 'image'", None),
        ("base: {bootstrap: §debian}", "'base.bootstrap' cannot be 'debian'", "such as 'debian/bookworm'"),
        ("base: {image: §'127.0.0.1:1/x@sha256:1'}", "'base.image' cannot be '127.0.0.1:1/x@sha256:1'",
         "a digest has 64 hexadecimal digits"),
        ("base: {image: §'Debian:12'}", "'base.image' cannot be 'Debian:12'", "such as 'debian:bookworm-slim'"),
        ("base: {image: §'debian:'}", "'base.image' cannot be 'debian:'", "such as 'debian:bookworm-slim'"),
        ("shm_size: §2gb", "'shm_size' cannot be '2gb'", "such as '512m' or '2g'"),
        ("gpu: {min_capability: §sm_90}", "'gpu.min_capability' cannot be 'sm_90'", "such as '8.0'"),
        ("gpu: {min_capability: §9}", "'gpu.min_capability' takes text, not the number 9", "a compute capability"),
        ("gpu: {memory: §16GB}", "'gpu.memory' cannot be '16GB'", "such as '512m' or '2g'"),
        ("gpu: {count: §0}", "'gpu.count' is at least 1, not 0", None),
        ("gpu: {required: §'yes'}", "'gpu.required' takes true or false, not 'yes'", None),
        ("gpu: §true", "'gpu' takes a mapping, not true", "known keys: count, memory, min_capability, required"),
        ("memory: §13", "'memory' takes text, not the number 13", "a size in megabytes"),
        ("name: §My_Env", "'name' cannot be 'My_Env'", "it takes lower-case letters"),
        ("description: §" + "x" * 500, "'description' is longer than 400 characters", None),
        ("extensions: [{id: a.b, version: 1.2.3, archive: {url: §'ftp://x', sha256: '" + "0" * 64 + "'}}]",
         "'archive.url' in entry 1 of 'extensions' cannot be 'ftp://x'", "an http or https address"),
        ("extensions: [§{id: a.b, version: 1.2.3}]", "'archive' is missing in entry 1 of 'extensions'", None),
        ("extensions: [§ruff]", "entry 1 of 'extensions' cannot be 'ruff'", "PUBLISHER.NAME@1.2.3, or a mapping"),
        ("extensions: [§a.c@^1.0]", "entry 1 of 'extensions' cannot be 'a.c@^1.0'", "PUBLISHER.NAME@1.2.3"),
        ("extensions: [§a.c@latest]", "entry 1 of 'extensions' cannot be 'a.c@latest'", "PUBLISHER.NAME@1.2.3"),
        ("extensions: [§'a.b/../../etc']", "entry 1 of 'extensions' cannot be 'a.b/../../etc'", "PUBLISHER.NAME"),
        ("extensions: [§'a.b?x=1']", "entry 1 of 'extensions' cannot be 'a.b?x=1'", "PUBLISHER.NAME"),
        ("extensions: [§3]", "entry 1 of 'extensions' takes a mapping, not the number 3", "PUBLISHER.NAME"),
        ("extensions: [§[a.b]]", "entry 1 of 'extensions' takes a mapping, not a list", "PUBLISHER.NAME"),
        ("code_server: null\nextensions: [§a.b]", "an extension by name needs 'code_server'", "add code_server"),
        ("volumes: {a: §relative}", "'volumes.a' cannot be 'relative'", "an absolute path in the container"),
        ("smoke: {a: {run: [x], timeout_s: §0}}", "'smoke.a.timeout_s' is at least 1, not 0", None),
    ],
)  # fmt: skip
def test_words(mistakes: Mistakes, text: str, message: str, hint: str | None) -> None:
    """`§` is where the error points; at a mapping as a whole, to its key where it has one."""
    before = text.partition("§")[0].split("\n")
    (only,) = mistakes(f"extends: root\n{text.replace('§', '')}\n")
    assert only.message.startswith(message)
    assert (hint in str(only.hint)) if hint else only.hint is None
    assert only.where == f"devenv.yaml:{len(before) + 1}:{len(before[-1]) + 1}"


def test_entries_are_counted_as_in_the_users_file(write: Write) -> None:
    write("parent.yaml", f"{ROOT}\npip: [one==1, two==2]\nextensions: []\n")
    child = "extends: parent.yaml\npip: [two==3, 'three ==']\napt: [git, 'x y']\nservices: {a: {command: [x, 5]}}\n"
    with pytest.raises(PresetError) as caught:
        load(write("devenv.yaml", child))
    assert [one.message.partition(":")[0] for one in caught.value.problems] == [
        "entry 2 of 'pip'", "entry 2 of 'apt' cannot be 'x y'", "entry 2 of 'services.a.command' takes text, not the number 5",
    ]  # fmt: skip


def test_missing_at_the_top(mistakes: Mistakes) -> None:
    found = mistakes("name: x\n")
    assert [(one.where, one.message) for one in found] == [
        ("devenv.yaml:1:1", "'base' is missing"),
        ("devenv.yaml:1:1", "'python' is missing"),
    ]
    assert found[0].hint == "or begin with 'extends: NAME'"


@pytest.mark.parametrize(
    "name",
    ["debian", "debian:bookworm-slim", "library/debian", "host.example:5000/a/b__c.d-e:V1", "Host/a", "localhost/x:1",
     "sha256:" + "0" * 64, "x@sha256:" + "0" * 64, "h.example/x:1@sha256:" + "f" * 64],
)  # fmt: skip
def test_every_name_of_an_image_that_docker_takes(name: str) -> None:
    assert Base(image=name).image == name


def test_every_pattern_has_words() -> None:
    def patterns(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            if isinstance(schema.get("pattern"), str):
                yield schema["pattern"]
            yield from schema.get("patternProperties", {})
            for value in schema.values():
                yield from patterns(value)
        elif isinstance(schema, list):
            for value in schema:
                yield from patterns(value)

    assert set(patterns(Preset.model_json_schema())) == set(model_errors.EXPECTED)


def test_patterns_know_ascii_digits_only() -> None:
    assert not [pattern for pattern in model_errors.EXPECTED if re.search(r"\\[dws]", pattern, re.IGNORECASE)]


def test_no_word_of_pydantics(mistakes: Mistakes) -> None:
    """Every field given every kind of wrong value."""
    wrong = ("-5", "99999999999", "true", "'!'", "''", "[]", "[5]", "['!']", "{}", "{'!': 5}", "{a: {}}", "{a: [x]}")
    for value in wrong:
        text = "".join(f"{field}: {value}\n" for field in Preset.model_fields if field != "name")
        for problem in mistakes(f"name: x\n{text}"):
            said = f"{problem.message} {problem.hint}"
            assert not re.search(
                r"Input should|value_error|valid (string|integer|list)|_type|pydantic|String|Value error", said
            )
            assert re.match(r"devenv\.yaml:\d+:\d+$", str(problem.where))
