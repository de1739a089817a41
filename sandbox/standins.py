"""The program that answers for the outside world; started by outside.py in a lab.

It speaks https on every given address under names with a certificate, passes two of
them on to the package mirror and one to a registry, tunnels to them as a proxy, and
greets on the ports that the internet and a database stand for.
"""

from __future__ import annotations

import argparse
import socket
import socketserver
import ssl
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Sequence

from sandbox.answering import GREETING, Answering


# Longer than anybody waits for a handshake.
PATIENCE_S = 120


class Web(ThreadingHTTPServer):
    """http, or https with the handshake made by the thread that answers."""

    daemon_threads = True
    # Hosts that are given up at once may leave many questions behind.
    request_queue_size = 128
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


def showing(certificate: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def choose(connection: Any, name: str | None, _: Any) -> int | None:
    """Hangs up where a name is down, and shows the certificate that is wanted of it."""
    settings = Answering.settings()
    if name in settings["silent"]:
        time.sleep(PATIENCE_S)
    if name in settings["down"] or name in settings["silent"]:
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    if name in settings["certificates"]:
        connection.context = showing(settings["certificates"][name])
    return None


def serve(server: socketserver.BaseServer) -> None:
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("settings", type=Path)
    Answering.settings_file = parser.parse_args().settings
    settings = Answering.settings()
    internet = settings["internet"]
    Web.allow_reuse_address = socketserver.ThreadingTCPServer.allow_reuse_address = True
    for address in [*settings["addresses"], internet]:
        web = Web((address, 443), Answering)
        web.context = showing(settings["certificate"])
        web.context.sni_callback = choose
        serve(web)
    for port in (80, settings["proxy"]):
        serve(Web((internet, port), Answering))
    doors = [(internet, port) for port in settings["ports"]]
    for address in settings["database"]:
        doors += [(address, port) for port in settings["database ports"]]
    doors += [(address, 445) for address in settings["share"]]
    for door in doors:
        serve(socketserver.ThreadingTCPServer(door, Greeting))
    serve(socketserver.ThreadingUDPServer((internet, 53), Greeting))
    print("- ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
