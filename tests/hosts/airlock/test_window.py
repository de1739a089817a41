"""The window on Airlock, in a real session on a real remote desktop: it shows one page, and nothing leaves it."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest

from sandbox.airlock.__main__ import COLOURS
from sandbox.fixtures import quiet_timer
from tests.hosts.airlock import windows
from tests.hosts.airlock.asking import lay
from tests.hosts.airlock.page import PAGE, SAID
from tests.hosts.airlock.windows import NAME, OUTPUT, Window
from tests.hosts.desktop.desktops import (
    CANARY,
    SHOTS,
    as_gus,
    fresh_desktop,
    host_with_desktop,
    in_session,
)
from tests.hosts.managing import manage
from tests.hosts.programs import in_background, wait_until


pytestmark = pytest.mark.share("Airlock")

GREEDY = Path(__file__).parent.parent / "desktop/greedy.py"
FILE, RAN, FRAMED = "#BADA55", "#FF0000", "#00FF00"
HTML = f"""<body style="background: {FILE}"><h1>Weekly counts {CANARY}</h1>
<img src="http://198.51.100.10/i.png"><img src="file:///etc/hostname">
<iframe src="http://198.51.100.10/"></iframe><iframe src="https://{NAME}/"></iframe>
<meta http-equiv="refresh" content="1; url=http://198.51.100.10/left">
<script>document.body.style.background = "{RAN}"</script>
<a href="https://{NAME}/" style="font-size: 60px">Airlock</a>
"""


@pytest.fixture(scope="module")
def host(shared_warm_host):
    """Airlock runs on it, and later something else in its place."""

    def warm(backend, shape=(), **how):
        # What keeps timers quiet is a drop-in that a run refuses.
        shape = [each for each in shape if each is not quiet_timer]
        return shared_warm_host(backend, shape=shape, **how)

    return host_with_desktop(warm, reviewers=("gus", "hal", "ida"))


@pytest.fixture(scope="module")
def page(host):
    """Another page stands for Airlock's, which tries what none of Airlock's does."""
    host.run("systemctl stop opensafely-airlock.service")
    windows.serve(host)


@pytest.fixture(scope="module")
def client(host):
    with fresh_desktop(host) as client:
        yield client


@pytest.fixture
def window(host, client, page):
    window = Window(host, client)
    yield window
    window.close()


def test_a_run_finds_all_as_declared(host):
    done = manage(host, "--offline", backend="emis")
    assert "as declared (" in done.stdout, done.stdout + done.stderr


def test_it_shows_the_page_and_what_is_typed_arrives(host, client, window):
    window.open_from_desktop()
    wait_until(lambda: client.shows(PAGE), 60)
    client.shot(SHOTS / "airlock.png")
    wait_until(lambda: "Login now | Airlock" in window.titles(), 30)
    assert not [each for each in window.titles() if "<" in each]
    client.type("two words")
    client.do("key", "Return")
    wait_until(lambda: client.shows(SAID), 30)
    client.shot(SHOTS / "airlock-said.png")
    assert "SAID said=two+words" in windows.asked(host)


def test_nothing_of_elsewhere_is_asked_for(host, client, window, lab):
    """The page asks for images, frames and more of elsewhere, and would go there itself."""
    before = lab.rejected()
    window.open()
    wait_until(lambda: client.shows(PAGE), 60)
    wait_until(lambda: "/stayed" in windows.asked(host), 60)
    assert client.shows(PAGE), "it has gone elsewhere"
    said = window.said()
    for place in ("198.51.100.10", "127.0.0.1", "another.example", f"{NAME}:444"):
        assert f"//{place}/" in said, said
    found = windows.asked(host)
    assert "/script" in found
    assert "/reached" not in found
    assert all(NAME in line for line in found.splitlines() if line.startswith("/"))
    assert lab.rejected() == before


def test_its_network_is_its_own(host, client, window):
    """Whatever the engine did: in it there is one port, which leads to Airlock."""
    window.open()
    wait_until(lambda: client.shows(PAGE), 60)
    assert window.inside("ip -o addr").count("inet ") == 1
    assert window.inside("ss -Hltn").split()[3] == "127.0.0.1:443"
    assert window.inside(f"{windows.CURL} https://127.0.0.1/").startswith("<!DOCTYPE")
    for place in ("127.0.0.1:22", "127.0.0.1:3389", "198.51.100.10:80"):
        assert not window.inside(f"{windows.CURL} http://{place}/")
    # Not in it: the same address is a place with nobody.
    outside = in_session(host, f"{windows.CURL} https://127.0.0.1/ || echo none")
    assert host.run(outside).stdout == "none\n"


def test_what_draws_pages_is_shut_in(host, client, window):
    window.open()
    wait_until(lambda: client.shows(PAGE), 60)
    assert window.drawn_apart()


def test_nothing_of_it_is_on_disk(host, client, window):
    """But for the cookie, which goes on after a restart."""
    window.open()
    wait_until(lambda: client.shows(PAGE), 60)
    wait_until(lambda: "/stayed" in windows.asked(host), 60)
    client.do("mousemove", *windows.DOWNLOAD, "click", "1")
    wait_until(lambda: "/download" in windows.asked(host), 30)
    keys = ("ctrl+s", "ctrl+p", "ctrl+u", "F12", "ctrl+shift+i", "ctrl+o", "alt+Left")
    for key in keys:
        client.do("key", key)
    wait_until(client.still, 30)
    assert client.shows(PAGE)
    window.close()
    assert windows.kept(host) == ""
    assert "out.csv" not in host.run("find /home /srv -name 'out*'").stdout
    host.write("/home/gus/control", CANARY)  # the search would have found it
    assert windows.kept(host) == "/home/gus/control\n"
    host.run("rm /home/gus/control")
    window.open()
    wait_until(lambda: client.shows(PAGE), 60)
    wait_until(lambda: "/stayed" in windows.asked(host), 60)
    assert f"/ {NAME} sessionid=kept\n" in windows.asked(host)
    assert "sessionid=kept;" not in windows.asked(host), "there are two of it"


@pytest.mark.parametrize("wrong", ["certificate", "nobody", "socket"])
def test_it_refuses_who_is_not_airlock(host, client, window, wrong):
    with windows.wrong(host, wrong):
        window.open()
        wait_until(lambda: window.said(), 60)
        wait_until(client.still, 30)
        client.shot(SHOTS / f"airlock-{wrong}.png")
        assert windows.SENTENCES[wrong] in window.said()
        assert not client.shows(PAGE)
    assert "SAID" not in windows.asked(host)


def test_without_a_sandbox_it_refuses(host, client, window):
    """As where AppArmor lets nobody make a user namespace; and where only the engine may not."""
    window.open(before=windows.NO_NAMESPACES)
    wait_until(lambda: "user namespace" in window.said(), 60)
    wait_until(client.still, 30)
    client.shot(SHOTS / "airlock-no-sandbox.png")
    window.close()
    window.open(before=windows.ONE_NAMESPACE)
    wait_until(lambda: "not shut in" in window.said(), 60)
    assert "/ " not in windows.asked(host)


def test_a_page_of_a_file_runs_nothing_and_asks_nobody(host, client, window, lab):
    host.write(OUTPUT, HTML)
    host.run(
        f"chown opensafely:opensafely {OUTPUT}; setfacl -m g:reviewers:rw {OUTPUT}"
    )
    before = lab.rejected()
    window.open_file("page.html")
    wait_until(lambda: client.shows(FILE), 60)
    wait_until(client.still, 30)
    client.shot(SHOTS / "airlock-file.png")
    client.do("key", "Tab", "Return")  # the link
    wait_until(client.still, 30)
    assert client.shows(FILE)
    assert not client.shows(RAN)
    assert not client.shows(PAGE)
    assert window.inside("ss -Hltn") == ""
    assert windows.asked(host) == ""
    assert lab.rejected() == before


def test_the_older_engine_does_the_same(host, client, window):
    """PyQt5, which is all that some releases have."""
    with windows.older_engine(host):
        window.open()
        wait_until(lambda: client.shows(PAGE), 60)
        wait_until(lambda: "/stayed" in windows.asked(host), 60)
        client.shot(SHOTS / "airlock-older.png")
        assert "//another.example/" in window.said()
        assert window.drawn_apart()
        client.type("two words")
        client.do("key", "Return")
        wait_until(lambda: client.shows(SAID), 30)
        window.close()
        assert windows.kept(host) == ""
        with windows.wrong(host, "certificate"):
            window.open()
            wait_until(lambda: windows.SENTENCES["certificate"] in window.said(), 60)
            window.close()
        window.open(OUTPUT)
        wait_until(lambda: client.shows(FILE), 60)
        window.close()


def test_others_do_not_reach_it(host, client):
    """Reviewers by their socket alone; others not by that; a reviewer never by the port."""
    ask = f"{windows.CURL} --unix-socket {windows.SOCKET} https://{NAME}/ | head -c 9"
    assert host.run(as_gus(ask)).stdout == "<!DOCTYPE"
    as_rita = ask.join(("setpriv --reuid rita --regid rita --init-groups sh -c '", "'"))
    assert host.run(as_rita, check=False).stdout == ""
    port = f"{windows.CURL} https://127.0.0.1/ | head -c 9"
    assert host.run(as_gus(port), check=False).stdout == ""
    assert host.run(port).stdout == "<!DOCTYPE"


@contextlib.contextmanager
def at_airlock(host, client, name, releases, where):
    """In a window of their own, logged in by keyboard; WHERE the newest request is, they see."""
    window = Window(host, client, name)
    window.open()
    wait_until(lambda: client.shows(COLOURS["Login"]), 60)
    client.type(name)
    client.do("key", "Tab")
    client.type(releases.login(name))
    client.do("key", "Return")
    wait_until(lambda: client.shows(COLOURS[where]), 60)
    yield window
    window.close()


def press(client, then):
    """The button that stands at the request, and has the keys once the page is still."""
    wait_until(client.still, 60)
    client.do("key", "Return")
    wait_until(lambda: client.shows(COLOURS[then]), 60)


def requests(host):
    lines = manage(host, "outputs releases", backend="emis").stdout.splitlines()
    return [re.sub(" +", " ", line) for line in lines]


def test_what_is_asked_for_is_reviewed_and_arrives_once(host, client, page, outside):
    """By the window, the relay and the container, where that page is no more.

    Of three people at the desktop one asks, two review, and one of them releases.
    """
    releases, data = outside.releases, "sex,n\nF,3120\n"
    host.run("systemctl stop page")
    assert manage(host, "service start airlock", backend="emis").returncode == 0
    lay(host, "counts.csv", data, "trial")
    releases.workspace("trial")
    releases.person("gus", ["trial"], checker=True)
    with at_airlock(host, client, "gus", releases, "Requests"):
        client.type("trial")
        client.do("key", "Tab")
        client.type("counts.csv")
        client.do("key", "Return")
        wait_until(lambda: client.shows(COLOURS["SUBMITTED"]), 60)
        press(client, "Error")  # as its author
        client.shot(SHOTS / "airlock-own.png")
    steps = {"hal": ("SUBMITTED", "PARTIALLY_REVIEWED")}
    steps["ida"] = ("PARTIALLY_REVIEWED", "REVIEWED")
    for name, (before, after) in steps.items():
        releases.person(name, checker=True)
        with contextlib.ExitStack() as stack:
            theirs = stack.enter_context(fresh_desktop(host, name))
            stack.enter_context(at_airlock(host, theirs, name, releases, before))
            press(theirs, after)
            theirs.shot(SHOTS / f"airlock-{name}.png")
            (line,) = requests(host)
            assert f"{after} since" in line, line
            assert line.endswith("of trial by gus: 0 of 1 files have arrived")
            assert releases.released() == []
            if after == "REVIEWED":
                press(theirs, "APPROVED")
    wait_until(lambda: requests(host)[0].startswith("RELEASED since"), 60)
    assert releases.released() == [{"counts.csv": data.encode()}]
    asked = [line for line in outside.requests() if "POST /api/v2/releases/r" in line]
    assert len(asked) == 1, asked
    host.run("systemctl start opensafely-airlock-look.service")
    status = manage(host, "status", backend="emis").stdout
    assert "\nreleases    1 released\n" in status, status


def test_one_reviewer_leaves_room_for_others(host, client):
    """Up to 600 connections that say nothing, of four that Airlock has at a time; somebody else asks."""
    ask = f"{windows.CURL} --unix-socket {windows.SOCKET} https://{NAME}/login/"
    as_rory = f"setpriv --reuid sync --regid reviewers --clear-groups {ask} | head -c 9"
    assert host.run(as_rory).stdout == "<!DOCTYPE"
    host.write("/opt/greedy.py", GREEDY.read_text())
    greedy = as_gus(f"python3 -I -S /opt/greedy.py places {windows.SOCKET}")
    with in_background(host, "sh", "-c", greedy) as program:
        assert int(program.line().split()[1]) > 32
        for _ in range(4):
            assert host.run(as_rory).stdout == "<!DOCTYPE"
