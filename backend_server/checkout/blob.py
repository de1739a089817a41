"""What stands inside a public key: RFC 4253 section 6.6, and what ssh-keygen(1) adds to it."""

from __future__ import annotations

import struct
from typing import Callable


class Wrong(Exception):
    """Why a line is no key."""


_P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
_P256_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _on_p256(point: bytes) -> bool:
    """Whether OpenSSH takes the point: it wants it on the curve, and neither number small."""
    x, y = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big")
    sizes = all(1 << 128 <= number < _P256_ORDER - 1 for number in (x, y))
    on_curve = (y * y - x**3 + 3 * x - _P256_B) % _P256 == 0
    return _uncompressed(65)(point) and sizes and on_curve


def _uncompressed(length: int) -> Callable[[bytes], bool]:
    return lambda point: len(point) == length and point[0] == 4


def _is(name: bytes) -> Callable[[bytes], bool]:
    return lambda value: value == name


def _of_32_bytes(point: bytes) -> bool:
    return len(point) == 32


def _text(value: bytes) -> bool:
    return b"\0" not in value


def _number(value: bytes) -> bool:
    """Not below zero, and in its one shortest spelling: two spellings would be two keys."""
    padded = value[:1] == b"\0"
    return value != b"" and padded == (value[padded : padded + 1] >= b"\x80")


def _odd(value: bytes) -> bool:
    """An RSA key whose modulus is even, or whose exponent is 1, is everybody's key."""
    return _number(value) and value[-1] & 1 == 1 and value != b"\1"


FIELDS: dict[str, tuple[Callable[[bytes], bool], ...]] = {
    "ssh-ed25519": (_of_32_bytes,),
    "sk-ssh-ed25519@openssh.com": (_of_32_bytes, _text),
    "sk-ecdsa-sha2-nistp256@openssh.com": (_is(b"nistp256"), _on_p256, _text),
    "ssh-rsa": (_odd, _odd),
    "ssh-dss": (_number,) * 4,
    "ecdsa-sha2-nistp256": (_is(b"nistp256"), _on_p256),
    "ecdsa-sha2-nistp384": (_is(b"nistp384"), _uncompressed(97)),
    "ecdsa-sha2-nistp521": (_is(b"nistp521"), _uncompressed(133)),
}


def fields(kind: str, blob: bytes) -> list[bytes]:
    """The strings of a blob after its type's own name; each is what the type has there."""
    inner, *found = _strings(blob)
    if inner != kind.encode():
        raise Wrong(f"the key is not the {kind} that its line says")
    judges = FIELDS[kind]
    judged = (is_so(value) for is_so, value in zip(judges, found))
    if len(found) != len(judges) or not all(judged):
        raise Wrong("the key is cut short, too long or damaged; copy the line again")
    return found


def _strings(blob: bytes) -> list[bytes]:
    strings = []
    while blob:
        length = struct.unpack(">I", blob[:4].rjust(4, b"\xff"))[0]
        if length > len(blob) - 4:
            raise Wrong("the key is cut short; copy the whole line again")
        strings.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return strings or [b""]
