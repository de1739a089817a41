"""Where Python starts: makes the process safe, then hands over to cli.

Run as `python3 -I -S entry.py BACKEND …`. Nothing of the checkout is imported before it is
known that root alone can have written it. Written so that any Python 3 can read it.
"""

import gc
import os
import stat
import sys


CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST = (3, 8)


def main():
    # type: () -> int
    open_standard_streams()
    if sys.version_info < OLDEST:
        found = "%d.%d" % sys.version_info[:2]
        return refuse(
            "this is Python %s; wanted 3.8 or newer" % found,
            "use Ubuntu 20.04 or newer, whose /usr/bin/python3 is new enough",
        )
    if os.geteuid() == 0:
        culprit = writable_by_others(CHECKOUT)
        if culprit:
            return refuse(
                "%s can be changed by somebody other than root, who would be root "
                "after this run" % culprit,
                "chown -R root:root %s && chmod -R go-w %s" % (CHECKOUT, CHECKOUT),
            )
        os.umask(0o022)
    sys.path.append(CHECKOUT)
    # What a run makes it needs to its end: looking for what is of no use takes a tenth of it.
    gc.set_threshold(100000)
    from backend_server.cli import main

    status = main.main(sys.argv[1:], CHECKOUT)
    gc.freeze()  # nor is it looked for at the end
    return status


def open_standard_streams():
    # type: () -> None
    """Descriptors 0 to 2 are open: else the next file opened would be taken for one of them."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:
        fd = os.dup(fd)
    os.close(fd)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def writable_by_others(top):
    # type: (str) -> str
    """The first path in TOP, or above it, that not only root can change; '' if none."""
    above = top
    while above != "/":
        above = os.path.dirname(above)
        if open_to_others(os.lstat(above), sticky_is_safe=True):
            return above
    # Nothing is run from these: git names objects by their hash, tests have their own Pythons.
    apart = [os.path.join(top, ".git", "objects"), os.path.join(top, ".venv")]
    for folder, folders, files in os.walk(top):
        if open_to_others(os.lstat(folder)):
            return folder
        for path in [os.path.join(folder, name) for name in folders + files]:
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                if not os.path.realpath(path).startswith(top + "/"):
                    return path
            elif open_to_others(found):
                return path
        folders[:] = [f for f in folders if os.path.join(folder, f) not in apart]
    return ""


def open_to_others(found, sticky_is_safe=False):
    # type: (os.stat_result, bool) -> bool
    """Owned by another, or writable by group or all; below /tmp only owners may rename."""
    if found.st_uid != 0:
        return True
    if sticky_is_safe and found.st_mode & stat.S_ISVTX:
        return False
    return bool(found.st_mode & 0o022)


def refuse(message, hint):
    # type: (str, str) -> int
    sys.stderr.write("error: %s\n   try: %s\n" % (message, hint))
    return 2


if __name__ == "__main__":
    sys.exit(main())
