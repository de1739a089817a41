"""Short texts from a web site: whole, in time, from whom we asked, or not at all."""

from __future__ import annotations

import base64
import calendar
import contextlib
import http.client
import socket
import ssl
import time
import urllib.parse
import urllib.request
from functools import partial
from typing import Any, Mapping

from backend_server.text.errors import Refused


AUTHORITIES = "/etc/ssl/certs"  # whatever SSL_CERT_FILE and SSL_CERT_DIR say
MAX_TRAFFIC = 1024 * 1024  # of one answer with its headers, in however small pieces


class NoText(Exception):
    """Why there is no text, in words that are safe to print; status is 200 or what was said."""

    def __init__(self, why: str, status: int = 200) -> None:
        super().__init__(why)
        self.status = status


class Site:
    """A site under an https:// address, found at the address that is pinned for its name.

    A proxy of the environment (https_proxy, no_proxy) finds the address by itself.
    `booted` is when this host did, in seconds of the epoch by the site's clock; empty: not known.
    """

    booted = ""

    def __init__(self, base: str, pinned: Mapping[str, str]) -> None:
        url = urllib.parse.urlsplit(base)
        if url.scheme != "https" or not url.hostname or "@" in url.netloc:
            raise Refused(f"{base!r} is no address of a site; wanted https://NAME/PATH")
        self.host, self.port = url.hostname, url.port or 443
        self.netloc, self.path = url.netloc, url.path.rstrip("/")
        self.address = pinned.get(self.host, self.host)
        self.proxy = urllib.request.getproxies().get("https", "")
        if urllib.request.proxy_bypass(f"{self.host}:{self.port}"):
            self.proxy = ""
        self.context = ssl.create_default_context(capath=AUTHORITIES)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.sslsocket_class = _Bounded

    def text(
        self,
        page: str,
        most: int,
        patience_s: float,
        body: bytes | None = None,
        more: Mapping[str, str] = {},
    ) -> bytes:
        """The page, of text/plain, where it is at most so many bytes. With a BODY that is sent."""
        try:
            with contextlib.closing(self._connection(patience_s)) as connection:
                self._connect(connection, time.monotonic() + patience_s)
                headers = {"Host": self.netloc, "User-Agent": "backend-server"}
                headers.update(more, Connection="close")
                how, url = "GET" if body is None else "POST", f"{self.path}/{page}"
                connection.request(how, url, body, headers)
                with connection.getresponse() as response:
                    self._hear(response.getheader("Date", ""))
                    return _body(response, most)
        except socket.timeout:
            raise NoText(f"no answer in {patience_s:.2g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoText(_sentence(error)) from None

    def _hear(self, date: str) -> None:
        with contextlib.suppress(ValueError):
            then = calendar.timegm(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT"))
            self.booted = f"{then - time.clock_gettime(time.CLOCK_BOOTTIME):.0f}"

    def _connection(self, patience_s: float) -> http.client.HTTPConnection:
        to = partial(http.client.HTTPConnection, timeout=patience_s)
        if not self.proxy:
            return to(self.address, self.port)
        full = self.proxy if "://" in self.proxy else f"http://{self.proxy}"
        with contextlib.suppress(ValueError):
            url = urllib.parse.urlsplit(full)
            if url.scheme == "http" and url.hostname:
                connection = to(url.hostname, url.port or 80)
                connection.set_tunnel(self.host, self.port, _introduction(url))
                return connection
        raise NoText("https_proxy names no proxy; wanted http://NAME:PORT")

    def _connect(self, connection: http.client.HTTPConnection, end: float) -> None:
        connection.connect()
        connection.sock.settimeout(_left(end))
        secure = self.context.wrap_socket(connection.sock, server_hostname=self.host)
        assert isinstance(secure, _Bounded)
        secure.end = end
        connection.sock = secure


class _Bounded(ssl.SSLSocket):
    """Has an end, and gives no more than so much: a byte a second does not keep it alive."""

    end = 0.0
    room = MAX_TRAFFIC

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(_left(self.end))
        count = super().recv_into(buffer, nbytes, flags)
        self.room -= count
        if self.room < 0:
            raise NoText(f"its answer goes on after {MAX_TRAFFIC} bytes")
        return count


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left


def _introduction(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    words = (proxy.username, proxy.password or "")
    user = ":".join(map(urllib.parse.unquote, words)).encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(user).decode()}"}


def _body(response: http.client.HTTPResponse, most: int) -> bytes:
    """Only of what has a length or comes in chunks can anybody know whether it is whole."""
    if response.status != 200:
        raise NoText(_refusal(response), response.status)
    kind = response.getheader("Content-Type", "")
    if kind.partition(";")[0].strip().lower() != "text/plain":
        raise NoText(f"it answered with {_shown(kind) or 'no type'}; wanted text/plain")
    if response.length is None and not response.chunked:
        raise NoText("its answer has no length, so nobody knows whether it is whole")
    large = response.length is not None and response.length > most
    # Asked for no number, it says so where the body is shorter than its length.
    body = b"" if large else response.read(most + 1 if response.chunked else None)
    if large or len(body) > most:
        raise NoText(f"its answer is too large; wanted at most {most} bytes")
    return body


def _refusal(response: http.client.HTTPResponse) -> str:
    said = f"it answered {response.status} {_shown(response.reason)}".rstrip()
    elsewhere = response.getheader("Location")
    if elsewhere is None:
        return said
    return f"{said} and sends us to {_shown(elsewhere)}, where we do not go"


def _sentence(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {_shown(error.verify_message)}"
    if isinstance(error, ssl.SSLError):
        return f"TLS with it fails: {_shown(error.reason or str(error))}"
    if isinstance(error, OSError):
        return _shown(error.strerror or str(error))
    if isinstance(error, http.client.IncompleteRead):
        return "its answer is cut short"
    return f"it does not speak HTTP as it should ({type(error).__name__})"


def _shown(text: str) -> str:
    """What came from the other side, with nothing in it that a terminal would obey."""
    return text.encode("unicode_escape").decode()[:200]
