"""The `kerasae` command. Keras is imported by the commands that need it, never for --help."""

import os
import re
import signal
import sys
import threading
import traceback
import warnings
from typing import Annotated, Any

import typer

from kerasae.text import printable

# What libraries raise because of a file, a number or a machine, though it is none of the classes
# that `_of_the_user` knows: by the top package and the class, as most are not imported here.
FOREIGN = {
    *("zipfile.BadZipFile", "zlib.error", "lzma.LZMAError", "struct.error", "_csv.Error"),
    *("pyarrow.ArrowException", "keras_tuner.FatalError", "json.JSONDecodeError"),
    *(f"tensorflow.{name}Error" for name in ("PermissionDenied", "NotFound", "AlreadyExists")),
    *(f"tensorflow.{name}Error" for name in ("ResourceExhausted", "Unavailable", "DataLoss")),
    *(f"tensorflow.{name}Error" for name in ("FailedPrecondition", "Unknown", "OutOfRange")),
}
# The same by the message, whatever the class: a plain RuntimeError on some backends.
EXHAUSTED = re.compile(
    r"RESOURCE_EXHAUSTED|ut of memory|OOM when|ot enough memory|(?i:overflow)|o space left|errno =?"
)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends the command as Ctrl-C does."""


def main() -> None:
    """Runs the command; a user's mistake ends it with status 2 and one line.

    SIGINT and SIGTERM end it with "interrupted" and the status that shells expect of them. A bug of
    kerasae keeps its traceback; with --traceback any error does.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.showwarning = _show_warning
    arguments = [one for one in sys.argv[1:] if one != "--traceback"]
    stopped: list[int] = []
    before = _stop_cleanly(stopped)
    try:
        status = _app()(args=arguments, prog_name="kerasae", standalone_mode=False) or 0
        if stopped and status:  # typer makes a status of the exception
            raise KeyboardInterrupt
        sys.exit(status)
    except (Exception, KeyboardInterrupt) as error:
        if len(arguments) < len(sys.argv) - 1:
            traceback.print_exc()
        if stopped or isinstance(error, KeyboardInterrupt | typer.Abort):
            _end("interrupted", 128 + (stopped or [signal.SIGINT])[0])
        # Usage errors of the parser, whose class depends on where typer keeps click.
        if hasattr(error, "format_message"):
            message = error.format_message()
            if type(error).__name__.startswith("NoArgsIsHelp"):
                print(message, file=sys.stderr)
                sys.exit(2)
            dot = "" if message.endswith((".", "?")) else "."
            path = getattr(getattr(error, "ctx", None), "command_path", "kerasae")
            _end(f"{message}{dot} Try {path} --help", 2)
        if not _of_the_user(error):
            raise
        _end(_message(error), 2)
    finally:
        if before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_cleanly(stopped: list[int]) -> dict[int, Any]:
    """Makes SIGTERM and SIGINT raise in the main thread, once: a second one ends the process.

    A library may turn the exception into one of its own, so that the signal is noted, too. Python
    itself drops it where it is raised in a `__del__`: it is raised again every half second,
    unless it is on its way.

    Returns:
        The handlers of before.
    """

    def stop(number, _):
        stopped.append(number)
        signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
        sys.unraisablehook = report
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    unraisable = sys.unraisablehook

    def report(dropped):
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            unraisable(dropped)

    def again(*_):
        error = sys.exc_info()[1]
        while error is not None and not isinstance(error, KeyboardInterrupt):
            error = error.__context__
        if error is None:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGALRM: again}
    return {number: signal.signal(number, handler) for number, handler in handlers.items()}


def _of_the_user(error: BaseException) -> bool:
    """Whether an error comes of what the user gave, or of the machine, rather than of a bug."""
    if isinstance(error, TypeError):
        # Ours say what must be; those of the interpreter in our own code are bugs.
        return " must " in str(error) or not _raised_here(error)
    if isinstance(error, ModuleNotFoundError):
        return not (error.name or "").startswith("kerasae")
    if isinstance(error, ValueError | OSError | MemoryError | OverflowError | EOFError):
        return True
    classes = {f"{one.__module__.split('.')[0]}.{one.__name__}" for one in type(error).__mro__}
    return bool(classes & FOREIGN) or EXHAUSTED.search(str(error)) is not None


def _raised_here(error):
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and f"{os.sep}kerasae{os.sep}" in frames[-1].filename


def _message(error):
    """An error of kerasae as it is; those of libraries cut, with a hint where they have none."""
    text = str(error) or type(error).__name__
    if isinstance(error, ValueError | TypeError) or " must " in text:
        return text
    text = " ".join(text.split())
    text = text if len(text) < 300 else f"{text[:300]}..."
    if isinstance(error, OSError):
        return text
    if "o space left" in text:
        return f"the disk must have enough space. Received: {text}. Try freeing some"
    if isinstance(error, MemoryError | OverflowError) or EXHAUSTED.search(text):
        return f"the work must fit into memory. Received: {text}. Try smaller widths or fewer rows"
    return text


def _app() -> typer.Typer:
    from kerasae.cli.anomalies import anomalies
    from kerasae.cli.chapter import chapter
    from kerasae.cli.detector import detector
    from kerasae.cli.export import export
    from kerasae.cli.features import features
    from kerasae.cli.generate import generate
    from kerasae.cli.info import info
    from kerasae.cli.report import report
    from kerasae.cli.serve import serve
    from kerasae.cli.suggestions import Commands
    from kerasae.cli.train import train
    from kerasae.cli.tune import tune

    app = typer.Typer(
        cls=Commands,
        help="Autoencoders from the command line: train, compute deep features, find anomalies. "
        "With --traceback any error shows where it comes from.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    def version(asked: bool) -> None:
        if asked:
            from kerasae._version import __version__

            print(f"kerasae {__version__}")
            raise typer.Exit

    @app.callback()
    def options(
        version: Annotated[
            bool, typer.Option("--version", callback=version, is_eager=True, help="Shows it.")
        ] = False,
    ) -> None:
        pass

    using = (train, detector, features, anomalies, generate, report)
    for command in (*using, tune, export, serve, chapter, info):
        app.command()(command)
    return app


def _show_warning(message, category, *_):
    # A library's deprecations, and a font without some letters, do not concern the user.
    if category is UserWarning and "missing from font" not in str(message):
        print(f"warning: {printable(str(message))}", file=sys.stderr)


def _end(message, status):
    print("error:", printable(" ".join(message.split())), file=sys.stderr)
    sys.exit(status)
