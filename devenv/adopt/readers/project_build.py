"""The project's own package: whether it can be installed editable at the start, without a network."""

from __future__ import annotations

from devenv.adopt.facts.facts import Kind, Reading
from devenv.preset.own_project import build_requirements
from devenv.preset.toml import Places, Table, mapping

REMEDY = "install it in a setup step (docs/how-to/own-preset.md, 'Commands after the first start')"


def read(data: Table, places: Places, reading: Reading, *, asked: bool = False) -> None:
    """State the project's package, with what its build needs; one that is compiled is left out. `asked`: a file names
    the project itself."""
    build = mapping(data, "build-system")
    mark = places.of("build-system", "build-backend")
    if (
        mapping(data, "tool", "uv").get("package") is False
        or mapping(data, "tool", "poetry").get("package-mode") is False
    ):
        return
    if not build:
        if not asked and (mapping(data, "tool", "uv") or "name" not in mapping(data, "project")):
            return  # uv takes such a project for an application
        build = {"requires": ["setuptools"], "build-backend": "setuptools"}
        mark = places.of("project", "name")
    try:
        requires = build_requirements(build)
    except ValueError as error:
        reading.leave("the project's own package", str(error), mark, remedy=REMEDY)
        return
    reading.take(Kind.PROJECT, "\n".join(requires), mark)
