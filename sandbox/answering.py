"""How the stand-ins answer: from the mirror, as a test asked for, or as a proxy."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Dict

from sandbox import releaseapi, taskapi
from sandbox.answer import NOT_FOUND, Answer
from sandbox.registry import Connection
from sandbox.releaseapi import BASE, Asked


# Asked for by apt and docker, and told to them, unchanged.
ASKED = ("Range", "If-Range", "If-Modified-Since", "Accept")
TOLD = (
    *("Content-Length", "Content-Range", "Content-Type", "Last-Modified", "ETag"),
    *("Docker-Content-Digest", "Docker-Distribution-Api-Version"),
)
GREETING = b"sandbox\n"
Settings = Dict[str, Any]


class Answering(BaseHTTPRequestHandler):
    """One connection, over which one question may follow another."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    settings_file: Path
    # Who asks through the proxy, by the address that the tunnel has here.
    askers: dict[Any, str] = {}

    @classmethod
    def settings(cls) -> Settings:
        """What the lab and its tests want by now."""
        found: Settings = json.loads(cls.settings_file.read_text())
        return found

    def do_GET(self) -> None:
        settings = self.settings()
        name = (self.headers.get("Host") or "").partition(":")[0]
        top = "/" + self.path.lstrip("/").partition("/")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0].lstrip("/")
        asked = self._asked(settings["answers"], name, path)
        if name in (*settings["down"], *settings["silent"]):
            self._shut(name in settings["silent"])
        elif asked:
            self._say(asked)
        elif name in settings["mirrors"] and top in settings["locations"]:
            self._pass_on(settings["locations"][top] + self.path[len(top) :])
        elif name == settings["controller"]["name"]:
            self._say(self._task_api(settings["controller"], body))
        elif name == settings["collector"]["name"] and path == "v1/traces":
            self._say(self._collect(settings["collector"], body))
        elif name in settings["releases"]["names"] and self.path.startswith(BASE):
            self._say(self._release_api(settings["releases"], body))
        elif name == settings["registry"]["name"] and top == "/v2":
            self._pull(settings["registry"])
        else:
            self._say(NOT_FOUND if path else Answer(GREETING))

    do_HEAD = do_POST = do_PUT = do_GET

    def _shut(self, silent: bool) -> None:
        """To who had a connection before its name went: it is hung up on, or hears nothing more."""
        self.close_connection = True
        if silent:
            self.connection.recv(1)

    def do_CONNECT(self) -> None:
        """A tunnel to one of the names, for those who come through the proxy."""
        settings = self.settings()
        name, _, port = self.path.rpartition(":")
        if name not in settings["names"] or not settings["addresses"]:
            self._say(Answer(b"not ours\n", 403))
            return
        address = settings["addresses"][0]
        with socket.create_connection((address, int(port)), self.timeout) as there:
            self.askers[there.getsockname()] = self.client_address[0]
            self.send_response(200, "Connection established")
            self.end_headers()
            back = threading.Thread(target=pour, args=(there, self.connection))
            back.start()
            pour(self.connection, there)
            back.join()
        self.close_connection = True

    def _asked(self, answers: Settings, name: str, path: str) -> Answer | None:
        """What a test wants to be said here, if anything."""
        for where in (f"{name}/{path}", f"{name}/*", f"{self._asker()} {name}/{path}"):
            if where.lower() in answers:  # GitHub takes capitals for small letters
                return Answer.noted(answers[where.lower()])
        return None

    def _asker(self) -> str:
        return self.askers.get(self.client_address, self.client_address[0])

    def _task_api(self, controller: Settings, body: bytes) -> Answer:
        return taskapi.answer(
            Path(controller["folder"]),
            controller["tokens"],
            {"address": self._asker(), "method": self.command, "path": self.path},
            self.headers.get("Authorization"),
            body,
        )

    def _collect(self, collector: Settings, body: bytes) -> Answer:
        """Whatever comes is taken, and written down; what is no JSON by its bytes alone."""
        who = {"address": self._asker(), "authorization": self.headers["Authorization"]}
        found = {**who, "body": body.decode("latin-1")}
        with Path(collector["log"]).open("a") as log:
            log.write(json.dumps(found) + "\n")
        return Answer(b"{}", headers={"Content-Type": "application/json"})

    def _release_api(self, releases: Settings, body: bytes) -> Answer:
        asked = Asked(self.command, self.path[len(BASE) :], self.headers, body)
        found = releaseapi.answer(Path(releases["folder"]), releases["tokens"], asked)
        lost = releases.get("lost") and asked.path.startswith("releases/release/")
        return Answer(b"", 0, ends=False) if lost else found

    def _pull(self, registry: Settings) -> None:
        """As the registry says; it is there to be read from, and a tag may have moved."""
        if self.command not in ("GET", "HEAD"):
            self._say(Answer(b"read only\n", 405))
            return
        image, found, tag = self.path.partition("/manifests/")
        moved = registry["tags"].get(f"{image[len('/v2/') :]}:{tag}", tag)
        accepts = ", ".join(self.headers.get_all("Accept", []))
        with contextlib.closing(Connection(Path(registry["socket"]))) as there:
            where = image + found + moved
            there.request(self.command, where, headers={"Accept": accepts})
            self._relay(there.getresponse())

    def _say(self, answer: Answer) -> None:
        if answer.status:
            self.send_response(answer.status, answer.reason or None)
            for name, value in answer.all_headers().items():
                self.send_header(name, value)
            self.end_headers()
        else:
            self.log_request("-")
        if self.command != "HEAD":
            self._write(answer)
        self.close_connection = self.close_connection or not answer.regular
        if not answer.ends:
            self.connection.recv(1)

    def _write(self, answer: Answer) -> None:
        if not answer.pause_s:
            self.wfile.write(answer.body)
            return
        for byte in answer.body:
            time.sleep(answer.pause_s)
            self.wfile.write(bytes([byte]))

    def _pass_on(self, url: str) -> None:
        wanted = {name: self.headers[name] for name in ASKED if name in self.headers}
        request = urllib.request.Request(url, headers=wanted, method=self.command)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            reply = opener.open(request, timeout=30)
        except urllib.error.HTTPError as error:
            reply = error
        except OSError as error:
            self._say(Answer(f"{error}\n".encode(), 502))
            return
        self._relay(reply)

    def _relay(self, reply: Any) -> None:
        """Somebody else's answer, as far as those who ask here look at it."""
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

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """What agents ask every few seconds has a record of its own: see taskapi.py."""
        if not re.search(r"/task(s|/update)/$", self.path):
            super().log_request(code, size)

    def log_message(self, text: str, *args: Any) -> None:
        name = self.headers.get("Host", "-") if hasattr(self, "headers") else "-"
        print(name, text % args, flush=True)


def pour(source: socket.socket, target: socket.socket) -> None:
    """What comes in on one side goes out on the other, until one of them ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
