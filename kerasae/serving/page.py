"""The page at `/`: files of the package, and the reports of the versions that are served."""

import json
import re
from pathlib import Path
from typing import Any

from starlette.responses import Response

from kerasae.serving.requests import RefusedError
from kerasae.serving.store import Store

STATIC = Path(__file__).with_name("static")
FILES = {
    "/": ("index.html", "text/html"),
    **{f"/page/{path.name}": (path.name, "text/javascript") for path in STATIC.glob("*.js")},
    "/page/page.css": ("page.css", "text/css"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
VERSION = re.compile(
    "/page/models/(?P<name>[^/]+)/versions/(?P<number>[0-9]{1,18})(?P<what>/report)?"
)
# What of a manifest the page shows.
SHOWN = (
    *("name", "created", "kerasae", "keras", "row_shape", "columns", "layout", "codings"),
    *("threshold", "parameters", "epochs", "metrics"),
)
# Bytes of a file of a version that are read at most.
MOST_BYTES = 16 << 20
# Only code of this package runs, and nothing is asked of other places.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A report is a file of a model's folder: it is shown as a picture would be, whatever is in it.
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Page:
    """Responds to the paths of the page.

    Args:
        store: The `Store` whose versions are shown.
        max_body: Bytes that a request may have, which the page keeps to.
    """

    def __init__(self, store: Store, max_body: int) -> None:
        self.store = store
        self.max_body = max_body

    def respond(self, path: str) -> Response | None:
        """The response to a GET, or None where the path is not of the page.

        Args:
            path: The path.

        Returns:
            A response of Starlette.

        Raises:
            RefusedError: The version is not served, or has no report.
        """
        if path in FILES:
            name, kind = FILES[path]
            return _response((STATIC / name).read_bytes(), kind, POLICY)
        if match := VERSION.fullmatch(path):
            folder = self._folder(match["name"], int(match["number"]))
            if match["what"]:
                content = self._read(folder / "report.html")
                if content is None:
                    raise RefusedError("NOT_FOUND", "the version has no report")
                return _response(content, "text/html", REPORT_POLICY)
            body = json.dumps(self._known(folder), allow_nan=False)
            return _response(body.encode(), "application/json", POLICY)
        return None

    def _folder(self, name, number):
        if number not in self.store.available().get(name, ()):
            raise RefusedError("NOT_FOUND", f"Could not find version {number} of model {name}")
        return self.store.folder / name / str(number)

    def _known(self, folder):
        """What the files of a version tell of it, as far as they can be read."""
        manifest = self._json(folder / "manifest.json")
        return {
            "manifest": {name: manifest.get(name) for name in SHOWN},
            "facts": self._json(folder / "report.json"),
            "report": (folder / "report.html").is_file(),
            "max_body": self.max_body,
        }

    def _json(self, path) -> dict[str, Any]:
        try:
            content = json.loads(self._read(path) or b"{}")
            json.dumps(content, allow_nan=False)
        except (ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def _read(self, path):
        """The bytes of a file; None where there is none, it is huge, or a link leads out."""
        try:
            if not path.resolve().is_relative_to(self.store.folder.resolve()):
                return None
            if not path.is_file():
                return None
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError:
            return None
        return content if len(content) <= MOST_BYTES else None


def _response(content, kind, policy):
    headers = {**HEADERS, "Content-Security-Policy": policy}
    return Response(content, headers=headers, media_type=kind)
