"""Not a test: what one account can do, tried. Runs on a host, as that account.

    python3 -I -S probe.py < PLACES

PLACES is JSON: for each key a folder, a file in it, and two more files there that may be used
up. Printed is, for each key, what came of each action: true where the kernel let it.
"""

import json
import os
import sys


def write(path):
    with open(path, "ab", buffering=0) as file:
        file.write(b"\n")


def create(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL))


ACTIONS = {
    "list": lambda place: os.listdir(place["folder"]),
    "read": lambda place: open(place["file"], "rb").close(),
    "write": lambda place: write(place["file"]),
    "create": lambda place: create(place["victim"] + ".new"),
    "delete": lambda place: os.unlink(place["victim"]),
    "rename": lambda place: os.rename(place["moved"], place["moved"] + ".gone"),
    "chmod": lambda place: os.chmod(
        place["file"], os.stat(place["file"]).st_mode & 0o7777
    ),
}


def allowed(action, place):
    try:
        ACTIONS[action](place)
    except PermissionError:
        return False
    return True


if __name__ == "__main__":
    found = {
        key: {action: allowed(action, place) for action in ACTIONS}
        for key, place in json.load(sys.stdin).items()
    }
    print(json.dumps(found))
