"""Giving access back below a directory that other people can write to.

Everything is reached by descriptor and nothing by name twice: what is swapped for a link
meanwhile is not followed, and what was looked at is what is changed.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Mapping

from backend_server.host.folder import descriptor
from backend_server.host.looking import acl_at
from backend_server.text import acl
from backend_server.text.acl import ACCESS, DEFAULT, Acl
from backend_server.text.frozen import Frozen


_DEEPEST = 200  # each level holds two descriptors, and a process has 1024
Rules = Mapping[str, "Rule"]
_NONE: Rules = {}


class Rule(Frozen):
    """What everything in a tree is to have.

    `exact` takes away as well; the owner's permissions and those of `other` always stay.
    """

    owner: int  # uid of the account whose files these are
    group: int
    acl: Acl  # of a directory; files go without execute unless their owner has it
    exact: bool = False


@dataclass
class Counts:
    """What a walk came by. Names may tell too much, so there are only numbers."""

    seen: int = 0
    given: int = 0  # had not the access it should have
    left: int = 0  # links, hard links, pipes, other file systems, other people's files
    foreign: int = 0  # where all should be exact, and yet somebody else's
    failed: int = 0

    def __str__(self) -> str:
        said = [f"{self.seen} seen, {self.given} given access back"]
        if self.left:
            said.append(f"{self.left} left as they are")
        if self.foreign:
            said.append(f"{self.foreign} in metadata that are not the service's own")
        if self.failed:
            said.append(f"{self.failed} failed")
        return ", ".join(said)


class Walk:
    """One walk over a tree, on one file system."""

    def __init__(self, device: int, counts: Counts) -> None:
        self.device = device
        self.counts = counts

    def settle(
        self, folder: int, name: str, rule: Rule, inside: Rules = _NONE, depth: int = 0
    ) -> None:
        """NAME in FOLDER, and all below it, has at least the access of `rule`.

        `inside` has rules of their own for names directly below, and makes NAME sticky, so that
        nobody but the owner puts anything else in the place of these. What is being written
        (*.tmp) is skipped: it gets its real name, and its turn, later.
        """
        if name.endswith(".tmp"):
            return
        self.counts.seen += 1
        try:
            # O_PATH: a pipe does not block and a device does nothing when only looked at.
            with descriptor(name, os.O_PATH, folder) as fd:
                found = os.fstat(fd)
                if depth > _DEEPEST or not self._is_plain(found, folder, name):
                    self.counts.left += 1
                    return
                self._give(fd, found, rule, sticky=bool(inside))
                if stat.S_ISDIR(found.st_mode):
                    self._below(fd, rule, inside, depth + 1)
        except FileNotFoundError:  # renamed or removed since it was listed
            pass
        except OSError:
            self.counts.failed += 1

    def _below(self, fd: int, rule: Rule, inside: Rules, depth: int) -> None:
        with descriptor(".", os.O_RDONLY | os.O_DIRECTORY, fd) as listed:
            for name in os.listdir(listed):
                self.settle(listed, name, inside.get(name, rule), depth=depth)

    def _is_plain(self, found: os.stat_result, folder: int, name: str) -> bool:
        """A directory, or a file that has this one name and makes nobody somebody else.

        A hard link that is gone by now leaves a file with one name too, but elsewhere: so
        the name must lead there still, with no link come or gone meanwhile.
        """
        if found.st_dev != self.device:
            return False
        if stat.S_ISDIR(found.st_mode):
            return True
        privileged = found.st_mode & (stat.S_ISUID | stat.S_ISGID)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or privileged:
            return False
        _wait_for_unlink(folder)
        again = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return _identity(again) == _identity(found)

    def _give(self, fd: int, found: os.stat_result, rule: Rule, sticky: bool) -> None:
        ours = found.st_uid == rule.owner
        self.counts.foreign += rule.exact and not ours
        if not ours and found.st_gid != rule.group:
            # Somebody moved it here, and root would open what may not be theirs to open.
            self.counts.left += 1
            return
        path = f"/proc/self/fd/{fd}"  # changes through it reach this very inode
        changed = False
        if found.st_gid != rule.group:
            os.chown(path, -1, rule.group)
            changed = True
        # In one of somebody else's it would keep the owner from nothing, and the service from much.
        bits = stat.S_ISGID | (stat.S_ISVTX if sticky and ours else 0)
        if stat.S_ISDIR(found.st_mode) and found.st_mode & bits != bits:
            os.chmod(path, stat.S_IMODE(found.st_mode) | bits)
            changed = True
        changed |= _set_acls(path, found.st_mode, rule)
        self.counts.given += changed


def _wait_for_unlink(folder: int) -> None:
    """No name in FOLDER is on its way out: the kernel counts a link off before its name is gone.

    Reading a directory waits for whoever is changing it.
    """
    with os.scandir(folder) as names:
        next(names, None)


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_nlink, found.st_ctime_ns)


def _set_acls(path: str, mode: int, rule: Rule) -> bool:
    """The lists at PATH are as the rule has it; whether one of them was not."""
    combine = acl.replaced if rule.exact else acl.widened
    runs = stat.S_ISDIR(mode) or mode & stat.S_IXUSR
    wanted = rule.acl if runs else acl.without_execute(rule.acl)
    found = acl_at(path, ACCESS, follow=True) or acl.of_mode(mode)
    changed = _set(path, ACCESS, found, combine(found, wanted))
    if stat.S_ISDIR(mode):
        found = acl_at(path, DEFAULT, follow=True)
        new = combine(found, rule.acl) if found else rule.acl
        changed |= _set(path, DEFAULT, found, new)
    return changed


def _set(path: str, kind: str, found: Acl, wanted: Acl) -> bool:
    if found != wanted:
        os.setxattr(path, kind, acl.encode(wanted))
    return found != wanted
