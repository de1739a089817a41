"""A certificate authority of our own, for the names the outside world answers to."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Sequence

from sandbox.command import run


class Authority:
    """A key and certificate kept in the cache; only disposable hosts trust it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.certificate = folder / "ca.key", folder / "ca.crt"
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        with self._alone():
            if not self.certificate.exists():
                self._create()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self) -> None:
        new = self.certificate.with_suffix(".new")
        run(
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-days", 3650, "-subj", "/CN=Sandbox authority"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", self.key, "-out", new),
        )
        new.rename(self.certificate)

    def issue(self, names: Sequence[str], folder: Path) -> tuple[Path, Path]:
        """A certificate for these names and its key, written into a folder."""
        key, request = folder / "tls.key", folder / "tls.csr"
        extensions, certificate = folder / "tls.ext", folder / "tls.crt"
        subjects = ",".join(f"DNS:{name}" for name in names)
        extensions.write_text(
            f"subjectAltName={subjects}\nextendedKeyUsage=serverAuth\n"
        )
        new = (
            "openssl",
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=outside",
        )
        run(*new, "-keyout", key, "-out", request)
        # The file of the last serial number is read and written.
        with self._alone():
            run(
                *("openssl", "x509", "-req", "-in", request, "-days", 825),
                *("-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial"),
                *("-extfile", extensions, "-out", certificate),
            )
        return certificate, key
