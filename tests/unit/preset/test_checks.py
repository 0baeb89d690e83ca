"""Values that do not go together."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from devenv.errors import PresetError
from devenv.plan import plan, services
from devenv.preset import checks
from devenv.preset.load import LoadedPreset

Loads = Callable[[str], LoadedPreset]
Mistakes = Callable[[str], list[PresetError]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: {a: {command: [x], port: 90, auth: own}, b: {command: [x], port: §90, auth: own}}",
         "port 90 is taken by service 'a'"),
        ("services: {a: {command: [x], port: 90, auth: own}}\nports: {p: §90}",
         "port 90 is taken by service 'a'"),
        ("ports: {p: 90, q: §90}",
         "port 90 is taken by 'ports.p'"),
        ("jupyter: {version: 4.1.2}\nports: {p: §8888}",
         "port 8888 is taken by devenv's own service 'jupyter'"),
        ("services: {a: {command: [x]}}\nports: {§a: 90}",
         "the name 'a' is taken by a service"),
        ("ports: {§ide: 90}",
         "the name 'ide' is taken by devenv"),
        ("services: {§gateway: {command: [x]}}",
         "a service cannot be called 'gateway': devenv runs one of that name"),
        ("services: {§ide: {command: [x]}}",
         "a service cannot be called 'ide': devenv runs one of that name"),
        ("services: {§jupyter: {command: [x]}}",
         "a service cannot be called 'jupyter': devenv runs one of that name"),
        ("services: {a: {command: [x], port: 90, listen: §'127.0.0.1:90'}}",
         "'listen' is on the service's own 'port', which the gateway takes"),
        ("services: {a: {command: [x], port: 90, listen: §'127.0.0.1:99999'}}",
         "port 99999 in 'listen' is not from 1 to 65535"),
        ("services: {a: {command: [x], listen: '127.0.0.1:70'}, b: {command: [x], listen: §'127.0.0.1:70'}}",
         "'127.0.0.1:70' is where service 'a' listens too"),
        ("services: {a: {command: [x], port: 90, auth: own, §listen: '127.0.0.1:70'}}",
         "'listen' goes with 'auth: token' only"),
        ("services: {a: {command: [x], §health: {path: /}}}",
         "'health' needs 'port' to send its request to"),
        ("services: {a: {command: [x], port: 90, auth: own, url: §'/?t={token}&x={y}'}}",
         "'url' allows only '{token}' in braces"),
        ("services: {§a: {command: [x], port: 90}}",
         "'services.a': 'auth: token' needs 'listen': where the service itself listens"),
        ("caches: {§DEVENV_X: x}",
         "the variable 'DEVENV_X' is set by devenv itself"),
        ("env: {VLLM_CACHE_ROOT: /tmp}\ncaches: {§VLLM_CACHE_ROOT: vllm}",
         "'VLLM_CACHE_ROOT' is given in 'env' and in 'caches'"),
        ("timezone: §Europe/Berlim",
         "unknown time zone 'Europe/Berlim'"),
        ("timezone: §US/Pacific",
         "unknown time zone 'US/Pacific'"),
        ("timezone: §../etc/passwd",
         "'timezone' cannot be '../etc/passwd'"),
        ("timezone: UTC\nenv: {§TZ: Asia/Tokyo}",
         "'timezone' sets 'TZ' already"),
        ("setup: {data: {run: [x]}}\nservices: {§setup: {command: [x]}}",
         "a service cannot be called 'setup': devenv runs one of that name"),
        ("apt_components: [non-free, §multiverse]",
         "'multiverse' is a part of Ubuntu's archive, and the base is debian"),
        ("apt_components: [contrib, §contrib]",
         "'contrib' is given twice in 'apt_components'"),
        ("apt_components: [§main]",
         ("entry 1 of 'apt_components' is one of 'contrib', 'non-free', 'non-free-firmware', 'restricted', "
          "'multiverse', not 'main'")),
        ("volumes: {a: §/etc}",
         "a volume cannot be mounted at '/etc': devenv or the system needs /etc"),
        ("volumes: {a: §/workspace/data}",
         "a volume cannot be mounted at '/workspace/data': devenv or the system needs /workspace"),
        ("volumes: {a: §/mnt/x}",
         "a volume cannot be mounted at '/mnt/x': devenv or the system needs /mnt"),
        ("volumes: {a: §/run/x}",
         "a volume cannot be mounted at '/run/x': devenv or the system needs /run"),
        ("volumes: {a: §/proc}",
         "a volume cannot be mounted at '/proc': devenv or the system needs /proc"),
        ("volumes: {a: §/opt}",
         "a volume cannot be mounted at '/opt': devenv or the system needs /opt/code-server"),
        ("volumes: {a: /data, b: §/data/x}",
         "'/data/x' is nested with volume 'a' (/data)"),
        ("volumes: {a: /data/x, b: §/data}",
         "'/data' is nested with volume 'a' (/data/x)"),
        ("volumes: {a: /data, b: §/data}",
         "'/data' is the same folder as volume 'a' (/data)"),
        ("volumes: {a: §/data/../etc}",
         "'volumes.a': '.' and '..' cannot be parts of a path in the container"),
        ("env: {§PATH: /x}",
         "the variable 'PATH' is set by devenv itself"),
        ("env: {§HOME: /x}",
         "the variable 'HOME' is set by devenv itself"),
        ("env: {§DEVENV_TOKEN: x}",
         "the variable 'DEVENV_TOKEN' is set by devenv itself"),
        ("services: {a: {command: [x], env: {§DEVENV_X: y}}}",
         "the variable 'DEVENV_X' is set by devenv itself"),
        ("jupyter: {version: 4.1.2}\npip: [x, §JupyterLab==4.0]",
         "'jupyterlab' is pinned by 'jupyter.version' already"),
        ("torch: 2.5.1\npip: [§torch>=2.6]",
         "'torch' is pinned by 'torch' already"),
        ("§npm: [x@1.0.0]",
         "'npm' packages need 'node'"),
        ("§code_server: {version: 4.1.2}",
         "'code_server' from npm needs 'node'"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(mistakes: Mistakes, text: str, message: str) -> None:
    """`§` is where the error points."""
    before = text.partition("§")[0].split("\n")
    where = f"devenv.yaml:{len(before) + 1}:{len(before[-1]) + 1}"
    found = mistakes(f"extends: root\n{text.replace('§', '')}\n")
    assert [(one.where, one.message) for one in found] == [(where, message)]


@pytest.mark.parametrize("place", ["/run/x", "/proc/x", "/workspace/x", "/mnt/x", "/dev/x"])
def test_files_that_would_be_hidden(mistakes: Mistakes, project: object, place: str) -> None:
    (only,) = mistakes(f"extends: root\nfiles: {{{place}: devenv.yaml}}\n")
    assert only.message == f"a file at '{place}' would not be seen: /{place.split('/')[1]} is mounted at start"


@pytest.mark.parametrize(
    "text",
    [
        "volumes: {a: /data, b: /data2, c: /opt/venvs, d: /var/lib/x, e: /home/dev/.cache}",
        "services: {a: {command: [x], port: 90, listen: '127.0.0.1:91'}, b: {command: [x]}}\nports: {c: 92}",
        "env: {PATHS: x, MY_DEVENV_X: y, home: z}",
        "torch: 2.5.1\npip: ['torch[opt]', torchvision==1]",
        "ports: {p: 8443, q: 8888}",
        "files: {/etc/my.conf: devenv.yaml, /opt/venv/x: devenv.yaml}",
    ],
)
def test_what_does(loads: Loads, text: str) -> None:
    loads(f"extends: root\n{text}\n")


def test_everything_is_said_at_once_and_nothing_twice(mistakes: Mistakes) -> None:
    found = mistakes("""\
extends: root
env: {HOME: x, 1A: y}
npm: [x@1.0.0, bad]
volumes: {a: /etc, B: relative}
services: {ide: {command: [], prt: 3}}
""")
    assert [one.where for one in found] == [
        f"devenv.yaml:{place}"
        for place in ("2:7", "2:16", "3:1", "3:16", "4:14", "4:20", "4:23", "5:12", "5:27", "5:31")
    ]


def test_ports_are_those_that_the_plan_takes() -> None:
    assert checks.BUILT_IN_PORTS == {
        "code_server": ("ide", services.IDE_PORT),
        "jupyter": ("jupyter", services.JUPYTER_PORT),
    }
    assert set(services.RESERVED) == checks.RESERVED_NAMES
    assert plan.VENV in checks.RESERVED_MOUNTS


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berlim", "did you mean 'Europe/Berlin'?"),
        ("US/Pacific", "its name is America/Los_Angeles now"),
        ("Moon/Base", "use a name such as Europe/Berlin, or UTC"),
    ],
)
def test_an_unknown_time_zone_has_the_nearest_one(mistakes: Mistakes, zone: str, hint: str) -> None:
    (only,) = mistakes(f"extends: root\ntimezone: {zone}\n")
    assert only.hint == hint


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Argentina/Ushuaia", "Asia/Kolkata", "UTC", "Etc/GMT-14"])
def test_time_zones(loads: Loads, zone: str) -> None:
    assert loads(f"extends: root\ntimezone: {zone}\n").preset.timezone == zone
