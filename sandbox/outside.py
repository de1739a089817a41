"""Stand-ins for the outside world, in the lab, under the real names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Sequence

from sandbox.answer import NOT_FOUND, Answer, keys
from sandbox.authority import Authority
from sandbox.checkout import Checkout
from sandbox.controller import Controller
from sandbox.errors import SandboxError
from sandbox.images import Images
from sandbox.mirror import Mirror
from sandbox.network import INTERNET, Lab
from sandbox.people import People
from sandbox.registry import Registry
from sandbox.releases import Releases
from sandbox.services import TOKEN
from sandbox.taskapi import records


DOMAIN = "opensafely.org"
GITHUB = f"github-proxy.{DOMAIN}"
ARCHIVES = (f"archive-ubuntu.{DOMAIN}", f"security-ubuntu.{DOMAIN}")
DOCKER_PROXY, CONTROLLER = f"docker-proxy.{DOMAIN}", f"controller.{DOMAIN}"
COLLECTOR = f"collector.{DOMAIN}"
JOBS, RELEASE = f"jobs.{DOMAIN}", f"release.{DOMAIN}"
NAMES = (
    JOBS,
    RELEASE,
    f"backends.{DOMAIN}",
    CONTROLLER,
    DOCKER_PROXY,
    GITHUB,
    COLLECTOR,
    *ARCHIVES,
)
DATABASE = "192.0.2.30"
SHARE = "192.0.2.40"
# Where a database listens, and where nothing of it should be reached.
DATABASE_PORTS = (1433, 1434)
PORTS = (22, 25, 53, 445)
PROXY_PORT = 3128
PROXY = f"http://{INTERNET}:{PROXY_PORT}"
HERE = Path(__file__).resolve().parent.parent


class Outside:
    """What answers at the lab's own addresses; a test can take it down in part.

    The archives pass on to this machine's mirror. GitHub has the keys of each host's
    people, for that host. DOCKER_PROXY has the images, `controller` the jobs; JOBS and RELEASE
    take what is released (`releases`). Everybody answers 200 at /, with what a test asked for elsewhere, and 404 else. PROXY leads to
    these names, and nowhere else.
    """

    def __init__(
        self, lab: Lab, mirror: Mirror, authority: Authority, images: Images
    ) -> None:
        self.lab, self.mirror, self.authority = lab, mirror, authority
        self.images = images
        self.folder = lab.runtime / "outside"
        self.folder.mkdir(parents=True)
        self.log, self.settings = self.folder / "log", self.folder / "settings.json"
        self.collected_log = self.folder / "collected"
        self.certificate = authority.issue(NAMES, self.folder)
        self.process: subprocess.Popen[bytes] | None = None
        tokens = dict.fromkeys(Checkout().backends(), TOKEN)
        self.controller = Controller(self.folder / "controller", tokens, images)
        self.releases = Releases(self.folder / "releases", Checkout().backends())
        socket = self.folder / "registry"
        self.registry = Registry(images.registry, images.data, socket)
        self._registry: subprocess.Popen[bytes] | None = None
        self._tags: dict[str, str] = {}
        self._known: dict[str, Answer] = {}
        self._answers: dict[str, Answer] = {}
        self._certificates: dict[str, list[str]] = {}
        self._down: list[str] = []
        self._silent: list[str] = []
        self._lost = False

    def start(self, names: Sequence[str] = NAMES) -> None:
        """These names answer, and no others of ours; nothing has been asked yet."""
        self._down = [name for name in NAMES if name not in names]
        self._save()
        if self.process:
            os.truncate(self.log, 0)
            return
        if not self._registry:
            self._registry = self.registry.start(self.lab.inside(), self.lab.held)
        argv = (sys.executable, "-sE", "-m", "sandbox.standins", self.settings)
        with self.log.open("wb"), self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.lab.inside(*argv),
                cwd=HERE,
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

    def reset(self) -> None:
        """All names answer, and nothing that was asked for here counts any more."""
        self.releases.reset()
        self._lost = False
        for asked in (self._answers, self._certificates, self._silent, self._tags):
            asked.clear()
        self.start()

    def close(self) -> None:
        """None of our programs runs any more."""
        self.stop()
        if self._registry:
            self._registry.kill()
            self._registry.wait()

    def put(self, name: str, path: str, text: str) -> None:
        """https://NAME/PATH answers 200 with this text."""
        self.answer(name, path, Answer(text.encode()))

    def answer(self, name: str, path: str, answer: Answer) -> None:
        """https://NAME/PATH, or http, says this until the reset; at path * all others do."""
        self._answers[f"{name}/{path.lstrip('/')}".lower()] = answer
        self._save()

    def as_usual(self, name: str) -> None:
        """What was asked for at this name counts no more."""
        for where in [each for each in self._answers if each.startswith(f"{name}/")]:
            del self._answers[where]
        self._save()

    def github(self, name: str, *public_keys: str) -> None:
        """The account has these keys at GitHub, whichever host asks; given none, no key."""
        self.answer(GITHUB, f"{name}.keys", keys(*public_keys))

    def no_account(self, name: str) -> None:
        """GitHub knows nobody of this name."""
        self.answer(GITHUB, f"{name}.keys", NOT_FOUND)

    def know(self, address: str, people: People) -> None:
        """The host at this address hears of its own people's keys when it asks GitHub."""
        for name, person in people.items():
            question = f"{address} {GITHUB}/{name}.keys"
            self._known[question] = keys(person.public_key)
        self._save()

    def tag(self, name: str, version: str, tag: str = "latest") -> str:
        """The digest of a version, as v2 of job-runner, which this tag means until the reset."""
        digest = self.images.digest(name, version)
        self._tags[f"opensafely-core/{name}:{tag}"] = digest
        self._save()
        return digest

    def hang(self, names: Sequence[str]) -> None:
        """Whoever connects to these names waits for the end of the TLS handshake."""
        self._silent = list(names)
        self._save()

    def lose_answers(self, lost: bool = True) -> None:
        """What is uploaded is taken, and who uploads it waits for an answer."""
        self._lost = lost
        self._save()

    def wrong_authority(self, names: Sequence[str]) -> None:
        """These names show a certificate of an authority that nobody trusts."""
        authority = Authority(self.folder / "stranger")
        self.show(names, authority.issue(NAMES, authority.folder))

    def wrong_name(self, names: Sequence[str]) -> None:
        """These names show a good certificate that is somebody else's."""
        folder = self.folder / "another"
        folder.mkdir(exist_ok=True)
        self.show(names, self.authority.issue([f"another.{DOMAIN}"], folder))

    def requests(self) -> list[str]:
        """What was asked since the start: NAME "METHOD PATH PROTOCOL" STATUS."""
        return [line for line in self.log.read_text().splitlines() if '"' in line]

    def collected(self, address: str) -> list[dict[str, Any]]:
        """What the host at this address told the collector: `authorization` and `body`."""
        found = records(self.collected_log) if self.collected_log.exists() else []
        return [each for each in found if each["address"] == address]

    def show(self, names: Sequence[str], certificate: tuple[Path, Path]) -> None:
        shown = [str(path) for path in certificate]
        self._certificates.update(dict.fromkeys(names, shown))
        self._save()

    def _save(self) -> None:
        """The stand-ins read this anew at each question."""
        answers = {**self._known, **self._answers}
        settings = {
            "addresses": list(self.lab.pinned),
            "internet": INTERNET,
            "ports": PORTS,
            "database": [DATABASE] if DATABASE in self.lab.pinned else [],
            "database ports": DATABASE_PORTS,
            "share": [SHARE] if SHARE in self.lab.pinned else [],
            "proxy": PROXY_PORT,
            "names": NAMES,
            "down": self._down,
            "silent": self._silent,
            "mirrors": ARCHIVES,
            "locations": self.mirror.locations,
            "registry": {
                "name": DOCKER_PROXY,
                "socket": str(self.registry.socket),
                "tags": self._tags,
            },
            "controller": {
                "name": CONTROLLER,
                "folder": str(self.controller.folder),
                "tokens": self.controller.tokens,
            },
            "collector": {"name": COLLECTOR, "log": str(self.collected_log)},
            "releases": {
                "names": [JOBS, RELEASE],
                "folder": str(self.releases.folder),
                "tokens": dict(self.releases.tokens),
                "lost": self._lost,
            },
            "answers": {where: answer.note() for where, answer in answers.items()},
            "certificate": [str(path) for path in self.certificate],
            "certificates": self._certificates,
        }
        new = self.settings.with_suffix(".new")
        new.write_text(json.dumps(settings))
        new.rename(self.settings)

    def _wait(self) -> None:
        deadline = time.monotonic() + 10
        while "- ready" not in self.log.read_text():
            gone = self.process is None or self.process.poll() is not None
            if gone or time.monotonic() > deadline:
                said = self.log.read_text()
                raise SandboxError(f"the stand-ins did not start:\n{said}")
            time.sleep(0.02)
