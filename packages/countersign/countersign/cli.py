"""The command `countersign`. Each command has `--json`; what a person reads goes to standard output, progress and
errors to standard error."""

from __future__ import annotations

import functools
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from countersign import durations, exporting, words
from countersign.client import Client
from countersign.errors import CountersignError, Misconfigured, Refused, TimedOut, Unavailable
from countersign.progress import Progress
from countersign.shapes import PromotionRequest
from countersign.tools import IS_OPEN
from countersign.version import __version__

APPLIED, CLOSED, TIMEOUT, REFUSED, UNAVAILABLE, USAGE, INTERRUPTED = 0, 1, 2, 3, 4, 64, 130
CODES = """\b
Exit codes: 0 done (of a request that is waited for: applied); 1 rejected, withdrawn or expired, or an export that
does not verify; 2 still open when the time was up; 3 Countersign refused; 4 Countersign cannot be reached; 64 a word
of the command or a setting is wrong; 130 interrupted."""


def _seconds(context: click.Context, parameter: click.Parameter, value: str) -> int:
    try:
        return durations.seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


Command = Callable[..., "int | None"]


def answering(function: Command) -> Command:
    """Adds `--json`, and answers errors: a sentence on standard error, with `--json` an object on standard output."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @functools.wraps(function)
    def run(as_json: bool, **given: Any) -> int:
        try:
            code = function(as_json=as_json, **given) or 0
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            # `countersign export | head`: who reads has enough. Python would complain when it closes the stream.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except CountersignError as error:
            if as_json:
                _print_json({"error": error.to_json()})
            click.echo(words.of_error(error), err=True)
            return _code(error)

    return run


def _code(error: CountersignError) -> int:
    kinds = {TimedOut: TIMEOUT, Refused: REFUSED, Unavailable: UNAVAILABLE, Misconfigured: USAGE}
    return next(code for kind, code in kinds.items() if isinstance(error, kind))


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def _show(value: Any, as_json: bool, say: Callable[[Any], Iterable[str]]) -> None:
    if as_json:
        _print_json(value)
    else:
        for line in say(value):
            click.echo(line)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=CODES)
@click.version_option(__version__)
def cli() -> None:
    """Requests promotions of Countersign, waits for them, and reads what it knows.

    COUNTERSIGN_URL is its address and COUNTERSIGN_TOKEN a token. Without a token, a job of GitHub Actions or GitLab
    proves who it is. REQUESTS_CA_BUNDLE names a file of certificates.
    """


def waits(function: Command) -> Command:
    wait = click.option("--wait", "is_waiting", is_flag=True, help="Wait until it is closed.")
    timeout = click.option(
        "--timeout", callback=_seconds, metavar="DURATION", default="4h", show_default=True, help="How long to wait."
    )
    return wait(timeout(function))


@cli.command()
@click.argument("model")
@click.argument("version")
@click.option("--to", "target", required=True, help="The target, such as Production.")
@click.option("-m", "--message", "justification", required=True, help="Why; reviewers read it.")
@click.option("--key", default="", help="An idempotency key instead of the one of this CI run.")
@waits
@answering
def request(
    model: str,
    version: str,
    target: str,
    justification: str,
    key: str,
    *,
    is_waiting: bool,
    timeout: int,
    as_json: bool,
) -> int:
    """Request a promotion.

    That VERSION of MODEL is promoted to a target. A CI job that runs again finds the request that it has.
    """
    client = Client()
    made = client.request(model, version, target, justification, key=key)
    if is_waiting:
        return _wait(client, made, timeout, as_json=as_json)
    _show(made, as_json, words.request)
    return 0


@cli.command()
@click.argument("number", type=int)
@waits
@answering
def status(number: int, *, is_waiting: bool, timeout: int, as_json: bool) -> int:
    """Show how request NUMBER stands.

    With --wait, when it is closed.
    """
    client = Client()
    found = client.show(number)
    if is_waiting:
        return _wait(client, found, timeout, as_json=as_json)
    _show(found, as_json, words.request)
    return 0


def _wait(client: Client, request: PromotionRequest, timeout: int, *, as_json: bool) -> int:
    number = request["id"]
    progress = Progress()
    progress.say(f"Request {number}: {words.what(request)}, {request['url']}")
    try:
        found = client.wait(number, timeout=timeout, seen=progress.seen, away=progress.away)
    except TimedOut as error:
        progress.end()
        click.echo(f"{error} {_further(number)}", err=True)
        if as_json:
            _print_json(error.request)
        return TIMEOUT
    except KeyboardInterrupt:
        progress.end()
        click.echo(f"\nRequest {number} stays open: {request['url']} {_further(number)}", err=True)
        return INTERRUPTED
    progress.end()
    _show(found, as_json, words.request)
    return APPLIED if found["status"] == "applied" else CLOSED


def _further(number: int) -> str:
    return f"`countersign status {number} --wait` waits for it again, `countersign withdraw {number}` takes it back."


@cli.command()
@click.argument("number", type=int)
@click.option("-m", "--message", "reason", default="", help="Why; it is kept.")
@answering
def withdraw(number: int, reason: str, *, as_json: bool) -> None:
    """Take back request NUMBER."""
    _show(Client().withdraw(number, reason), as_json, words.request)


@cli.command()
@click.argument("model")
@click.argument("target")
@click.option("--at", default="", help="At a moment: 2026-05-01 or 2026-05-01T12:00Z.")
@answering
def holder(model: str, target: str, at: str, *, as_json: bool) -> None:
    """Show which version of MODEL holds TARGET."""
    _show(Client().holder(model, target, at), as_json, words.holder)


@cli.command()
@click.argument("number", type=int)
@answering
def evidence(number: int, *, as_json: bool) -> None:
    """Print the evidence of request NUMBER.

    It is JSON, with and without --json, byte for byte what reviewers decide on: its SHA-256 is the fingerprint, which
    goes to standard error.
    """
    found = Client().evidence(number)
    sys.stdout.buffer.write(found.content)
    click.echo(f"Fingerprint {found.fingerprint}" + ("" if found.fits else ", which does not fit this text."), err=True)
    if not found.fits:
        raise Unavailable("The evidence did not come whole.")


@cli.command()
@click.option("--status", type=click.Choice(list(IS_OPEN)), default="open", show_default=True)
@answering
def incidents(status: str, *, as_json: bool) -> None:
    """List changes in MLflow that Countersign did not make."""
    found = list(Client().incidents(is_open=IS_OPEN[status]))
    _show({"items": found}, as_json, words.incidents)


@cli.command()
@click.option("--after", type=int, default=None, help="The number of the last event that you have.")
@click.option("-o", "--output", default="", help="A file to append to; continues after its last event.")
@answering
def export(after: int | None, output: str, *, as_json: bool) -> None:
    """Print the ledger's events as JSON lines.

    `countersign verify` verifies them. To a file with --output; what was written is then said, with --json as JSON.
    """
    written = exporting.export(Client(), after=after, output=output)
    if output:
        _show(written, as_json, words.exported)


@cli.command()
@click.argument("path", metavar="FILE")
@click.option("--checkpoint", multiple=True, metavar="FILE", help="Checkpoints that were kept elsewhere.")
@click.option("--public-key", multiple=True, metavar="KEY", help="name+id+base64, to verify their signatures.")
@click.option("--head", multiple=True, metavar="N:HASH", help="A head that was noted, or from MLflow.")
@click.option("--complete", is_flag=True, help="It has to go from event 1 on without a gap.")
@answering
def verify(path: str, *, as_json: bool, **options: Any) -> int:
    """Verify an export of the ledger, offline.

    Each hash, each link to the event before, and checkpoints. Exit code 1: something was altered; 2: the file cannot be
    read.
    """
    code, lines = exporting.verify(path, options)
    _show({"verdict": ("intact", "broken", "unusable")[code], "lines": lines}, as_json, lambda found: found["lines"])
    return code


@cli.group()
def token() -> None:
    """The token that is used."""


@token.command("check")
@answering
def check(*, as_json: bool) -> None:
    """Show as whom the token acts, what it may do, and until when."""
    client = Client()
    _show({"url": client.url, **client.me()}, as_json, words.me)


@cli.command()
@click.argument("mlflow", default="", metavar="[MLFLOW]", envvar="MLFLOW_TRACKING_URI")
@click.option("--user", default="", envvar="MLFLOW_TRACKING_USERNAME", help="Who to be in MLflow.")
@answering
def doctor(mlflow: str, user: str, *, as_json: bool) -> int:
    """Check Countersign, the token and MLflow.

    Whether Countersign answers and takes the token; and what MLflow lets an engineer do that needs an approval. The
    second part needs the package countersign-mlflow-gate, and the address of MLflow.
    """
    from countersign import doctor as doctors  # noqa: PLC0415 -- it imports the other package

    found = doctors.examine(mlflow, user)
    _show(found, as_json, words.doctor)
    return 0 if found["is_well"] else 1


@cli.command()
def mcp() -> None:
    """Serve assistants, which can never approve.

    The Model Context Protocol over standard input and output, with tools to list, compare, read and request.
    """
    from countersign.mcp import Server, serve  # noqa: PLC0415 -- for this command alone

    serve(Server(Client()), sys.stdin.buffer, sys.stdout.buffer)


def main() -> None:
    """What the script runs: no traceback for what a person can mend."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that has no letter for a name shows its number
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(standalone_mode=False)
    except click.UsageError as error:
        error.show()
        code = USAGE
    except CountersignError as error:
        click.echo(words.of_error(error), err=True)
        code = _code(error)
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    sys.exit(code)
