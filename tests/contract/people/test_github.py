"""GitHub's good and bad days, played by a real HTTPS server whose authority the host trusts."""

import base64
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import warnings

import pytest

from backend_server.checkout.keys import MAX_BYTES
from backend_server.people.github import AT_ONCE, ask
from backend_server.people.https import Site
from backend_server.text.errors import Refused
from sandbox.authority import Authority
from tests.unit.checkout.test_keys import ANSWER, DSA, GOOD


pytestmark = pytest.mark.share("people")

NAME = "github.example"
PINNED = {NAME: "127.0.0.1", "other.example": "127.0.0.1"}
HALF = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"


def whole(body, head=HALF):
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunks(*bodies, end=b"0\r\n\r\n"):
    head = HALF + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(b), b) for b in bodies) + end


def says(status, *lines):
    return b"\r\n".join([b"HTTP/1.1 " + status, *lines, b"Content-Length: 0", b"", b""])


def drip(answer, pause_s=0.05):
    for byte in answer:
        time.sleep(pause_s)
        yield bytes([byte])


def drip_body(answer):
    yield answer[:-99]
    yield from drip(answer[-99:])


def flood(head, piece):
    yield head
    while True:
        yield piece


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """Two folders, each with an authority and a server's certificate and key."""
    folders = [tmp_path_factory.mktemp(name) for name in ("trusted", "foreign")]
    for folder in folders:
        Authority(folder).issue([NAME], folder)
    return folders


@pytest.fixture(scope="module")
def hashed(authorities):
    """What OpenSSL looks for in a folder of authorities."""
    return shown("x509", "-hash", "-noout", "-in", authorities[0] / "ca.crt") + ".0"


def shown(*argv):
    return subprocess.check_output(["openssl", *argv], text=True).strip()


@pytest.fixture(autouse=True)
def no_proxy_of_ours(monkeypatch):
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def trust(authorities, hashed):
    """A function: this host's own authorities have the first of ours among them."""
    return lambda: shutil.copy(authorities[0] / "ca.crt", f"/etc/ssl/certs/{hashed}")


def serving(handle):
    """The port of loopback where each connection is handled by a thread of its own."""
    server = socket.create_server(("127.0.0.1", 0), backlog=128)

    def accept():
        while True:
            with contextlib.suppress(OSError):
                args = (server.accept()[0],)
                threading.Thread(target=quietly, args=args, daemon=True).start()

    def quietly(connection):
        with connection, contextlib.suppress(OSError):
            handle(connection)

    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]


def head_of(connection):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1) or b"\r\n\r\n"
    return head.decode()


def web(folder, answers, heads=None, context=None):
    """A site that gives each name the bytes, or the pieces of them, that it has for it."""
    context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")

    def handle(connection):
        with context.wrap_socket(connection, server_side=True) as secure:
            head = head_of(secure)
            if heads is not None:
                heads.append(head)
            answer = answers[head.split()[1].split("/")[-1][: -len(".keys")]]
            for piece in [answer] if isinstance(answer, bytes) else answer():
                secure.sendall(piece)

    return serving(handle)


def asked(port, *names, deadline_s=20.0, host=NAME, pinned=PINNED):
    return ask(Site(f"https://{host}:{port}", pinned), names, deadline_s)


def problem(port, **options):
    """What ada's answer says is wrong; then it says nothing else."""
    keys, left_out, why = asked(port, "ada", **options)["ada"]
    assert (keys, left_out) == ((), ())
    assert why.isascii()
    assert why.isprintable()
    return why


def test_keys_arrive(authorities, trust):
    trust()
    heads = []
    weak = ANSWER + f"{DSA}\n".encode()
    answers = {"ada": whole(ANSWER), "grace": chunks(weak), "gus": whole(b"")}
    answers["rita"] = chunks(ANSWER[:7], ANSWER[7:8], ANSWER[8:])
    found = asked(web(authorities[0], answers, heads), *answers)
    assert list(found) == list(answers)
    assert {name: answer.problem for name, answer in found.items()} == dict.fromkeys(
        answers, ""
    )
    for name in ("ada", "grace", "rita"):
        keys = [key.fingerprint for key in found[name].keys]
        assert keys == [fingerprint for _, fingerprint in GOOD]
    assert [len(answer.left_out) for answer in found.values()] == [0, 1, 0, 0]
    assert found["gus"] == ((), (), "")
    assert len(heads) == 4
    for head in heads:
        assert f"\r\nHost: {NAME}:" in head
        assert "\r\nUser-Agent: backend-server\r\n" in head
        assert "\r\nAccept-Encoding: identity\r\n" in head


ELSEWHERE = b"Location: https://evil.example/\x1b[2J"
BAD = {
    "404": (says(b"404 Not Found"), "no such account (404)"),
    "403": (says(b"403 Forbidden"), "it answered 403 Forbidden"),
    "429": (says(b"429 Too Many Requests"), "it answered 429 Too Many Requests"),
    "500": (says(b"500 "), "it answered 500"),
    "502": (says(b"502 \x1b]0;x\x07"), r"it answered 502 \x1b]0;x\x07"),
    "503": (says(b"503 Away", b"Retry-After: 9"), "it answered 503 Away"),
    "204": (says(b"204 No Content"), "it answered 204"),
    "206": (whole(ANSWER).replace(b"200 OK", b"206 Part"), "it answered 206 Part"),
    "301": (says(b"301 Moved", ELSEWHERE), r"sends us to https://evil.example/\x1b[2J"),
    "302": (says(b"302 Found", b"Location: /login"), "sends us to /login"),
    "307": (says(b"307 X", b"Location: http://" + b"x" * 999), "sends us to http://xx"),
    "html": (whole(b"<html>", HALF.replace(b"plain", b"html")), "text/html; charset"),
    "typeless": (whole(ANSWER, b"HTTP/1.1 200 OK\r\n"), "with no type; wanted"),
    "page": (whole(b"<!DOCTYPE html>\n"), "line 1 of the answer: "),
    "options": (whole(ANSWER + b'command="id" ' + ANSWER), "line 5 of the answer: "),
    "large": (whole(ANSWER.ljust(MAX_BYTES + 1, b"\n")), "at most 65536 bytes"),
    "liar": (HALF + b"Content-Length: 99999999999\r\n\r\n" + ANSWER, "at most 65536"),
    "chunky": (chunks(*[b"\n" * 999] * 99), "at most 65536 bytes"),
    "short": (whole(ANSWER)[:-1], "cut short"),
    "bodiless": (HALF + b"Content-Length: 9\r\n\r\n", "cut short"),
    "unended": (chunks(ANSWER, end=b""), "cut short"),
    "cut-chunk": (chunks(ANSWER)[:-9], "cut short"),
    "odd-chunk": (chunks(end=b"zz\r\n" + ANSWER), "cut short"),
    "below-zero": (chunks(end=b"-1\r\n" + ANSWER), "cut short"),
    "far-below": (chunks(end=b"-5\r\n" + ANSWER), ""),
    "no-length": (HALF + b"Connection: close\r\n\r\n" + ANSWER, "has no length"),
    "odd-length": (HALF + b"Content-Length: x\r\n\r\n" + ANSWER, "has no length"),
    "nothing": (b"", "closed connection"),
    "half-head": (HALF, "has no length"),
    "no-http": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
    "long-line": (b"HTTP/1.1 200 " + b"x" * 99999, "does not speak HTTP"),
    "headers": (HALF + b"A: b\r\n" * 999 + b"\r\n", "does not speak HTTP"),
    "zipped": (whole(b"\x1f\x8b\x08\0\0"), "line 1 of the answer: "),
    "hundreds": (lambda: flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "goes on after"),
    "endless": (
        lambda: flood(HALF + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", b"x" * 4096),
        "",
    ),
}


def test_bad_answers(authorities, trust):
    trust()
    port = web(authorities[0], {name: answer for name, (answer, _) in BAD.items()})
    found = asked(port, *BAD)
    for name, (_, wanted) in BAD.items():
        keys, left_out, why = found[name]
        assert (keys, left_out) == ((), ()), name
        assert why, name
        assert wanted in why, name
        assert why.isascii(), name
        assert why.isprintable(), name
        assert len(why) < 300, name


def test_a_certificate_of_a_stranger(authorities, trust):
    trust()
    foreign = web(authorities[1], {"ada": whole(ANSWER)})
    assert problem(foreign).startswith("its certificate is not trusted: ")


def test_a_certificate_for_another_name(authorities, trust):
    trust()
    port = web(authorities[0], {"ada": whole(ANSWER)})
    why = problem(port, host="other.example")
    assert why.startswith("its certificate is not trusted: ")
    assert "other.example" in why


def test_the_environment_names_no_authority(authorities, hashed, place):
    port = web(authorities[0], {"ada": whole(ANSWER)})
    os.environ["SSL_CERT_FILE"] = str(authorities[0] / "ca.crt")
    os.environ["SSL_CERT_DIR"] = str(place)
    shutil.copy(authorities[0] / "ca.crt", place / hashed)
    assert len(ssl.create_default_context().get_ca_certs()) == 1  # others do as it says
    assert problem(port).startswith("its certificate is not trusted: ")


def test_old_tls(authorities, trust):
    trust()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    port = web(authorities[0], {"ada": whole(ANSWER)}, context=context)
    assert problem(port).startswith("TLS with it fails: ")


def test_a_port_without_tls():
    plain = serving(lambda connection: connection.sendall(whole(ANSWER)))
    assert problem(plain).startswith("TLS with it fails: ")
    hung_up = serving(lambda connection: None)
    assert problem(hung_up)


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert problem(port) == "Connection refused"


def test_an_address_that_is_not_https():
    for base in ("http://github.example", "github.example", "https://", "file:///etc"):
        with pytest.raises(Refused, match="wanted https://"):
            Site(base, {})
    with pytest.raises(Refused):
        Site("https://ada:secret@github.example", {})


@pytest.mark.parametrize(
    ("date", "stamp"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480),
        ("Wed, 21 Oct 2037 07:28:00 GMT", 2139722880),
        ("yesterday", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT, Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("", None),
    ],
)
def test_the_time_that_an_answer_has(authorities, trust, date, stamp):
    """Not by this host's clock, which may be the one that is wrong; odd ones cost no key."""
    head = HALF + (f"Date: {date}\r\n".encode() if date else b"")
    trust()
    port = web(authorities[0], {"ada": whole(ANSWER, head)})
    site = Site(f"https://{NAME}:{port}", PINNED)
    assert len(ask(site, ["ada"], 20.0)["ada"].keys) == len(GOOD)
    up = time.clock_gettime(time.CLOCK_BOOTTIME)
    if stamp is None:
        assert site.booted == ""
    else:
        assert float(site.booted) == pytest.approx(stamp - up, abs=60)


def drip_tls(connection):
    for byte in drip(b"\x16\x03\x03\x20\0" + bytes(200)):
        connection.sendall(byte)


def test_silence_in_tls_and_before_it():
    """One takes the call and says nothing, one says little, and one has a full queue."""
    port = serving(lambda connection: time.sleep(9))
    started = time.monotonic()
    assert problem(port, deadline_s=1) == "no answer in 0.5 s"
    assert problem(serving(drip_tls), deadline_s=1) == "no answer in 0.5 s"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
        port = server.getsockname()[1]
        assert problem(port, deadline_s=1) == "no answer in 0.5 s"
    assert time.monotonic() - started < 5


def test_a_hundred_people_of_whom_some_are_slow(authorities, trust):
    """As many slow ones as are asked at once, and all of them first."""
    trust()
    slow = {f"slow{n}": lambda: drip(whole(ANSWER), 1) for n in range(AT_ONCE)}
    quick = {f"quick{n}": whole(ANSWER) for n in range(100 - AT_ONCE)}
    port = web(authorities[0], {**slow, **quick})
    started = time.monotonic()
    found = asked(port, *slow, *quick, deadline_s=8)
    assert time.monotonic() - started < 11
    assert {found[name].problem for name in quick} == {""}
    assert {found[name].problem for name in slow} == {"no answer in 4 s"}


def test_when_all_are_slow_the_deadline_holds(authorities, trust):
    trust()
    slow = {f"head{n}": lambda: drip(whole(ANSWER)) for n in range(30)}
    slow.update({f"body{n}": lambda: drip_body(whole(ANSWER)) for n in range(30)})
    started = time.monotonic()
    found = asked(web(authorities[0], slow), *slow, deadline_s=1)
    assert time.monotonic() - started < 3
    assert list(found) == list(slow)
    assert all(answer.problem.startswith("no answer in ") for answer in found.values())


def proxy(port, heads, answer=b"HTTP/1.1 200 Go\r\n\r\n"):
    """Whatever name it is asked for, it connects to this port of loopback."""

    def handle(connection):
        heads.append(head_of(connection))
        connection.sendall(answer)
        with socket.create_connection(("127.0.0.1", port)) as there:
            back = threading.Thread(target=pump, args=(there, connection), daemon=True)
            back.start()
            pump(connection, there)
            back.join()

    return serving(handle)


def pump(source, target):
    with contextlib.suppress(OSError):
        while True:
            piece = source.recv(4096)
            target.sendall(piece)
            if not piece:
                target.shutdown(socket.SHUT_WR)
                return


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY"])
def test_through_a_proxy_that_finds_the_address(authorities, trust, variable):
    trust()
    heads = []
    port = web(authorities[0], {"ada": whole(ANSWER)})
    where = f"127.0.0.1:{proxy(port, heads)}"
    unreachable = {NAME: "127.0.0.255"}
    for url in (f"http://{where}", where, f"http://ada:p%40ss@{where}/"):
        os.environ[variable] = url
        (answer,) = asked(port, "ada", pinned=unreachable).values()
        assert (len(answer.keys), answer.problem) == (4, "")
    assert len(heads) == 3
    for head in heads:
        assert head.startswith(f"CONNECT {NAME}:{port} HTTP/1.")
    user = base64.b64encode(b"ada:p@ss").decode()
    assert f"Proxy-Authorization: Basic {user}\r\n" in heads[2]
    assert "Proxy-Authorization" not in heads[0]


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_a_name_that_needs_no_proxy(authorities, trust, variable):
    trust()
    os.environ["https_proxy"] = "http://127.0.0.1:1"
    port = web(authorities[0], {"ada": whole(ANSWER)})
    assert problem(port) == "Connection refused"
    os.environ[variable] = "localhost, .example"
    assert len(asked(port, "ada")["ada"].keys) == 4


def test_proxies_that_do_not_help(authorities, trust):
    trust()
    port = web(authorities[0], {"ada": whole(ANSWER)})
    no = proxy(port, [], b"HTTP/1.1 407 \x1b[2J\r\n\r\n")
    os.environ["https_proxy"] = f"http://127.0.0.1:{no}"
    assert problem(port) == r"Tunnel connection failed: 407 \x1b[2J"
    mute = serving(lambda connection: time.sleep(9))
    os.environ["https_proxy"] = f"http://127.0.0.1:{mute}"
    assert problem(port, deadline_s=1) == "no answer in 0.5 s"
    for odd in (
        "https://127.0.0.1:1",
        "http://",
        "http://x:y:z",
        "http://[",
        "ftp://x",
    ):
        os.environ["https_proxy"] = odd
        assert problem(port) == "https_proxy names no proxy; wanted http://NAME:PORT"
    os.environ["https_proxy"] = f"http://127.0.0.1:{proxy(port, [])}"
    why = problem(port, host="other.example")
    assert why.startswith("its certificate is not trusted: ")
