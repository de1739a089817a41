"""scripts/roster.sh check, against servers that play GitHub and job-server, well and badly."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend_server.checkout.keys import Key
from backend_server.host.reader import HostReader
from roster import ask, checkout
from roster.__main__ import main
from sandbox.authority import Authority
from tests.unit.checkout.test_keys import GOOD
from tests.unit.example import ROOT, checkout_of, public_key


pytestmark = pytest.mark.share("people")

TOKENS = {"GITHUB_TOKEN": "gh-secret", "JOB_SERVER_TOKEN": "js-secret"}
IDS = {"ada": 11, "grace": 12, "rita": 13, "gus": 14}
PINNED = {
    "developers": "ada id=11\ngrace  id=12 # a comment\n",
    "researchers": "rita id=13 expires=2001-01-01\n",
    "reviewers": "gus id=14\nada id=11\n",
}
ROLE = "DeploymentAdministrator"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Of an authority that this machine does not know: it, and what a server needs."""
    folder = tmp_path_factory.mktemp("authority")
    authority = Authority(folder)
    return authority.certificate, *authority.issue(["localhost"], folder)


def account(name, number=None, **more):
    found = {"login": name, "id": number or IDS[name], "type": "User", **more}
    return 200, json.dumps(found)


def roles(*names):
    found = {"permissions": {"global": []}, "roles": {"global": names, "projects": []}}
    return 200, json.dumps(found)


GONE = (404, '{"message": "Not Found"}')
USERS = "/api/v2/users"


def world(**other):
    """Everybody is known to both services; OTHER replaces answers, by name."""
    found = {f"/users/{name}": account(name) for name in IDS}
    found.update((f"{USERS}/{name}/", roles(ROLE)) for name in IDS)
    found.update((f"/users/{name}", answer) for name, answer in other.items())
    return found


class Player(BaseHTTPRequestHandler):
    """Says what it is told to for each path: a status and a text, or a function."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        answer = self.server.answers.get(self.path, GONE)
        with contextlib.suppress(OSError):
            if callable(answer):
                answer(self)
            else:
                self.say(*answer)

    def say(self, status, text, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    """The handshake is made by the thread that answers."""

    daemon_threads = True

    def finish_request(self, request, client_address):
        tls = self.context.wrap_socket(request, server_side=True)
        super().finish_request(tls, client_address)

    def handle_error(self, request, client_address):
        pass


@contextlib.contextmanager
def playing(certificates, answers):
    """The base URL of a server; `asked` has each path with its Authorization."""
    _, certificate, key = certificates
    server = Server(("127.0.0.1", 0), Player)
    server.answers, server.asked = answers, []
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(certificate, key)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.socket.close()  # and not server_close, which waits for slow answers


@pytest.fixture
def review(certificates, monkeypatch, place, capsys):
    """A function: the exit status, and the lines that were said, of rosters and answers."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates[0]))
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)

    def run(answers, rosters=PINNED, keys=(), words=()):
        root = checkout_of("test", place / "checkout")
        for name, text in rosters.items():
            folder = root if name == "developers" else root / "test"
            (folder / name).write_text(text)
        for name, text in dict(keys).items():
            (root / "keys" / name).write_text(text)
        with playing(certificates, answers) as server:
            base = f"https://localhost:{server.server_port}"
            bases = ["--github", base, "--job-server", base]
            status = main(["check", *bases, *words], root)
        said = capsys.readouterr()
        assert "secret" not in said.out + said.err
        return status, said.out.splitlines(), server.asked

    return run


def test_all_is_well(review):
    status, lines, asked = review(world())
    assert (status, lines) == (0, ["3 rosters, 4 people, 4 key files, 0 problems"])
    assert sorted(asked) == sorted(
        [(f"/users/{name}", "Bearer gh-secret") for name in IDS]
        + [(f"{USERS}/{name}/", "js-secret") for name in IDS]
    )


def test_without_tokens(review, monkeypatch):
    for name in TOKENS:
        monkeypatch.delenv(name)
    status, lines, asked = review(world())
    assert status == 0
    assert "note: job-server was not asked" in lines[0]
    assert sorted(asked) == sorted((f"/users/{name}", None) for name in IDS)


def test_offline(review):
    assert review({}, words=["--offline"])[::2] == (0, [])


def test_ids_to_pin(review):
    rosters = {**PINNED, "developers": "ada\n# none\ngrace expires=2030-01-01\n"}
    status, lines, _ = review(world(), rosters)
    assert status == 0
    why = "no id says which account was approved; to pin it"
    assert lines[:2] == [
        f"note: developers:1: {why}: ada id=11",
        f"note: developers:3: {why}: grace expires=2030-01-01 id=12",
    ]


THIEF = "is another account on GitHub, with id=99"
NONE = "there is no account"
PEOPLE = {  # who has the name now, who has id=2NUMBER, and what is said
    "x0": (account("x0", 99), account("hopper", 20), f"x0 {THIEF}; the account with"),
    "x1": (account("x1", 99), GONE, f"x1 {THIEF}; nor is there one with id=21"),
    "x2": (GONE, account("hopper", 22), f"{NONE} x2 on GitHub; the account with id=22"),
    "x3": (GONE, GONE, f"{NONE} x3 on GitHub; nor is there one with id=23"),
    "x4": (account("x4", 24, type="Organization"), GONE, "x4 is no person on GitHub"),
}


def test_somebody_else(review):
    answers = world()
    for name, (found, number, _) in PEOPLE.items():
        answers[f"/users/{name}"] = found
        answers[f"/user/2{name[1:]}"] = number
        answers[f"{USERS}/{name}/"] = roles()
    lists = {**PINNED, "reviewers": "gus id=14\nx5\n"}
    lists["researchers"] = "".join(f"{name} id=2{name[1:]}\n" for name in PEOPLE)
    answers[f"{USERS}/x5/"] = roles()
    status, lines, _ = review(answers, lists, {"rita": ""})
    assert status == 1
    assert "keys/rita: is on no roster" in lines[0]
    for number, (line, (_, _, said)) in enumerate(zip(lines[1:], PEOPLE.values())):
        assert line.startswith(f"test/researchers:{number + 1}: {said}")
    assert "is called hopper now" in lines[1]
    assert lines[6:] == [
        "test/reviewers:2: there is no account x5 on GitHub",
        "3 rosters, 9 people, 4 key files, 7 problems",
    ]


def test_job_server(review):
    answers = {f"{USERS}/ada/": roles("OutputChecker"), f"{USERS}/rita/": GONE}
    answers[f"{USERS}/gus/"] = roles()
    status, lines, _ = review({**world(), **answers})
    assert status == 1
    assert lines[:-1] == [
        f"developers:1: ada has not the role {ROLE} on job-server",
        "test/researchers:1: job-server knows no rita",
    ]


def rate_limit(player):
    player.say(403, "{}", X_RateLimit_Remaining="0")


def elsewhere(player):
    port = player.server.server_port
    player.say(302, "", Location=f"https://127.0.0.1:{port}/users/stolen")


def to_http(player):
    player.say(301, "", Location=f"http://localhost:{player.server.server_port}/")


def endless(player):
    with contextlib.suppress(OSError):
        while True:
            player.wfile.write(b"H")
            time.sleep(0.05)


# For somebody with id=7; the words that say why this is no answer.
BAD = [
    (rate_limit, "it says 403, no more questions for now"),
    ((401, '{"detail": "gh-secret"}'), "it says 401:"),
    ((502, "<h1>Bad Gateway</h1>"), "it says 502:"),
    ((200, "<h1>Sign in to the wireless</h1>"), "not what this API says"),
    ((404, "<h1>Blocked by policy</h1>"), "not what this API says"),
    ((200, ""), "not what this API says"),
    ((200, "[" * 100_000), "not what this API says"),
    ((200, "[]"), "not what this API says"),
    ((200, '{"id": 7}'), "not what this API says"),
    (account("NAME", "7"), "not what this API says"),
    (account("NAME", True), "not what this API says"),
    (account("NAME", -1), "not what this API says"),
    (account("NA\u202eME", 7), "not what this API says"),
    (account("mallory", 7), "about another account"),
    (account("NAME", 7, bio="x" * 300_000), "not what this API says"),
    (elsewhere, "it says 302 and points to another host"),
    (to_http, "it says 301 and points to another host"),
    (lambda player: player.wfile.write(b"\x1b[2Jgh-secret\r\n\r\n"), "broke off"),
    (lambda player: player.connection.shutdown(2), ""),
]


def test_bad_answers_are_no_answer(review):
    """They prove nothing about a person; all others are judged nevertheless."""
    answers = world()
    for number, (answer, _) in enumerate(BAD):
        if isinstance(answer, tuple):
            answer = (answer[0], answer[1].replace("NAME", f"x{number}"))
        answers[f"/users/x{number}"] = answer
        answers[f"{USERS}/x{number}/"] = roles()
    names = [f"x{number}" for number in range(len(BAD))]
    lines = "".join(f"{name} id=7{name[1:]}\n" for name in names)
    lists = {**PINNED, "reviewers": "gus id=14\n" + lines}
    status, lines, asked = review(answers, lists)
    assert status == 4
    assert lines.pop() == "3 rosters, 23 people, 4 key files, 0 problems"
    for name, (_, said) in zip(names, BAD):
        (line,) = (line for line in lines if name in line.replace(",", "").split())
        assert line.startswith("unanswered: GitHub: ")
        assert said in line, name
        assert line.isascii()
        assert line.isprintable()
    assert all(line.startswith("unanswered: ") for line in lines)
    assert "/users/stolen" not in dict(asked)


@pytest.mark.parametrize("answer", [endless, lambda player: time.sleep(8)])
def test_slow_answers_are_not_waited_for(review, monkeypatch, answer):
    monkeypatch.setattr(ask, "DEADLINE_S", 2.0)
    began = time.monotonic()
    status, lines, _ = review(world(grace=answer))
    assert time.monotonic() - began < 6
    assert (status, len(lines)) == (4, 2)
    assert lines[0].startswith("unanswered: GitHub: ")
    assert lines[0].endswith(": grace")


BAD_ROLES = ["[]", '{"roles": []}', '{"roles": {"global": {}}}', "<h1>no</h1>"]


def test_bad_answers_of_job_server(review):
    bad = zip(IDS, BAD_ROLES)
    answers = {f"{USERS}/{name}/": (200, text) for name, text in bad}
    status, lines, _ = review({**world(), **answers})
    why = "unanswered: job-server: the answer is not what this API says"
    assert (status, lines[:-1]) == (4, [f"{why}: ada, grace, gus, rita"])


def test_a_redirect_within_the_host(review):
    moved = world(grace=lambda player: player.say(301, "", Location="/user/12"))
    status, _, asked = review({**moved, "/user/12": account("grace")})
    assert status == 0
    assert ("/user/12", "Bearer gh-secret") in asked


def test_an_authority_that_nobody_knows(review, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    status, lines, asked = review(world())
    assert (status, asked) == (4, [])
    assert "CERTIFICATE_VERIFY_FAILED" in lines[0]
    assert lines[0].endswith(": ada, grace, gus, rita")


def test_problems_win_over_silence(review, monkeypatch):
    status, lines, _ = review({}, {**PINNED, "reviewers": "gus\nroot\n"})
    assert status == 1
    assert "test/reviewers:2: 'root' is reserved" in "\n".join(lines)


def test_rosters_and_keys(review):
    """All of them at once, without any API."""
    rosters = {
        "developers": "ada\nad a\ngrace id=5\n",
        "researchers": "Ada\nrita id=5\ngracel\n",
        "reviewers": "gus expires=tomorrow\n",
    }
    keys = {
        "ada": public_key("ada") + "ssh-dss AAAA\n",
        "mallory": public_key("mallory"),
        "Rita": public_key("rita"),
        "\x1b[2J": "",
    }
    status, lines, _ = review({}, rosters, keys, ["--offline"])
    assert status == 1
    assert [line.partition(": ")[0] for line in lines[:-3]] == [
        "developers:2",
        "keys/Rita",
        "keys/\\x1b[2J",
        "keys/ada:2",
        "keys/gus",
        "keys/mallory",
        "test/researchers:1",
        "test/researchers:2",
        "test/reviewers:1",
    ]
    assert "is spelled rita on the roster" in lines[1]
    assert lines[-3:-1] == [
        "note: Ada looks like ada: are they two people?",
        "note: grace looks like gracel: are they two people?",
    ]
    assert lines[-1] == "3 rosters, 5 people, 7 key files, 9 problems"


def test_keys_that_ssh_keygen_reads_otherwise():
    bad = Key("ssh-ed25519", GOOD[1][0].split()[1])
    (problem,) = checkout.read_otherwise({"ada": (bad,)}, HostReader())
    assert str(problem).startswith("keys/ada: ssh-keygen does not read")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fix"],
        ["check", "--github", "http://localhost"],
        ["check", "--job-server", "https://user:pass@localhost"],
    ],
)
def test_wrong_usage(words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def test_a_token_that_is_none_is_not_shown(review, monkeypatch, capsys):
    monkeypatch.setenv("JOB_SERVER_TOKEN", "js-secret\nX-Other: 1")
    with pytest.raises(SystemExit) as ended:
        review(world())
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "JOB_SERVER_TOKEN holds a character" in said
    assert "secret" not in said


@pytest.fixture
def clone():
    """Below /home, which is in memory here, root's alone."""
    top = Path("/home/srv/checkout")
    away = shutil.ignore_patterns(".*", "__pycache__", "tests", "sandbox")
    return lambda: shutil.copytree(ROOT, top, ignore=away, symlinks=True)


def script(top):
    return subprocess.run(
        [top / "scripts/roster.sh", "check"],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_script(clone):
    """This repository names nobody, so that nobody is asked about."""
    done = script(clone())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("5 rosters, 0 people, 0 key files, 0 problems\n")


@pytest.mark.parametrize("path", ["roster/judgement.py", "test/backend.py"])
def test_as_root_the_script_runs_nothing_that_others_can_change(clone, path):
    top = clone()
    with open(top / path, "a") as file:
        file.write("\nopen('/home/was-run', 'w')\n")
    assert script(top).returncode == 0
    Path("/home/was-run").unlink()
    os.chown(top / path, 1234, 0)
    done = script(top)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: {top}/{path} can be changed by somebody" in done.stderr
    assert "try: the same without root, or (umask 022 && cp -RT " in done.stderr
    assert not Path("/home/was-run").exists()
