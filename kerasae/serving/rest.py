"""TF Serving's REST: predict, status and metadata of a model; and the page at `/`."""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.json_format import MessageToDict
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from kerasae.serving import protos
from kerasae.serving.page import Page
from kerasae.serving.requests import (
    RefusedError,
    invalid,
    read_arrays,
    read_document,
    signature_name,
    unpack,
)
from kerasae.serving.responses import write_response
from kerasae.serving.store import Store

log = logging.getLogger("kerasae.serving")

MODEL = (
    "(?i:/v1/models)/(?P<name>[^/:]+)"
    "(?:/versions/(?P<version>[0-9]{1,18})|/labels/(?P<label>[^/:]+))?"
)
PREDICT = re.compile(MODEL + "(?i::predict)")
STATUS = re.compile(MODEL + "(?P<metadata>/metadata)?")
MODELS = re.compile("(?i:/v1/models)/?")
# Values of the header Content-Encoding.
PLAIN, GZIP = {"", "identity"}, {"gzip", "x-gzip"}
# Bodies of up to this many times the limit are read to their end before the response.
DRAINED = 4
CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class Rest:
    """An ASGI application over a store.

    Args:
        store: A `Store`.
        max_body: Bytes that a body may have.
        deadline: Seconds that a request may take.
    """

    def __init__(self, store: Store, max_body: int, deadline: float) -> None:
        self.store = store
        self.max_body = max_body
        self.deadline = deadline
        self.page = Page(store, max_body)

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] == "http":
            response = await self._respond(Request(scope, receive))
            await response(scope, receive, send)

    async def _respond(self, request):
        try:
            async with asyncio.timeout(self.deadline):
                content = await self._body(request)
                if content and (encoding := request.headers.get("content-encoding")):
                    content = await self._unpacked(content, encoding.strip().lower())
                if content is None:
                    return _error(413, f"the body has over {self.max_body} bytes, the limit")
                return await self._route(request.method, request.scope["path"], content)
        except TimeoutError:
            return _error(504, f"no response within {self.deadline:g} seconds, the deadline")
        except RefusedError as error:
            return _error(CODES[error.code], str(error))
        except ClientDisconnect:
            return _error(400, "the client is gone")
        except Exception as error:
            log.exception("a request failed")
            return _error(500, f"{type(error).__name__}: {error}")

    async def _route(self, method, path, content):
        predict, status = PREDICT.fullmatch(path), STATUS.fullmatch(path)
        models = MODELS.fullmatch(path)
        if not predict and not status and not models:
            page = await run_in_threadpool(self.page.respond, path) if method == "GET" else None
            if page is not None:
                return page
            return _error(404, f"Malformed request: {method} {path}")
        served = "POST" if predict else "GET"
        if method != served:
            return _error(405, f"{method} is not served here", {"Allow": served})
        if predict:
            return await self._predict(content, **predict.groupdict())
        if models:
            return _json({"models": self._models()})
        return self._status(**status.groupdict())

    async def _body(self, request):
        """The body, or None where it is over the limit."""
        announced = int(request.headers.get("content-length", 0))
        if announced > self.max_body and "expect" in request.headers:
            return None
        kept, read, size = [], 0, announced
        async for chunk in request.stream():
            read += len(chunk)
            size = max(read, announced)
            if size > DRAINED * self.max_body:
                return None
            # Beyond the limit the body is read but not kept, so that the client sees the response.
            if size > self.max_body:
                kept.clear()
            else:
                kept.append(chunk)
        return b"".join(kept) if size <= self.max_body else None

    async def _unpacked(self, content, encoding):
        """The body as it is meant, or None where it is over the limit."""
        if encoding in PLAIN:
            return content
        if encoding not in GZIP:
            raise invalid(f"the body must be plain or gzip. Received: {encoding[:40]}")
        return await run_in_threadpool(unpack, content, self.max_body)

    async def _predict(self, content, name, version, label):
        document = await run_in_threadpool(read_document, content)
        with self.store.lease(name, version and int(version), label) as loaded:
            key, signature = loaded.bundle.signature(signature_name(document))
            rows, arrays = await run_in_threadpool(read_arrays, document, signature.inputs)
            future = loaded.batcher.submit(key, arrays, signature.batched, self.deadline)
            outputs = await asyncio.wrap_future(future)
            return _json(await run_in_threadpool(write_response, outputs, rows))

    def _status(self, name, version, label, metadata):
        version = version and int(version)
        if metadata:
            with self.store.lease(name, version, label) as loaded:
                spec = MessageToDict(protos.model_spec(name, loaded.number), **protos.AS_TF_SERVING)
                signatures = MessageToDict(
                    protos.signature_map(loaded.bundle), **protos.AS_TF_SERVING
                )
                columns = loaded.bundle.columns
            metadata = {"signature_def": signatures}
            # What TF Serving does not have: the columns of a table, their types and levels.
            metadata |= {} if columns is None else {"columns": columns}
            return _json({"model_spec": spec, "metadata": metadata})
        return _json(_states(self.store.states(name, version, label)))

    def _models(self):
        """The status of every model; TF Serving has none of all models."""
        every = self.store.every_state().items()
        return [{"name": name, **_states(states)} for name, states in every]


def _states(states):
    return MessageToDict(protos.model_status(states), **protos.AS_TF_SERVING)


def _json(content, status=200, headers=None):
    if not isinstance(content, bytes):
        content = json.dumps(content, indent=1)
    return Response(content, status, headers, media_type="application/json")


def _error(status, message, headers=None):
    return _json({"error": message}, status, headers)
