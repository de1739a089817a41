"""Public keys as they are sent in: only whole lines of accepted types, never mended."""

import base64
import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend_server.checkout.keys import MAX_BYTES, offered, parse


# Made by ssh-keygen for nobody; the private halves are gone.
ED25519 = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKToJWX0fvGLQJZYJEnkl0aWAMt3MpfBnIy5lgjRCxQC"
    " ada@laptop"
)
RSA_3072 = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCqnJoLyfrYxsvj+IMGhXQqVrSdIZ5Hm5lo/jedPfFY"
    "b7pQ/aTTkWT6o1azu/2LAR0SlpHKdGbMbv65nizhAk9R51IDBZSIfa+Td9jjDQ3ciNBVc6L3KU+ygv92"
    "gmjOV8/gOwDFsuV5fIlt0EseNL1FapWX+2HSKATDBvkaVoxSfyGLFc9njPsZoDOk4966WuonmjtRKcKi"
    "Ow0nSH+RQ7aBRuXoQR08ddsKrB4MiHfIzJrEcgkBP3JGP8pidXc4e7Y9g8sBaa74DmhfEQL3g6ZoSey4"
    "o1lxzF2ezPIKvVANqr1GOVAnmzS4Ft6J0V4qohbtS+qsLsG+cRgGEnyFvHp5IjsHZMo5+KoYoGwDT22d"
    "wwWQMCsj1RG6pffQVPrNGS+wz7MPc03cWiGPmnhp7JhrZCurWtFIc7XJp0OnIdhnf4dH24qErED0zVMo"
    "0zhtz0+l6Yb1pNOBpz3qzWc2vgBgACXMvQYlQjxuCYtS+5S9vsbFOIup9mSXNRRJyQjCZ3E= ada@lap"
    "top"
)
SK_ED25519 = (
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIKToJWX0f"
    "vGLQJZYJEnkl0aWAMt3MpfBnIy5lgjRCxQCAAAABHNzaDo= ada@token"
)
SK_ECDSA = (
    "sk-ecdsa-sha2-nistp256@openssh.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNza"
    "C5jb20AAAAIbmlzdHAyNTYAAABBBGtiqxLI/JT6MwkT76nPeZPLrP+G4e+RzNGKwlXu0XYt4ndmvHmqV"
    "RLANZRUML/3qMZJsk88lSgSshns+Cs5i5EAAAAEc3NoOg== ada@token"
)
RSA_2048 = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCvi0Y/rOvefCilk2SVDe498HspFFX7N9i0x6mUOZWf"
    "7D7UaJlcxiRLG4itRr7gdnJxIjLxr6D1hv4t5bL15pIxK8jWMQ8gcI4EEuYn7MH9KKWc4ziUaUCtIDOI"
    "2osepI+ZfJ33OO69lSSHnM/JLDgDY9kwoI71ohh4ca+KQ8rPpSGQoXbJcr8HEVEy0lbYJQlb7duKz70O"
    "EsZvtF7KTR9uPI4z75xDcrEmB4EkTU332KmOoOnAiC+JXFAUvQTWQgGxSzfDTAtSuHTICLu0z1qE4aYv"
    "B9vbLldOA6XKpmO5lp82fGiiV3IF6ew9g8n19OxE6MinSqW4uh6Bbi29JRE/ ada@laptop"
)
ECDSA = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGtiqxLI"
    "/JT6MwkT76nPeZPLrP+G4e+RzNGKwlXu0XYt4ndmvHmqVRLANZRUML/3qMZJsk88lSgSshns+Cs5i5E="
    " ada@laptop"
)
DSA = (
    "ssh-dss AAAAB3NzaC1kc3MAAACBALGQ2eG0UsPzScXXHbDHIHMyyxhdMlvy7aCpXUioUeQ+3vO1tSM2"
    "Juacm5BCDo9pqh91l1QwGzyu+8ERjgXlLnTVjmStD2x1CwURArvEPn6zLlmPyHDdA1Ix8qecjd5yOt1v"
    "ekix8hHeKXAJIfxThXc1WAVb8dhIP9Rau5cXBaqnAAAAFQCkGf9pFqote20Oq5pyJhjMPYIFhQAAAIEA"
    "jLmYZcSCbCcwX3E55eb5mpl8dGBOtFPvEWu1o1EHriukbUD7sF6M9yMcs+hR88IwQi53kdX3UNOath9q"
    "ld6LzfkXWftbN3xpdYQ5McEaqtCufG4EChuiexqE0N1Fij0osJeFPv6RwRrsmo6fCdpl114T4qP4BMLp"
    "WJrP1xI3m0AAAACAHZrEt2fCqN8xTEH6U/7b9VAJVGKv/mhAnmtuyXlxs1Foepi1Ta4msNHvAgAyxntS"
    "0CcKQAg5+Ekl5iKOjeZM6XKkScagWSyhIxajHbRZrCKLgZCZe4pPk9/A7aSWNnFFzfrbQzYbPai9QKgn"
    "2atM9iNOeR6IG5gAA5ODtkzbjzA= ada"
)
CERTIFICATE = (
    "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29"
    "tAAAAIJNRkFFkJzzZL0WZTNYq7XAg3AmZhp5/XPPAumG1uD80AAAAIKToJWX0fvGLQJZYJEnkl0aWAMt"
    "3MpfBnIy5lgjRCxQCAAAAAAAAAAAAAAABAAAAA2FkYQAAAAcAAAADYWRhAAAAAAAAAAD//////////wA"
    "AAAAAAACCAAAAFXBlcm1pdC1YMTEtZm9yd2FyZGluZwAAAAAAAAAXcGVybWl0LWFnZW50LWZvcndhcmR"
    "pbmcAAAAAAAAAFnBlcm1pdC1wb3J0LWZvcndhcmRpbmcAAAAAAAAACnBlcm1pdC1wdHkAAAAAAAAADnB"
    "lcm1pdC11c2VyLXJjAAAAAAAAAAAAAAAzAAAAC3NzaC1lZDI1NTE5AAAAID9nVT1XWkWJFr8b+O94RDO"
    "syypt/Hrk5joP5yPmLGvNAAAAUwAAAAtzc2gtZWQyNTUxOQAAAECF8oAZl+FSF6uLz/xslSabOhanUlD"
    "R2/fOY7l/4cU+VcBv2vRzciGhRbkktAVOFCMQ1EZFUsf5OUADsOlc+SYE ada@laptop"
)

GOOD = [
    (ED25519, "SHA256:Y6SIacPbggui7uHr3cElZb0xr3djAR6vp0zPYMYagGs"),
    (RSA_3072, "SHA256:TgkVF4SbXQak62vLPW+TTuGQvD01VKWP9RwdBHQZa34"),
    (SK_ED25519, "SHA256:bpKRXW0BYLwaRX6X3NstZGAvfp1RcYNPBcbgCZcbAKc"),
    (SK_ECDSA, "SHA256:HG5wSZDWhqrSD6VBgfovHjYSOLN56zlXx1Ivm/tODN0"),
]
KIND, BLOB, _ = ED25519.split(" ")


def packed(*parts):
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def line_of(kind, *parts):
    return f"{kind} {base64.b64encode(packed(kind.encode(), *parts)).decode()} x"


def rsa(bits):
    modulus = (1 << (bits - 1) | 1).to_bytes(bits // 8 + 1, "big")
    return line_of("ssh-rsa", b"\1\0\1", modulus)


P256 = base64.b64decode(ECDSA.split()[1])[-65:]


def sk_ecdsa(curve, point):
    return line_of("sk-ecdsa-sha2-nistp256@openssh.com", curve, point, b"ssh:")


@pytest.mark.parametrize(("line", "fingerprint"), GOOD)
@pytest.mark.parametrize(
    "shape",
    ["{}", "{}\n", "{}\r\n", "  {}", "\t{}\t\n", "\n# comment\n\n{}\n\n", "#\n{}"],
)
def test_good_lines(line, fingerprint, shape):
    (key,), problems = parse("keys/ada", shape.format(line).encode())
    assert problems == ()
    assert key.fingerprint == fingerprint
    kind, blob, _ = line.split(" ", 2)
    assert key.line("ada", "keys/ada") == f"{kind} {blob} ada@keys/ada\n"


def test_comments_of_owners_are_not_kept():
    for comment in ("", " ", " a b c", " \u00e9", " # x", ' command="x"'):
        (key,), problems = parse("k", f"{KIND} {BLOB}{comment}\n".encode())
        assert problems == ()
        assert key.line("ada", "x") == f"{KIND} {BLOB} ada@x\n"


TWICE_GLUED = ED25519.rsplit(" ", 1)[0]
BAD = [
    (RSA_2048, "2048 bits is too weak; wanted 3072"),
    (rsa(3071), "3071 bits is too weak"),
    (ECDSA, "not accepted"),
    (DSA, "not accepted"),
    (CERTIFICATE, "is a certificate"),
    (f'command="id" {ED25519}', "begins with options"),
    (f'from="*",no-pty {ED25519}', "begins with options"),
    (f"cert-authority {ED25519}", "begins with options"),
    (f'cert-authority,principals="x" {ED25519}', "begins with options"),
    (f"restrict {ED25519}", "begins with options"),
    (f"no-pty {ED25519}", ""),
    (f'environment="PATH=/x" {ED25519}', "begins with options"),
    (f"{KIND} {BLOB}\0", "no one can see"),
    (f"{KIND}\0 {BLOB}", "no one can see"),
    (f"{KIND} {BLOB} \u202egnp", "no one can see"),
    (f"{KIND} {BLOB} \x1b[2J", "no one can see"),
    (f"{KIND}\u00a0{BLOB}", ""),
    (f"\ufeff{ED25519}", ""),
    (f"{KIND} {BLOB}\u2028{KIND} {BLOB}", ""),
    (f"{KIND} {BLOB}\r{KIND} {BLOB}", ""),
    (f"{TWICE_GLUED}{ED25519}", "two keys"),
    (f"{ED25519}{ED25519}", "two keys"),
    (f"{ED25519} {RSA_3072}", "two keys"),
    (f"{RSA_3072}{SK_ED25519}", "two keys"),
    (f"{KIND} {BLOB} x {KIND} {BLOB}", "two keys"),
    (f"{KIND} {BLOB} {KIND} {BLOB}", "two keys"),
    (f"{KIND} {BLOB} {ECDSA}", "two keys"),
    (KIND, "comes no key"),
    (f"{KIND} ", "comes no key"),
    (BLOB, "no type of key"),
    (f"ed25519 {BLOB}", "no type of key"),
    (f"SSH-ED25519 {BLOB}", "no type of key"),
    (f"ssh-rsa {BLOB}", "is not the ssh-rsa that its line says"),
    (f"{KIND} {RSA_3072.split()[1]}", "is not the ssh-ed25519"),
    (f"{KIND} {BLOB[:-4]}", "cut short"),
    (f"{KIND} {BLOB[:-1]}", "no base64"),
    (f"{KIND} {BLOB[:20]} {BLOB[20:]}", ""),
    (f"{KIND} {BLOB}=", "no base64"),
    (f"{KIND} {BLOB}AAAA", "cut short"),
    (f"{KIND} {BLOB[:30]}*{BLOB[30:]}", "no base64"),
    (rsa(16385), "16385 bits is too long"),
    (line_of("ssh-rsa", b"\1", b"\1" * 500), "damaged"),
    (line_of("ssh-rsa", b"\1\0\1", b"\1" * 499 + b"\2"), "damaged"),
    (line_of("ssh-rsa", b"\1\0\1", b"\xff" * 500), "damaged"),
    (line_of("ssh-rsa", b"\1\0\1", b"\0\0" + b"\xff" * 500), "damaged"),
    (line_of("ssh-rsa", b"\1\0\1", b"\0" + b"\1" * 500), "damaged"),
    (line_of("ssh-rsa", b"", b"\1" * 500), "damaged"),
    (line_of(KIND, b"x" * 32, b""), "cut short, too long"),
    (line_of(KIND, b"x" * 31), "cut short, too long"),
    (line_of(f"sk-{KIND}@openssh.com", b"x" * 32, b"ssh:\0"), "damaged"),
    (sk_ecdsa(b"nistp384", P256), "damaged"),
    (sk_ecdsa(b"nistp256", P256[:-1] + b"x"), "damaged"),
    (sk_ecdsa(b"nistp256", b"\2" + P256[1:33]), "damaged"),
    (sk_ecdsa(b"nistp256", b"\4" + b"\0" * 64), "damaged"),
    (line_of(KIND), "cut short, too long"),
    (line_of("ssh-rsa", b"\1\0\1"), "cut short, too long"),
    (f"{KIND} {BLOB} {'x' * 17000}", "has at most 16384"),
    ("<!DOCTYPE html>", "no type of key"),
    ("Not Found", "no type of key"),
    ("{}", "no type of key"),
]


@pytest.mark.parametrize(("line", "why"), BAD, ids=range(len(BAD)))
def test_bad_lines(line, why):
    keys, problems = parse("keys/ada", f"\n{line}\n".encode())
    assert keys == ()
    assert [(p.source, p.line) for p in problems] == [("keys/ada", 2)]
    assert why in problems[0].message
    assert problems[0].message.isascii()
    assert problems[0].message.isprintable()


def test_bytes_that_are_no_text():
    keys, problems = parse("k", ED25519.encode() + b" \xff\xfe\n")
    assert (keys, problems[0].message) == ((), problems[0].message)
    assert "no text" in problems[0].message


def test_one_bad_line_does_not_hide_the_others():
    keys, problems = parse("k", f"{ED25519}\n{DSA}\n{RSA_3072}\nx\n".encode())
    assert len(keys) == 2
    assert [p.line for p in problems] == [2, 4]


def test_the_same_key_twice_counts_once():
    keys, problems = parse("k", f"{ED25519}\n{KIND} {BLOB} other\n".encode())
    assert (len(keys), problems) == (1, ())


def numbered(number):
    return line_of(KIND, struct.pack(">I", number).rjust(32, b"x")) + "\n"


def test_too_many():
    fifty = "".join(map(numbered, range(50)))
    assert len(parse("k", fifty.encode())[0]) == 50
    assert parse("k", fifty.encode())[1] == ()
    _, problems = parse("k", (fifty + numbered(50)).encode())
    assert "51 keys; at most 50" in problems[0].message


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 10 * 1024 * 1024])
def test_too_big(size):
    keys, problems = parse("k", (ED25519 + "\n").encode().ljust(size, b"\n"))
    assert keys == ()
    assert "more than 65536 bytes" in problems[0].message


def test_a_private_key():
    for kind in ("OPENSSH PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"):
        text = f"{ED25519}\n-----BEGIN {kind}-----\nb3BlbnNz\n-----END {kind}-----\n"
        keys, problems = parse("k", text.encode())
        assert keys == ()
        assert "private key" in problems[0].message
        assert "b3BlbnNz" not in problems[0].message


def test_empty():
    assert parse("k", b"") == ((), ())
    assert parse("k", b"\n# nothing\n") == ((), ())


def as_github_sends(*lines):
    return "".join(f"{' '.join(line.split()[:2])}\n" for line in lines).encode()


ANSWER = as_github_sends(*[line for line, _ in GOOD])
NOT_LET_IN = [
    (RSA_2048, "2048 bits is too weak"),
    (rsa(3071), "3071 bits is too weak"),
    (rsa(16385), "too long"),
    (ECDSA, "ecdsa-sha2-nistp256 is not accepted"),
    (DSA, "ssh-dss is not accepted"),
]


def test_an_answer():
    keys, left_out, problem = offered(ANSWER + ANSWER)
    assert [key.fingerprint for key in keys] == [found for _, found in GOOD]
    assert (left_out, problem) == ((), "")
    assert offered(ANSWER[:-1]) == (keys, (), "")
    assert offered(b"") == ((), (), "")


@pytest.mark.parametrize(("line", "why"), NOT_LET_IN, ids=range(len(NOT_LET_IN)))
def test_whole_keys_that_are_not_let_in_leave_the_others(line, why):
    keys, (sentence,), problem = offered(f"{line}\n{ED25519}\n{line}\n".encode())
    assert ([key.type for key in keys], problem) == ([KIND], "")
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    assert sentence.startswith(f"SHA256:{base64.b64encode(digest).decode()[:43]}: ")
    assert why in sentence


HOSTILE = [line for line, _ in BAD if line not in dict(NOT_LET_IN)]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("end", ["", "\n"], ids=["cut", "whole"])
def test_a_line_that_is_no_key_spoils_the_answer(line, end):
    keys, left_out, problem = offered(ANSWER + f"{line}{end}".encode())
    assert (keys, left_out) == ((), ())
    assert problem.startswith("line 5 of the answer: ")
    assert problem.isascii()
    assert problem.isprintable()


SPOILED = {
    "UTF-16": ANSWER.decode().encode("utf-16"),
    "UTF-16 without its mark": ANSWER.decode().encode("utf-16-le"),
    "byte order mark": b"\xef\xbb\xbf" + ANSWER,
    "CR only": ANSWER.replace(b"\n", b"\r"),
    "one line": ANSWER.replace(b"\n", b""),
    "spaces for newlines": ANSWER.replace(b"\n", b" "),
    "10 MB": ANSWER * (10 * 1024 * 1024 // len(ANSWER)),
    "10 MB of NUL": bytes(10 * 1024 * 1024),
    "a page": b"<!DOCTYPE html>\n<title>Sign in</title>\n",
    "JSON": b'{"message": "API rate limit exceeded"}\n',
    "too many": "".join(map(numbered, range(51))).encode(),
    "too many that are left out": "".join(
        line_of("ssh-dss", *[bytes([n])] * 4) + "\n" for n in range(1, 52)
    ).encode(),
    "a private key": ANSWER + b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
}


@pytest.mark.parametrize("content", SPOILED.values(), ids=SPOILED)
def test_spoiled_answers(content):
    keys, left_out, problem = offered(content)
    assert (keys, left_out) == ((), ())
    assert problem.isascii()
    assert problem.isprintable()
    assert problem


def blobs(keys):
    return {key.blob for key in keys}


FILE = ANSWER + as_github_sends(ECDSA, RSA_2048, DSA)
WHOLE, LEFT_OUT, _ = offered(FILE)
PLACES = st.integers(0, len(FILE) - 1)
BYTES = st.integers(0, 255).map(lambda byte: bytes([byte]))


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_cutting_anywhere_is_seen_or_leaves_whole_lines(line_end):
    content = FILE.replace(b"\n", line_end)
    for length in range(len(content)):
        keys, left_out, problem = offered(content[:length])
        lines = content[:length].count(b"\n")
        assert problem or keys in (WHOLE[:lines], WHOLE[: lines + 1])
        assert left_out == LEFT_OUT[: len(left_out)]


def test_gluing_two_lines_is_seen():
    for at in [at for at, byte in enumerate(ANSWER[:-1]) if byte == ord("\n")]:
        assert offered(ANSWER[:at] + ANSWER[at + 1 :])[2]


@given(PLACES, BYTES)
def test_a_byte_more_makes_no_key(at, byte):
    keys, _, problem = offered(FILE[:at] + byte + FILE[at:])
    assert blobs(keys) <= blobs(WHOLE)
    assert problem or byte in (b"\n", b"\r", b" ", b"\t", b"#")


def test_a_byte_fewer_makes_no_key():
    for at in range(len(FILE)):
        keys, _, _ = offered(FILE[:at] + FILE[at + 1 :])
        assert blobs(keys) <= blobs(WHOLE)


@given(PLACES, BYTES)
def test_another_byte_makes_at_most_another_key_of_that_type(at, byte):
    keys, left_out, problem = offered(FILE[:at] + byte + FILE[at + 1 :])
    new = [key for key in keys if key not in WHOLE]
    gone = [key for key in WHOLE if key not in keys]
    if new:
        assert not problem
        assert [(k.type, len(k.blob)) for k in new] == [
            (k.type, len(k.blob)) for k in gone
        ]
    assert len(new) <= 1


LINES = st.sampled_from([line.encode() for line, _ in GOOD] + [DSA.encode()])
PIECES = st.sampled_from(
    [b"", b" ", b"\n", b"\r\n", b"\0", b"#", b"=", b"A", b"AAAA", b",", b'"', b"\xff"]
    + [b"ssh-ed25519 ", b"cert-authority ", b"\xe2\x80\xa8", b"restrict,"]
)


@st.composite
def mutated(draw):
    """Good lines into which something was put, and from which something was cut."""
    text = b"\n".join(draw(st.lists(LINES, max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        piece = draw(PIECES)
        cut = draw(st.sampled_from([len(piece), len(piece), 0, 1, 5]))
        text = text[:at] + piece + text[at + cut :]
    return text


@given(mutated())
def test_what_is_accepted_is_whole(text):
    keys, problems = parse("k", text)
    lines = text.split(b"\n")
    for key in keys:
        assert any(line.split()[:2] == [w.encode() for w in key[:2]] for line in lines)
        again, wrong = parse("k", key.line("ada", "k").encode())
        assert (again, wrong) == ((key,), ())
    for problem in problems:
        assert problem.source == "k"
        assert problem.message.isascii()
        assert 1 <= problem.line <= len(lines)


@given(st.binary(max_size=300))
def test_anything_at_all(data):
    keys, _ = parse("k", data)
    assert keys == ()
