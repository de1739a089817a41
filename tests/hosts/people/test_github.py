"""GitHub's keys on a host, on good days and bad ones: what stands, what goes, what waits."""

from __future__ import annotations

import contextlib
import gzip
import re
import subprocess
import time

import pytest

from sandbox import people
from sandbox.answer import NOT_FOUND, Answer
from sandbox.checkout import PLACE, commit
from sandbox.fixtures import quiet_timer
from sandbox.network import INTERNET
from sandbox.outside import GITHUB, NAMES, PROXY
from sandbox.people import Person
from tests.hosts.doors import KEYS, opens
from tests.hosts.managing import CHECKOUT, manage, rests
from tests.hosts.programs import on_terminal


pytestmark = pytest.mark.share("people")

NEW = ("linus", "mallory", "vera")  # developers whom only GitHub has keys of
ROSTER = f"{CHECKOUT}/developers"
DRIFT = "/etc/profile.d/opensafely.sh"


def bare(person):
    """A person's key as GitHub has it, without a comment."""
    return " ".join(person.public_key.split()[:2])


def fingerprint(person):
    listed = subprocess.check_output(
        ["ssh-keygen", "-lf", person.key.with_suffix(".pub")], text=True
    )
    return listed.split()[1]


@pytest.fixture(scope="module")
def spare(tmp_path_factory):
    """A second key of each of the new people, all of them at GitHub."""
    return people.make(tmp_path_factory.mktemp("spare") / "keys", NEW)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A further key of each, which GitHub does not have yet."""
    return people.make(tmp_path_factory.mktemp("other") / "keys", NEW)


@pytest.fixture(scope="module")
def host(sandbox, shared_warm_host, tmp_path_factory, spare):
    """New lines on the roster, a commit, and a run: nothing else is done for the new people."""
    made = shared_warm_host("test", shape=[quiet_timer])
    new = people.make(tmp_path_factory.mktemp("new") / "keys", NEW)
    made.people = {**made.people, **new}
    have_two_keys(sandbox.outside, made, spare)
    made.run(f"printf '%s\\n' {' '.join(NEW)} >> {ROSTER}")
    commit(made.root / PLACE)
    done = manage(made)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture(autouse=True)
def github(host, outside, spare):
    """GitHub, which is asked to spoil something; after the test all is as it was."""
    have_two_keys(outside, host, spare)
    before = files(host)
    yield outside
    if files(host) != before:
        outside.reset()
        have_two_keys(outside, host, spare)
        done = manage(host, "--accept-keys")
        assert done.returncode == 0, done.stdout + done.stderr
        assert files(host) == before


def have_two_keys(outside, host, spare):
    for name in NEW:
        outside.github(name, host.people[name].public_key, spare[name].public_key)


def files(host):
    """The key file of each of the new people, byte for byte."""
    return {name: host.read(f"{KEYS}/{name}") for name in NEW}


def waits(done, *said, name="linus"):
    """The run did all else, and one line says whose keys wait and these words."""
    text = done.stdout + done.stderr
    assert done.returncode == 4, text
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line.startswith("degraded: ")]
    about = [line for line in lines if name in line]
    assert any(all(word in line for word in said) for line in about), text


# ---- a line is all it takes


def test_a_line_on_the_roster(host, spare):
    for name in NEW:
        assert not host.run(f"ls {CHECKOUT}/keys/{name}", check=False).stdout
        sudo = host.ssh(name, host.people[name].key, "id -un; sudo -n id -un")
        assert sudo.stdout == f"{name}\nroot\n"
    assert opens(host, "vera", spare["vera"].key)
    assert not opens(host, "linus", host.people["vera"].key)
    assert files(host)["vera"].count(" vera@github\n") == 2
    assert rests(host)


# ---- bad answers


def line(person):
    return f"{bare(person)}\n".encode()


def bad_answers(host):
    """Each has a first key of its person, so that who believes it drops the second."""
    linus, mallory, vera = (line(host.people[name]) for name in NEW)
    html = {"Content-Type": "text/html; charset=utf-8"}
    page = b"<!DOCTYPE html>\n<html><body><pre>\n%s</pre></body></html>\n"
    forced = b'command="/bin/sh",no-pty '
    return {
        "status": {
            "linus": (NOT_FOUND, "404"),
            "mallory": (Answer(mallory, 403), "403"),
            "vera": (Answer(vera, 500), "500"),
        },
        "page": {
            "linus": (Answer(page % linus, 502, html), "502"),
            "mallory": (Answer(page % mallory, 200, html), "text/html"),
            "vera": (Answer(b""), "names none"),
        },
        "size": {
            "linus": (Answer(linus, headers={"Content-Length": "1600"}), "cut short"),
            "mallory": (Answer(mallory * 2000), "too large"),
            "vera": (Answer(vera + b"# " + b"a" * 10_000_000), "too large"),
        },
        "elsewhere": {
            "linus": (Answer(linus, 302, {"Location": f"http://{INTERNET}/x"}), "302"),
            "mallory": (Answer(b"", 301, {"Location": f"https://{NAMES[0]}/x"}), "301"),
            "vera": (Answer(vera, 204), "204"),
        },
        "lines": {
            "linus": (Answer(forced + linus), "options"),
            "mallory": (Answer(b"cert-authority " + mallory), "options"),
            "vera": (Answer(vera[:-1] + b"\0\n"), "no one can see"),
        },
        "glue": {
            "linus": (Answer(linus[:-1] + linus), "two keys"),
            "mallory": (Answer(mallory + mallory[:-20] + b"\n"), "line 2"),
            "vera": (Answer(vera[:-30]), "line 1"),
        },
        "form": {
            "linus": (Answer(gzip.compress(linus)), ""),
            "mallory": (Answer(mallory, headers={"Content-Length": ""}), "length"),
            "vera": (Answer(b"HTTP/1.1 200 OK\r\n", 0), ""),
        },
        "time": {
            "linus": (Answer(linus, pause_s=1), ""),
            "mallory": (Answer(b"", 0, ends=False), ""),
            "vera": (Answer(vera, 200, {"Content-Length": "999"}, ends=False), ""),
        },
    }


KINDS = ("status", "page", "size", "elsewhere", "lines", "glue", "form", "time")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_answer(host, github, spare, kind):
    before, answers = files(host), bad_answers(host)[kind]
    for name, (answer, _) in answers.items():
        github.answer(GITHUB, f"/{name}.keys", answer)
    began = time.monotonic()
    done = manage(host)
    assert time.monotonic() - began < 15
    for name, (_, why) in answers.items():
        waits(done, "GitHub", why, name=name)
    assert files(host) == before
    assert opens(host, "linus", spare["linus"].key)
    asked = github.requests()
    assert not [said for said in asked if "/x " in said], "a redirect was followed"
    assert all(any(f"/{name}.keys" in said for said in asked) for name in NEW)


@contextlib.contextmanager
def packets_lost(lab):
    """What is sent to the address of GitHub is never heard of again."""
    rule = f"ip daddr {lab.pinned[0]} tcp dport 443 drop"
    hook = "type filter hook input priority 0"
    lab.nft(f"table inet lost {{\n chain in {{\n {hook}\n {rule}\n }}\n}}\n")
    try:
        yield
    finally:
        lab.nft("delete table inet lost\n")


def dead(github, lab, way):
    """All of GitHub is away, in one way or another."""
    if way == "lost":
        return packets_lost(lab)
    if way == "refused":
        github.stop()
    else:
        getattr(github, way)([GITHUB])
    return contextlib.nullcontext()


DEAD = ("refused", "stop", "hang", "lost", "wrong_authority", "wrong_name")


@pytest.mark.parametrize("way", DEAD)
def test_github_is_dead(host, github, lab, way):
    before = files(host)
    host.run(f"rm -f {DRIFT}")
    with dead(github, lab, way):
        began = time.monotonic()
        done = manage(host)
        assert time.monotonic() - began < 15
        for name in NEW:
            waits(done, "GitHub", name=name)
        assert files(host) == before
        assert opens(host, "vera", host.people["vera"].key)
        assert host.read(DRIFT)
        assert manage(host, "--offline").returncode == 0


def test_offline_asks_nothing(host, github):
    assert manage(host, "--offline").returncode == 0
    assert manage(host, "plan --offline").returncode == 0
    assert not github.requests()


def test_a_first_run_without_github(host, github):
    """Whoever has a file in keys/ gets in; who has none waits for GitHub."""
    host.run(f"mv /etc/opensafely/backend /root/; rm -r /var/lib/opensafely {KEYS}")
    github.stop([GITHUB])
    done = manage(host, "--yes")
    waits(done, "GitHub", name="ada")
    waits(done, "GitHub", name="vera")
    for name in ("ada", "grace", "rita"):
        assert opens(host, name, host.people[name].key)
    assert not opens(host, "vera", host.people["vera"].key)
    github.start()
    done = manage(host, "--accept-keys")
    assert done.returncode == 0, done.stdout + done.stderr
    assert opens(host, "vera", host.people["vera"].key)


def test_what_was_long_not_confirmed_is_shown(host, github):
    record = "/var/lib/opensafely/github.json"
    host.run(f'sed -i \'s/"seen": "20../"seen": "2001/\' {record}')
    github.stop([GITHUB])
    waits(manage(host), "2001", name="vera")
    assert re.search("degraded .*vera.*2001", manage(host, "status").stdout)
    github.start()
    assert manage(host).returncode == 0
    assert "degraded" not in manage(host, "status").stdout


# ---- more keys than are accepted


@pytest.fixture
def further(host, github, spare, other):
    """GitHub has a third key of vera's."""
    keys = (bare(host.people["vera"]), bare(spare["vera"]), bare(other["vera"]))
    github.github("vera", *keys)
    return other["vera"]


def test_a_further_key_waits_for_a_person(host, further):
    before = files(host)
    for words in ("plan", "", "--yes", "people narrow"):
        done = manage(host, words)
        assert "Traceback" not in done.stderr
        assert files(host) == before
        assert done.returncode in ((0, 4) if words == "people narrow" else (4,))
        if words != "people narrow":
            waits(done, fingerprint(further), name="vera")
    assert not opens(host, "vera", further.key)
    assert manage(host, "--accept-keys").returncode == 0
    assert opens(host, "vera", further.key)
    assert rests(host)


def test_a_yes_on_a_terminal(host, further):
    for answer, status in (("no", 4), ("yes", 0)):
        with on_terminal(host, f"{CHECKOUT}/test/manage.sh") as terminal:
            terminal.until("Type yes", timeout_s=30)
            assert fingerprint(further) in terminal.seen
            terminal.type(f"{answer}\n")
            assert terminal.end(timeout_s=60) == status, terminal.seen
        assert opens(host, "vera", further.key) == (status == 0)


def test_a_line_in_the_checkout(host, further):
    with edited_keys(host, "vera", further.public_key):
        done = manage(host)
        assert done.returncode == 0, done.stdout + done.stderr
        assert opens(host, "vera", further.key)
        assert rests(host)


@contextlib.contextmanager
def edited_keys(host, name, *lines):
    """They have a file in keys/ meanwhile."""
    path = f"{CHECKOUT}/keys/{name}"
    host.write(path, "".join(f"{line}\n" for line in lines))
    try:
        yield
    finally:
        host.run(f"rm {path}")


def test_the_same_key_at_both_places(host, github):
    with edited_keys(host, "vera", host.people["vera"].public_key):
        assert manage(host).returncode == 0
        blob = host.people["vera"].public_key.split()[1]
        assert files(host)["vera"].count(blob) == 1
        assert opens(host, "vera", host.people["vera"].key)
        assert rests(host)


def test_a_key_that_waits_does_not_come_by_itself(host, github, other):
    """Whoever takes a line out of keys/ says nothing about the keys at GitHub."""
    ada, foreign = host.people["ada"], other["vera"]
    github.github("ada", bare(ada), bare(foreign))
    waits(manage(host), fingerprint(foreign), name="ada")
    host.run(f"mv {CHECKOUT}/keys/ada /root/")
    try:
        for words in ("", ""):
            manage(host, words)
            assert not opens(host, "ada", foreign.key)
            assert opens(host, "ada", ada.key)
    finally:
        host.run(f"mv /root/ada {CHECKOUT}/keys/")
        github.reset()
        manage(host)


def test_the_first_keys_of_an_adopted_account_wait(host, github, other):
    """They wait for as long as nobody says yes, not only in the run that adopts."""
    newcomer, roster = other["vera"], host.read(ROSTER)
    github.github("newcomer", bare(newcomer))
    host.run(f"useradd -m newcomer; echo newcomer >> {ROSTER}")
    try:
        for words in ("--yes", "", "people narrow", ""):
            waits(manage(host, words), fingerprint(newcomer), name="newcomer")
            assert not opens(host, "newcomer", newcomer.key)
        assert manage(host, "--accept-keys").returncode == 0
        assert opens(host, "newcomer", newcomer.key)
    finally:
        host.write(ROSTER, roster)
        assert manage(host).returncode == 0


# ---- fewer keys


TIMER = "systemctl start opensafely-people.service"


@pytest.mark.parametrize("command", [f"{CHECKOUT}/test/manage.sh", TIMER])
def test_a_key_gone_from_github_is_gone(host, github, spare, command):
    github.github("vera", bare(host.people["vera"]))
    host.run(command)
    assert not opens(host, "vera", spare["vera"].key)
    assert opens(host, "vera", host.people["vera"].key)


def test_the_last_key_is_not_taken_by_that(host, github, other):
    before = files(host)
    github.github("vera", bare(other["vera"]))
    for words in ("", "people narrow"):
        done = manage(host, words)
        assert files(host) == before
        waits(done, fingerprint(other["vera"]), name="vera")
    assert opens(host, "vera", host.people["vera"].key)
    assert not opens(host, "vera", other["vera"].key)


def test_everybodys_keys_at_once(host, github, other):
    before = files(host)
    for name in NEW:
        github.github(name, bare(other[name]))
    for words in ("plan", ""):
        done = manage(host, words)
        waits(done, "3 people", *NEW)
    assert files(host) == before


# ---- kinds of keys


def test_keys_that_are_not_accepted_are_left_out(host, github, tmp_path):
    kinds = (("ecdsa", 256), ("rsa", 2048), ("rsa", 3072))
    *weak, good = [key_of_kind(tmp_path, kind, bits) for kind, bits in kinds]
    linus = bare(host.people["linus"])
    github.github("linus", bare(weak[0]), linus, bare(weak[1]), bare(good))
    done = manage(host, "--accept-keys")
    assert done.returncode == 0, done.stdout + done.stderr
    assert opens(host, "linus", host.people["linus"].key)
    assert all(fingerprint(person) in done.stdout for person in weak)
    assert opens(host, "linus", good.key)
    assert not any(opens(host, "linus", person.key) for person in weak)
    assert rests(host)


def key_of_kind(folder, kind, bits):
    path = folder / f"{kind}{bits}"
    options = ("-t", kind, "-b", str(bits), "-N", "", "-f", path)
    subprocess.run(["ssh-keygen", "-q", *options], check=True)
    return Person("linus", path)


# ---- the way there


def test_through_a_proxy(host, github):
    done = manage(host, env={"https_proxy": PROXY})
    assert done.returncode == 0, done.stdout + done.stderr
    tunnels = [said for said in github.requests() if "CONNECT" in said]
    assert any(f"CONNECT {GITHUB}:443" in said for said in tunnels)
    assert any("/vera.keys" in said for said in github.requests())


def test_a_proxy_that_is_away(host, github):
    before = files(host)
    done = manage(host, env={"https_proxy": f"http://{INTERNET}:3"})
    waits(done, "GitHub", name="vera")
    assert files(host) == before
