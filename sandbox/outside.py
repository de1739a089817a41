"""Stand-ins for the outside world, in the lab, under the real names."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Sequence

from sandbox.authority import Authority
from sandbox.errors import SandboxError
from sandbox.mirror import Mirror
from sandbox.network import INTERNET, Lab


DOMAIN = "opensafely.org"
ARCHIVES = (f"archive-ubuntu.{DOMAIN}", f"security-ubuntu.{DOMAIN}")
NAMES = (
    *(f"{n}.{DOMAIN}" for n in ("jobs", "docker-proxy", "github-proxy")),
    *ARCHIVES,
)
PORTS = (22, 25, 53, 445)


class Outside:
    """What answers at the lab's own addresses; a test can take it down in part.

    The archives pass on to this machine's mirror. The other names answer 200 at /,
    with what `put` gave them elsewhere, and 404 else.
    """

    def __init__(self, lab: Lab, mirror: Mirror, authority: Authority) -> None:
        self.lab, self.mirror = lab, mirror
        self.folder = lab.runtime / "outside"
        self.files, self.log = self.folder / "files", self.folder / "log"
        self.files.mkdir(parents=True)
        self.certificate, self.key = authority.issue(NAMES, self.folder)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, names: Sequence[str] = NAMES) -> None:
        """These names answer, and no others of ours."""
        self.stop()
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps(self._settings(names)))
        server = Path(__file__).with_name("standins.py")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.lab.inside(sys.executable, "-I", server, settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self.lab.held,
                start_new_session=True,
            )
        self._wait()

    def stop(self, names: Sequence[str] = NAMES) -> None:
        """These names hang up on whoever connects; given none, nothing listens at all."""
        if set(names) != set(NAMES):
            self.start([name for name in NAMES if name not in names])
        elif self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def put(self, name: str, path: str, text: str) -> None:
        """https://NAME/PATH answers 200 with this text."""
        file = self.files / name / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def requests(self) -> list[str]:
        """What was asked since the start: NAME "METHOD PATH PROTOCOL" STATUS."""
        return [line for line in self.log.read_text().splitlines() if '"' in line]

    def _settings(self, names: Sequence[str]) -> dict[str, object]:
        return {
            "addresses": list(self.lab.pinned),
            "internet": INTERNET,
            "ports": PORTS,
            "names": NAMES,
            "up": list(names),
            "mirrors": ARCHIVES,
            "locations": self.mirror.locations,
            "files": str(self.files),
            "certificate": str(self.certificate),
            "key": str(self.key),
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + 10
        while "- ready" not in self.log.read_text():
            gone = self.process is None or self.process.poll() is not None
            if gone or time.monotonic() > deadline:
                said = self.log.read_text()
                raise SandboxError(f"the stand-ins did not start:\n{said}")
            time.sleep(0.02)
