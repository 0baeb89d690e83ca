"""The project's own package: whether it can be installed editable at the start, without a network."""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from devenv.adopt.facts.facts import Kind, Reading
from devenv.adopt.facts.toml import Places, Table, listed, mapping

_BACKENDS = {
    "setuptools": (), "hatchling": ("editables",), "poetry": ("poetry-core",), "flit_core": ("flit-core",),
    "pdm": ("pdm-backend",), "uv_build": (),
}  # fmt: skip
"""The first part of a backend's module → what an editable install needs besides its own requirements."""
_COMPILES = frozenset({
    "cffi", "cmake", "cython", "maturin", "meson", "meson-python", "mypy", "ninja", "numpy", "oldest-supported-numpy",
    "pybind11", "scikit-build", "scikit-build-core", "setuptools-rust", "torch",
})  # fmt: skip
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
    backend = str(build.get("build-backend", "setuptools")).partition(".")[0]
    requires, names = [], set()
    for item in listed(build.get("requires")) or ("setuptools",):
        try:
            requirement = Requirement(str(item))
        except InvalidRequirement:
            continue
        names.add(canonicalize_name(requirement.name))
        if not requirement.url:
            requires.append(str(requirement))
    if names & _COMPILES or backend not in _BACKENDS:
        why = "its build compiles, or needs a network" if names & _COMPILES else f"its build backend is {backend}"
        reading.leave("the project's own package", why, mark, remedy=REMEDY)
        return
    if "poetry" in names:  # the old name of its backend, with all of Poetry
        requires = [one for one in requires if canonicalize_name(Requirement(one).name) != "poetry"]
    extra = [one for one in _BACKENDS[backend] if one not in names]
    reading.take(Kind.PROJECT, "\n".join((*requires, *extra)), mark)
