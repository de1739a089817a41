"""The program that answers for the outside world; started by outside.py in a lab.

It is run as a file of its own and imports nothing of ours. It speaks https on every
given address under names with a certificate, passes two of them on to the package
mirror, and greets on the ports that the internet stands for.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import socketserver
import ssl
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


# Asked for by apt, and told to it, unchanged.
ASKED = ("Range", "If-Range", "If-Modified-Since")
TOLD = ("Content-Length", "Content-Range", "Content-Type", "Last-Modified", "ETag")
GREETING = b"sandbox\n"


class Answer(BaseHTTPRequestHandler):
    """One connection: the mirror's files, files put there by a test, or 404."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    settings: dict[str, Any]

    def do_GET(self) -> None:
        name = (self.headers.get("Host") or "").partition(":")[0]
        top = "/" + self.path.lstrip("/").partition("/")[0]
        if name in self.settings["mirrors"] and top in self.settings["locations"]:
            self._pass_on(self.settings["locations"][top] + self.path[len(top) :])
            return
        folder = Path(self.settings["files"]) / name
        path = (folder / self.path.partition("?")[0].lstrip("/")).resolve()
        if path.is_file() and folder.resolve() in path.parents:
            self._say(200, path.read_bytes())
        elif self.path == "/":
            self._say(200, GREETING)
        else:
            self._say(404, b"not found\n")

    do_HEAD = do_GET

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _pass_on(self, url: str) -> None:
        wanted = {name: self.headers[name] for name in ASKED if name in self.headers}
        request = urllib.request.Request(url, headers=wanted, method=self.command)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            reply = opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            reply = error
        except OSError as error:
            self._say(502, f"{error}\n".encode())
            return
        with reply:
            self.send_response(reply.status if hasattr(reply, "status") else reply.code)
            for name in TOLD:
                if name in reply.headers:
                    self.send_header(name, reply.headers[name])
            if "Content-Length" not in reply.headers:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                shutil.copyfileobj(reply, self.wfile, 1 << 16)

    def log_message(self, text: str, *args: Any) -> None:
        name = self.headers.get("Host", "-") if hasattr(self, "headers") else "-"
        print(name, text % args, flush=True)


class Web(ThreadingHTTPServer):
    """http, or https with the handshake made by the thread that answers."""

    daemon_threads = True
    context: ssl.SSLContext | None = None

    def server_bind(self) -> None:
        # Not http.server's own, which asks a name server what we are called.
        socketserver.TCPServer.server_bind(self)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context:
            request.settimeout(30)
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        print("-", repr(sys.exc_info()[1]), flush=True)


class Greeting(socketserver.BaseRequestHandler):
    """A port that is open: says a word over TCP, sends back a datagram over UDP."""

    def handle(self) -> None:
        if isinstance(self.request, socket.socket):
            self.request.sendall(GREETING)
        else:
            data, reply = self.request
            reply.sendto(data, self.client_address)


def tls(settings: dict[str, Any]) -> ssl.SSLContext:
    """Answers for the names that are up, and hangs up on the others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["certificate"], settings["key"])

    def choose(connection: Any, name: str | None, _: Any) -> int | None:
        down = name in settings["names"] and name not in settings["up"]
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME if down else None

    context.sni_callback = choose
    return context


def serve(server: socketserver.BaseServer) -> None:
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("settings", type=Path)
    settings = json.loads(parser.parse_args().settings.read_text())
    Answer.settings = settings
    Web.allow_reuse_address = socketserver.ThreadingTCPServer.allow_reuse_address = True
    for address in [*settings["addresses"], settings["internet"]]:
        web = Web((address, 443), Answer)
        web.context = tls(settings)
        serve(web)
    serve(Web((settings["internet"], 80), Answer))
    for port in settings["ports"]:
        serve(socketserver.ThreadingTCPServer((settings["internet"], port), Greeting))
    serve(socketserver.ThreadingUDPServer((settings["internet"], 53), Greeting))
    print("- ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
