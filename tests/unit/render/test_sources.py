"""Packages without wheels in the rendered files."""

from __future__ import annotations

import dataclasses
import json

import pytest

from devenv.errors import RenderError
from devenv.lock.model import LockedSources, Source
from devenv.plan.plan import Plan, plan
from devenv.render.artifacts import artifact_files
from devenv.render.render import render, render_sources
from devenv.render.sbom import package_urls, provenance, sbom
from tests.unit.handmade import deb, loaded, lock, preset, sha, wheel

TOOL = Source(name="tool", version="3", file="tool-3.tar.gz", size=9, sha256=sha("tool"), backend="x")
ODD = Source(
    name="Odd.Name", version="1", file="Odd.Name-1.zip", size=9, sha256=sha("odd"), backend="own.api:Backend", layer=0,
    backend_path=("tools", "."), toolchain=True, requires=(wheel("setuptools"), wheel("rich")), needs=("tool-3.tar.gz",),
)  # fmt: skip
SOURCES = LockedSources(packages=(TOOL, ODD), toolchain=(deb("gcc"),))


@pytest.fixture
def planned() -> Plan:
    wish = preset(code_server=None)
    return plan(loaded(wish), lock(wish, editor=None, sources=SOURCES))


def dockerfile(planned: Plan) -> str:
    return render(planned).files["Dockerfile"].decode()


def test_each_has_a_stage_with_its_own_files_only(planned: Plan) -> None:
    text = dockerfile(planned)
    stage = text[text.index(f"AS make-{ODD.stage}") : text.index(f"AS {ODD.stage}")]
    assert f"source=artifacts/sources/{ODD.stage},target=/run/source" in stage
    assert f"from={TOOL.stage},source=/,target=/run/built/{TOOL.stage}" in stage
    assert "sh /run/build/source.sh 3.11 Odd.Name-1.zip Odd.Name 1 own.api:Backend tools ." in stage
    assert "target=/run/wheels" not in stage
    assert "\nRUN --network=none " in stage, "its code has none whatever network the build is given"


def test_only_what_is_compiled_gets_the_compiler(planned: Plan) -> None:
    text = dockerfile(planned)
    assert f"FROM toolchain AS make-{ODD.stage}" in text
    assert f"FROM unpacked AS make-{TOOL.stage}" in text


def test_the_image_gets_the_wheels_of_its_own_packages(planned: Plan) -> None:
    text = dockerfile(planned)
    final = text[text.index("AS wheels-0") :]
    assert f"from={ODD.stage},source=/,target=/run/built/{ODD.stage}" in final
    assert TOOL.stage not in final


def test_their_files_and_lists_are_in_the_context(planned: Plan) -> None:
    places = {place for place, _ in artifact_files(planned)}
    top = f"artifacts/sources/{ODD.stage}"
    assert {
        f"{top}/Odd.Name-1.zip", f"{top}/requires/setuptools-1-py3-none-any.whl",
        f"artifacts/sources/{TOOL.stage}/tool-3.tar.gz", "artifacts/sources/toolchain/gcc_1_amd64.deb",
    } <= places  # fmt: skip
    context = render(planned).context
    assert context[f"{top}/SHA256SUMS"].decode() == f"{ODD.sha256}  Odd.Name-1.zip\n"
    assert "setuptools==1 --hash=sha256:" in context[f"{top}/requires/requirements.txt"].decode()


def test_their_stages_are_the_same_by_themselves(planned: Plan) -> None:
    alone = render_sources(planned.lock, ("dev", 1000, "devenv", 990))["Dockerfile"].decode()
    part = alone[alone.index("AS toolchain") :]
    assert part.strip() in dockerfile(planned)


def test_without_sources_there_is_no_trace_of_them() -> None:
    wish = preset()
    rendered = render(plan(loaded(wish), lock(wish)))
    assert "source-" not in rendered.files["Dockerfile"].decode()
    assert not [name for name in rendered.context if name.startswith("artifacts/sources")]


def test_a_layer_may_have_nothing_but_sources(planned: Plan) -> None:
    higher = SOURCES.model_copy(update={"packages": (TOOL, ODD.model_copy(update={"layer": 1}))})
    more = dataclasses.replace(planned, lock=planned.lock.model_copy(update={"sources": higher}), layers=(0, 1))
    final = dockerfile(more).partition("AS wheels-0")[2]
    assert final.count("sh /run/build/wheels.sh") == 2


def test_a_build_over_the_network_makes_them_but_fetches_no_repository(planned: Plan) -> None:
    text = render(planned, online=True).context["Dockerfile"].decode()
    assert f"--mount=type=bind,from=artifacts,source=/artifacts/sources/{ODD.stage},target=/run/source" in text
    assert "RUN --network=none" in text.partition(f"AS make-{ODD.stage}")[2].partition("FROM scratch")[0]
    commit = TOOL.model_copy(update={"commit": "ab" * 20, "file": "tool-abababababab.tar"})
    made = planned.lock.model_copy(update={"sources": LockedSources(packages=(commit,))})
    with pytest.raises(RenderError, match="tool is in a git repository"):
        render(dataclasses.replace(planned, lock=made), online=True)


def test_the_bill_of_materials_names_the_archive(planned: Plan) -> None:
    components = {one["name"]: one for one in json.loads(sbom(planned.lock))["components"]}
    odd = components["odd.name"]
    assert odd["purl"] == "pkg:pypi/odd.name@1"
    assert odd["hashes"] == [{"alg": "SHA-256", "content": ODD.sha256}]
    assert {"name": "devenv:part", "value": "sources"} in odd["properties"]
    assert "tool" not in components
    assert "setuptools" not in components


def test_the_provenance_names_what_only_builds_need(planned: Plan) -> None:
    names = {
        one["name"] for one in json.loads(provenance(planned.lock, "x"))["buildDefinition"]["resolvedDependencies"]
    }
    assert {"tool-3.tar.gz", "setuptools-1-py3-none-any.whl", "gcc_1_amd64.deb"} <= names
    assert "rich-1-py3-none-any.whl" not in names  # the image has it, too
    assert {TOOL.sha256, ODD.sha256, wheel("setuptools").sha256} <= package_urls(planned.lock).keys()


def test_the_digest_of_the_lock_covers_them(planned: Plan) -> None:
    changed = SOURCES.model_copy(update={"packages": (TOOL, ODD.model_copy(update={"sha256": "0" * 64}))})
    assert planned.lock.digest != planned.lock.model_copy(update={"sources": changed}).digest


def test_a_commit_stands_for_the_version_that_its_build_tells(planned: Plan) -> None:
    one = TOOL.model_copy(update={"commit": "ab" * 20, "file": "tool-abababababab.tar", "layer": 0})
    made = planned.lock.model_copy(update={"sources": LockedSources(packages=(one,))})
    text = dockerfile(dataclasses.replace(planned, lock=made))
    assert "sh /run/build/source.sh 3.11 tool-abababababab.tar tool @abababababab x" in text
