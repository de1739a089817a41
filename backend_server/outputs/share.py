"""What is done on a share, in a process that may be given up: see patience.py.

It works from within the mount: what was found to be the share is what is written to, even
where it is unmounted meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import subprocess
from typing import Container, Mapping, NamedTuple, Sequence

from backend_server.host.command import ENVIRONMENT
from backend_server.outputs import opened
from backend_server.outputs.patience import Emit, alive
from backend_server.text.errors import UserError
from backend_server.text.parsers import parse_mounts


STAGING = "/run/opensafely/push"
# Below the folder that is pushed to: what is half there is seen by nobody.
INCOMING = ".opensafely-incoming"

UNREACHED = "could not be reached"

_RSYNC = (
    *("rsync", "--from0", "--files-from=-", "--copy-links", "--whole-file"),
    *("--ignore-times", "--times", "--omit-dir-times"),
    *("--no-perms", "--no-owner", "--no-group", f"--temp-dir={INCOMING}"),
    *("--info=progress2", f"{STAGING}/", "./"),
)
_SUFFIX = len(".XXXXXX")  # rsync's, of a file that is on its way
_WHY = re.compile(r": ([^:]+) \([0-9]+\)$", re.MULTILINE)
# One file's, somebody else has it open, for one; any other error is the share's.
_OF_ONE = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.ETXTBSY)


class Place(NamedTuple):
    """Where on this host the share is, the folder on it, and the file system it must be."""

    mount_point: str
    folder: str
    kinds: tuple[str, ...] = ("cifs", "smb3")


class Parcel(NamedTuple):
    """A file to be put on the share: from a descriptor of ours, to a path there.

    `ours`: this host began to put something there before, which may be replaced.
    """

    fd: int
    path: str
    sha256: str
    ours: bool


class Verdict(NamedTuple):
    """What became of a path on the share; `why` it did not work, empty where it did."""

    path: str
    why: str = ""


def look(place: Place, parcels: Sequence[Parcel], emit: Emit) -> None:
    """Emits a Verdict for each that is not to be moved: it is there, or somebody else's is."""
    _enter(place)
    for parcel in parcels:
        if not os.path.lexists(parcel.path):
            alive()
        elif _digest(parcel.path) == parcel.sha256:
            emit(Verdict(parcel.path))
        elif not parcel.ours:
            why = "is there already, and this host did not put it there"
            emit(Verdict(parcel.path, why))


def put(place: Place, parcels: Sequence[Parcel], emit: Emit) -> None:
    """Emits a Verdict for each: it is there whole, byte for byte, or is as it was before."""
    _own(INCOMING, _enter(place))
    said = _rsync(parcels)
    for parcel in parcels:
        found = _digest(parcel.path)
        why = "" if found == parcel.sha256 else _why(parcel.path, found, said)
        emit(Verdict(parcel.path, why))


def sweep(place: Place, names: Container[str], emit: Emit) -> None:
    """What a push that was killed left half there is gone, where it was of one of NAMES."""
    _own(INCOMING, _enter(place))
    for name in os.listdir(INCOMING):
        if name[:-_SUFFIX] in names:
            os.unlink(f"{INCOMING}/{name}")
            alive()


def remove(place: Place, digests: Mapping[str, str], emit: Emit) -> None:
    """Emits a Verdict for each path: it is gone, unless somebody changed what was put there."""
    device = _enter(place)
    for path, sha256 in digests.items():
        found = _digest(path)
        if found and os.stat(os.path.dirname(path) or ".").st_dev == device:
            if found == sha256:
                os.unlink(path)
            else:
                emit(Verdict(path, "was changed on the share since, and stays there"))
                continue
        emit(Verdict(path))


def _enter(place: Place) -> int:
    """This process is in the folder on the share, which was mounted for it. Its device."""
    try:
        os.chdir(place.mount_point)
    except OSError as error:
        why = f"{place.mount_point} {UNREACHED}: {error.strerror}"
        raise UserError(why) from None
    with open(
        "/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape"
    ) as file:
        mounts = parse_mounts(file.read())
    device = os.stat(".").st_dev
    kind = mounts.get((os.major(device), os.minor(device)), "nothing that is mounted")
    if kind not in place.kinds:
        raise UserError(
            f"{place.mount_point} is {kind} and not the share: nothing was written"
        )
    for name in filter(None, place.folder.split("/")):
        _own(name, device)
        os.chdir(name)
    return device


def _own(folder: str, device: int) -> None:
    """FOLDER is there, and a folder of the share: a link could lead to this host's own."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder)
    found = os.lstat(folder)
    if found.st_dev != device or not stat.S_ISDIR(found.st_mode):
        raise UserError(f"{folder} leads away from the share")


def _rsync(parcels: Sequence[Parcel]) -> str:
    """What rsync complained of. It sees links that lead to nothing but what we have open."""
    shutil.rmtree(STAGING, ignore_errors=True)
    os.mkdir(STAGING, 0o700)
    for parcel in parcels:
        link = f"{STAGING}/{parcel.path}"
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(f"/proc/{os.getpid()}/fd/{parcel.fd}", link)
    names = b"".join(b"./" + os.fsencode(parcel.path) + b"\0" for parcel in parcels)
    done = subprocess.run(
        _RSYNC, input=names, stderr=subprocess.PIPE, env=ENVIRONMENT, check=False
    )
    shutil.rmtree(STAGING, ignore_errors=True)
    return done.stderr.decode("utf-8", "replace")


def _digest(path: str) -> str:
    """As the server has it now, past what this host remembers; empty where it cannot be read."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags)
        os.fsync(fd)
        os.close(fd)
        fd = os.open(path, flags)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        found = opened.digest(fd, alive)
        os.close(fd)
    except FileNotFoundError:
        return ""
    except OSError as error:
        if error.errno not in _OF_ONE:
            raise OSError(error.errno, error.strerror, path) from error
        return ""
    return found


def _why(path: str, found: str, said: str) -> str:
    """rsync's reason for this file, or else its first one: others follow from that."""
    name = path.rpartition("/")[2]
    own = [
        line for line in said.splitlines() if f"/{name}" in line or f'"{name}' in line
    ]
    whys = _WHY.findall("\n".join(own)) or _WHY.findall(said)
    if whys:
        return str(whys[0])
    return "arrived, and is not what was sent" if found else "did not arrive"
