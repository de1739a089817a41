"""A registry of images: Debian's own, asked over a socket of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Sequence

from sandbox.errors import SandboxError


MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
PATIENCE_S = 10


class Connection(http.client.HTTPConnection):
    """To a server that listens on a socket in the file system; it may be still starting."""

    def __init__(self, path: Path) -> None:
        super().__init__("registry", timeout=60)
        self.path = path

    def connect(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(60)
            try:
                self.sock.connect(str(self.path))
                return
            except OSError:
                self.sock.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


@dataclass(frozen=True)
class Registry:
    """Images in a folder, served on a socket."""

    program: Path
    data: Path
    socket: Path

    def start(
        self, before: Sequence[str] = (), held: Sequence[int] = (), frozen: bool = True
    ) -> subprocess.Popen[bytes]:
        """The program is on its way; it ends with its caller unless it holds something."""
        storage = {
            "filesystem": {"rootdirectory": str(self.data)},
            "maintenance": {
                "readonly": {"enabled": frozen},
                "uploadpurging": {"enabled": False},
            },
        }
        server = {
            "net": "unix",
            "addr": str(self.socket),
            "relativeurls": True,
            "secret": "none",
        }
        settings = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": storage,
            "http": server,
        }
        config = self.socket.with_suffix(".yml")
        config.write_text(json.dumps(settings))  # which YAML is a superset of
        end = () if held else ("setpriv", "--pdeathsig", "KILL", "--")
        with self.socket.with_suffix(".log").open("wb") as log:
            return subprocess.Popen(
                [*before, *end, str(self.program), "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=held,
                start_new_session=True,
            )

    def push(
        self,
        name: str,
        tags: Sequence[str],
        layers: Sequence[Layer],
        config: Mapping[str, Any],
    ) -> str:
        """The digest of an image of these layers, which the registry has now."""
        whole = {
            **config,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
        }
        parts = [{"mediaType": LAYER, **self._blob(name, each.blob)} for each in layers]
        settings = {"mediaType": CONFIG, **self._blob(name, encoded(whole))}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": settings,
            "layers": parts,
        }
        for tag in tags:
            where = f"/v2/{name}/manifests/{tag}"
            self._call("PUT", where, encoded(manifest), MANIFEST)
        return digest(encoded(manifest))

    def _blob(self, name: str, data: bytes) -> Mapping[str, Any]:
        place = self._call("POST", f"/v2/{name}/blobs/uploads/")["Location"]
        joint = "&" if "?" in place else "?"
        self._call("PUT", f"{place}{joint}digest={digest(data)}", data)
        return {"size": len(data), "digest": digest(data)}

    def _call(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        kind: str = "application/octet-stream",
    ) -> Mapping[str, str]:
        with contextlib.closing(Connection(self.socket)) as connection:
            connection.request(method, path, body, {"Content-Type": kind})
            reply = connection.getresponse()
            said = reply.read()
        if reply.status >= 300:
            raise SandboxError(f"{method} {path}: {reply.status} {said[:300]!r}")
        return dict(reply.headers)


@dataclass(frozen=True)
class Layer:
    """Files of an image: a compressed archive, and the digest of the archive within."""

    blob: bytes
    diff_id: str


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def encoded(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
