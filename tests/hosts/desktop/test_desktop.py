"""The remote desktop as reviewers have it, with a real client: what they see, open, save and lock."""

from __future__ import annotations

import pytest

from sandbox.controller import MODERATE
from tests.hosts.airlock.asking import be_shown
from tests.hosts.desktop.desktops import (
    BACKGROUND,
    PASSWORD,
    SHOTS,
    WORK,
    as_gus,
    desktop_is_up,
    end_all,
    fresh_desktop,
    host_with_desktop,
    in_session,
    sessions_of,
)
from tests.hosts.desktop.remote import judged, looking
from tests.hosts.managing import manage
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("desktop")

# Colours that no desktop has by itself: where they are on the client's screen, the file is seen.
IMAGE, PAGE, DOCUMENT = "#C0FFEE", "#FACADE", "#BADA55"
JOB = """
import struct, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
rows = (b"\\0" + bytes.fromhex("C0FFEE") * 200) * 200
png = chunk(b"IHDR", struct.pack(">IIBBBBB", 200, 200, 8, 2, 0, 0, 0))
png += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
open("plot.png", "wb").write(b"\\x89PNG\\r\\n\\x1a\\n" + png)
open("page.html", "w").write("<body style='background: #FACADE'><h1>Weekly counts</h1></body>")
draw = b"0.7294 0.8549 0.3333 rg 0 0 400 300 re f"
open("document.pdf", "wb").write(
    b"%%PDF-1.4\\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 300]/Contents 4 0 R>>endobj\\n"
    b"4 0 obj<</Length %d>>stream\\n%s\\nendstream endobj\\n"
    b"trailer<</Root 1 0 R>>\\n" % (len(draw), draw)
)
open("counts.csv", "w").write("sex,n\\nF,3120\\nM,2870\\n")
open("notes.txt", "w").write("first line\\n")
"""
FILES = ("plot.png", "page.html", "document.pdf", "counts.csv", "notes.txt")
FOLDER = f"{WORK}/study"


@pytest.fixture(scope="module")
def host(shared_warm_host, sandbox):
    """As after a first run, with what a job has written."""
    host = host_with_desktop(shared_warm_host, legacy_cgroups=True)
    controller = sandbox.outside.controller
    job = controller.add(
        "emis",
        *("-c", JOB),
        outputs=dict.fromkeys(FILES, MODERATE),
        workspace="study",
        level4_file_types=[".csv", ".txt", ".png", ".html", ".pdf"],
    )
    results = controller.wait(job.task, timeout_s=120)["results"]
    controller.reset()
    assert results["exit_code"] == 0, results
    assert set(FILES) < set(host.run(f"ls {FOLDER}").stdout.split())
    host.run("backend host repair")
    assert host.run(f"stat -c %a {FOLDER}").stdout == "3770\n"
    be_shown(host)
    return host


@pytest.fixture(scope="module")
def client(host):
    """A client that looks at a desktop which has just come up, with the job's workspace open."""
    with fresh_desktop(host) as client:
        client.shot(SHOTS / "desktop.png")
        client.type("study")
        client.do("key", "Return")
        wait_until(client.still, 30)
        yield client


def open_file(client, name):
    """Afterwards its window is there, and drawn."""
    client.type(name)
    wait_until(client.still, 30)
    before = client.windows()
    client.do("key", "Return")
    wait_until(lambda: client.windows() != before and client.still(), 60)


def take_action(client, above=1):
    """That of the file manager's menu which is so far above Properties, for what is selected."""
    client.do("key", "Menu")
    wait_until(client.still, 30)
    client.shot(SHOTS / f"menu-{above}.png")
    client.do("key", "Up", *["Up"] * above, "Return")


def take_last_action(client):
    """The one above Properties, which opens a window."""
    before = client.windows()
    take_action(client)
    wait_until(lambda: client.windows() != before and client.still(), 60)


def runs(host, name):
    return host.run(f"pgrep -u gus -f {name}", check=False).returncode == 0


def close(host, client, name):
    client.do("key", "alt+F4")
    wait_until(lambda: not runs(host, name))
    wait_until(client.still, 30)


def test_text_is_read_edited_and_saved(host, client):
    """As a person does it: keys at the client. The screenshots are to be looked at."""
    open_file(client, "notes.txt")
    assert runs(host, "mousepad")
    client.do("key", "ctrl+End")
    client.type("reviewed")
    client.do("key", "ctrl+s")
    wait_until(lambda: "first line\nreviewed" in host.read(f"{FOLDER}/notes.txt"), 30)
    client.shot(SHOTS / "edited.png")
    close(host, client, "mousepad")


def test_a_table_is_looked_at_and_changed_as_text(host, client):
    """A spreadsheet would write 0.300 as 0.3, or its own format under the name of a CSV."""
    before = host.read(f"{FOLDER}/counts.csv")
    open_file(client, "counts.csv")
    assert runs(host, "gnumeric")
    client.shot(SHOTS / "table.png")
    client.do("key", "Down")
    client.type("changed")
    for key in ("Return", "ctrl+s", "Return", "Return", "Return"):
        client.do("key", key)
        wait_until(client.still, 30)
    assert host.read(f"{FOLDER}/counts.csv") == before
    host.run("pkill -u gus gnumeric")
    wait_until(client.still, 30)
    client.type("counts.csv")
    client.do("key", "Escape")
    take_last_action(client)
    assert runs(host, "mousepad")
    client.do("key", "ctrl+End")
    client.type("redacted")
    client.do("key", "ctrl+s")
    wait_until(lambda: host.read(f"{FOLDER}/counts.csv") == before + "redacted", 30)
    close(host, client, "mousepad")


def test_a_change_is_compared_with_what_the_job_made_and_taken_back(host, client):
    """By the file manager's menu; the edit stays beside it."""
    changed, made = host.read(f"{FOLDER}/counts.csv"), "sex,n\nF,3120\nM,2870\n"
    assert changed != made
    client.type("counts.csv")
    client.do("key", "Escape")
    before = client.windows()
    take_action(client, above=3)
    wait_until(lambda: runs(host, "meld.*review/study/counts.csv"), 60)
    wait_until(lambda: client.windows() != before and client.still(), 60)
    client.shot(SHOTS / "change.png")
    close(host, client, "meld")
    take_action(client, above=2)
    wait_until(lambda: host.read(f"{FOLDER}/counts.csv") == made, 30)
    kept = host.run(f"cat {FOLDER}/counts.edited-2*Z.csv").stdout
    assert kept == changed
    host.run(f"rm {FOLDER}/counts.edited-*")
    wait_until(client.still, 30)


@pytest.mark.parametrize(
    ("name", "program", "colour"),
    [
        ("plot.png", "ristretto", IMAGE),
        ("page.html", "airlock.window", PAGE),
        ("document.pdf", "evince", DOCUMENT),
    ],
)
def test_what_else_is_looked_at(host, client, name, program, colour):
    assert not client.shows(colour)
    open_file(client, name)
    wait_until(lambda: client.shows(colour), 30)
    client.shot(SHOTS / f"{program}.png")
    close(host, client, program)
    assert not client.shows(colour)


def test_two_versions_are_compared(host, client):
    """By the action in the file manager's own menu, of two files that are selected."""
    client.type("notes.txt")
    client.do("key", "Escape")
    client.do("key", "shift+Down")
    take_last_action(client)
    assert runs(host, "meld.*notes.txt.*page.html")
    client.shot(SHOTS / "compared.png")
    close(host, client, "meld")


STARTER = "[Desktop Entry]\nType=Application\nName=x\nExec=touch /home/gus/started\n"


def test_nothing_of_a_job_s_is_started_by_a_double_click(host, client):
    """A program, and what names one, as executable as a job can make them; a reviewer's own are."""
    own = "/home/gus/own"
    made = "cp /usr/bin/mousepad aprogram; cat >astarter.desktop; chmod 775 a*"
    host.run(f"cd {FOLDER}; {made}; chown opensafely: a*", stdin=STARTER)
    host.run(f"mkdir {own}; cp {FOLDER}/a* {own}; chown -R gus: {own}")
    for folder, starts in ((FOLDER, False), (own, True)):
        host.run(in_session(host, f"thunar {folder} >/dev/null 2>&1 &"))
        wait_until(client.still, 30)
        for name in ("aprogram", "astarter"):
            double_clicked(client, name)
            client.shot(SHOTS / f"{name}-{starts}.png")
            program = f"pgrep -u gus -f '^{folder}/aprogram'"
            found = program if name == "aprogram" else "ls /home/gus/started"
            assert (host.run(found, check=False).returncode == 0) is starts
            host.run("pkill -u gus aprogram", check=False)
            client.do("key", "Escape")
            wait_until(client.still, 30)
        client.do("key", "alt+F4")
        wait_until(client.still, 30)
    host.run(f"rm -r {FOLDER}/a* {own}; rm /home/gus/started")


def double_clicked(client, name):
    """The key does the same."""
    client.type(name)
    client.do("key", "Escape")
    before = client.pixels()
    client.do("key", "Return")
    wait_until(lambda: client.pixels() != before and client.still(), 60)


def test_high_privacy_is_not_theirs(host, client):
    seen = host.run(as_gus("ls /srv/high_privacy"), check=False)
    assert "Permission denied" in seen.stderr
    assert host.run(as_gus("ls /srv/medium_privacy/workspaces")).stdout == "study\n"


# Thunar where the session's bus was the first to start it.
FILE_MANAGER = "/proc/$(pgrep -u gus -ox '[Tt]hunar')"


def test_the_log_of_logins_knows_whose_it_is(host, client):
    found = host.run(f"cat {FILE_MANAGER}/loginuid").stdout
    assert found == host.run("id -u gus").stdout.strip()


def test_no_core_file_has_what_a_reviewer_saw(host, client):
    limits = host.run(f"cat {FILE_MANAGER}/limits").stdout
    assert limits.partition("Max core file size")[2].split()[:2] == ["0", "0"]


def test_the_screen_is_locked_until_the_password(host, client):
    """Once nobody has touched it for as long as the session says; here for two seconds."""
    assert client.shows(BACKGROUND)
    assert "timeout:  600" in host.run(in_session(host, "xset q")).stdout
    host.run(in_session(host, "xset s 2 2"))
    wait_until(lambda: runs(host, "^xsecurelock"), 30)
    host.run(in_session(host, "xset s 600 600"))
    wait_until(lambda: not client.shows(BACKGROUND), 30)
    for password in ("wrong", PASSWORD):
        assert runs(host, "^xsecurelock")
        client.type(password)
        client.do("key", "Return")
        wait_until(client.still, 30)
    wait_until(lambda: client.shows(BACKGROUND), 30)
    assert not runs(host, "^xsecurelock")
    host.run("faillock --user gus --reset")


def began(host):
    return [line.partition("since")[2] for line in sessions_of(host)]


def test_it_goes_on_without_a_client_until_its_end(host):
    """A client that is gone is no loss; a session that nobody comes back to ends."""
    with looking(host, "gus", PASSWORD):
        wait_until(lambda: desktop_is_up(host), 60)
    found = began(host)
    assert len(found) == 1
    assert judged(host, "gus", PASSWORD)
    assert began(host) == found, "the same session again"
    end_all(host)
    # 60 s is the least that sesman takes; it counts by the minute.
    host.run(
        "sed -i 's/^DisconnectedTimeLimit=.*/DisconnectedTimeLimit=60/; "
        "s/^IdleTimeLimit=.*/IdleTimeLimit=10/' /etc/xrdp/sesman.ini; "
        "systemctl restart xrdp-sesman; systemctl restart xrdp"
    )
    with looking(host, "gus", PASSWORD) as client:
        wait_until(lambda: desktop_is_up(host), 60)
        wait_until(lambda: client.process.poll() is not None, 60)
        wait_until(lambda: not sessions_of(host), 180)
    # The account's own manager takes some seconds more.
    wait_until(lambda: not host.run("pgrep -u gus", check=False).stdout)
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
