"""What each role of a container has, from one image."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.errors import UsageError
from devenv.plan.plan import Plan, plan
from devenv.plan.role import health, in_role, serves
from tests.unit.examples import loaded, lock

SERVICES = {
    "app": {"command": ("app",), "port": 9000, "auth": "none"},
    "log": {"command": ("log",), "role": "both", "timeout_s": 900},
    "model": {"command": ("serve",), "port": 8600, "listen": "127.0.0.1:8601", "role": "serve", "timeout_s": 300},
}
SMOKE = {
    "alone": {"run": ("alone",), "role": "workbench"},
    "always": {"run": ("always",)},
    "served": {"run": ("served",), "role": "serve"},
}


def _plan(**changes: Any) -> Plan:
    return plan(loaded(services=SERVICES, smoke=SMOKE, ports={"further": 7000}, **changes), lock())


def _names(found: Plan) -> tuple[list[str], dict[str, int], list[str]]:
    return [one.name for one in found.services], dict(found.ports), [one.name for one in found.smoke]


def test_the_workbench_has_all_but_what_is_the_models_alone() -> None:
    services, ports, smoke = _names(in_role(_plan(), "workbench"))
    assert services == ["ide", "jupyter", "app", "log"]
    assert ports == {"ide": 8443, "jupyter": 8888, "app": 9000, "further": 7000}
    assert smoke == ["alone", "always"]


def test_what_serves_has_the_models_services_alone() -> None:
    found = in_role(_plan(), "serve")
    assert _names(found) == (["log", "model"], {"model": 8600}, ["always", "served"])
    assert sorted(found.other_ports) == [7000, 8443, 8888, 9000]
    assert [one.name for one in found.gated] == ["model"]


def test_a_preset_without_a_mark_is_one_error_that_names_its_services() -> None:
    unmarked = plan(loaded(services={"app": SERVICES["app"]}), lock())
    assert not serves(unmarked)
    with pytest.raises(UsageError, match="its services: app, ide, jupyter") as caught:
        in_role(unmarked, "serve")
    assert "role: serve" in str(caught.value.hint)
    assert in_role(unmarked, "workbench").services == unmarked.services


def test_both_roles_have_one_image() -> None:
    found = _plan()
    assert serves(found)
    assert {in_role(found, role).image for role in ("workbench", "serve")} == {found.image}


def test_the_slowest_service_may_take_its_time_to_become_healthy() -> None:
    assert health(in_role(_plan(), "serve")).start_s == 900
