"""What Airlock's page is known by, with real certificates: which are made, taken and left."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend_server.airlock import page, renewal
from backend_server.airlock.page import AUTHORITY, CERTIFICATE, KEY, Certificate
from backend_server.checkout.service import PAGE
from backend_server.host.writer import Host
from backend_server.resources import Directory, Group
from backend_server.text.errors import UserError
from tests.contract.conftest import unshare


pytestmark = pytest.mark.share("Airlock")

NAME, OTHER = "emis.backends.opensafely.org", "tpp.backends.opensafely.org"
ADDRESS = "127.0.0.1"
NEW_NET = 0x40000000


def openssl(*words, check=True):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


class Authority:
    """One that this host trusts, or one of the same name that it does not."""

    def __init__(self, folder, trusted=True):
        self.folder, self.numbers = Path(folder), iter(range(1000))
        self.folder.mkdir()
        self.key, self.certificate = self.folder / "ca.key", self.folder / "ca.crt"
        new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Public")
        openssl(*new, "-days", 900, "-keyout", self.key, "-out", self.certificate)
        if trusted:
            known = openssl("x509", "-hash", "-noout", "-in", self.certificate).strip()
            os.symlink(self.certificate, f"/etc/ssl/certs/{known}.0")

    def issue(self, name=NAME, days=90, key=""):
        """(key, certificate and chain), as text."""
        stem = self.folder / str(next(self.numbers))
        pair = (
            ("-key", key) if key else ("-newkey", "rsa:2048", "-keyout", f"{stem}.key")
        )
        openssl("req", "-new", "-nodes", *pair, "-subj", "/CN=x", "-out", f"{stem}.csr")
        Path(f"{stem}.ext").write_text(f"subjectAltName=DNS:{name}\n")
        openssl(
            *("x509", "-req", "-days", days, "-in", f"{stem}.csr", "-CAcreateserial"),
            *("-CA", self.certificate, "-CAkey", self.key, "-extfile", f"{stem}.ext"),
            *("-out", f"{stem}.crt"),
        )
        chain = Path(f"{stem}.crt").read_text() + self.certificate.read_text()
        return Path(key or f"{stem}.key").read_text(), chain


@pytest.fixture
def place(tmp_path):
    return tmp_path / "place"


def ready(place):
    """The folder of the page, and an authority that is trusted here."""
    host = Host()
    for each in (Group("opensafely", gid=10000), Directory(PAGE)):
        each.apply(host, each.check(host))
    return host, Authority(place / "public")


def laid():
    return {path: Path(path).read_text() for path in (CERTIFICATE, KEY)}


def made(host):
    own = Certificate(NAME)
    own.apply(host, own.check(host))
    return own


def test_the_hosts_own_is_good_for_its_name_and_no_other(place):
    host, _ = ready(place)
    own = made(host)
    assert own.check(host) == ()
    assert "OK" in openssl(
        "verify", "-CAfile", AUTHORITY, "-verify_hostname", NAME, CERTIFICATE
    )
    argv = ("verify", "-CAfile", AUTHORITY, "-verify_hostname", OTHER, CERTIFICATE)
    assert "OK" not in openssl(*argv, check=False)
    constraints = openssl("x509", "-noout", "-text", "-in", AUTHORITY)
    assert f"Permitted:\n                  DNS:{NAME}" in constraints
    found = os.stat(KEY)
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (
        0o640,
        0,
        10000,
    )
    keys = subprocess.run(
        ["grep", "-rls", "PRIVATE KEY", "/run", "/etc/opensafely"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert keys.stdout.split() == [KEY], "nobody has the authority's"


def test_the_hosts_own_is_made_anew_where_it_does_not_hold(place, monkeypatch):
    host, _ = ready(place)
    made(host)
    (change,) = Certificate(OTHER).check(host)
    assert "mismatch" in change.before
    monkeypatch.setattr(page, "_SOON_S", 398 * 24 * 3600)
    (change,) = Certificate(NAME).check(host)
    assert change.before == "ends soon"
    Path(KEY).write_text(Authority(place / "x", trusted=False).issue()[0])
    (change,) = Certificate(NAME).check(host)
    assert "KEY_VALUES_MISMATCH" in change.before
    monkeypatch.undo()
    assert "made itself" in renewal.renew(None, host, NAME)
    assert Certificate(NAME).check(host) == ()


def test_what_somebody_puts_here_is_the_pages(place):
    host, public = ready(place)
    made(host)
    key, chain = public.issue()
    assert NAME in renewal.put(host, NAME, chain + key)
    assert laid() == {CERTIFICATE: chain, KEY: key}
    assert not Path(AUTHORITY).exists()
    assert Certificate(NAME).check(host) == (), "theirs is left to them"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("key", "KEY_VALUES_MISMATCH"),
        ("name", "mismatch"),
        ("past", "expired"),
        ("chain", "self-signed|self signed|unable to get"),
        ("nothing", "no certificate for"),
    ],
)
def test_what_nobody_would_trust_is_not_put(place, wrong, why):
    host, public = ready(place)
    made(host)
    before = laid()
    key, chain = {
        "key": lambda: (public.issue()[0], public.issue()[1]),
        "name": lambda: public.issue(OTHER),
        "past": lambda: public.issue(days=-1),
        "chain": lambda: Authority(place / "stranger", trusted=False).issue(),
        "nothing": lambda: ("", "good morning"),
    }[wrong]()
    with pytest.raises(UserError, match=why):
        renewal.put(host, NAME, key + chain)
    assert laid() == before
    assert Path(AUTHORITY).exists()


@contextlib.contextmanager
def shown(place, key, chain):
    """Whoever asks on port 443 here sees this."""
    for name, text in (("key", key), ("chain", chain)):
        (place / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "chain", place / "key")
    listener = socket.create_server((ADDRESS, 443))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                with contextlib.suppress(OSError):
                    context.wrap_socket(line, server_side=True).recv(1)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


SITE = SimpleNamespace(hosts=f"{ADDRESS} {renewal.SITE}\n")


def at_home():
    """A network of its own, with a loopback that is up."""
    unshare(NEW_NET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def test_a_later_one_is_taken(place):
    at_home()
    host, public = ready(place)
    key, chain = public.issue(days=20)
    renewal.put(host, NAME, key + chain)
    _, later = public.issue(days=80, key=KEY)
    with shown(place, key, later):
        assert "new certificate" in renewal.renew(SITE, host, NAME)
        assert laid() == {CERTIFICATE: later, KEY: key}
        assert "none that ends later" in renewal.renew(SITE, host, NAME)
    with shown(place, key, chain):
        assert "none that ends later" in renewal.renew(SITE, host, NAME)
    assert laid() == {CERTIFICATE: later, KEY: key}


def test_one_that_has_ended_is_replaced(place):
    at_home()
    host, public = ready(place)
    key, chain = public.issue(days=20)
    renewal.put(host, NAME, key + chain)
    _, past = public.issue(days=-1, key=KEY)
    Path(CERTIFICATE).write_text(past)
    with shown(place, key, chain):
        assert "new certificate" in renewal.renew(SITE, host, NAME)


@pytest.mark.parametrize("wrong", ["key", "name", "chain", "away", "silent"])
def test_what_is_wrong_is_left(place, wrong):
    at_home()
    host, public = ready(place)
    key, chain = public.issue(days=20)
    renewal.put(host, NAME, key + chain)
    before = laid()
    stranger = Authority(place / "stranger", trusted=False)
    seen = {
        "key": lambda: public.issue(days=80),
        "name": lambda: (key, public.issue(OTHER, 80, KEY)[1]),
        "chain": lambda: (key, stranger.issue(NAME, 80, KEY)[1]),
    }
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        if wrong in seen:
            stack.enter_context(shown(place, *seen[wrong]()))
        elif wrong == "silent":
            stack.enter_context(socket.create_server((ADDRESS, 443)))
            renewal._PATIENCE_S = 2
        with pytest.raises(UserError):
            renewal.renew(SITE, host, NAME)
    assert time.monotonic() - began < 20
    assert laid() == before


# Wherever a program can be killed: before and after each of these.
STEPS = ("fsync", "rename", "unlink")


def killed_at(last, act):
    """Whether ACT came to its end in a process that is killed at that step."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    steps = itertools.count(1)

    def step():
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def between_steps(call):
        def calling(*words, **named):
            step()
            done = call(*words, **named)
            step()
            return done

        return calling

    for name in STEPS:
        setattr(os, name, between_steps(getattr(os, name)))
    act()
    os._exit(0)


def a_run(host):
    own = Certificate(NAME)
    changes = own.check(host)
    if changes:
        own.apply(host, changes)


def a_look_for_a_later_one(host):
    with contextlib.suppress(UserError):  # there it is for another key
        renewal.renew(SITE, host, NAME)


@pytest.mark.parametrize("before", ["its own", "another's"])
def test_one_that_is_put_is_whole_or_not_there_wherever_it_is_killed(place, before):
    """Which of the two the next run, or the next look for a later one, finds out."""
    at_home()
    host, public = ready(place)
    (first_key, first), (key, later) = public.issue(days=20), public.issue(days=80)
    made(host) if before == "its own" else renewal.put(host, NAME, first_key + first)
    was, new = laid(), {CERTIFICATE: later, KEY: key}
    shutil.copytree(PAGE, place / "was")
    step, taken, ended = 0, set(), False
    with shown(place, *public.issue(days=10)):
        while not ended:
            step += 1
            for heal in (a_run, a_look_for_a_later_one):
                shutil.rmtree(PAGE)
                shutil.copytree(place / "was", PAGE)
                ended = killed_at(step, lambda: renewal.put(host, NAME, key + later))
                heal(host)
                assert laid() in (was, new), step
                taken.add(laid() == new)
                own = before == "its own" and laid() == was
                assert Path(AUTHORITY).exists() == own, step
                assert Certificate(NAME).check(host) == ()
                left = {path.name for path in Path(PAGE).iterdir()}
                assert "put" not in left
    assert taken == {True, False}
    assert step > 10
