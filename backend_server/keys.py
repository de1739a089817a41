"""Public keys of people: which lines are let in, and how they stand in a key file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import Iterator, NamedTuple, Tuple

from backend_server.problem import Problem, Problems


FOLDER = "/etc/ssh/opensafely_keys"  # root's own: nothing is written under a home

MAX_BYTES = 64 * 1024
MAX_LINE = 16 * 1024
MAX_KEYS = 50
RSA_BITS = 3072

# Types of sshd(8) that are accepted, with what their blob holds after the type's own name.
_FIELDS = {
    "ssh-ed25519": ("point",),
    "sk-ssh-ed25519@openssh.com": ("point", "application"),
    "sk-ecdsa-sha2-nistp256@openssh.com": ("curve", "point", "application"),
    "ssh-rsa": ("exponent", "modulus"),
}
_POINT_BYTES = {"ssh-ed25519": 32, "sk-ssh-ed25519@openssh.com": 32}
_REFUSED = (
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
)
_WANTED = f"wanted one of {', '.join(_FIELDS)}"


class Key(NamedTuple):
    """A public key. What its owner wrote behind it is not kept."""

    type: str
    blob: str  # base64, as it stands in the file

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen(1) -l prints it: SHA256 in base64 without padding."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.type} {self.fingerprint}"

    def line(self, user: str, source: str) -> str:
        """The line of authorized_keys(5); its comment says whose it is and where it is from."""
        return f"{self.type} {self.blob} {user}@{source}\n"


Keys = Tuple[Key, ...]


class _Wrong(Exception):
    """Why a line is no good."""


def parse(source: str, content: bytes) -> tuple[Keys, Problems]:
    """The keys of a file, each once, and what is wrong with it; lines are never mended."""
    if len(content) > MAX_BYTES:
        why = (
            f"the file has more than {MAX_BYTES} bytes; wanted public keys, one a line"
        )
        return (), (Problem(source, 1, why),)
    if b"PRIVATE KEY" in content:
        why = "this is a private key: it is no secret any more, make a new one"
        return (), (Problem(source, 1, why),)
    keys: dict[Key, int] = {}
    problems: list[Problem] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            for key in _key(line):
                keys.setdefault(key, number)
        except _Wrong as wrong:
            problems.append(Problem(source, number, str(wrong)))
    if len(keys) > MAX_KEYS:
        why = f"the file has {len(keys)} keys; at most {MAX_KEYS} are let in"
        problems.append(Problem(source, 1, why))
    return tuple(keys), tuple(problems)


def in_text(text: str) -> Keys:
    """The keys of a file as HostReader reads it; lines that are none are passed over."""
    return parse("", text.encode("utf-8", "surrogateescape"))[0]


def _key(raw: bytes) -> Iterator[Key]:
    """The key of a line; none for an empty line or a comment."""
    if len(raw) > MAX_LINE:
        raise _Wrong(f"the line has {len(raw)} bytes; a key has at most {MAX_LINE}")
    try:
        line = raw[:-1].decode() if raw.endswith(b"\r") else raw.decode()
    except UnicodeDecodeError:
        raise _Wrong("the line is no text; wanted `TYPE BASE64 COMMENT`") from None
    if not all(c.isprintable() or c == "\t" for c in line):
        raise _Wrong("the line holds a character that no one can see")
    words = line.split()
    if not words or words[0].startswith("#"):
        return
    kind, *rest = words
    _judge_type(kind)
    if not rest:
        raise _Wrong(f"after {kind} comes no key; wanted `TYPE BASE64 COMMENT`")
    if _glued(rest):
        raise _Wrong("two keys stand on this line; wanted one a line")
    _judge_blob(kind, _decoded(rest[0]))
    yield Key(kind, rest[0])


def _judge_type(kind: str) -> None:
    if kind in _FIELDS:
        return
    if "-cert-" in kind:
        raise _Wrong(f"{kind} is a certificate; {_WANTED}")
    if kind in _REFUSED:
        raise _Wrong(f"{kind} is not accepted; {_WANTED}")
    if "=" in kind or "," in kind or kind in ("cert-authority", "restrict"):
        raise _Wrong("the line begins with options; wanted the key alone")
    raise _Wrong(f"{ascii(kind[:40])} is no type of key; {_WANTED}")


def _glued(rest: list[str]) -> bool:
    """A missing newline: another type at the end of the key, or in the comment before a key."""
    kinds = (*_FIELDS, *_REFUSED)
    if any(kind in rest[0] for kind in kinds):
        return True
    pairs = zip(rest[1:], rest[2:])
    return any(a.endswith(kinds) and b.startswith("AAAA") for a, b in pairs)


def _decoded(text: str) -> bytes:
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    if base64.b64encode(blob).decode() != text:  # two spellings would be two keys
        raise _Wrong("the key is no base64; copy the whole line again")
    return blob


def _judge_blob(kind: str, blob: bytes) -> None:
    """The blob is exactly the strings that its type has, RFC 4253 section 6.6."""
    inner, *fields = _strings(blob)
    if inner != kind.encode():
        raise _Wrong(f"the key is not the {kind} that its line says")
    if len(fields) != len(_FIELDS[kind]):
        raise _Wrong("the key is cut short or too long; copy the whole line again")
    found = dict(zip(_FIELDS[kind], fields))
    if kind in _POINT_BYTES and len(found["point"]) != _POINT_BYTES[kind]:
        raise _Wrong("the key is cut short or too long; copy the whole line again")
    if kind == "ssh-rsa":
        bits = int.from_bytes(found["modulus"], "big").bit_length()
        if bits < RSA_BITS:
            raise _Wrong(f"an RSA key of {bits} bits is too weak; wanted {RSA_BITS}")


def _strings(blob: bytes) -> list[bytes]:
    strings = []
    while blob:
        if len(blob) < 4:
            raise _Wrong("the key is cut short; copy the whole line again")
        length = struct.unpack(">I", blob[:4])[0]
        if length > len(blob) - 4:
            raise _Wrong("the key is cut short; copy the whole line again")
        strings.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return strings or [b""]
