"""A project's files in, a devenv.yaml out: the preset that is extended, versions that go together, what is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from devenv.adopt.adopt import adopt
from devenv.compat.matrix import read
from devenv.doors.settings.settings import Settings
from devenv.errors import PresetError, UsageError
from devenv.preset.load import load
from tests.unit.adopt.conftest import Files, Made

Mistakes = Callable[..., list[PresetError]]
Make = Callable[..., Made]


@pytest.mark.parametrize(
    ("files", "extends", "keys"),
    [
        ({"requirements.txt": "rich"}, "python", {}),
        ({"requirements.txt": "torch"}, "pytorch-cuda", {"torch": "2.10.0", "cuda": "12.8"}),
        ({"requirements.txt": "torch==2.10.0+cpu"}, "pytorch-cpu", {"torch": "2.10.0+cpu"}),
        (
            {"requirements.txt": "--index-url https://x/whl/cpu\ntorch\ntorchvision"},
            "pytorch-cpu", {"torch": "2.13.0+cpu", "cuda": None},
        ),
        ({"requirements.txt": "torch==2.6.0+cu124"}, "pytorch-cuda", {"torch": "2.6.0", "cuda": "12.4"}),
        ({"requirements.txt": "torch==2.6.0+cu118"}, "pytorch-cuda", {"torch": "2.6.0+cu118", "cuda": "11.8"}),
        ({"requirements.txt": "torch>=2.4,<2.6"}, "pytorch-cuda", {"torch": "2.5.0", "cuda": "12.4"}),
        (
            {"requirements.txt": "--extra-index-url https://x/whl/cu118\ntorch"},
            "pytorch-cuda", {"torch": "2.7.0+cu118", "cuda": "11.8"},
        ),
        ({"requirements.txt": "torchvision==0.21.0"}, "pytorch-cuda", {"torch": "2.6.0", "cuda": "12.4"}),
        ({"requirements.txt": "torch==1.0.1"}, "pytorch-cuda", {"torch": "1.0.1", "cuda": None}),
        ({"requirements.txt": "sentence-transformers"}, "pytorch-cuda", {"torch": "2.10.0"}),
        ({"requirements.txt": "vllm"}, "vllm", {"vllm": "0.29.0", "torch": "2.13.0", "cuda": "13.0"}),
        ({"requirements.txt": "vllm==0.19.1"}, "vllm-cu12", {"vllm": "0.19.1", "torch": "2.10.0", "cuda": "12.8"}),
        ({"requirements.txt": "vllm==0.14.0"}, "vllm-cu12", {"vllm": "0.14.0", "torch": "2.9.1", "cuda": "12.8"}),
        ({"requirements.txt": "tensorflow", "Dockerfile": "FROM nvidia/cuda:12.4.1-base"}, "python", {"torch": None}),
    ],
)  # fmt: skip
def test_the_preset_and_its_versions(make: Make, files: Files, extends: str, keys: dict[str, str | None]) -> None:
    made = make(files)
    assert made.adopted.choice.extends == extends
    assert {key: getattr(made.loaded.preset, key) for key in keys} == keys


def test_packages_that_were_built_for_the_presets_own_pytorch_lose_their_pin(make: Make) -> None:
    made = make({"requirements.txt": "torch==2.6.0\ntransformers==4.50.0"})
    assert [one for one in made.loaded.preset.pip if one.startswith("torchvision")] == ["torchvision"]
    assert "transformers==4.50.0" in made.loaded.preset.pip
    assert "torch" not in [one.partition("=")[0] for one in made.pip]


def test_a_gpu_is_needed_only_where_a_file_says_so(make: Make) -> None:
    gpu = make({"requirements.txt": "torch"}).loaded.preset.gpu
    assert gpu is not None
    assert not gpu.required
    gpu = make({"requirements.txt": "torch", "Dockerfile": "FROM nvidia/cuda:12.4.1-base\nRUN true"}).loaded.preset.gpu
    assert gpu is not None
    assert gpu.required
    gpu = make({"requirements.txt": "tensorflow", "Dockerfile": "FROM nvidia/cuda:12.4.1-base"}).loaded.preset.gpu
    assert gpu is not None


@pytest.mark.parametrize(
    ("files", "base", "python"),
    [
        ({"requirements.txt": "numpy==1.26.4", ".python-version": "3.10"}, "debian/bookworm", "3.11"),
        ({"requirements.txt": "numpy==1.26.4", "runtime.txt": "python-3.10"}, "ubuntu/jammy", "3.10"),
        ({"requirements.txt": "numpy==2.5.1"}, "debian/trixie", "3.13"),
        ({"environment.yml": "dependencies: [python=3.12, rich]"}, "ubuntu/noble", "3.12"),
        ({"environment.yml": "dependencies: [python=3.8, rich]"}, "ubuntu/jammy", "3.10"),
        ({"pyproject.toml": '[project]\nname = "x"\ndependencies = ["rich"]\nrequires-python = ">=3.12"'}, "debian/trixie", "3.13"),
    ],
)  # fmt: skip
def test_python_and_its_base(make: Make, files: Files, base: str, python: str) -> None:
    preset = make(files).loaded.preset
    assert (preset.base.bootstrap, preset.python) == (base, python)


def test_only_bases_that_this_machine_can_bring(tree: Callable[[Files], Path], settings: Settings) -> None:
    folder = tree({"requirements.txt": "rich", "runtime.txt": "python-3.12"})
    own = dataclasses.replace(settings, apt_mirrors=(("debian", "http://mirror/debian"),))
    choice = adopt(folder, folder, settings=own, matrix=read()).choice
    assert "base" not in choice.settings
    (change,) = choice.changes
    assert (change.asked, change.written) == ("Python ==3.12.*", "Python 3.11")
    assert "ubuntu/noble has 3.12" in change.why
    assert change.mark.where == "runtime.txt:1:1"


@pytest.mark.parametrize(
    ("files", "where", "message", "hint"),
    [
        (
            {"requirements.txt": "--index-url https://x/whl/cu118\ntorch==2.11.0"},
            "requirements.txt:1:1", "torch 2.11.0 is not built for CUDA 11.8", "nearest that works: cuda: '12.8'",
        ),
        (
            {"requirements.txt": "rich\nvllm==0.29.0\ntorch==2.5.1"},
            "requirements.txt:3:1", "vllm 0.29.0 needs torch 2.13.0, not 2.5.1", "torch: '2.13.0'",
        ),
        (
            {"requirements.txt": "rich\nnumpy==1.17.0"},
            "requirements.txt:2:1", "numpy 1.17.0 has wheels for Python 3.4 to 3.7, not 3.11", "numpy 1.23.2 to 1.24.4",
        ),
        (
            {"requirements.txt": "numpy==2.0.1\npandas==2.0.3"},
            "requirements.txt:1:1", "pandas 2.0.3 (requirements.txt:2:1) was compiled for numpy<2", "numpy<2",
        ),
        (
            {"pyproject.toml": '[project]\nname = "x"\ndependencies = []\nrequires-python = ">=3.11"', "runtime.txt": "python-3.9"},
            "runtime.txt:1:1", "Python ==3.9.* contradicts Python >=3.11 (pyproject.toml:4:19)", "correct one",
        ),
        (
            {"requirements.txt": "torch==2.15.0", "runtime.txt": "python-3.10"},
            "runtime.txt:1:1", "torch 2.15.0 has wheels for Python 3.11 to 3.15, not 3.10", "python: '3.11'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_true_together(mistakes: Mistakes, files: Files, where: str, message: str, hint: str) -> None:
    (found,) = mistakes(files)
    assert (found.where, message in found.message, hint in str(found.hint)) == (where, True, True), vars(found)


def test_what_cannot_be_is_said_all_at_once(mistakes: Mistakes) -> None:
    found = mistakes({"requirements.txt": "numpy==1.17.0\nvllm==0.29.0\ntorch==2.5.1\n"})
    assert [one.where for one in found] == ["requirements.txt:1:1", "requirements.txt:3:1"]


def test_groups_that_include_each_other(mistakes: Mistakes) -> None:
    text = '[dependency-groups]\ndev = ["rich", {include-group = "a"}]\na = [{include-group = "dev"}, {include-group = "gone"}]\n'
    found = mistakes({"pyproject.toml": text})
    assert [(one.message, one.where) for one in found] == [
        ("dependency groups form a circle: dev → a → dev", "pyproject.toml:2:33"),
        ("unknown dependency group 'gone'", "pyproject.toml:2:33"),
    ]


def test_what_was_compiled_for_numpy_1_gets_it(make: Make) -> None:
    assert "numpy<2" in make({"requirements.txt": "pandas==2.0.3"}).pip
    assert "numpy>=1.22,<2" in make({"requirements.txt": "pandas==2.0.3\nnumpy>=1.22"}).pip
    assert "numpy==1.26.4" in make({"requirements.txt": "pandas==2.0.3\nnumpy==1.26.4"}).pip
    assert [one for one in make({"requirements.txt": "pandas==2.3.3"}).pip if "numpy" in one] == []


def test_what_became_of_condas_python_and_cuda(make: Make) -> None:
    def changes(*packages: str) -> list[tuple[str, str, str]]:
        text = "dependencies:" + "".join(f"\n  - {package}" for package in packages)
        return [(one.asked, one.written, one.why) for one in make({"environment.yml": text}).adopted.choice.changes]

    assert changes("python=3.11", "rich", "cudatoolkit=11.3") == [
        ("python=3.11", "Python 3.11", "taken as the version of Python"),
        ("cudatoolkit=11.3", "", "packages bring the CUDA that they need"),
    ]
    assert changes("pytorch=2.6.0", "pytorch-cuda=12.4") == [
        ("pytorch-cuda=12.4", "CUDA 12.4", "taken as the version of CUDA")
    ]
    assert changes("pytorch=2.6.0", "cudatoolkit=11.3")[-1] == (
        "cudatoolkit=11.3", "CUDA 12.4", "the CUDA of the chosen PyTorch",
    )  # fmt: skip
    assert changes("pytorch", "cpuonly")[-1] == ("cpuonly", "builds for the CPU", "PyTorch's builds are without CUDA")
    assert [asked for asked, *_ in changes("python=3.7", "rich")] == ["Python ==3.7.*"]
    made = make({"environment.yml": "dependencies: [python, rich, gcc_linux-64=9]"})
    assert made.left == ("python", "gcc_linux-64=9")


def test_jupyterlab(make: Make) -> None:
    def version(text: str) -> str | None:
        jupyter = make({"requirements.txt": text}).loaded.preset.jupyter
        return jupyter.version if jupyter else None

    assert version("jupyterlab") == "4.6.6"
    assert version("jupyterlab==4.2.5") == "4.2.5"
    assert version("jupyterlab~=4.0.8") == "4.0.8"
    assert version("tornado==6.1") is None
    assert version("attrs==21.4.0") is None
    made = make({"requirements.txt": "rich\ntornado==6.1"})
    assert made.changed == ("tornado==6.1",)
    assert "ipykernel" in made.pip


def test_versions_of_a_lock(make: Make) -> None:
    lock = '[[package]]\nname = "rich"\nversion = "13.9.4"\nsource = { registry = "https://i" }\n'
    project = '[project]\nname = "x"\ndependencies = ["rich[jupyter]>=13", "httpx"]\n'
    assert make({"pyproject.toml": project, "uv.lock": lock}).pip[:2] == ("rich[jupyter]==13.9.4", "httpx")
    assert make({"pyproject.toml": project, "uv.lock": lock.replace("13.9.4", "12.0")}).pip[0] == "rich[jupyter]>=13"


def test_conditions_are_evaluated_for_the_image(make: Make) -> None:
    lines = (
        "a==1; python_version < '3.11'",
        "a==2; python_version >= '3.11'",
        "w; sys_platform == 'win32'",
        "b; extra == 'x'",
    )
    project = f'[project]\nname = "x"\ndependencies = {list(lines)}\n[tool.uv]\npackage = false\n'
    made = make({"pyproject.toml": project})
    assert (made.entries, made.adopted.choice.lists["project"][0].count) == ((), 1)
    made.loaded.path.with_name("pyproject.toml").unlink()
    assert make({"requirements.txt": "\n".join((*lines, "sklearn"))}).pip == ("a==2", "scikit-learn")


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("rich>=13 # why\nhttpx[http2]; python_version > '3'\nold; python_version < '3'\n", ["file: requirements.txt"]),
        ("-r more.txt\npandas==2.0.3", ["file: requirements.txt", "numpy<2"]),
        ("rich\ngit+https://github.com/a/b", ["rich"]),
        ("rich\n--index-url https://index.example.org/simple", ["rich"]),
        ("rich\ntorch==2.10.0", ["rich"]),
        ("rich\nsklearn", ["rich", "scikit-learn"]),
        ("rich\n-c more.txt", ["rich"]),
        ("rich\n./acme-1-py3-none-any.whl", ["rich", "acme-1-py3-none-any.whl"]),
    ],
)
def test_a_requirements_file_is_followed_where_a_preset_can(make: Make, text: str, entries: list[str]) -> None:
    made = make({"requirements.txt": text, "more.txt": "click\n", "acme-1-py3-none-any.whl": "x"})
    assert list(made.entries) == entries
    if entries[0].startswith("file"):
        assert "requirements.txt # " in made.adopted.text


HATCH = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


@pytest.mark.parametrize(
    ("text", "value", "entries"),
    [
        (f'[project]\nname = "x"\ndependencies = ["rich>=13"]\n{HATCH}', "editable", ()),
        (
            f'[project]\nname = "x"\ndependencies = ["rich", "x[a]"]\n{HATCH}[dependency-groups]\ndev = ["ruff"]\nb = ["q"]\n[project.optional-dependencies]\na = ["click", "x[b]"]\nb = ["x[a]", "anyio"]',
            "{groups: [dev]}", (),
        ),
        ('[dependency-groups]\ndev = ["rich"]', "{install: false, groups: [dev]}", ()),
        ('[project]\nname = "x"\ndependencies = ["rich"]\n[tool.uv]\ndev-dependencies = ["ruff"]',
         "{install: false, groups: [dev]}", ()),
        (
            ('[tool.poetry]\nname = "x"\n[tool.poetry.dependencies]\npython = "^3.11"\nrich = "^13"\n'
            '[tool.poetry.group.test.dependencies]\npytest = "*"\n[build-system]\nrequires = ["poetry-core"]\n'
            'build-backend = "poetry.core.masonry.api"'), "{groups: [test]}", (),
        ),
        (
            ('[project]\nname = "x"\ndependencies = ["rich", "own", "helper"]\n[tool.uv.sources]\nhelper = {path = "../h"}\n'
            f'own = {{git = "https://example.org/o/own", rev = "v1"}}\n{HATCH}'), "{without: [helper]}", (),
        ),
        (f'[project]\nname = "x"\ndependencies = ["sklearn", "rich"]\n{HATCH}', "{without: [sklearn]}", ("scikit-learn",)),
        (f'[project]\nname = "x"\ndependencies = ["torch>=2.4", "rich"]\n{HATCH}', "editable", ()),
        (f'[project]\nname = "x"\ndependencies = ["torch==2.6.0+cu124"]\n{HATCH}', "{without: [torch]}", ("torchvision",)),
        (f'[project]\nname = "x"\nrequires-python = ">=3.14"\ndependencies = ["rich"]\n{HATCH}', "{install: false}", ()),
        ('[project]\nname = "x"\ndependencies = ["rich"]\n[build-system]\nrequires = ["maturin"]\nbuild-backend = "maturin"',
         "{install: false}", ()),
    ],
)  # fmt: skip
def test_a_pyproject_is_followed(make: Make, text: str, value: str, entries: tuple[str, ...]) -> None:
    made = make({"pyproject.toml": text})
    assert f"\nproject: {value} # " in made.adopted.text
    assert made.entries == entries
    installed = "install: false" not in value
    assert [*made.loaded.preset.setup] == (["project"] if installed else [])
    before = made.loaded.preset.pip
    path = made.loaded.path.with_name("pyproject.toml")
    path.write_text(text.replace('"rich', '"pip-audit>=2", "rich') if '"rich' in text else text)
    after = load(made.loaded.path).preset.pip
    assert ("pip-audit>=2" in after) is ('"rich' in text), (before, after)


def test_versions_that_a_lock_pins_stay_and_others_are_followed(make: Make) -> None:
    lock = '[[package]]\nname = "rich"\nversion = "13.9.4"\nsource = { registry = "https://i" }\n'
    text = f'[project]\nname = "x"\ndependencies = ["rich>=13", "httpx"]\n{HATCH}'
    made = make({"pyproject.toml": text, "uv.lock": lock})
    assert "\nproject: editable # 1 package; the lock follows pyproject.toml\n" in made.adopted.text
    assert made.entries == ("rich==13.9.4",)
    made.loaded.path.with_name("pyproject.toml").write_text(text.replace("rich>=13", "rich>=14"))
    with pytest.raises(PresetError, match=r"'rich==13\.9\.4' is not what pyproject\.toml:3:17 asks for: rich>=14"):
        load(made.loaded.path)


def test_what_a_preset_cannot_follow_is_copied(make: Make) -> None:
    text = '[project]\nname = "x"\ndependencies = ["rich"]\n[tool.uv]\npackage = false\n'
    assert make({"app/pyproject.toml": text}, source="app/pyproject.toml").entries == ("rich",)
    assert make({"requirements.txt": "rich\n-e .\n", "pyproject.toml": HATCH}).entries == (
        "rich",
        "hatchling",
        "editables",
    )


def test_constraints_limit_what_is_asked_for(make: Make) -> None:
    made = make(
        {"requirements.txt": "-c limits.txt\nrich>=13\nhttpx", "limits.txt": "rich<14\nhttpx==0.27.0\nother==1"}
    )
    assert made.pip == ("rich>=13,<14", "httpx==0.27.0")


def test_names_that_are_none(make: Make) -> None:
    made = make({"requirements.txt": "sklearn\npsycopg2==2.9.10\ndataclasses\npip==24"})
    assert made.pip == ("scikit-learn", "psycopg2-binary==2.9.10")
    assert made.changed == ("sklearn", "psycopg2==2.9.10", "dataclasses", "pip==24")


def test_the_projects_own_package_is_installed_editable_at_start(make: Make) -> None:
    project = '[project]\nname = "x"\ndependencies = []\n[build-system]\nrequires = ["hatchling>=1"]\nbuild-backend = "hatchling.build"\n'
    made = make({"pyproject.toml": project})
    assert made.pip == ("hatchling>=1", "editables")
    step = made.loaded.preset.setup["project"]
    assert (step.run, step.once) == (("pip", "install", "--no-deps", "--no-build-isolation", "-e", "."), "container")
    made = make({"pyproject.toml": project.replace("hatchling>=1", 'hatchling", "cython')})
    assert made.left == ("the project's own package",)
    assert made.loaded.preset.setup == {}


def test_a_requirements_file_that_names_the_project(make: Make) -> None:
    assert make({"requirements.txt": "rich\n-e .\n", "setup.py": ""}).pip == ("rich", "setuptools")
    build = '[build-system]\nrequires = ["flit_core>=3"]\nbuild-backend = "flit_core.buildapi"\n'
    made = make({"requirements.txt": "rich\n-e .\n", "pyproject.toml": build})
    assert made.pip == ("rich", "flit_core>=3")
    assert list(made.loaded.preset.setup) == ["project"]


def test_extras_of_packages_by_address_are_kept(make: Make) -> None:
    hash_ = "a" * 64
    made = make({
        "requirements.txt": "a[Web,x] @ git+https://github.com/o/a@v1\nrequests[socks]\n"
        f"b[y] @ https://files.example.org/b-1-py3-none-any.whl#sha256={hash_}\n"
        "./folder\n",
    })  # fmt: skip
    assert made.pip == (
        "a[web,x] @ git+https://github.com/o/a@v1", "requests[socks]",
        f"b[y] @ https://files.example.org/b-1-py3-none-any.whl#sha256={hash_}",
    )  # fmt: skip


def test_a_folder_without_a_package_is_not_installed(make: Make) -> None:
    made = make({"requirements.txt": "rich\n-e .\n"})
    assert (made.pip, made.left, made.loaded.preset.setup) == (("rich",), ("-e .",), {})


def test_everything_of_a_project(make: Make) -> None:
    made = make({
        "requirements.txt": "rich==13.9.4 # why\n",
        "Dockerfile": "FROM python:3.11\nRUN apt-get update && apt-get install -y tree libgl1-mesa-glx python3-pip\n"
        "ENV LEVEL=debug\nEXPOSE 8000 8888\nCMD run\n",
        ".python-version": "3.11\n",
    })  # fmt: skip
    preset = made.loaded.preset
    assert ("tree" in preset.apt, "libgl1" in preset.apt, "python3-pip" in preset.apt) == (True, True, False)
    assert (preset.env["LEVEL"], preset.ports, preset.name) == ("debug", {"port-8000": 8000}, "scans")
    assert "  - file: requirements.txt # 1 package; the lock follows the file" in made.adopted.text
    assert "CMD run (Dockerfile:5:1): devenv starts its own services" in " ".join(
        made.adopted.text.replace("#", "").split()
    )
    assert made.left == ("CMD run", "port 8888")
    assert [path.name for path in made.adopted.read] == ["requirements.txt", ".python-version", "Dockerfile"]


def test_the_projects_own_name_is_no_package_of_an_index(make: Make) -> None:
    project = '[project]\nname = "My_Scans"\ndependencies = ["rich", "my-scans[extra]"]\n[tool.uv]\npackage = false\n'
    made = make({"pyproject.toml": project, "Dockerfile": "FROM x\nRUN pip install 'my.scans[web]==2' httpx"})
    assert made.pip == ("rich", "httpx")


def test_one_file_gives_the_packages_and_the_others_are_named(make: Make) -> None:
    files = {"pyproject.toml": '[project]\nname = "x"\ndependencies = ["rich"]', "requirements.txt": "httpx"}
    made = make(files)
    assert (made.pip[0], [path.name for path in made.adopted.passed_over]) == ("rich", ["requirements.txt"])
    assert make(files, source="requirements.txt").pip == ("httpx",)
    assert make({"pyproject.toml": "[tool.ruff]\n"}).pip == ("httpx",)


def test_locks_alone_and_beside_a_project_in_a_folder(make: Make) -> None:
    lock = '[[package]]\nname = "rich"\nversion = "13.9.4"\n'
    assert make({"poetry.lock": lock}).pip == ("rich==13.9.4",)
    project = '[project]\nname = "x"\ndependencies = ["rich"]\n[tool.uv]\npackage = false\n'
    made = make({"app/pyproject.toml": project, "app/poetry.lock": lock}, source="app/pyproject.toml")
    assert made.pip == ("rich==13.9.4",)
    assert [path.name for path in made.adopted.read] == ["pyproject.toml", "poetry.lock"]


def test_variables_of_the_preset_and_paths_of_another_image_stay_out(make: Make) -> None:
    made = make({
        "requirements.txt": "vllm",
        "Dockerfile": "FROM debian\nENV VLLM_USE_FLASHINFER_SAMPLER=1 PYTHONPATH=/app TRITON_CACHE_DIR=/t CUDA_HOME=/c LEVEL=a\nENV LEVEL=b",
    })  # fmt: skip
    assert [(entry.name, entry.value) for entry in made.adopted.choice.lists["env"]] == [("LEVEL", "b")]
    assert made.left == (
        "variable VLLM_USE_FLASHINFER_SAMPLER", "variable PYTHONPATH", "variable TRITON_CACHE_DIR", "variable CUDA_HOME",
    )  # fmt: skip
    assert make({"Dockerfile": "FROM debian\nENV PYTHONPATH=/app/src\n"}, source="Dockerfile").left == (
        "variable PYTHONPATH",
    )


def test_a_secret_in_a_command_is_nowhere(make: Make) -> None:
    word = "hx7Qp2LmZ9"
    made = make({
        "Dockerfile": f"FROM x\nENV DB_PASSWORD={word} URL=postgres://me:{word}@db/x\n"
        f"RUN curl -H 'Authorization: Bearer {word}' https://example.org/x\nRUN make TOKEN={word}\n"
        f'CMD ["app", "--password={word}"]\n',
        ".devcontainer/devcontainer.json": '{"build": {"dockerfile": "../Dockerfile"}, '
        f'"postCreateCommand": "login --password {word}", "runArgs": ["--env", "API_KEY={word}", "--secret={word}"]}}',
    })  # fmt: skip
    assert word not in made.adopted.text + repr(made.adopted.choice)
    assert "CMD … (not shown, because it may hold a secret)" in made.left
    assert made.loaded.preset.setup == {}


def test_a_secret_beside_a_mistake_is_not_shown(mistakes: Mistakes) -> None:
    (found,) = mistakes({"Dockerfile": "FROM x\nRUN TOKEN=hx7Qp2LmZ9 pip install numpy==2.0.1 pandas==2.0.3\n"})
    assert found.where == "Dockerfile:2:1"
    assert "hx7Qp2LmZ9" not in f"{found.message}{found.detail}{found.hint}"


def test_other_files_than_these(tree: Callable[[Files], Path], settings: Settings) -> None:
    folder = tree({"notes.md": "x", "empty.txt": ""})
    with pytest.raises(UsageError, match=r"notes\.md is no file that devenv reads"):
        adopt(folder / "notes.md", folder, settings=settings, matrix=read())
    with pytest.raises(UsageError, match="gone does not exist"):
        adopt(folder / "gone", folder, settings=settings, matrix=read())
    for name in ("empty.txt", "."):
        with pytest.raises(PresetError, match=r"nothing in .* that devenv reads"):
            adopt(folder / name, folder, settings=settings, matrix=read())


def test_a_project_elsewhere_leaves_its_files_behind(
    tmp_path: Path, tree: Callable[[Files], Path], settings: Settings
) -> None:
    folder = tree({})
    other = tmp_path / "other"
    other.mkdir()
    (other / "requirements.txt").write_text("rich\n-e .\nacme-1-py3-none-any.whl\n")
    (other / "acme-1-py3-none-any.whl").write_text("")
    (other / "setup.py").write_text("")
    adopted = adopt(folder / ".." / "other", folder, settings=settings, matrix=read())
    assert adopted.read == (other / "requirements.txt",)
    choice = adopted.choice
    assert [entry.value for entry in choice.lists["pip"]] == ["rich"]
    assert [loss.why for loss in choice.left] == ["it lies in another folder"] * 2
