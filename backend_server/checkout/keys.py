"""Public keys of people: which lines are let in, and how they stand in a key file."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Iterable, Iterator, NamedTuple, Tuple

from backend_server.checkout.blob import FIELDS, Wrong, fields
from backend_server.text.problem import Problem, Problems


KEY_FOLDER = "/etc/ssh/opensafely_keys"  # root's own: nothing is written under a home

MAX_BYTES = 64 * 1024
MAX_LINE = 16 * 1024
MAX_KEYS = 50
RSA_BITS = range(3072, 16384 + 1)  # OpenSSH reads no longer ones

ACCEPTED = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
_WANTED = f"wanted one of {', '.join(ACCEPTED)}"


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

    @property
    def bare(self) -> str:
        """The line without a comment."""
        return f"{self.type} {self.blob}"

    def line(self, user: str, source: str) -> str:
        """The line of authorized_keys(5); its comment says whose it is and where it is from."""
        return f"{self.bare} {user}@{source}\n"


Keys = Tuple[Key, ...]


_Why = Tuple[int, str]  # the number of a line, from 1, and what is to be said of it


def parse(source: str, content: bytes) -> tuple[Keys, Problems]:
    """The keys of a file, each once, and what is wrong with it; lines are never mended."""
    keys, left_out, wrong = _judged(content)
    found = sorted([*wrong, *left_out.values()])
    return keys, tuple(Problem(source, number, why) for number, why in found)


def offered(content: bytes) -> tuple[Keys, tuple[str, ...], str]:
    """The keys of an answer, a sentence for each that is left out, and why nothing counts.

    A line that is no key says that this is not, or not all of, what was sent: then there
    are no keys.
    """
    keys, left_out, wrong = _judged(content)
    for number, why in wrong:
        return (), (), f"line {number} of the answer: {why}"
    sentences = (f"{key.fingerprint}: {why}" for key, (_, why) in left_out.items())
    return keys, tuple(sentences), ""


def _judged(content: bytes) -> tuple[Keys, dict[Key, _Why], list[_Why]]:
    """What is let in, whole keys that are not, and what is no key at all."""
    if len(content) > MAX_BYTES:
        why = f"there are more than {MAX_BYTES} bytes; wanted public keys, one a line"
        return (), {}, [(1, why)]
    if b"PRIVATE KEY" in content:
        why = "this is a private key: it is no secret any more, make a new one"
        return (), {}, [(1, why)]
    keys: dict[Key, None] = {}
    left_out: dict[Key, _Why] = {}
    wrong: list[_Why] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            for key, found in _key(line):
                why = _unwelcome(key, found)
                if why:
                    left_out.setdefault(key, (number, why))
                else:
                    keys[key] = None
        except Wrong as error:
            wrong.append((number, str(error)))
    count = len(keys) + len(left_out)
    if count > MAX_KEYS:
        wrong.append((1, f"there are {count} keys; at most {MAX_KEYS} are let in"))
    return tuple(keys), left_out, wrong


def without(keys: Iterable[Key], shut: frozenset[str]) -> Keys:
    """Those whose fingerprint is not among these; mostly there are none, and nothing to digest."""
    return tuple(key for key in keys if not shut or key.fingerprint not in shut)


def in_text(text: str) -> Keys:
    """The keys of a file as HostReader reads it; lines that are none are passed over."""
    return parse("", text.encode("utf-8", "surrogateescape"))[0]


def _key(raw: bytes) -> Iterator[tuple[Key, list[bytes]]]:
    """The key of a line, with what its blob holds; none for an empty line or a comment."""
    if len(raw) > MAX_LINE:
        raise Wrong(f"the line has {len(raw)} bytes; a key has at most {MAX_LINE}")
    try:
        line = raw[:-1].decode() if raw.endswith(b"\r") else raw.decode()
    except UnicodeDecodeError:
        raise Wrong("the line is no text; wanted `TYPE BASE64 COMMENT`") from None
    if not line.replace("\t", "").isprintable():
        raise Wrong("the line holds a character that no one can see")
    words = line.split()
    if not words or words[0].startswith("#"):
        return
    kind, *rest = words
    _judge_type(kind)
    if not rest:
        raise Wrong(f"after {kind} comes no key; wanted `TYPE BASE64 COMMENT`")
    if _glued(rest):
        raise Wrong("two keys stand on this line; wanted one a line")
    yield Key(kind, rest[0]), fields(kind, _decoded(rest[0]))


def _judge_type(kind: str) -> None:
    if kind in FIELDS:
        return
    if "-cert-" in kind:
        raise Wrong(f"{ascii(kind[:40])} is a certificate; {_WANTED}")
    if "=" in kind or "," in kind or kind in ("cert-authority", "restrict"):
        raise Wrong("the line begins with options; wanted the key alone")
    raise Wrong(f"{ascii(kind[:40])} is no type of key; {_WANTED}")


def _glued(rest: list[str]) -> bool:
    """A missing newline: another type at the end of the key, or in the comment before a key."""
    if "-" in rest[0] and any(kind in rest[0] for kind in FIELDS):  # base64 has no `-`
        return True
    pairs = zip(rest[1:], rest[2:])
    return any(a.endswith(tuple(FIELDS)) and b.startswith("AAAA") for a, b in pairs)


def _decoded(text: str) -> bytes:
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    if base64.b64encode(blob).decode() != text:  # two spellings would be two keys
        raise Wrong("the key is no base64; copy the whole line again")
    return blob


def _unwelcome(key: Key, found: list[bytes]) -> str:
    """Why a whole key opens nothing here."""
    if key.type not in ACCEPTED:
        return f"{key.type} is not accepted; {_WANTED}"
    if key.type != "ssh-rsa":
        return ""
    bits = int.from_bytes(found[-1], "big").bit_length()  # of the modulus
    if bits < RSA_BITS.start:
        return f"an RSA key of {bits} bits is too weak; wanted {RSA_BITS.start}"
    if bits not in RSA_BITS:
        return f"an RSA key of {bits} bits is too long; wanted {RSA_BITS.start}"
    return ""
