"""The `kerasae` command. Keras is imported by the commands that need it, never for --help."""

import os
import sys
import warnings

import typer


def main() -> None:
    """Runs the command; a user's mistake ends it with status 2 and one line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.showwarning = _show_warning
    try:
        sys.exit(_app()(standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        _end("interrupted", 130)
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        _end(str(error), 2)
    except Exception as error:
        # Usage errors of the parser, whose class depends on where typer keeps click.
        if not hasattr(error, "format_message"):
            raise
        message = error.format_message()
        _end(f"{message}{'' if message.endswith(('.', '?')) else '.'} Try kerasae --help", 2)


def _app() -> typer.Typer:
    from kerasae.cli.anomalies import anomalies
    from kerasae.cli.chapter import chapter
    from kerasae.cli.export import export
    from kerasae.cli.features import features
    from kerasae.cli.generate import generate
    from kerasae.cli.info import info
    from kerasae.cli.serve import serve
    from kerasae.cli.train import train
    from kerasae.cli.tune import tune

    app = typer.Typer(
        help="Autoencoders from the command line: train, compute deep features, find anomalies.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for command in (train, features, anomalies, generate, tune, export, serve, chapter, info):
        app.command()(command)
    return app


def _show_warning(message, category, *_):
    # A library's deprecations do not concern the user of the command.
    if category is UserWarning:
        print(f"warning: {message}", file=sys.stderr)


def _end(message, status):
    print("error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(status)
