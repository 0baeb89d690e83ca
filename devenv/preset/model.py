"""The preset's shape. Every field is intent; the lock has the resolved values."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from devenv.preset.own_wheel import own_wheel


def _requirement(text: str) -> str:
    try:
        parsed = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(f"not a PEP 508 requirement: {str(error).splitlines()[0]}") from None
    if parsed.url and own_wheel(text) is None:
        raise ValueError("direct references (name @ url) cannot be locked; name a version, or the path of a wheel")
    return text


def _no_dots(path: str) -> str:
    if any(part in {".", ".."} for part in path.split("/")):
        raise ValueError("'.' and '..' cannot be parts of a path in the container")
    return path


# Named, so that model_errors can describe each. ASCII digits only: `\d` would take any script's.
SLUG = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
BOOTSTRAP = r"^(debian|ubuntu)/[a-z]+$"
# As Docker's own grammar of references has it: [HOST[:PORT]/]NAME[/NAME…][:TAG][@sha256:…].
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
"""The parts of an archive that are asked by choice, by distribution."""
ZONES_PACKAGE = "tzdata"
"""The Debian package that has the time zones."""

Slug = Annotated[str, Field(pattern=SLUG)]
PipRequirement = Annotated[str, AfterValidator(_requirement)]
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


class _Strict(BaseModel):
    """User files: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Base(_Strict):
    """The root file system: a distribution bootstrapped from its packages, or a registry image."""

    bootstrap: Annotated[str, Field(pattern=BOOTSTRAP)] | None = None
    """`debian/bookworm`: made from locked .deb packages; needs no registry and no root."""
    image: Annotated[str, Field(pattern=IMAGE)] | None = None
    """Any Debian-family image; its digest is pinned in the lock."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.bootstrap is None) == (self.image is None):
            raise ValueError("give either 'bootstrap' or 'image'")
        return self


class Archive(_Strict):
    """A file that the user names by path (in the preset's folder) or address, pinned by hash."""

    path: HostPath | None = None
    """Relative to the folder of the preset's file, and inside it."""
    url: Annotated[str, Field(pattern=URL)] | None = None
    """An http or https address."""
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
    """code-server's own version, such as `4.104.1`."""
    source: Literal["npm", "release"] = "npm"
    """`npm` compiles its native parts once per machine; `release` unpacks `archive`."""
    archive: Archive | None = None
    """The release tarball (code-server-VERSION-linux-ARCH.tar.gz) with its sha256, for `source: release`."""

    @model_validator(mode="after")
    def _archive_with_release(self) -> Self:
        if (self.source == "release") != (self.archive is not None):
            raise ValueError("'archive' goes with 'source: release', and only with it")
        return self


class Extension(_Strict):
    """An editor extension: a .vsix file with its hash, baked into the editor."""

    id: Annotated[str, Field(pattern=EXTENSION)]
    """PUBLISHER.NAME, such as `ms-python.python`."""
    version: Version
    """The extension's version."""
    archive: Archive
    """Its .vsix file."""


class Jupyter(_Strict):
    """JupyterLab; `version` pins jupyterlab itself."""

    version: Version
    """jupyterlab's version, such as `4.4.9`."""


def _network(text: str) -> str:
    if text != "any":
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise ValueError("not an IP address or a network, such as 172.18.0.0/16") from None
    return text


class Gateway(_Strict):
    """Who else may reach the services that ask for the token. Without it: this machine, by address or `localhost`."""

    hosts: tuple[Annotated[str, Field(pattern=HOST_NAME, max_length=253)], ...] = ()
    """Further host names, as a browser asks for them: `dev.example.org`, `*.lab.example.org`, or `any`."""
    peers: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Further addresses that requests come from: `172.18.0.0/16`, or `any`."""


class Health(_Strict):
    """When a service counts as ready: an HTTP GET of `path` answers with `status`."""

    path: UrlPath = "/"
    """What is asked for, such as `/health`."""
    status: Annotated[int, Field(ge=100, le=599)] = 200
    """The HTTP status that means ready."""


class Service(_Strict):
    """A process the supervisor keeps running as the user."""

    command: Annotated[tuple[Argument, ...], Field(min_length=1)]
    """The program and its arguments; no shell reads them."""
    port: Port | None = None
    """The container port that users reach, published on a free loopback port."""
    auth: Literal["token", "own", "none"] = "token"
    """`token`: devenv's gateway on `port` asks for the environment's token and passes on to `listen`;
    `own`: the service checks a token itself; `none`: open to everyone on this machine."""
    listen: Annotated[str, Field(pattern=LISTEN)] | None = None
    """Where the service itself listens, with `auth: token`."""
    url: UrlPath = "/"
    """The page to open; `{token}` stands for the token."""
    health: Health | None = None
    """The HTTP request that tells when it is ready."""
    env: dict[EnvName, EnvValue] = {}
    """Environment variables of this service only."""
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = 60
    """Seconds it may take to become ready."""

    @model_validator(mode="after")
    def _gateway(self) -> Self:
        if self.port is not None and self.auth == "token" and self.listen is None:
            raise ValueError("'auth: token' needs 'listen': where the service itself listens")
        return self


class HuggingFaceModel(_Strict):
    """A model on Hugging Face, or on a hub that speaks its protocol."""

    id: Repository
    """OWNER/NAME."""
    revision: Annotated[str, Field(pattern=COMMIT)]
    """The commit, 40 hexadecimal digits: a branch would be another model tomorrow."""


class ModelScopeModel(_Strict):
    """The same model on ModelScope."""

    id: Repository
    """OWNER/NAME."""
    revision: Annotated[str, Field(pattern=REVISION)]
    """A commit or a tag; the lock fixes what it holds."""


class Model(_Strict):
    """Weights, mounted read-only. Named on two hubs, they are one model: the lock checks that the files are equal."""

    huggingface: HuggingFaceModel | None = None
    """Where Hugging Face has it."""
    modelscope: ModelScopeModel | None = None
    """Where ModelScope has it."""
    allow: tuple[FilePattern, ...] = ()
    """Which files: patterns such as `*.safetensors`. Without one, all but what belongs to a hub itself."""
    deny: tuple[FilePattern, ...] = ()
    """Which files not; stronger than `allow`."""
    mount: ContainerPath | None = None
    """Where it is mounted; `/mnt/NAME/model` (NAME is the environment's) when not given."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.huggingface is None and self.modelscope is None:
            raise ValueError("give 'huggingface', 'modelscope' or both")
        return self


class SmokeCheck(_Strict):
    """A command run inside as the user; exit status 0 passes; JSON on its last line joins the report. It finds
    `expect` in DEVENV_SMOKE_EXPECT."""

    run: Annotated[tuple[Argument, ...], Field(min_length=1)]
    """The program and its arguments; no shell reads them."""
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = 120
    """Seconds it may take."""
    expect: Literal["result", "plumbing"] = "result"
    """`plumbing`: the weights are made up, so the check proves that everything runs, and says nothing of the result."""


class SetupStep(_Strict):
    """A command run inside as the user, in /workspace, after the first start; exit status 0 passes."""

    run: Annotated[tuple[Argument, ...], Field(min_length=1)]
    """The program and its arguments; no shell reads them."""
    timeout_s: Annotated[int, Field(ge=1, le=86400)] = 1800
    """Seconds it may take."""
    once: Literal["environment", "container"] = "environment"
    """`environment`: once, until the environment's volume goes; `container`: again in each new container, for what is
    lost with the old one: all outside of /workspace, /mnt and volumes, Python packages for one."""


class Gpu(_Strict):
    """The GPU that the environment computes on. Without this section it gets none, unless `--gpus` gives it some."""

    required: bool = True
    """`false`: it also works on the CPU, and takes GPUs where there are some."""
    count: Annotated[int, Field(ge=1, le=64)] = 1
    """How many it needs at least; it gets all that the machine has, or those that `--gpus` names."""
    memory: Annotated[str, Field(pattern=SIZE)] | None = None
    """The memory that each has to have, as it is sold: `16g`."""
    min_capability: Annotated[str, Field(pattern=CAPABILITY)] | None = None
    """The oldest compute capability that will do: `8.0` is Ampere, `9.0` Hopper."""


class Preset(_Strict):
    """An environment, as a person wrote it (after `extends`)."""

    name: Slug
    """The environment's name: of its container, volumes and image. Without one, the project folder's."""
    description: Annotated[str, Field(max_length=400)] = ""
    """What it is for, in a sentence."""
    base: Base
    """The root file system that all else is put on."""
    python: MinorVersion
    """The base system's Python, as MAJOR.MINOR."""
    cuda: Version | None = None
    """The CUDA version that torch and vllm are built for, such as `12.8`."""
    torch: Version | None = None
    """PyTorch's version."""
    vllm: Version | None = None
    """vLLM's version."""
    gpu: Gpu | None = None
    """The GPU that it needs, if any."""
    memory: Annotated[str, Field(pattern=SIZE)] | None = None
    """Main memory that the machine has to have: `13g`."""
    pip: tuple[PipRequirement, ...] = ()
    """Python packages as PEP 508 requirements: `rich`, `rich>=13`, `rich==13.9.4`; or wheels of one's own by path, in
    this file's folder: `wheels/acme-1.2-py3-none-any.whl`. Added to those inherited. A package has one entry, or
    several that each have a marker of their own: `foo==1; python_version < '3.12'`."""
    apt: tuple[AptPackage, ...] = ()
    """Packages of the base system: `git`, `git=1:2.39.5-0+deb12u2`. Added to those inherited."""
    apt_components: tuple[Component, ...] = ()
    """Further parts of the distribution's archive that `apt` may take packages from, besides `main` (of Ubuntu also
    `universe`); their packages are not free software, or need some that is not. Added to those inherited."""
    npm: tuple[NpmPackage, ...] = ()
    """npm packages with exact versions, installed globally: `typescript@5.6.3`. Added to those inherited."""
    node: Version | None = None
    """The version of Node.js; needed by `npm` and by code-server from npm."""
    code_server: CodeServer | None = None
    """VS Code in the browser."""
    extensions: tuple[Extension, ...] = ()
    """Editor extensions, baked in. Added to those inherited."""
    jupyter: Jupyter | None = None
    """JupyterLab in the browser."""
    services: dict[Slug, Service] = {}
    """Programs that are kept running, by name."""
    gateway: Gateway | None = None
    """Who else may reach the services that ask for the token."""
    ports: dict[Slug, Port] = {}
    """Further container ports to publish on loopback."""
    model: Model | None = None
    """Weights from a hub, verified, shared by all environments, mounted read-only."""
    volumes: dict[Slug, ContainerPath] = {}
    """Further persistent volumes: name to where it is mounted."""
    timezone: Annotated[str, Field(pattern=TIMEZONE)] | None = None
    """The time zone of everything inside, as the IANA database calls it: `Europe/Berlin`. Without one it is UTC."""
    env: dict[EnvName, EnvValue] = {}
    """Environment variables of everything inside."""
    caches: dict[EnvName, Slug] = {}
    """Caches that make the next start quick, on the environment's own volume: a variable to the folder that it names,
    apart for each set of Python packages and each kind of GPU: `TRITON_CACHE_DIR: triton`."""
    files: dict[ContainerPath, HostPath] = {}
    """Files and folders of the preset's folder that go into the image, by their path there."""
    workspace: HostPath | None = None
    """A folder whose content starts the container's own /workspace."""
    setup: dict[Slug, SetupStep] = {}
    """Commands that run after the first start, before services are waited for, by name: in the order in which they are
    written, inherited ones first. A changed one runs again, with those after it."""
    smoke: dict[Slug, SmokeCheck] = {}
    """Commands that have to pass before the environment counts as up, by name."""
    alternatives: tuple[HostPath, ...] = ()
    """Presets (names or paths, as in `extends`) that do the same work with less, the best first: a machine that cannot
    run this one is told which of them it can run."""
    shm_size: Annotated[str, Field(pattern=SIZE)] = "2g"
    """Shared memory, for PyTorch's data loaders: `512m`, `2g`."""

    @model_validator(mode="after")
    def _node_for_editor(self) -> Self:
        if self.node is None and (self.npm or (self.code_server and self.code_server.source == "npm")):
            raise ValueError("'npm' packages and 'code_server' from npm need 'node'")
        return self

    def packages(self) -> tuple[str, ...]:
        """All packages of the base system, that implied by `timezone` included."""
        implied = self.timezone and not any(one.partition("=")[0] == ZONES_PACKAGE for one in self.apt)
        return (*self.apt, *((ZONES_PACKAGE,) if implied else ()))

    @property
    def has_versions(self) -> bool:
        """Whether the compatibility matrix applies to it."""
        return bool(self.gpu or self.torch or self.vllm or self.cuda)

    def requirements(self) -> tuple[str, ...]:
        """All Python requirements, those implied by `jupyter`, `torch` and `vllm` included."""
        implied = (
            *((f"jupyterlab=={self.jupyter.version}",) if self.jupyter else ()),
            *((f"torch=={self.torch}",) if self.torch else ()),
            *((f"vllm=={self.vllm}",) if self.vllm else ()),
        )
        return (*implied, *self.pip)
