"""Write the generated pages of docs/reference from the code: cli.md, preset.md and exit-codes.md.

python tools/reference.py           write them
python tools/reference.py --check   only say which are not current (exit 1 when one is not)
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from devenv import cli, errors
from devenv.preset import checks, compose, model, model_errors, own_project, schema

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
_MARK = "<!-- Written by tools/reference.py ('make docs'). Do not edit. -->\n\n"


def pages() -> dict[str, str]:
    """File name → text of every generated page."""
    return {
        "cli.md": _MARK + "\n".join(_cli()),
        "exit-codes.md": _MARK + "\n".join(_exit_codes()),
        "preset.md": _MARK + "\n".join(_preset()),
    }


def stale(folder: Path = FOLDER) -> list[str]:
    """The pages in `folder` that are missing or not current."""
    return [name for name, text in pages().items() if not _holds(folder / name, text)]


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    if arguments == ["--check"]:
        old = stale()
        for name in old:
            sys.stderr.write(f"docs/reference/{name} is not current: make docs\n")
        return 1 if old else 0
    if arguments:
        sys.stderr.write((__doc__ or "") + "\n")
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


# ---- the command line


def _cli() -> Iterator[str]:
    group = cli.cli
    context = click.Context(group, info_name="devenv")
    commands = {name: command for name in group.list_commands(context) if (command := group.get_command(context, name))}
    yield "# The command line\n"
    yield "`devenv [OPTIONS] COMMAND [ARGUMENTS]`. Every command and option, as `--help` has them.\n"
    yield from _table(("Option of `devenv` itself", "Meaning"), [_option(one) for one in group.params])
    yield "Give these before the command: `devenv -v up`. `-h` works everywhere.\n"
    yield "A command that reports takes `--json`; [json.md](json.md) has the shapes."
    yield "[exit-codes.md](exit-codes.md) has the exit statuses.\n"
    for heading, names in cli._GROUPS.items():
        rows = [(f"[`{name}`](#devenv-{name})", _sentences(commands[name].help)[0]) for name in names]
        yield from _table((heading, "Does"), rows)
    for name, command in commands.items():
        yield from _command(name, command)


def _command(name: str, command: click.Command) -> Iterator[str]:
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    options = [one for one in command.params if not isinstance(one, click.Argument)]
    if isinstance(command, click.Group):
        arguments = [click.Argument(["command"], required=True), click.Argument(["arguments"], nargs=-1)]
    usage = ["devenv", name, *(["[OPTIONS]"] if options else []), *(_argument(one) for one in arguments)]
    yield f"## devenv {name}\n"
    yield f"```\n{' '.join(usage)}\n```\n"
    yield "\n\n".join(_sentences(command.help)) + "\n"
    if options:
        yield from _table(("Option", "Meaning"), [_option(one) for one in options])
    if isinstance(command, click.Group):
        for below in sorted(command.commands):
            yield from _command(f"{name} {below}", command.commands[below])


def _argument(argument: click.Argument) -> str:
    if argument.metavar:
        return argument.metavar
    name = (argument.name or "").upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _option(option: click.Parameter) -> tuple[str, str]:
    assert isinstance(option, click.Option)
    value = "" if option.is_flag or option.count else f" {option.metavar or option.type.name.upper()}"
    default = f" Default: `{option.default}`." if option.show_default else ""
    long_first = sorted(option.opts, key=len)
    return ", ".join(f"`{one}{value}`" for one in long_first), " ".join((option.help or "").split()) + default


def _sentences(text: str | None) -> list[str]:
    """The paragraphs of a help text, each on one line."""
    return [" ".join(part.split()) for part in inspect.cleandoc(text or "").split("\n\n")]


# ---- exit codes

_OTHERS = {
    0: ("ok", "The command succeeded."),
    2: ("usage", "The command line is wrong, or contradicts itself."),
    70: ("bug", "A bug in devenv. The message names a log file for your report."),
    130: ("interrupted", "Stopped with Ctrl-C. Finished work is kept."),
}


def _exit_codes() -> Iterator[str]:
    rows = {code: (str(code), name, text) for code, (name, text) in _OTHERS.items()}
    for name, error in inspect.getmembers(errors, inspect.isclass):
        code = getattr(error, "exit_code", 70)
        if issubclass(error, errors.DevenvError) and code not in rows:
            rows[code] = (str(code), _plain(name), " ".join(inspect.cleandoc(error.__doc__ or "").split()))
    yield "# Exit statuses\n"
    yield from _table(("Status", "Name", "When"), [rows[code] for code in sorted(rows)])
    yield "1 is never used on purpose. `devenv exec`, `devenv shell` and `devenv run` end with the status of the"
    yield "command inside.\n"
    yield "An expected failure is an `error:` line with the place and the problem, then the end of the output where"
    yield "that helps, then a `hint:` line with the next command. All of it goes to stderr.\n"


def _plain(name: str) -> str:
    return " ".join(part.lower() for part in re.findall(r"[A-Z][a-z]*", name.removesuffix("Error")))


# ---- presets

_INTRO = """\
# Presets

A preset is one YAML file: `preset.yaml` (shipped), `devenv.yaml` (a project's own), or any other name given by path.
`devenv validate` checks a preset, `devenv show` prints the resulting values and the line of each.

## The YAML that is read

A strict subset. Only `null`, `true`, `false` and decimal integers are not text: `3.11` stays `3.11`, and `yes` stays
`yes`. A key given twice, a key without a value, a tag (`!x`) and a merge key (`<<`) are errors. Anchors and aliases
work.
A file is UTF-8, at most 1 MiB, one document.

## extends

`extends: NAME` lays a preset over a shipped one, `extends: ./FILE` over a file beside it (a path has a `/` in it or
ends in `.yaml`). Then:

- mappings merge, key by key;
- {lists} are added to; entries for a package that is there already replace all of its entries;
- every other list, and `base` and `archive` as a whole, are replaced;
- `null` removes what is inherited;
- `name` is not inherited: without one, it is made from the folder's or the file's name.

Paths are relative to the file that names them, and stay inside its folder.

In the tables, a *name* is {name}.
A *variable* is {variable}.
"""
_NAMED: tuple[tuple[Any, str], ...] = (
    (model.PipRequirement, "a PEP 508 requirement without an address, or the path of a wheel"),
    (model.HostPath, "a path relative to this file"),
    (model.EditorExtension, "PUBLISHER.NAME, PUBLISHER.NAME@VERSION, or [Extension](#extension)"),
)
_KEYS = {model.SLUG: "names", model.ENV_NAME: "variables", model.CONTAINER_PATH: "container paths"}


def _preset() -> Iterator[str]:
    lists = sorted(f"`{name}`" for name in compose.IDENTITIES)
    variable = model_errors.EXPECTED[model.ENV_NAME].partition("name: ")[2]
    yield _INTRO.format(
        lists=f"{', '.join(lists[:-1])} and {lists[-1]}", name=model_errors.EXPECTED[model.SLUG], variable=variable
    )
    described = schema.schema()
    places = dict(_places(model.Preset, ""))
    for name, (cls, where) in places.items():
        known = described["properties"] if cls is model.Preset else described["$defs"][name]["properties"]
        at = ", ".join(f"`{one}`" for one in where) or "The top of the file"
        yield f"## {name}\n"
        yield f"{at}. {_sentences(cls.__doc__)[0]}\n"
        rows = list(_fields(cls, {key: value.get("description", "") for key, value in known.items()}))
        if cls is model.Preset:
            rows.insert(0, ("`extends`", "a preset's name, or a path", "none", known["extends"]["description"]))
            takes = "the word `editable`, or a mapping"
            rows.append((f"`{own_project.KEY}`", takes, "none", known[own_project.KEY]["description"]))
        yield from _table(("Key", "Takes", "Default", "What it is"), rows)
    yield from _together()


def _places(cls: type[BaseModel], prefix: str) -> Iterator[tuple[str, tuple[type[BaseModel], tuple[str, ...]]]]:
    """Model name → the model and where it stands in a preset, `Preset` first."""
    found: dict[str, tuple[type[BaseModel], list[str]]] = {}

    def walk(one: type[BaseModel], at: str) -> None:
        found.setdefault(one.__name__, (one, []))[1].extend([at] if at else [])
        for field, annotation in get_type_hints(one, include_extras=True).items():
            if field in one.model_fields:
                inner, step = _inner(annotation)
                if inner is not None:
                    walk(inner, f"{at}.{field}{step}".lstrip("."))

    walk(cls, prefix)
    for name, (one, places) in found.items():
        yield name, (one, tuple(places))


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model in an annotation, and how a path goes on to it."""
    bare = model_errors.inner_type(annotation)
    origin = get_origin(bare)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return bare, ""
    if origin is dict:
        return _inner(get_args(bare)[1])[0], ".NAME"
    if origin is tuple:
        return _inner(get_args(bare)[0])[0], "[]"
    return None, ""


def _fields(cls: type[BaseModel], texts: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    hints = get_type_hints(cls, include_extras=True)
    for name, field in cls.model_fields.items():
        yield f"`{name}`", _takes(hints[name]), _default(field, cls, name), texts.get(name, "")


def _default(field: FieldInfo, cls: type[BaseModel], name: str) -> str:
    if cls is model.Preset and name == "name":
        return "from the folder or file"
    if field.is_required():
        return "needed"
    if field.default is None or field.default in ("", (), {}):
        return "none"
    return f"`{field.default}`"


def _takes(annotation: Any) -> str:
    """What a key takes, in plain words."""
    for alias, said in _NAMED:
        if annotation == alias:
            return said
    bare, meta = model_errors.inner_type(annotation), list(_constraints(annotation))
    for alias, said in _NAMED:
        if any(annotation == other for other in (Union[alias, None], alias | None)):  # noqa: UP007
            return said
    origin = get_origin(bare)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in get_args(bare))
    if origin is tuple:
        least = " (at least one)" if _limit(meta, "min_length") else ""
        return f"a list{least}; each: {_takes(get_args(bare)[0])}"
    if origin is dict:
        key, value = get_args(bare)
        return f"a mapping of {_KEYS[str(_limit(list(_constraints(key)), 'pattern'))]} to {_takes(value)}"
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return f"[{bare.__name__}](#{bare.__name__.lower()})"
    if bare is int:
        low, high = _limit(meta, "ge"), _limit(meta, "le")
        return f"a whole number from {low} to {high}" if low is not None and high is not None else "a whole number"
    pattern = _limit(meta, "pattern")
    longest = _limit(meta, "max_length")
    text = model_errors.EXPECTED.get(str(pattern), "text")
    return text + (f", at most {longest} characters" if longest else "")


def _constraints(annotation: Any) -> Iterator[Any]:
    """Every constraint that pydantic keeps in the annotation's metadata."""
    if get_origin(annotation) in {Union, types.UnionType}:
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    for one in getattr(annotation, "__metadata__", ()):
        yield from getattr(one, "metadata", (one,))


def _limit(constraints: list[Any], name: str) -> Any:
    return next((found for one in constraints if (found := getattr(one, name, None)) is not None), None)


def _together() -> Iterator[str]:
    """What devenv.preset.checks refuses."""

    def listed(names: Any) -> str:
        return ", ".join(f"`{one}`" for one in sorted(names))

    ports = (f"`{name}` takes {port} when `{key}` is given" for key, (name, port) in checks.BUILT_IN_PORTS.items())
    mounts, hidden = listed(checks.RESERVED_MOUNTS), listed(checks._HIDDEN)
    yield "## Combinations that are refused\n"
    yield f"- A service cannot be called {listed(checks.RESERVED_NAMES)}: devenv runs services of these names."
    yield f"- Two services or ports cannot have one container port. The service {', and '.join(ports)}."
    yield "- `auth: token` with a `port` needs `listen`; `listen` goes with no other `auth`; no two services share one."
    yield "- `health` needs `port` (or `listen`)."
    yield f"- devenv reserves the variables {listed(checks.RESERVED_ENV)}, and `{checks.ENV_PREFIX}` as a prefix."
    yield "- `timezone` sets the variable `TZ`; `env` cannot set it a second time."
    yield f"- A volume cannot be mounted on, above or below {mounts}, nor on, above or below another volume."
    yield f"- `files` cannot go on or below {hidden}: something is mounted there at start."
    yield "- `torch`, `vllm` and `jupyter.version` pin their package; `pip` cannot pin it a second time."
    yield "- `npm` packages and `code_server` from npm need `node`."
    yield "- An extension by name needs `code_server`.\n"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
