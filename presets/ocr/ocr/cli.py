"""The command `ocr`: parses, loads a backend, runs a job, reports the result."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ocr import backends, guard, modes, prompts
from ocr.backends import Settings
from ocr.engine import MAX_TOKENS, Backend, Facts, Request
from ocr.errors import INTERRUPTED, SMOKE_FAILED, InputError, OcrError, UsageError

if TYPE_CHECKING:
    from ocr.summary import LeftOut

F = TypeVar("F", bound=Callable[..., Any])
_BIDI = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Signs that turn the direction of what follows."""
_WITH_JSON = frozenset({"image", "pdf", "batch"})
"""The commands that have the option."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Pictures and PDFs to markdown, with boxes.

    Exit status: 0 all is read; 2 wrong use; 3 some files or pages failed, the others are read; 4 all is read, but some
    pages are incomplete (cut off, or went round in circles); 5 the backend or its model cannot be used; 6 the results
    cannot be written; 10 the smoke test failed; 70 a bug; 130 interrupted (Ctrl-C, SIGTERM).
    """


def _engine(command: F) -> F:
    """Options that choose the engine."""
    for option in (
        click.option("--backend", help="vllm, transformers or rapidocr; else OCR_BACKEND."),
        click.option("--model", type=click.Path(path_type=Path), help="Folder of the weights; else DEVENV_MODEL."),
    ):
        command = option(command)
    return command


def _asking(job: str) -> Callable[[F], F]:
    """Options for the request about each page."""
    own = guard.BY_JOB[job]

    def add(command: F) -> F:
        for option in (
            click.option("--mode", default=modes.DEFAULT, show_default=True, help=f"{', '.join(modes.MODES)}."),
            click.option(
                "--prompt", default=prompts.DEFAULT, show_default=True, help=f"{', '.join(prompts.NAMES)}."
            ),
            click.option("--find", metavar="TEXT", help="What --prompt locate looks for."),
            click.option(
                "--guard", default=f"{own.size}/{own.window}", show_default=True, metavar="SIZE/WINDOW",
                help="No run of SIZE tokens twice in WINDOW; or: off.",
            ),
            click.option("--max-tokens", type=click.IntRange(16, 32768), default=MAX_TOKENS, show_default=True,
                         help="The longest answer for a page."),
        ):  # fmt: skip
            command = option(command)
        return command

    return add


def _results(command: F) -> F:
    """Options about results."""
    for option in (
        click.option(
            "-o", "--output", type=click.Path(path_type=Path), default=Path("out"), show_default=True,
            help="Folder for the results.",
        ),
        click.option("--concurrency", type=click.IntRange(1, 512), help="Pages read at once; else the backend's own."),
        click.option("--resume", is_flag=True, help="Leave out pages that are done with these settings."),
        click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout, and nothing else there."),
    ):  # fmt: skip
        command = option(command)
    return command


_DPI = click.option("--dpi", type=click.IntRange(36, 600), default=144, show_default=True, help="For pages of PDFs.")


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@_results
@_asking("image")
@_engine
def image(file: Path, **options: Any) -> int:
    """Read one picture; its text goes to stdout as it comes."""
    return _read([_checked(file)], file.parent, options)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--pages", "wanted", metavar="PAGES", help="Only these: 3, 2-5 or 1,4-6.")
@_DPI
@_results
@_asking("pdf")
@_engine
def pdf(file: Path, **options: Any) -> int:
    """Read a PDF: every page, and all of it as one markdown."""
    return _read([_checked(file)], file.parent, options)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_DPI
@_results
@_asking("batch")
@_engine
def batch(folder: Path, **options: Any) -> int:
    """Read all pictures and PDFs below a folder.

    They are known by their names, or by how they begin. Hidden files and results of ocr are left out; all that is left
    out is listed, with the reason.
    """
    from ocr import sources
    from ocr.summary import LeftOut, why_left_out

    left_out: list[LeftOut] = []

    def leave(path: Path, reason: str) -> None:
        left_out.append(LeftOut(source=path.relative_to(folder).as_posix(), reason=reason))

    try:
        files = sources.in_folder(folder, options["output"], leave)
    except InputError:
        for line in why_left_out(left_out):
            _say(line)
        raise
    return _read(files, folder, options, left_out)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@_engine
@click.argument("further", nargs=-1, type=click.UNPROCESSED)
def serve(port: int, further: tuple[str, ...], backend: str | None, model: Path | None) -> int:
    """Serve the OpenAI API on 127.0.0.1. FURTHER arguments go to `vllm serve`."""
    from ocr import serve as server

    return server.serve(backends.chosen(backend), _settings(model), port=port, further=further, say=_say)


@cli.command()
@click.option(
    "--expect",
    type=click.Choice(["text", "plumbing"]),
    help="plumbing: for weights that mean nothing, the text is not checked. Else DEVENV_SMOKE_EXPECT, else text.",
)
@click.option("--max-cer", type=click.FloatRange(0, 1), default=0.05, show_default=True,
              help="The most wrong characters, as a share of all.")  # fmt: skip
@click.option("--languages", default="en", show_default=True, help="What is drawn: en, or en,zh.")
@click.option("--mode", default=modes.DEFAULT, show_default=True, help=f"{', '.join(modes.MODES)}.")
@click.option("--tokens", type=click.IntRange(8, 4096), default=64, show_default=True, help="For plumbing: how many.")
@click.option("--blank", is_flag=True, help="Draw nothing: then the test has to fail.")
@click.option("--port", type=click.IntRange(1, 65535), help="Test the server of 'ocr serve' that listens there.")
@_engine
def smoke(backend: str | None, model: Path | None, **options: Any) -> int:
    """Read pictures that are drawn here, and compare. The last line on stdout is a JSON object."""
    from ocr import smoke as test

    began = time.perf_counter()
    report = test.smoke(backends.chosen(backend), _settings(model, threads=1), began=began, **options)
    click.echo(json.dumps(report))
    return 0 if report["passed"] else SMOKE_FAILED


def _checked(file: Path) -> Path:
    """The file, if there is anything in it: said before a model is loaded for nothing."""
    from ocr.page import check

    check(file)
    return file


def _read(files: Sequence[Path], top: Path, options: dict[str, Any], left_out: Sequence[LeftOut] = ()) -> int:
    """All that image, pdf and batch have in common."""
    from ocr import output, sources
    from ocr.job import Plan, Run
    from ocr.summary import Summary

    request = Request(
        prompt=prompts.prompt(options["prompt"], options["find"]),
        mode=modes.mode(options["mode"]),
        guard=guard.parse(options["guard"]),
        max_tokens=options["max_tokens"],
    )
    wanted = _numbers(options.get("wanted"))
    folder: Path = options["output"]
    output.prepare(folder)
    is_picture = options.get("dpi") is None
    settings = dataclasses.replace(_settings(options["model"]), has_many=not is_picture)
    engine = backends.make(backends.chosen(options["backend"]), settings)
    with output.log(folder / output.LOG, _say) as log, contextlib.closing(engine):
        began = time.perf_counter()
        facts: list[Facts] = []
        loading: list[float] = [0.0]

        def load() -> None:
            start = time.perf_counter()
            facts.append(engine.load(log))
            loading[0] = time.perf_counter() - start

        plan = Plan(
            places=sources.places(files, top, folder),
            top=top,
            request=request,
            dpi=options.get("dpi") or 144,
            concurrency=options["concurrency"] or engine.concurrency,
            resume=options["resume"],
            wanted=wanted,
        )
        single = is_picture and not options["as_json"]
        outcomes = _run(Run(plan, engine, load, log), engine, plan.places[files[0]], single=single)
        summary = Summary(
            outcomes=outcomes,
            seconds=time.perf_counter() - began - loading[0],
            seconds_load=loading[0],
            settings={**_facts(engine, facts), "mode": request.mode.name, "prompt": request.prompt.name},
            output=str(folder),
            left_out=tuple(left_out),
        )
        for line in summary.lines():
            log(line)
        output.save_text(folder / output.SUMMARY, json.dumps(summary.document(), ensure_ascii=False, indent=1) + "\n")
    if options["as_json"]:
        click.echo(json.dumps(summary.document(), indent=1))
    return summary.status


def _run(run: Any, engine: Backend, place: Any, *, single: bool) -> Any:
    """The outcomes. A single picture's text goes to stdout: while it comes where the backend streams."""
    if not single:
        return run.all()
    streamed: list[str] = []

    def show(piece: str) -> None:
        streamed.append(piece)
        sys.stdout.write(_harmless(piece))
        sys.stdout.flush()

    outcomes = run.all(show if engine.streams and sys.stdout.isatty() else None)
    if streamed:
        click.echo()
    elif outcomes and outcomes[0].status != "failed" and place.file(".md").is_file():
        click.echo(_harmless(place.file(".md").read_text(encoding="utf-8")), nl=False)
    return outcomes


def _settings(model: Path | None, threads: int | None = None) -> Settings:
    given = os.environ.get("DEVENV_MODEL")
    return Settings(model=model or (Path(given) if given else None), threads=threads)


def _facts(engine: Backend, facts: list[Facts]) -> dict[str, str | None]:
    return {"backend": engine.name, "model": engine.model, "device": facts[0].device if facts else None}


def _numbers(text: str | None) -> tuple[int, ...] | None:
    """Page numbers from `3`, `2-5` or `1,4-6`."""
    if text is None:
        return None
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"{text!r} are no pages", hint="write 3, 2-5 or 1,4-6")
        start, end = int(first), int(last) if dash else int(first)
        if not 1 <= start <= end <= 100_000:
            raise UsageError(f"{text!r} are no pages", hint="pages count from 1, and ranges go up: 2-5")
        found |= set(range(start, end + 1))
    return tuple(sorted(found))


def _harmless(text: str) -> str:
    """Without what a terminal would obey, or write backwards: a picture can make a model say anything, and files have
    any name."""
    return "".join(one if one in "\n\t" or not _is_order(one) else "\ufffd" for one in text)


def _is_order(sign: str) -> bool:
    return unicodedata.category(sign) in {"Cc", "Cs"} or unicodedata.bidirectional(sign) in _BIDI


def _say(text: str) -> None:
    click.echo(_harmless(text), err=True)


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM, as of `timeout`, ends a command as Ctrl-C does: else vLLM's engine outlives it, and keeps the GPU."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status. A command that was asked for JSON gives it for errors, too."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with _interrupted_by_sigterm():
            return int(cli.main(arguments, prog_name="ocr", standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "ocr"
        why, status = OcrError(error.format_message(), hint=f"{command} --help"), UsageError.status
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        why, status = OcrError("interrupted", hint="again with --resume"), INTERRUPTED
    except OcrError as error:
        _say(f"error: {error.message}")
        if error.hint:
            _say(f"hint: {error.hint}")
        why, status = error, error.status
    except Exception as error:  # noqa: BLE001  (Python's own status for it is 1, which is not specific)
        traceback.print_exc()
        _say("error: this is a bug in ocr; the traceback is above")
        why, status = (
            OcrError(f"a bug: {type(error).__name__}: {error}", hint="see the traceback above"),
            OcrError.status,
        )
    if "--json" in arguments and arguments[0] in _WITH_JSON:
        click.echo(json.dumps({"error": why.message, "hint": why.hint, "exit_status": status}))
    return status
