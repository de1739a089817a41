"""What the stand-ins play: GitHub's keys, good and bad answers, a proxy."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from sandbox.answer import Answer
from sandbox.network import INTERNET
from sandbox.outside import GITHUB, NAMES, PROXY_PORT


pytestmark = pytest.mark.share("people")

# The name is not looked up: the address is the one that the checkout pins.
ASK = """
import http.client, json, socket, ssl, sys
address, name, path, trusted, source, proxy = sys.argv[1:]
try:
    whence = (source, 0) if source else None
    there = (address, int(proxy or 443))
    connection = socket.create_connection(there, 2, whence)
    if proxy:
        connection.sendall(f"CONNECT {name}:443 HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n".encode())
        said = http.client.HTTPResponse(connection)
        said.begin()
        if said.status != 200:
            raise OSError(f"the proxy says {said.status}")
    context = ssl.create_default_context(cafile=trusted)
    connection = context.wrap_socket(connection, server_hostname=name)
    connection.sendall(f"GET {path} HTTP/1.1\\r\\nHost: {name}\\r\\n\\r\\n".encode())
    reply = http.client.HTTPResponse(connection)
    reply.begin()
    body = reply.read().decode("latin-1")
    print(json.dumps([reply.status, reply.reason, dict(reply.headers), body]))
except (OSError, http.client.HTTPException) as error:
    print(json.dumps(repr(error)))
"""


@pytest.fixture
def ask(lab, outside):
    """ask(path): status, reason, headers and body of an answer, or what went wrong."""

    def asked(path="/ada.keys", name=GITHUB, source="", proxy=""):
        address = INTERNET if proxy else lab.pinned[0]
        trusted = outside.authority.certificate
        words = (address, name, path, trusted, source, proxy)
        program = lab.inside(sys.executable, "-Ic", ASK, *words)
        return json.loads(subprocess.check_output(program, text=True))

    return asked


def test_keys_as_github_gives_them(ask, outside, people):
    outside.github("ada", people["ada"].public_key, people["gus"].public_key)
    status, reason, headers, body = ask()
    assert (status, reason) == (200, "OK")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["Content-Length"] == str(len(body))
    kind, key, comment = people["ada"].public_key.split()
    assert comment == "ada"
    assert body.startswith(f"{kind} {key}\n")
    assert body.count("\n") == 2
    assert body.endswith("\n")
    assert ask("/Ada.keys")[3] == body
    assert f'{GITHUB} "GET /ada.keys HTTP/1.1" 200 -' in outside.requests()


def test_nobody_and_nothing(ask, outside):
    assert ask("/nobody.keys")[::3] == [404, "Not Found"]
    outside.github("ada")
    assert ask()[::3] == [200, ""]
    outside.no_account("ada")
    assert ask()[::3] == [404, "Not Found"]


def test_a_host_hears_of_its_own_people(ask, outside, lab, people):
    one, other = INTERNET, lab.pinned[0]
    outside.know(one, {"ada": people["ada"]})
    outside.know(other, {"ada": people["gus"]})
    assert ask(source=one)[3].split()[1] == people["ada"].public_key.split()[1]
    assert ask(source=other)[3].split()[1] == people["gus"].public_key.split()[1]
    outside.github("ada", people["rita"].public_key)
    assert ask(source=one)[3] == ask(source=other)[3]


BAD = {
    "refused": (Answer(b"no\n", 403, reason="Go away"), [403, "Go away", "no\n"]),
    "html": (Answer(b"<p>", headers={"Content-Type": "text/html"}), "text/html"),
    "redirect": (Answer(b"", 302, {"Location": "https://x/"}), "https://x/"),
    "truncated": (Answer(b"half", headers={"Content-Length": "8"}), "IncompleteRead"),
    "no length": (Answer(b"all", headers={"Content-Length": ""}), [200, "OK", "all"]),
    "raw": (Answer(b"SSH-2.0-x\r\n", 0), "BadStatusLine"),
    "nothing": (Answer(b"", 0), "RemoteDisconnected"),
    "stuck": (Answer(b"half", 200, {"Content-Length": "8"}, ends=False), "timeout"),
    "mute": (Answer(b"", 0, ends=False), "timeout"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_answer(ask, outside, kind):
    answer, wanted = BAD[kind]
    outside.answer(GITHUB, "/ada.keys", answer)
    found = ask()
    if isinstance(wanted, list):
        assert [found[0], found[1], found[3]] == wanted
    else:
        assert wanted in str(found).replace("timed out", "timeout")
    outside.reset()
    assert ask("/")[0] == 200


def test_every_path_of_a_name(ask, outside):
    outside.github("ada", "ssh-ed25519 AAAA")
    outside.answer(GITHUB, "*", Answer(b"bad gateway", 502))
    assert ask()[0] == 200
    assert ask("/grace.keys")[0] == 502
    assert ask("/", NAMES[0])[0] == 200


def test_much_and_slowly(ask, outside):
    outside.answer(GITHUB, "/ada.keys", Answer(b"a" * 10_000_000))
    assert len(ask()[3]) == 10_000_000
    outside.answer(GITHUB, "/ada.keys", Answer(b"abcdef", pause_s=0.2))
    began = time.monotonic()
    assert ask()[3] == "abcdef"
    assert time.monotonic() - began > 1


def test_doors_that_are_shut(ask, outside):
    outside.wrong_authority([GITHUB])
    assert "CERTIFICATE_VERIFY_FAILED" in ask()
    assert ask("/", NAMES[0])[0] == 200
    outside.wrong_name([GITHUB])
    assert "ostname mismatch" in ask()
    outside.stop([GITHUB])
    assert "UNRECOGNIZED_NAME" in ask()
    outside.start()
    outside.hang([GITHUB])
    assert "timed out" in ask()
    assert ask("/", NAMES[0])[0] == 200
    outside.reset()
    assert ask("/")[0] == 200
    outside.stop()
    assert "refused" in ask()


def test_the_proxy_leads_to_our_names_only(ask, outside):
    outside.github("ada")
    assert ask(proxy=str(PROXY_PORT))[0] == 200
    said = outside.requests()
    assert f'{GITHUB} "CONNECT {GITHUB}:443 HTTP/1.1" 200 -' in said
    assert "the proxy says 403" in ask("/", "elsewhere.invalid", proxy=str(PROXY_PORT))
