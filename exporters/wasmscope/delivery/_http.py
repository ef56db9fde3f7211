"""OTLP over HTTP, with the library that OpenTelemetry's exporters use.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

from __future__ import annotations

import gzip
import math
import time
import zlib
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from wasmscope.delivery._answer import Accepted, Answer, Failed, Transport, accepted, plain
from wasmscope.delivery._environment import SignalSettings
from wasmscope.delivery._version import user_agent

if TYPE_CHECKING:
    import requests

__all__ = ["HttpTransport", "retry_after_s"]

_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_MAX_ANSWER_BYTES: Final = 1 << 16
_PROTOBUF: Final = "application/x-protobuf"


class HttpTransport(Transport):
    """Sends a signal's requests over HTTP, on a connection that is kept."""

    def __init__(self, settings: SignalSettings, clock: Callable[[], float] = time.monotonic) -> None:
        import requests

        self._settings = settings
        self._clock = clock
        self._session = requests.Session()
        self._headers = {
            "content-type": _PROTOBUF,
            "user-agent": user_agent(),
            # So that a small answer cannot become a large one.
            "accept-encoding": "identity",
            **dict(settings.headers),
        }
        if settings.compression != "none":
            self._headers["content-encoding"] = settings.compression

    def pack(self, body: bytes) -> bytes:
        """Compress, if that is asked for."""
        match self._settings.compression:
            case "gzip":
                # Telemetry is much alike: higher levels cost more than they save.
                return gzip.compress(body, compresslevel=6, mtime=0)
            case "deflate":
                return zlib.compress(body)
            case "none":
                return body

    def send(self, packed: bytes, timeout_s: float) -> Answer:
        """Send once and wait for the answer."""
        import requests

        deadline = self._clock() + timeout_s
        tls = self._settings.tls
        try:
            response = self._session.post(
                self._settings.target.url,
                data=packed,
                headers=self._headers,
                timeout=timeout_s,
                # Not of the session: against that, REQUESTS_CA_BUNDLE would win.
                verify=tls.certificate or True if tls else True,
                cert=tls.client if tls else None,
                allow_redirects=False,
                stream=True,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            return Failed(plain(f"{type(error).__name__}: {_cause(error)}"), is_retryable=True)
        except Exception as error:
            # A URL, header or file that requests does not like.
            return Failed(plain(f"{type(error).__name__}: {error}"))
        return self._answer(response, self._body(response, deadline))

    def _body(self, response: requests.Response, deadline: float) -> bytes | None:
        """Read an answer's body; None if it is too long, too slow or broken off: then the connection is closed."""
        raw = response.raw
        parts: list[bytes] = []
        size = 0
        try:
            while size <= _MAX_ANSWER_BYTES and self._clock() < deadline:
                part: bytes = raw.read1(_MAX_ANSWER_BYTES, decode_content=False)
                if not part:
                    raw.release_conn()
                    return b"".join(parts)
                parts.append(part)
                size += len(part)
        except Exception:  # of urllib3, http.client, ssl: there is a status, so it was an answer all the same
            pass
        response.close()
        return None

    def _answer(self, response: requests.Response, body: bytes | None) -> Answer:
        status = response.status_code
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if 200 <= status < 300:
            if body is None:
                return Accepted(message="took the data, but its answer cannot be read")
            if not body or content_type == "application/json":
                return Accepted()
            if content_type and content_type != _PROTOBUF:
                return Accepted(message=plain(f"answered with {content_type}; is that an OTLP endpoint?"))
            return accepted(body)
        message = f"code: {status}, reason: {response.reason}"
        if 300 <= status < 400:
            message += f", moved to {response.headers.get('location', 'somewhere else')}"
        elif detail := _detail(content_type, body or b""):
            message += f", {detail}"
        after_s = retry_after_s(response.headers.get("retry-after"), time.time())
        return Failed(plain(message), status in _RETRYABLE, after_s)


def _cause(error: BaseException) -> BaseException:
    """Find what is behind the errors of several libraries, each of which wraps that of the one below."""
    for _ in range(4):
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error


def _detail(content_type: str, body: bytes) -> str:
    """Give what an error's body says: a ``google.rpc.Status``, or text."""
    if content_type == _PROTOBUF:
        from google.protobuf.message import DecodeError
        from google.rpc.status_pb2 import Status

        try:
            return str(Status.FromString(body).message)
        except DecodeError:
            return ""
    return body.decode(errors="replace") if content_type == "text/plain" else ""


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Read the header ``Retry-After``.

    Source: RFC 9110, section 10.2.3: a number of seconds, or a date.

    Args:
        value: The header; None if there is none.
        now_s: The time, in seconds since 1970.

    Returns:
        Seconds from now, not below 0; None if it does not say.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
