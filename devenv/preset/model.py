"""The preset's shape. Every field is intent; the lock has the resolved values."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from devenv.preset.extension import FILE_ENTRY, NAME_ENTRY, NAMED, shape
from devenv.preset.pip_entry import checked


def _no_dots(path: str) -> str:
    if any(part in {".", ".."} for part in path.split("/")):
        raise ValueError("'.' and '..' cannot be parts of a path in the container")
    return path


# They have names because model_errors describes each of them. [0-9], because `\d` matches the digits of every script.
SLUG = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
BOOTSTRAP = r"^(debian|ubuntu)/[a-z]+$"
# Docker's own grammar of references: [HOST[:PORT]/]NAME[/NAME…][:TAG][@sha256:…].
_HOST, _NAME = r"[A-Za-z0-9]+([.-]+[A-Za-z0-9]+)*(:[0-9]+)?", r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
IMAGE = rf"^({_HOST}/)?{_NAME}(/{_NAME})*(:[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?$"
APT = r"^[a-z0-9][a-z0-9.+-]+(=[0-9A-Za-z.+:~-]+)?$"
NPM = r"^(@[a-z0-9._~-]+/)?[a-z0-9._~-]+@[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*$"
VERSION = r"^[0-9]+(\.[0-9]+){1,2}([a-z0-9.+-]*)$"
MINOR = r"^3\.[0-9]{1,2}$"
ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
ENV_VALUE = r"^[^\x00\r\n]*$"
CONTAINER_PATH = r"^(/[A-Za-z0-9._+-]+)+$"
URL_PATH = r"^/[A-Za-z0-9._~/?=&%{}-]*$"
URL = r"^https?://[!-~]+$"
SHA256 = r"^[0-9a-f]{64}$"
HOST_NAME = r"^(any|(\*\.)?[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62})){0,20})$"
ARGUMENT = r"^[^\x00\r\n]+$"
LISTEN = r"^(unix:/run/devenv/[a-z0-9._-]+|127\.0\.0\.1:[0-9]{1,5})$"
EXTENSION = r"^[A-Za-z0-9-]+\.[A-Za-z0-9._-]+$"
SIZE = r"^[1-9][0-9]{0,5}[mg]$"
CAPABILITY = r"^[1-9][0-9]?\.[0-9]$"
REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"
COMMIT = r"^[0-9a-f]{40}$"
REVISION = r"^[0-9A-Za-z][0-9A-Za-z._-]{0,99}$"
TIMEZONE = r"^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$"
FILE_PATTERN = r"^[A-Za-z0-9_.*?\[\]!+@ -]+(/[A-Za-z0-9_.*?\[\]!+@ -]+)*$"

COMPONENTS = {"debian": ("contrib", "non-free", "non-free-firmware"), "ubuntu": ("restricted", "multiverse")}
"""Distribution → the parts of its archive that a preset can add."""
ZONES_PACKAGE = "tzdata"
"""The Debian package that has the time zones."""

Slug = Annotated[str, Field(pattern=SLUG)]
PipRequirement = Annotated[str, AfterValidator(checked)]
AptPackage = Annotated[str, Field(pattern=APT)]
NpmPackage = Annotated[str, Field(pattern=NPM)]
Version = Annotated[str, Field(pattern=VERSION)]
MinorVersion = Annotated[str, Field(pattern=MINOR)]
EnvName = Annotated[str, Field(pattern=ENV_NAME)]
EnvValue = Annotated[str, Field(pattern=ENV_VALUE, max_length=4096)]
ContainerPath = Annotated[str, Field(pattern=CONTAINER_PATH), AfterValidator(_no_dots)]
UrlPath = Annotated[str, Field(pattern=URL_PATH)]
Component = Literal["contrib", "non-free", "non-free-firmware", "restricted", "multiverse"]
Port = Annotated[int, Field(ge=1, le=65535)]
Sha256 = Annotated[str, Field(pattern=SHA256)]
HostPath = Annotated[str, Field(min_length=1)]
Argument = Annotated[str, Field(pattern=ARGUMENT, max_length=4096)]
Repository = Annotated[str, Field(pattern=REPOSITORY)]
FilePattern = Annotated[str, Field(pattern=FILE_PATTERN, max_length=255)]
RoleOfMany = Literal["workbench", "serve", "both"]


class _Strict(BaseModel):
    """A section of a file that users write: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Base(_Strict):
    """The root file system: a distribution installed from its packages, or an existing image."""

    bootstrap: Annotated[str, Field(pattern=BOOTSTRAP)] | None = None
    """A distribution and its release, such as `debian/bookworm`. devenv installs it from locked .deb packages and
    needs no registry and no root rights for it."""
    image: Annotated[str, Field(pattern=IMAGE)] | None = None
    """An image of Debian, Ubuntu or a relative of theirs. The lock pins its digest."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.bootstrap is None) == (self.image is None):
            raise ValueError("give either 'bootstrap' or 'image'")
        return self


class Archive(_Strict):
    """A file that the preset names by path or address, pinned by its hash."""

    path: HostPath | None = None
    """The file's path, relative to the preset's folder and inside it."""
    url: Annotated[str, Field(pattern=URL)] | None = None
    """The file's address, http or https."""
    sha256: Sha256
    """The file's sha256, 64 hexadecimal digits."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("give either 'path' or 'url'")
        return self


class CodeServer(_Strict):
    """VS Code in the browser."""

    version: Version
    """The version of code-server, such as `4.104.1`."""
    source: Literal["npm", "release"] = "npm"
    """`npm`: devenv compiles code-server's native parts, once per machine. `release`: devenv unpacks `archive`."""
    archive: Archive | None = None
    """The release tarball (code-server-VERSION-linux-ARCH.tar.gz) with its sha256. Needed with `source: release`."""

    @model_validator(mode="after")
    def _archive_with_release(self) -> Self:
        if (self.source == "release") != (self.archive is not None):
            raise ValueError("'archive' goes with 'source: release', and only with it")
        return self


class Extension(_Strict):
    """An editor extension by its file: a .vsix with its hash."""

    id: Annotated[str, Field(pattern=EXTENSION)]
    """The extension's id, PUBLISHER.NAME, such as `ms-python.python`."""
    version: Version
    """The version of the extension."""
    archive: Archive
    """The extension's .vsix file."""


EditorExtension = Annotated[
    Annotated[Extension, Tag(FILE_ENTRY)] | Annotated[str, Field(pattern=NAMED), Tag(NAME_ENTRY)], Discriminator(shape)
]


class Jupyter(_Strict):
    """JupyterLab in the browser."""

    version: Version
    """The version of the package jupyterlab, such as `4.4.9`."""


def _network(text: str) -> str:
    if text != "any":
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise ValueError("not an IP address or a network, such as 172.18.0.0/16") from None
    return text


class Gateway(_Strict):
    """Further clients of the services behind the gateway. Without this section: this machine alone, by its address or
    as `localhost`."""

    hosts: tuple[Annotated[str, Field(pattern=HOST_NAME, max_length=253)], ...] = ()
    """Further host names that browsers may use: `dev.example.org`, `*.lab.example.org`, or `any`."""
    peers: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Further addresses that may send requests: `172.18.0.0/16`, or `any`."""


class Health(_Strict):
    """The check that a service is ready: an HTTP GET of `path` returns `status`."""

    path: UrlPath = "/"
    """The path of the request, such as `/health`."""
    status: Annotated[int, Field(ge=100, le=599)] = 200
    """The HTTP status of a service that is ready."""


class Service(_Strict):
    """A program that the container keeps running, as the user."""

    command: Annotated[tuple[Argument, ...], Field(min_length=1)]
    """The program and its arguments. No shell interprets them."""
    port: Port | None = None
    """The container port that users open. devenv publishes it on a free loopback port."""
    auth: Literal["token", "own", "none"] = "token"
    """`token`: devenv's gateway on `port` asks for the environment's token and forwards requests to `listen`.
    `own`: the service checks a token itself. `none`: everyone on this machine can open it."""
    listen: Annotated[str, Field(pattern=LISTEN)] | None = None
    """The address on which the program listens. Needed with `auth: token`."""
    url: UrlPath = "/"
    """The page whose URL devenv prints. `{token}` stands for the token."""
    health: Health | None = None
    """The HTTP request that checks that the service is ready."""
    env: dict[EnvName, EnvValue] = {}
    """Environment variables of this service alone."""
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = 60
    """Seconds that the service may take to become ready."""
    role: RoleOfMany = "workbench"
    """When it runs. `workbench`: after `devenv up`. `serve`: after `devenv up --role serve`, because it is the
    model's. `both`: after both."""

    @model_validator(mode="after")
    def _gateway(self) -> Self:
        if self.port is not None and self.auth == "token" and self.listen is None:
            raise ValueError("'auth: token' needs 'listen': where the service itself listens")
        return self


class HuggingFaceModel(_Strict):
    """A model on Hugging Face, or on a server that speaks its API."""

    id: Repository
    """The model's name, OWNER/NAME."""
    revision: Annotated[str, Field(pattern=COMMIT)]
    """The commit, 40 hexadecimal digits. A branch is refused, because its content changes."""


class ModelScopeModel(_Strict):
    """The same model on ModelScope."""

    id: Repository
    """The model's name, OWNER/NAME."""
    revision: Annotated[str, Field(pattern=REVISION)]
    """A commit or a tag. The lock fixes its files by hash."""


class Model(_Strict):
    """A model's weights, mounted read-only. With two hubs, `devenv lock` checks that their files are equal."""

    huggingface: HuggingFaceModel | None = None
    """The model on Hugging Face."""
    modelscope: ModelScopeModel | None = None
    """The model on ModelScope."""
    allow: tuple[FilePattern, ...] = ()
    """Patterns of the files to take, such as `*.safetensors`. Without one: all files except the hub's own."""
    deny: tuple[FilePattern, ...] = ()
    """Patterns of files to leave out. They win over `allow`."""
    mount: ContainerPath | None = None
    """The mount point. Without one: `/mnt/NAME/model`, with the environment's name."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.huggingface is None and self.modelscope is None:
            raise ValueError("give 'huggingface', 'modelscope' or both")
        return self


class SmokeCheck(_Strict):
    """A command that checks the environment. It runs in the container as the user, and exit status 0 passes. A JSON
    object on its last line becomes part of the report. The variable DEVENV_SMOKE_EXPECT holds `expect`."""

    run: Annotated[tuple[Argument, ...], Field(min_length=1)]
    """The program and its arguments. No shell interprets them."""
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = 120
    """Seconds that the command may take."""
    expect: Literal["result", "plumbing"] = "result"
    """`result`: the check proves the result. `plumbing`: it proves only that everything runs, because the weights are
    random."""
    role: RoleOfMany = "both"
    """When it runs: `workbench`, `serve`, or `both`. With `serve` it runs after the services are ready."""


class SetupStep(_Strict):
    """A command that prepares the environment after its first start. It runs in the container as the user, in
    /workspace. Exit status 0 passes."""

    run: Annotated[tuple[Argument, ...], Field(min_length=1)]
    """The program and its arguments. No shell interprets them."""
    timeout_s: Annotated[int, Field(ge=1, le=86400)] = 1800
    """Seconds that the command may take."""
    once: Literal["environment", "container"] = "environment"
    """`environment`: it runs once, until the environment's volume is removed. `container`: it runs again in each new
    container, for files that the old one had outside of /workspace, /mnt and volumes, such as Python packages."""


class Gpu(_Strict):
    """The GPUs that the environment needs. Without this section it gets none, except by `--gpus`."""

    required: bool = True
    """`false`: the environment also works on the CPU, and uses GPUs on a machine that has some."""
    count: Annotated[int, Field(ge=1, le=64)] = 1
    """The number of GPUs that it needs at least. It gets all GPUs of the machine, or those that `--gpus` names."""
    memory: Annotated[str, Field(pattern=SIZE)] | None = None
    """The memory that each GPU needs, as on its data sheet: `16g`."""
    min_capability: Annotated[str, Field(pattern=CAPABILITY)] | None = None
    """The lowest compute capability that works: `8.0` is Ampere, `9.0` Hopper."""


class Preset(_Strict):
    """An environment, as its author describes it (after `extends`)."""

    name: Slug
    """The environment's name, shared by its container, volumes and image. Without one: the name of the project's
    folder."""
    description: Annotated[str, Field(max_length=400)] = ""
    """The environment's purpose, in one sentence."""
    base: Base
    """The root file system that the image starts from."""
    python: MinorVersion
    """The version of Python, as MAJOR.MINOR: the base's own, or another one whose package (`python3.13`) is in the
    archives of your machine's apt settings."""
    cuda: Version | None = None
    """The version of CUDA that PyTorch and vLLM are built for, such as `12.8`."""
    torch: Version | None = None
    """The version of PyTorch."""
    vllm: Version | None = None
    """The version of vLLM."""
    gpu: Gpu | None = None
    """The GPUs that the environment needs."""
    memory: Annotated[str, Field(pattern=SIZE)] | None = None
    """The main memory that the machine needs: `13g`."""
    pip: tuple[PipRequirement, ...] = ()
    """Python packages, added to inherited ones: PEP 508 requirements (`rich`, `rich>=13`, `rich[jupyter]==13.9.4`),
    paths of your own wheels in this file's folder (`wheels/acme-1.2-py3-none-any.whl`), wheels by address with their
    hash (`acme @ https://…/acme-1.2-py3-none-any.whl#sha256=…`), or git repositories (`acme @ git+https://…@v1.2`).
    `{file: requirements.txt}` stands for the requirements of that file, as the whole value or as an entry. A package
    has one entry, or several entries with different markers: `foo==1; python_version < '3.12'`."""
    apt: tuple[AptPackage, ...] = ()
    """Debian or Ubuntu packages, added to inherited ones: `git`, `git=1:2.39.5-0+deb12u2`."""
    apt_components: tuple[Component, ...] = ()
    """Further parts of the distribution's archive for the packages in `apt`, added to inherited ones. `main` (and
    Ubuntu's `universe`) needs no entry. Packages of other parts are not free software, or need some that is not."""
    npm: tuple[NpmPackage, ...] = ()
    """npm packages with exact versions, installed globally, added to inherited ones: `typescript@5.6.3`."""
    node: Version | None = None
    """The version of Node.js. `npm` and code-server from npm need it."""
    code_server: CodeServer | None = None
    """VS Code in the browser."""
    extensions: tuple[EditorExtension, ...] = ()
    """Editor extensions in the image, added to inherited ones: names in the registry of extensions of your settings
    (`charliermarsh.ruff`, `ms-python.python@2026.4.0`), or .vsix files."""
    jupyter: Jupyter | None = None
    """JupyterLab in the browser."""
    services: dict[Slug, Service] = {}
    """Name → program that the container keeps running."""
    gateway: Gateway | None = None
    """Further clients of the services behind the gateway."""
    ports: dict[Slug, Port] = {}
    """Name → further container port to publish on loopback."""
    model: Model | None = None
    """A model's weights from a hub: verified, shared by all environments, mounted read-only."""
    volumes: dict[Slug, ContainerPath] = {}
    """Name of a further persistent volume → its mount point."""
    timezone: Annotated[str, Field(pattern=TIMEZONE)] | None = None
    """The time zone in the container, a name of the IANA database such as `Europe/Berlin`. Without one: UTC."""
    env: dict[EnvName, EnvValue] = {}
    """Environment variables of all programs in the container."""
    caches: dict[EnvName, Slug] = {}
    """Caches on the environment's volume that make the next start quick: variable → folder, such as
    `TRITON_CACHE_DIR: triton`. Each set of Python packages and each kind of GPU has its own folders."""
    files: dict[ContainerPath, HostPath] = {}
    """Path in the image → file or folder in the preset's folder that is copied there."""
    workspace: HostPath | None = None
    """A folder whose content becomes the first content of the container's own /workspace."""
    setup: dict[Slug, SetupStep] = {}
    """Name → command that runs after the first start, before devenv waits for services. They run in the order in which
    they are written, inherited ones first. A changed command runs again, and so do those after it."""
    smoke: dict[Slug, SmokeCheck] = {}
    """Name → check that has to pass before the environment counts as up."""
    alternatives: tuple[HostPath, ...] = ()
    """Presets (names or paths, as in `extends`) that do the same work and need less, the best first. On a machine that
    cannot run this preset, devenv names the first one that can run."""
    shm_size: Annotated[str, Field(pattern=SIZE)] = "2g"
    """The size of shared memory, which PyTorch's data loaders need: `512m`, `2g`."""

    @model_validator(mode="after")
    def _node_for_editor(self) -> Self:
        if self.node is None and (self.npm or (self.code_server and self.code_server.source == "npm")):
            raise ValueError("'npm' packages and 'code_server' from npm need 'node'")
        return self

    def packages(self) -> tuple[str, ...]:
        """All Debian packages, with the one that `timezone` implies."""
        implied = self.timezone and not any(package.partition("=")[0] == ZONES_PACKAGE for package in self.apt)
        return (*self.apt, *((ZONES_PACKAGE,) if implied else ()))

    @property
    def has_versions(self) -> bool:
        """Whether the compatibility matrix applies to this preset."""
        return bool(self.gpu or self.torch or self.vllm or self.cuda)

    def requirements(self) -> tuple[str, ...]:
        """All Python requirements, with those that `jupyter`, `torch` and `vllm` imply."""
        implied = (
            *((f"jupyterlab=={self.jupyter.version}",) if self.jupyter else ()),
            *((f"torch=={self.torch}",) if self.torch else ()),
            *((f"vllm=={self.vllm}",) if self.vllm else ()),
        )
        return (*implied, *self.pip)
