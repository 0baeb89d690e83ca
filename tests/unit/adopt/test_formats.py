"""The other formats: what each reader takes, with its place, and what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.adopt.facts.facts import Kind
from devenv.adopt.readers import (
    base_image,
    cog,
    conda,
    devcontainer,
    dockerfile,
    pipfile_lock,
    poetry,
    pyproject,
    repo2docker,
    setup_py,
    uv_lock,
    workbench,
)
from devenv.preset import poetry_table
from tests.unit.adopt.conftest import Read, values

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "scans"
requires-python = ">=3.10"
dependencies = [
    "numpy>=1.26",  # arrays
    "torch==2.9.1",
    "helper",
]

[project.optional-dependencies]
docs = ["sphinx"]

[dependency-groups]
dev = ["pytest", {include-group = "My_Lint"}]
my-lint = ["ruff==0.14.0"]
big = ["ray"]

[tool.uv.sources]
helper = { path = "../helper" }
torch = [{ index = "pytorch", marker = "sys_platform == 'linux'" }]

[[tool.uv.index]]
name = "pytorch"
url = "https://me:pw@example.org/whl/cu128"
"""


def test_pyproject(facts: Read) -> None:
    found = facts(pyproject.read, {"pyproject.toml": PROJECT})
    assert values(found, Kind.PYTHON) == [">=3.10"]
    assert values(found, Kind.PIP) == ["numpy>=1.26", "torch==2.9.1", "pytest", "ruff==0.14.0"]
    assert values(found, Kind.CUDA) == ["12.8"]
    assert values(found, Kind.PROJECT) == ["hatchling\neditables"]
    assert [fact.mark.line for fact in found.of(Kind.PIP)] == [9, 10, 18, 19]
    assert [(loss.what.split(" ")[0], loss.mark.line) for loss in found.left] == [
        ("index", 28), ("helper", 11), ("group", 20), ("extra", 15),
    ]  # fmt: skip
    assert "pw" not in repr(found).replace("***", "")


def test_uv_sources_in_repositories_are_taken(facts: Read) -> None:
    text = (
        '[project]\nname = "x"\ndependencies = ["a[x]>=1 ; python_version > \'3\'", "b", "c"]\n[tool.uv.sources]\n'
        'a = {git = "https://github.com/o/a", rev = "1234abcd"}\nb = {git = "ssh://git@github.com/o/b"}\n'
        'c = {git = "https://user:hunter2@github.com/o/c"}\n'
    )
    found = facts(pyproject.read, {"pyproject.toml": text})
    assert values(found, Kind.PIP) == ['a[x] @ git+https://github.com/o/a@1234abcd ; python_version > "3"']
    assert [loss.what for loss in found.left] == ["b", "c"]
    assert "hunter2" not in repr(found)


POETRY = """\
[tool.poetry]
name = "scans"
version = "1"

[tool.poetry.dependencies]
python = "^3.10"
rich = "^13.7"
numpy = {version = "~1.26", extras = ["x"], markers = "sys_platform == 'linux'"}
old = [{version = "1.0", python = "<3.8"}, {version = ">=2,<3", python = ">=3.8"}]
own = {git = "https://github.com/a/own", tag = "v1", subdirectory = "py", extras = ["x"]}
ssh = {git = "git@github.com:a/own.git"}
maybe = {version = "*", optional = true}

[tool.poetry.group.dev.dependencies]
pytest = "*"

[tool.poetry.group.docs]
optional = true
"""


def test_poetry(facts: Read) -> None:
    found = facts(pyproject.read, {"pyproject.toml": POETRY})
    assert values(found, Kind.PYTHON) == [">=3.10,<4"]
    assert values(found, Kind.PIP) == [
        "rich<14,>=13.7", 'numpy[x]<1.27,>=1.26; sys_platform == "linux"', 'old==1.0; python_version < "3.8"',
        'old<3,>=2; python_version >= "3.8"', "own[x] @ git+https://github.com/a/own@v1#subdirectory=py", "pytest",
    ]  # fmt: skip
    assert [loss.what for loss in found.left] == ["optional packages: maybe", "ssh", "group 'docs'"]


@pytest.mark.parametrize(
    ("text", "specifier"),
    [
        ("^1.2.3", ">=1.2.3,<2"), ("^0.3", ">=0.3,<0.4"), ("^0.0.3", ">=0.0.3,<0.0.4"), ("^0", ">=0,<1"), ("~1.2", ">=1.2,<1.3"),
        ("~1", ">=1,<2"), ("1.2.*", "==1.2.*"), ("*", ""), ("1.5", "==1.5"), (">=1.0 <2.0", ">=1.0,<2.0"), (">= 1, < 2", ">=1,<2"),
        ("^3.8 || ^3.10", ">=3.10,<4"), ("~=1.4", "~=1.4"), ("nonsense", None), ("^", None),
    ],
)  # fmt: skip
def test_ranges_of_poetry(text: str, specifier: str | None) -> None:
    assert poetry_table.pep440(text) == specifier


UV_LOCK = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "scans"
version = "0.1"
source = { virtual = "." }
dependencies = [{ name = "rich", extra = ["jupyter"] }, { name = "twice" }]

[[package]]
name = "rich"
version = "13.9.4"
source = { registry = "https://index/simple" }

[[package]]
name = "twice"
version = "1"
source = { registry = "https://index/simple" }

[[package]]
name = "twice"
version = "2"
source = { registry = "https://index/simple" }
"""


def test_uv_lock(facts: Read) -> None:
    found = facts(uv_lock.read, {"uv.lock": UV_LOCK}, alone=True)
    assert values(found, Kind.PIP) == ["rich[jupyter]==13.9.4"]
    assert [(fact.name, fact.value, fact.mark.line) for fact in found.of(Kind.PIN)] == [("rich", "13.9.4", 11)]
    assert [loss.what for loss in found.left] == ["twice"]
    assert facts(uv_lock.read, {"uv.lock": UV_LOCK}, alone=False).of(Kind.PIP) == ()


def test_poetry_lock(facts: Read) -> None:
    text = """\
[[package]]
name = "Rich"
version = "13.9.4"

[[package]]
name = "pytest"
version = "8"
groups = ["dev"]

[[package]]
name = "own"
version = "1"
[package.source]
type = "git"
url = "https://token@github.com/a/own"

[metadata]
python-versions = "^3.10"
"""
    found = facts(poetry.read_lock, {"poetry.lock": text}, alone=True)
    assert (values(found, Kind.PIP), values(found, Kind.PYTHON)) == (["Rich==13.9.4"], [">=3.10,<4"])
    assert [(fact.name, fact.value) for fact in found.of(Kind.PIN)] == [("rich", "13.9.4"), ("pytest", "8")]
    assert [loss.what for loss in found.left] == ["own 1"]


def test_pipfile_and_its_lock(facts: Read) -> None:
    pipfile = '[packages]\nrich = "*"\nflask = {version = ">=2", extras = ["async"]}\nown = {path = "."}\n'
    found = facts(pipfile_lock.read, {"Pipfile": pipfile + '[requires]\npython_version = "3.9"\n'})
    assert (values(found, Kind.PIP), values(found, Kind.PYTHON)) == (["rich", "flask[async]>=2"], ["==3.9.*"])
    assert [loss.what for loss in found.left] == ["own"]
    lock = '{"_meta": {"requires": {"python_version": "3.9"}}, "default": {"rich": {"version": "==13.9.4",\n"hashes": []},\n'
    lock += '"own": {"path": "."}}, "develop": {"pytest": {"version": "==8"}}}'
    found = facts(pipfile_lock.read_lock, {"Pipfile.lock": lock}, alone=True)
    assert (values(found, Kind.PIP), values(found, Kind.PIN)) == (["rich==13.9.4"], ["13.9.4", "8"])
    assert [(loss.what, loss.mark.line) for loss in found.left] == [("own", 3)]


def test_environment_of_conda(facts: Read) -> None:
    text = """\
name: scans
channels: [conda-forge]
dependencies:
  - python=3.10
  - numpy=1.26
  - conda-forge::pandas>=2,<3
  - pytorch=2.5.1=py3.10_cuda12.4_0
  - pytorch-cuda=12.4
  - ffmpeg
  - mkl
  - libgcc-ng
  - some-strange-thing
  - pip:
      - rich>=13
      - -r more.txt
variables:
  OMP_NUM_THREADS: 4
  "A!": b
"""
    found = facts(conda.read, {"environment.yml": text, "more.txt": "httpx"})
    assert values(found, Kind.PYTHON) == ["==3.10.*"]
    assert values(found, Kind.PIP) == ["numpy==1.26.*", "pandas<3,>=2", "torch==2.5.1", "rich>=13", "httpx"]
    assert [(fact.value, fact.firm) for fact in found.of(Kind.CUDA)] == [("12.4", True)]
    assert (values(found, Kind.APT), values(found, Kind.ENV)) == (["ffmpeg"], ["4"])
    assert [loss.what for loss in found.left] == ["mkl", "libgcc-ng", "some-strange-thing", "variable A!"]
    assert found.of(Kind.PIP)[3].mark.where == "environment.yml:14:9"


DEVCONTAINER = """\
// a comment with "quotes"
{
\t"image": "mcr.microsoft.com/devcontainers/python:1-3.12-bookworm", /* why */
\t"features": {
\t\t"ghcr.io/devcontainers/features/python:1": {"version": "3.12"},
\t\t"ghcr.io/devcontainers/features/nvidia-cuda:1": {"cudaVersion": "12.4"},
\t\t"ghcr.io/rocker-org/devcontainer-features/apt-packages:1": {"packages": "tree,jq"},
\t\t"ghcr.io/devcontainers/features/docker-in-docker:2": {}
\t},
\t"forwardPorts": [8000, "db:5432"],
\t"containerEnv": {"LEVEL": "debug", "API_KEY": "abc", "HOME_OF": "${localEnv:HOME}"},
\t"postCreateCommand": "pip install -r requirements.txt",
\t"onCreateCommand": {"a": ["python", "load.py", "two words"], "b": "make && pip install ."},
\t"postStartCommand": "echo",
\t"hostRequirements": {"gpu": true, "memory": "16gb"},
\t"runArgs": ["--gpus", "all", "--shm-size=4g", "--privileged"],
\t"mounts": ["source=models-${devcontainerId},target=/data/models,type=volume", "source=/etc,target=/host,type=bind"],
\t"customizations": {"vscode": {"extensions": ["ms-python.python"], "settings": {"a.b": "c"}}},
}
"""


def test_devcontainer(facts: Read) -> None:
    found = facts(
        devcontainer.read, {".devcontainer/devcontainer.json": DEVCONTAINER, "requirements.txt": "rich==13.9.4"}
    )
    assert values(found, Kind.PYTHON) == ["==3.12.*", "==3.12.*"]
    assert (values(found, Kind.APT), values(found, Kind.PORT)) == (["tree", "jq"], ["8000"])
    assert values(found, Kind.PIP) == ["rich==13.9.4"]
    assert values(found, Kind.SETUP) == ["python load.py 'two words'"]
    assert [(fact.name, fact.value) for fact in found.of(Kind.ENV)] == [("LEVEL", "debug")]
    assert [(fact.name, fact.value) for fact in found.of(Kind.VOLUME)] == [("models", "/data/models")]
    assert (values(found, Kind.MEMORY), values(found, Kind.SHM)) == (["16g"], ["4g"])
    assert "true" in values(found, Kind.GPU)
    assert [(loss.what, loss.mark.line) for loss in found.left] == [
        ("feature ghcr.io/devcontainers/features/docker-in-docker:2", 8), ("port db:5432", 10), ("variable API_KEY", 11),
        ("variable HOME_OF", 11), ("command make && pip install .", 13), ("postStartCommand echo", 14), ("runArgs --privileged", 16), ("mount of /host", 17),
        ("editor extensions: ms-python.python", 18), ("editor settings: a.b", 18),
    ]  # fmt: skip


DOCKERFILE = """\
# syntax=docker/dockerfile:1
ARG CUDA=12.4.1
FROM nvidia/cuda:${CUDA}-runtime-ubuntu22.04 AS base
ENV LEVEL=debug PATH=/opt/bin:$PATH
ENV TOKEN secret-value-1
RUN apt-get update && \\
    # tools
    apt-get install -y --no-install-recommends \\
      git=1:2.39 libgl1-mesa-glx "lib$X" \\
    && rm -rf /var/lib/apt/lists/*
FROM node:22 AS pages
RUN npm ci
FROM base
COPY requirements.txt /tmp/
RUN --mount=type=cache,target=/root/.cache pip3 install --no-cache-dir -r /tmp/requirements.txt 'rich>=13' && make install
RUN <<EOF
if [ -n "$X" ]; then
  python -m pip install \\
    "httpx[http2]"
fi
# done
EOF
RUN pip install -e src
RUN curl -LsSf https://me:pw@example.org/install.sh | sh
EXPOSE 8000/tcp
CMD ["python", "app.py"]
"""


def test_dockerfile(facts: Read) -> None:
    found = facts(dockerfile.read, {"Dockerfile": DOCKERFILE, "requirements.txt": "click"})
    assert [(fact.value, fact.firm, fact.mark.line) for fact in found.of(Kind.CUDA)] == [("12.4", False, 3)]
    assert values(found, Kind.APT) == ["git", "libgl1-mesa-glx"]
    assert values(found, Kind.PIP) == ["click", "rich>=13", "httpx[http2]"]
    assert [(fact.name, fact.value) for fact in found.of(Kind.ENV)] == [("LEVEL", "debug")]
    assert values(found, Kind.PORT) == ["8000"]
    assert [(loss.what, loss.mark.line) for loss in found.left] == [
        ("variable TOKEN", 5), ("lib$X", 6), ("make install", 15), ("./src", 23),
        ("curl -LsSf 'https://***@example.org/install.sh'; sh", 24), ('CMD ["python", "app.py"]', 26),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("image", "kinds"),
    [
        ("python:3.12-slim", {"python": "==3.12.*"}),
        ("pytorch/pytorch:2.5.1-cuda12.4-cudnn9-runtime", {"pip": "torch==2.5.1", "cuda": "12.4", "gpu": "true"}),
        ("tensorflow/tensorflow:2.19.0-gpu", {"pip": "tensorflow==2.19.0", "gpu": "true"}),
        ("r8.im/cog-base:cuda12.1-python3.11-torch2.3", {"python": "==3.11.*", "cuda": "12.1", "gpu": "true"}),
        ("ubuntu:22.04", {}),
    ],
)
def test_names_of_base_images(facts: Read, image: str, kinds: dict[str, str]) -> None:
    found = facts(lambda document, reading: base_image.read(image, document.at(1), reading), {"x": "x"})
    assert {str(fact.kind): fact.value for fact in found.facts} == kinds


def test_cog(facts: Read) -> None:
    text = """\
build:
  gpu: true
  cuda: "12.1"
  python_version: "3.11"
  python_packages:
    - torch==2.3.1
  system_packages: [libgl1]
  run:
    - pip install rich
    - command: make
predict: predict.py:Predictor
"""
    found = facts(cog.read, {"cog.yaml": text})
    assert (values(found, Kind.PIP), values(found, Kind.APT)) == (["torch==2.3.1", "rich"], ["libgl1"])
    assert (values(found, Kind.PYTHON), values(found, Kind.GPU)) == (["==3.11.*"], ["true"])
    assert [(loss.what, loss.mark.line) for loss in found.left] == [("make", 10), ("predict: predict.py:Predictor", 11)]


def test_repo2docker(facts: Read) -> None:
    assert values(facts(repo2docker.apt, {"apt.txt": "# x\ntree  jq\n"}), Kind.APT) == ["tree", "jq"]
    assert values(facts(repo2docker.runtime, {"runtime.txt": "python-3.10.4\n"}), Kind.PYTHON) == ["==3.10.*"]
    assert facts(repo2docker.runtime, {"runtime.txt": "r-4.1-2022-01-01\n"}).left[0].mark.line == 1
    installs = "#!/bin/bash\nset -e\npip install rich\n"
    assert values(facts(repo2docker.script, {"postBuild": installs}), Kind.PIP) == ["rich"]
    own = facts(repo2docker.script, {"binder/postBuild": "python load.py\n"})
    assert values(own, Kind.SETUP) == ["bash binder/postBuild"]
    assert facts(repo2docker.script, {"postBuild": "sudo apt install x\nmake\n"}).left[0].what == "postBuild"


def test_workbench(facts: Read) -> None:
    text = """\
environment:
  base:
    registry: nvcr.io
    image: nvidia/ai-workbench/python-cuda122:1.0.3
    cuda_version: "12.2"
execution:
  resources: {gpu: {requested: 1}, sharedMemoryMB: 1024}
  secrets: [{variable: NGC_KEY}]
  mounts:
    - {type: project, target: /project/}
    - {type: volume, target: /data/tmp/}
"""
    found = facts(workbench.read, {".project/spec.yaml": text})
    assert (values(found, Kind.CUDA)[-1], values(found, Kind.SHM)) == ("12.2", ["1024m"])
    assert values(found, Kind.GPU)[0] == "true"
    assert [(fact.name, fact.value) for fact in found.of(Kind.VOLUME)] == [("data-tmp", "/data/tmp")]
    assert [loss.what for loss in found.left] == ["secrets NGC_KEY"]


SETUP = """\
import os
from setuptools import setup
NEEDS = [
    "rich>=13",
    "httpx",
]
os.system("touch executed")
setup(name="x", python_requires=">=3.9", install_requires=NEEDS, extras_require={"a": ["b"]})
"""


def test_setup_py_is_parsed_and_never_run(facts: Read, project: Path) -> None:
    found = facts(setup_py.read, {"setup.py": SETUP})
    assert (values(found, Kind.PIP), values(found, Kind.PYTHON)) == (["rich>=13", "httpx"], [">=3.9"])
    assert [fact.mark.where for fact in found.of(Kind.PIP)] == ["setup.py:4:5", "setup.py:5:5"]
    assert [loss.what for loss in found.left] == ["the project's own package"]
    assert sorted(path.name for path in project.iterdir()) == ["setup.py"]
    for text in ("setup(install_requires=open('x').read())", "raise SystemExit", "def f(:"):
        assert facts(setup_py.read, {"setup.py": text}).left[0].what == "setup.py"


def test_setup_cfg(facts: Read) -> None:
    text = "[metadata]\nname = x\n[options]\npython_requires = >=3.10\ninstall_requires =\n    rich>=13\n    # no\n    httpx\n"
    found = facts(setup_py.read_cfg, {"setup.cfg": text})
    assert (values(found, Kind.PIP), values(found, Kind.PYTHON)) == (["rich>=13", "httpx"], [">=3.10"])
    assert [fact.mark.line for fact in found.of(Kind.PIP)] == [6, 8]
