"""A copy of this checkout for a host: tracked and new files, root's own, committed."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Iterator

from sandbox.command import output, run
from sandbox.errors import CannotRun


HERE = Path(__file__).resolve().parent.parent
PLACE = "srv/backend-server"
# A host never reads these: a change here does not make another host.
FOLDERS = ("tests/", "docs/", "benchmarks/", ".github/", ".ci/")
UNREAD = (*FOLDERS, "README.md", "DEVELOPERS.md", "CHANGELOG.md")


class Checkout:
    """The working tree as it is now, whether or not it is committed."""

    def __init__(self, root: Path = HERE) -> None:
        self.root = root

    def files(self) -> list[str]:
        """Tracked and new files, without ignored and deleted ones."""
        # Root may run this in a tree of the person behind sudo.
        git = ("git", "-c", "safe.directory=*", "-C", self.root)
        listed = output(
            *git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
        )
        names = sorted(set(listed.split("\0")) - {""})
        return [name for name in names if os.path.lexists(self.root / name)]

    def backends(self) -> list[str]:
        """Folders with a manage.sh, by name."""
        return sorted(path.parent.name for path in self.root.glob("*/manage.sh"))

    def require(self, backend: str) -> None:
        """Refuses a backend that is not in this checkout."""
        if backend not in self.backends():
            known = ", ".join(self.backends()) or "none"
            raise CannotRun(f"no backend called {backend} here; found: {known}")

    def digest(self) -> str:
        """Another one whenever what a host reads of this tree is another."""
        total = hashlib.sha256()
        for name in self.files():
            if not name.startswith(UNREAD):
                for part in self._identity(self.root / name):
                    total.update(hashlib.sha256(part).digest())
        return total.hexdigest()[:12]

    def _identity(self, path: Path) -> Iterator[bytes]:
        yield str(path.relative_to(self.root)).encode()
        if path.is_symlink():
            yield os.readlink(path).encode()
        else:
            yield b"x" if os.access(path, os.X_OK) else b"-"
            yield path.read_bytes()

    def copy(self, root: Path) -> Path:
        """The tree at its place below a host's root, with nothing others can write."""
        place = root / PLACE
        for name in self.files():
            source, target = self.root / name, place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
            os.chown(target, 0, 0, follow_symlinks=False)
            if not target.is_symlink():
                target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
        for folder in place.glob("**/"):
            folder.chmod(0o755)
        return place


def commit(place: Path) -> None:
    """Everything at this place is committed, so that the tree there is clean."""
    nobody = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": "/nonexistent",
    }
    git = ("git", "-C", place, "-c", "user.name=sandbox", "-c", "user.email=sandbox@")
    if not (place / ".git").exists():
        run("git", "-c", "init.defaultBranch=main", "init", "-q", place, env=nobody)
    # Forced: what was copied is wanted, whatever .gitignore says about keys.
    run(*git, "add", "--all", "--force", ".", env=nobody)
    run(
        *git,
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "As tried in the sandbox",
        env=nobody,
    )
