"""Where Python starts: makes the process safe, judges the checkout, then hands over to its cli.

Run as `python3 -I -S entry.py CHECKOUT BACKEND …`. Units and `sudo backend` run the copy that a
run lays outside the checkout, so that what is judged is not its own judge. Nothing of the
checkout is imported before it is known that root alone can change it. Written so that any
Python 3 can read it.
"""

import gc
import os
import signal
import stat
import sys
import time


OLDEST = (3, 8)
# Settings of git that name files or programs, less those that are not asked: gitattributes(5).
ELSEWHERE = ("[include", "[filter", "worktree=", "attributesfile=", "sshcommand=")
# Developers read it at each login: engine/notices.py.
NOTICES = "/var/lib/opensafely/notices"


def main():
    # type: () -> int
    """The exit status. Whoever is told to stop undoes what must not stay half done, and says so."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as of nohup(1)
            signal.signal(number, stop)
    try:
        return begin()
    except KeyboardInterrupt as stopped:
        return refuse(sentence(str(stopped), "the same again"), 1)


def stop(number, frame):
    # type: (int, object) -> None
    name = signal.Signals(number).name
    raise KeyboardInterrupt("stopped by " + ("Ctrl-C" if name == "SIGINT" else name))


def begin():
    # type: () -> int
    open_standard_streams()
    checkout = os.path.realpath(sys.argv[1])
    if sys.version_info < OLDEST:
        found = "%d.%d" % sys.version_info[:2]
        hint = "use Ubuntu 20.04 or newer, whose /usr/bin/python3 is new enough"
        return refuse(sentence("this is Python %s; wanted 3.8 or newer" % found, hint))
    if os.geteuid() == 0:
        wrong = judged(checkout)
        if wrong:
            tell_developers(wrong.split("\n")[0])
            return refuse(wrong)
        os.umask(0o022)
    os.chdir("/")
    sys.path.append(checkout)
    # What a run makes it needs to its end: looking for what is of no use takes a tenth of it.
    gc.set_threshold(100000)
    from backend_server.cli import main

    status = main.main(sys.argv[2:], checkout)
    gc.freeze()  # nor is it looked for at the end
    return status


def open_standard_streams():
    # type: () -> None
    """Descriptors 0 to 2 are open: else the next file opened would be taken for one of them.

    What is written to one that was closed is refused, as it would have been.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # the lowest number that is free
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY))
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def judged(checkout):
    # type: (str) -> str
    """Why root runs nothing of CHECKOUT, and what mends it; empty if it may."""
    repository = repository_of(checkout)
    within = repository.startswith(checkout + "/")
    for top in (checkout,) if within else (checkout, repository):
        above = above_open_to_others(top)
        if above:
            return sentence(
                "%s, above %s, can be changed by somebody other than root, who could "
                "exchange what root runs" % (above, top),
                "mv %s /srv/, or to any folder that only root can write" % checkout,
            )
        culprit = open_to_others_in(top)
        if culprit:
            return sentence(
                "%s can be changed by somebody other than root, who would be root "
                "after this run" % culprit,
                how_to_own(top),
            )
    return borrows(repository)


def how_to_own(top):
    # type: (str) -> str
    """The command: copies of root's. A clone from a path shares its files: git-clone(1).

    What root makes root's in its place, somebody may still have open to write.
    """
    return (
        "(umask 022 && cp -RT {0} {0}.new) && mv -T {0} {0}.old.$(date +%s) && "
        "mv -T {0}.new {0}"
    ).format(top)


def repository_of(checkout):
    # type: (str) -> str
    """Where its commits are: .git, or what a worktree's file of that name points to."""
    git = os.path.join(checkout, ".git")
    if os.path.isfile(git):
        git = os.path.join(checkout, read(git)[len("gitdir: ") :].rstrip("\n"))
        git = os.path.join(git, read(os.path.join(git, "commondir")).rstrip("\n"))
    return os.path.realpath(git)


def read(path):
    # type: (str) -> str
    """What stands there; '' if nothing does."""
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def above_open_to_others(top):
    # type: (str) -> str
    """The first folder above TOP that not only root can change, /tmp too; '' if none."""
    while top != "/":
        top = os.path.dirname(top)
        if open_to_others(os.lstat(top)):
            return top
    return ""


def open_to_others_in(top):
    # type: (str) -> str
    """The first path in TOP that not only root can change, now or once it is made; '' if none."""
    # Tests have their own Pythons there; root runs none of it.
    apart = os.path.join(top, ".venv/")
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            if open_to_others(os.lstat(folder)) or has_default_acl(folder):
                return folder
            for entry in os.scandir(folder):
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISLNK(found.st_mode):
                    target = os.path.realpath(entry.path) + "/"
                    if not target.startswith(top + "/") or target.startswith(apart):
                        return entry.path
                elif open_to_others(found):
                    return entry.path
                elif stat.S_ISDIR(found.st_mode) and entry.path + "/" != apart:
                    folders.append(entry.path)
        except FileNotFoundError:  # git took something away: once more
            folders += [folder] if os.path.isdir(folder) else []
    return ""


def open_to_others(found):
    # type: (os.stat_result) -> bool
    """Owned by another, or writable by group or all; an ACL shows in the group's bits."""
    return found.st_uid != 0 or bool(found.st_mode & 0o022)


def has_default_acl(folder):
    # type: (str) -> bool
    """Whether what git writes there could be somebody else's to write: acl(5)."""
    try:
        return "system.posix_acl_default" in os.listxattr(folder)
    except OSError:  # this file system has none
        return False


def borrows(repository):
    # type: (str) -> str
    """As judged: git reads objects or settings of REPOSITORY elsewhere, where nobody looks."""
    alternates = os.path.join(repository, "objects", "info", "alternates")
    if os.path.exists(alternates):
        return sentence(
            "%s takes objects from %s; wanted a clone that holds its own"
            % (repository, read(alternates).strip()),
            "git --git-dir=%s repack -a -d && rm %s" % (repository, alternates),
        )
    for name in ("config", "config.worktree"):
        path = os.path.join(repository, name)
        bare = "".join(read(path).lower().split())
        for word in ELSEWHERE:
            if word in bare:
                return sentence(
                    "%s has %s, by which git goes to files or programs elsewhere; wanted "
                    "none such in it" % (path, word.strip("=")),
                    "take that out of %s" % path,
                )
    return ""


def tell_developers(wrong):
    # type: (str) -> None
    """Once, as engine/notices.py would: of a checkout like this it does not come to run."""
    import grp  # seldom needed

    try:
        with os.fdopen(
            os.open(NOTICES, os.O_RDWR | os.O_CREAT, 0o640), "r+", errors="replace"
        ) as notices:
            os.fchown(notices.fileno(), 0, grp.getgrnam("developers").gr_gid)
            os.fchmod(notices.fileno(), 0o640)
            if wrong not in notices.read():
                now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                notices.write("%s refused to run: %s\n" % (now, wrong))
    except (OSError, KeyError):
        pass  # no backend yet, or a full disk: it is said on the terminal and in the journal


def sentence(found, hint):
    # type: (str, str) -> str
    # A name in it may be somebody's who wants to drive the terminal of whoever reads this.
    return "%s\n   try: %s" % (found.encode("unicode_escape").decode(), hint)


def refuse(wrong, status=2):
    # type: (str, int) -> int
    if "--json" in sys.argv:
        import contextlib
        import json  # both seldom needed

        error, _, hint = wrong.partition("\n   try: ")
        found = {"format": 1, "exit": status, "error": error, "hint": hint}
        with contextlib.suppress(OSError):  # full or closed: exit status and sentence
            os.write(1, (json.dumps(found) + "\n").encode())
    sys.stderr.write("error: %s\n" % wrong)
    return status


if __name__ == "__main__":
    sys.exit(main())
