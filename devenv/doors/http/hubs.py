"""The model hubs, through their own clients: a repository's files, their addresses, and the user's access."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from devenv.doors.http.faults import plain_reason
from devenv.doors.http.hub_clients import huggingface_trusts, modelscope_trusts
from devenv.doors.http.hub_words import LOOKED_AT, nearest, short_text
from devenv.doors.settings.config_yaml import HubSettings
from devenv.errors import FetchError, UsageError

NAMES = ("huggingface", "modelscope")


class UnreachedError(FetchError):
    """The hub did not answer, because of the network or a fault of its own. Another hub may answer."""


class MissingError(FetchError):
    """The hub answers that it has no such model, or none that this user may see."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A hub's metadata of a file: sha256, or git's hash of a small one, or neither."""

    path: str
    size: int
    sha256: str | None = None
    git: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a hub says about a model at a revision, in its own words. `commit`: the revision's, where the hub has one;
    `is_gated`: its files are for users whose request was accepted. An empty text or None: the hub does not say."""

    files: tuple[HubFile, ...]
    commit: str = ""
    is_gated: bool | None = None
    licence: str = ""
    task: str = ""
    """Such as `text-generation`."""
    library: str = ""
    """Such as `transformers` or `diffusers`."""


class Hub(Protocol):
    """One hub."""

    name: str
    branch: str
    """The branch that stands for a model where no revision is named."""

    def files(self, id_: str, revision: str) -> tuple[HubFile, ...]:
        """Every file of a revision. Raises FetchError with a remedy."""

    def about(self, id_: str, revision: str) -> About:
        """The model's metadata at a revision. Raises FetchError with a remedy; MissingError."""

    def near(self, id_: str) -> tuple[str, ...]:
        """Names on the hub that look like this one, the nearest first; empty where the hub does not answer."""

    def address(self) -> str:
        """Where the hub is; needs no network."""

    def url(self, id_: str, revision: str, path: str) -> str:
        """The address of a file; needs no network."""

    def headers(self) -> Mapping[str, str]:
        """The headers for the hub's own host, and for no other: they may hold the user's token."""

    def denied(self, id_: str) -> FetchError:
        """The error for 401 and 403."""


def hub_order(has: Sequence[str], asked: Sequence[str], preferred: Sequence[str], *, name: str) -> tuple[str, ...]:
    """The hubs to contact for a model, in order: only `asked` where given, else all, the user's `preferred` first.

    Raises UsageError when none of the requested hubs has it.
    """
    if asked:
        chosen = tuple(hub_name for hub_name in dict.fromkeys(asked) if hub_name in has)
        if not chosen:
            raise UsageError(
                f"{name} is not known to be on {', '.join(asked)}", hint=f"the preset names {', '.join(has)}"
            )
        return chosen
    return (
        *(hub_name for hub_name in preferred if hub_name in has),
        *(hub_name for hub_name in has if hub_name not in preferred),
    )


def hub(name: str, settings: HubSettings) -> Hub:
    """The hub of that name, at the address that the user's settings give it."""
    kind = _HuggingFace if name == "huggingface" else _ModelScope
    return kind(settings.huggingface if name == "huggingface" else settings.modelscope, settings.ca_bundle)


class _HuggingFace:
    """Hugging Face, or what HF_ENDPOINT names: `huggingface_hub` knows address, token and metadata."""

    name = "huggingface"
    branch = "main"

    def __init__(self, endpoint: str | None, ca_bundle: Path | None = None) -> None:
        self._endpoint = endpoint
        self._ca_bundle = ca_bundle

    def files(self, id_: str, revision: str) -> tuple[HubFile, ...]:
        return self._files(id_, self._info(id_, revision))

    def about(self, id_: str, revision: str) -> About:
        info = self._info(id_, revision)
        listed = self._files(id_, info)
        card = info.card_data.to_dict() if hasattr(info.card_data, "to_dict") else {}
        return About(
            files=listed, commit=short_text(info.sha), is_gated=None if info.gated is None else bool(info.gated),
            licence=short_text(card.get("license_name")) or short_text(card.get("license")),
            task=short_text(info.pipeline_tag), library=short_text(info.library_name),
        )  # fmt: skip

    def near(self, id_: str) -> tuple[str, ...]:
        from huggingface_hub import HfApi

        owner, _, name = id_.partition("/")
        found: dict[str, None] = {}
        for asked in (("author", owner), ("search", name)):
            given: dict[str, Any] = dict([asked])
            try:
                with huggingface_trusts(self._ca_bundle):
                    rows = list(HfApi(endpoint=self._endpoint).list_models(**given, limit=LOOKED_AT))
                found |= dict.fromkeys(short_text(row.id) for row in rows)
            except Exception:  # noqa: BLE001, S112 - names are a help, and any fault means that there are none
                continue
        return nearest(id_, found)

    def _info(self, id_: str, revision: str) -> Any:
        from huggingface_hub import HfApi
        from huggingface_hub import errors as theirs

        try:
            with huggingface_trusts(self._ca_bundle):
                api = HfApi(endpoint=self._endpoint)
                return api.model_info(id_, revision=revision, files_metadata=True, timeout=30)
        except theirs.RevisionNotFoundError:
            raise FetchError(
                f"{id_} has no revision {revision} on Hugging Face",
                hint="name a commit, a tag or a branch that the model's page lists",
            ) from None
        except theirs.RepositoryNotFoundError as error:  # gated ones too; without a token a private one is "not found"
            raise self.denied(id_, missing=_status(error) == 404) from None
        except theirs.HfHubHTTPError as error:
            if _status(error) in (401, 403):
                raise self.denied(id_) from None
            raise _unreached(self.name, id_, error) from None
        except theirs.OfflineModeIsEnabled:
            raise UnreachedError(f"cannot ask for {id_}: HF_HUB_OFFLINE is set", hint="unset HF_HUB_OFFLINE") from None
        except Exception as error:  # from any HTTP library that this version of the client uses
            if type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2", "requests"}:
                raise _unreached(self.name, id_, error) from None
            if isinstance(error, _NO_HUB):
                raise _no_hub(self.name, id_, error) from None
            raise

    def _files(self, id_: str, info: Any) -> tuple[HubFile, ...]:
        return listing(
            self.name, id_, info.siblings or (),
            lambda sibling: HubFile(
                path=sibling.rfilename, size=sibling.size or 0, sha256=sibling.lfs.sha256 if sibling.lfs else None,
                git=None if sibling.lfs else sibling.blob_id,
            ),
        )  # fmt: skip

    def address(self) -> str:
        from huggingface_hub import constants

        return self._endpoint or constants.ENDPOINT

    def url(self, id_: str, revision: str, path: str) -> str:
        from urllib.parse import quote

        # `hf_hub_url` does the same, and costs a third of a second.
        return f"{self.address()}/{id_}/resolve/{quote(revision, safe='')}/{quote(path)}"

    def headers(self) -> Mapping[str, str]:
        from huggingface_hub import constants, get_token

        token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def denied(self, id_: str, *, missing: bool = False) -> FetchError:
        from huggingface_hub import constants, get_token

        page = f"{(self._endpoint or constants.ENDPOINT).rstrip('/')}/{id_}"
        with_token = get_token() is not None
        return (MissingError if missing else FetchError)(
            f"Hugging Face has no {id_} for you" if missing else f"Hugging Face denies access to {id_}",
            where=page,
            hint=(
                f"accept the licence at {page}, and check that the token may read this model"
                if with_token
                else f"accept its licence at {page}, make a token there, and set it: export HF_TOKEN=…"
            ),
        )


class _ModelScope:
    """ModelScope, or what MODELSCOPE_ENDPOINT or MODELSCOPE_DOMAIN names, through `modelscope_hub`."""

    name = "modelscope"
    branch = "master"

    def __init__(self, endpoint: str | None, ca_bundle: Path | None = None) -> None:
        self._endpoint = endpoint
        self._ca_bundle = ca_bundle

    def _api(self) -> Any:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # devenv accepts the older variable too
            from modelscope_hub import HubApi

            logging.getLogger("modelscope_hub").setLevel(logging.CRITICAL)  # devenv's own errors report it
            return HubApi(endpoint=self._endpoint)

    def files(self, id_: str, revision: str) -> tuple[HubFile, ...]:
        from modelscope_hub import errors as theirs

        try:
            api = self._api()
            modelscope_trusts(api, self._ca_bundle)
            found = api.list_repo_files(id_, "model", revision=revision)
        except (theirs.AuthenticationError, theirs.PermissionDeniedError):
            raise self.denied(id_) from None
        except theirs.NotExistError:
            raise MissingError(
                f"ModelScope has no {id_} at {revision}", hint="check the name and the revision; a private model needs "
                "a token: export MODELSCOPE_API_TOKEN=…",
            ) from None  # fmt: skip
        except (theirs.HubError, OSError) as error:
            raise _unreached(self.name, id_, error) from None
        except _NO_HUB as error:
            raise _no_hub(self.name, id_, error) from None
        return listing(
            self.name, id_, (row for row in found if row.type != "tree"),
            lambda file: HubFile(path=file.path, size=file.size or 0, sha256=file.sha256 or None),
        )  # fmt: skip

    def about(self, id_: str, revision: str) -> About:
        listed = self.files(id_, revision)
        try:
            api = self._api()
            modelscope_trusts(api, self._ca_bundle)
            info = api.get_repo(id_, "model")
        except Exception:  # noqa: BLE001 - the files were listed; older services have no such metadata
            return About(files=listed)
        return About(
            files=listed, is_gated=bool(info.gated or info.login_required) if info.gated is not None else None,
            licence=short_text(info.license), task=short_text(next(iter(info.tasks or ()), "")),
        )  # fmt: skip

    def near(self, id_: str) -> tuple[str, ...]:
        owner, _, name = id_.partition("/")
        found: dict[str, None] = {}
        for asked in ({"owner": owner}, {"search": name}):
            try:
                api = self._api()
                modelscope_trusts(api, self._ca_bundle)
                rows = api.list_repos("model", page_size=LOOKED_AT, **asked).items
                found |= dict.fromkeys(f"{short_text(row.owner)}/{short_text(row.name)}" for row in rows)
            except Exception:  # noqa: BLE001, S112 - names are a help, and any fault means that there are none
                continue
        return nearest(id_, found)

    def address(self) -> str:
        from modelscope_hub import constants

        return self._endpoint or constants.DEFAULT_ENDPOINT

    def url(self, id_: str, revision: str, path: str) -> str:
        return str(self._api().legacy.get_download_url(id_, "model", path, revision))

    def headers(self) -> Mapping[str, str]:
        token = self._api()._config.token
        # As the client does: older services of the hub read the cookie, newer ones the header.
        return {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"} if token else {}

    def denied(self, id_: str) -> FetchError:
        api = self._api()
        page = f"{api._config.endpoint}/models/{id_}"
        return FetchError(
            f"ModelScope denies access to {id_}",
            where=page,
            hint=f"ask for access at {page}, make a token there, and set it: export MODELSCOPE_API_TOKEN=…",
        )


def listing(name: str, id_: str, rows: Iterable[Any], read: Callable[[Any], HubFile]) -> tuple[HubFile, ...]:
    """A hub's rows as files; `read` converts one row. Raises FetchError for rows of another shape."""
    try:
        return tuple(_checked(read(row)) for row in rows)
    except _NO_HUB as error:
        raise _no_hub(name, id_, error) from None


def _checked(file: HubFile) -> HubFile:
    """Check the types, because the clients pass on what the hub sent."""
    texts = (file.path, file.sha256 or "", file.git or "")
    if not isinstance(file.size, int) or not all(isinstance(text, str) for text in texts):
        raise TypeError("a file's name, size or hash is of another type")
    if not 0 <= file.size < 1 << 63:
        raise ValueError("a file has a size that none can have")
    for text in texts:
        text.encode()
    return file


def _status(error: Any) -> int:
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)


_NO_HUB = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError)
"""What the hubs' clients raise for an answer from another server, such as a network's login page."""


def _no_hub(name: str, id_: str, error: Exception) -> FetchError:
    return FetchError(
        f"the server for {name} does not speak the hub's API: its answer about {id_} cannot be read",
        detail=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
        hint="log in if this network has a login page, set its proxy, and check the address: "
        + ("HF_ENDPOINT" if name == "huggingface" else "MODELSCOPE_ENDPOINT"),
    )


def _unreached(name: str, id_: str, error: Exception) -> FetchError:
    status = _status(error) or int(getattr(error, "status_code", 0) or 0)
    # A refusal counts as an answer; being too busy does not.
    answered = 400 <= status < 500 and status not in (408, 429)
    kind = FetchError if answered else UnreachedError
    return kind(
        f"cannot ask {name} for {id_}",
        detail=plain_reason(error),
        hint="check the network and the proxy settings, or name an address that can be reached: "
        + ("HF_ENDPOINT" if name == "huggingface" else "MODELSCOPE_ENDPOINT"),
    )
