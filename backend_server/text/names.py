"""Which GitHub names may become accounts."""

from __future__ import annotations

from pathlib import Path


# GitHub allows 39, but utmp and useradd on Ubuntu stop at 32.
MAX_LENGTH = 32

# GitHub's rule, narrower than useradd's: no "+x", no "~x", no dot, slash or colon.
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
# A bare prefix counts, since C reads it as 0.
_DIGITS = {"0x": frozenset("0123456789abcdef"), "0o": frozenset("01234567")}

_LINES = Path(__file__).with_name("reserved_names.txt").read_text("utf-8").splitlines()
RESERVED = frozenset(" ".join(line.partition("#")[0] for line in _LINES).split())
RESERVED_PREFIXES = ("systemd-", "opensafely-", "snapd-")


def problem(name: str) -> str | None:
    """What is wrong with the name, to be read after it; None if it may be an account.

    Pure: what exists on one particular host is for that host's check to say.
    """
    if not name:
        return "is empty; a name has 1 to 32 characters"
    odd = [ascii(character) for character in name if character not in _ALLOWED]
    if odd:
        return f"contains {odd[0]}; only ASCII letters, digits and hyphens may be used"
    if name[0] == "-" or name[-1] == "-":
        return "begins or ends with a hyphen; a hyphen stands between letters or digits"
    if "--" in name:
        return "has two hyphens in a row; only single hyphens may be used"
    if len(name) > MAX_LENGTH:
        return f"has {len(name)} characters; Linux accounts have at most {MAX_LENGTH}"
    lower = name.lower()
    digits = _DIGITS.get(lower[:2])
    if lower.isdigit() or (digits and digits.issuperset(lower[2:])):
        # `id 1000` and `chown 0x10` would mean a uid, and newer useradd refuses both.
        return "is a number; a name needs something that cannot be read as a uid"
    if lower in RESERVED or lower.startswith(RESERVED_PREFIXES):
        return "is reserved for the system; an account needs a name of its own"
    return None
