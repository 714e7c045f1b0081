"""HTTP/1.1 whose half-sent requests end at a deadline."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Seconds behind the deadline in which the response to a half-sent body gets out.
GRACE = 1.0
WHOLE = {h11.DONE, h11.MUST_CLOSE, h11.CLOSED}


def protocol(deadline: float) -> type[asyncio.Protocol]:
    """A protocol of uvicorn that closes connections over which no whole request came in time.

    uvicorn itself waits for ever: for the first byte, the rest of the headers, and the rest of a
    body whose request has its response already.

    Args:
        deadline: Seconds from the begin of the connection or request to the end of the request.

    Returns:
        What `uvicorn.Config` takes for `http`.
    """

    class Protocol(H11Protocol):
        """The protocol of one connection."""

        waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.expect()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state in WHOLE:
                self.settle()
            else:
                self.expect()

        def connection_lost(self, exc: Exception | None) -> None:
            self.settle()
            super().connection_lost(exc)

        def expect(self) -> None:
            """Closes the connection at the deadline, unless it settles before."""
            if self.waiting is None:
                self.waiting = self.loop.call_later(deadline + GRACE, self.transport.close)

        def settle(self) -> None:
            """Lets the connection be: the request is whole, or the connection is gone."""
            if self.waiting is not None:
                self.waiting.cancel()
                self.waiting = None

    return Protocol
