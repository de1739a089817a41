"""Becoming root: a first password, what sudo asks and lets, and who may try su."""

from __future__ import annotations

import re

import pytest

from tests.hosts.doors import desk, heals
from tests.hosts.managing import history, manage, refused, untouched
from tests.hosts.programs import in_background


pytestmark = pytest.mark.share("access")

COMMAND = "sudo opensafely-password"
GOOD = "Plum7-Kettle_Orbit"  # what no record may show
OTHER = "Wagon4+Thimble=Fern"
WEAK = [
    ("Sh0rt!", "BAD PASSWORD: The password is shorter than 14 characters"),
    ("Onlythreekinds77", "BAD PASSWORD: The password contains less than 4 character"),
    ("Password123456!", "BAD PASSWORD: The password fails the dictionary check"),
]
# Everything that programs are told by argv or environment, as long as this runs.
SAMPLER = f"""
import glob, sys
secret, seen, rounds = b"{GOOD}", set(), 0
print("looking", flush=True)
try:
    while True:
        rounds += 1
        for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except OSError:
                continue
            if secret in data and b"looking" not in data:
                seen.add(data)
except BaseException:
    print("rounds", rounds, "seen", sorted(seen), flush=True)
"""


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("emis")


def types(host, name, *words, command=COMMAND):
    """What the command shows, and how it ends, when these are typed at its questions."""
    with desk(host, name, command) as terminal:
        for number, word in enumerate(words, start=1):
            terminal.until(": ", times=number + words_before(terminal), timeout_s=10)
            terminal.type(word + "\n")
        status = terminal.end(timeout_s=30)
    return status, terminal.seen


def words_before(terminal):
    """The banner and the command's explanation hold the same two characters."""
    return len(re.findall(r"(?m)^This is the .*: ", terminal.seen))


def password_of(host, name):
    return host.run(f"getent shadow {name}").stdout.split(":")[1]


# In this order: each goes on from where the one before ended.


@pytest.mark.parametrize(("word", "why"), WEAK)
def test_a_weak_first_password(host, word, why):
    status, shown = types(host, "ada", word, word)
    assert why in shown, shown
    assert status == 1
    assert password_of(host, "ada") == "!"
    assert word not in shown


def test_two_different_words(host):
    status, shown = types(host, "ada", GOOD, OTHER)
    assert "the two were not the same" in shown
    assert status == 2
    assert password_of(host, "ada") == "!"


def test_no_word_at_all(host):
    status, shown = types(host, "ada", "", "")
    assert "empty" in shown
    assert status == 2
    assert password_of(host, "ada") == "!"


def test_without_a_terminal(host):
    ada = host.people["ada"]
    done = host.ssh("ada", ada.key, COMMAND, check=False, stdin=f"{GOOD}\n{GOOD}\n")
    assert done.returncode == 2
    assert "a password is typed on a terminal" in done.stderr + done.stdout
    assert password_of(host, "ada") == "!"


def test_sudo_before_there_is_a_password(host):
    for command in ("id", "opensafely-password x", "-u grace id", "backend apply"):
        done = host.ssh(
            "ada", host.people["ada"].key, f"sudo -n {command}", check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "a password is required" in done.stderr


@pytest.mark.parametrize("name", ["rita", "gus"])
def test_who_may_not_use_sudo(host, name):
    for command in ("id", "opensafely-password", "backend status"):
        done = host.run(f"runuser -u {name} -- sudo -n {command}", check=False)
        assert "Permission denied" in done.stderr
        assert "uid=0" not in done.stdout


def test_a_good_first_password_leaves_no_trace(host):
    host.write("/opt/sampler.py", SAMPLER)
    with in_background(host, "python3", "/opt/sampler.py") as sampler:
        assert sampler.line() == "looking\n"
        status, shown = types(host, "ada", GOOD, GOOD)
        host.run(f"kill -INT {sampler.pid}")
        said = sampler.end()
    assert "ada has a password now" in shown
    assert status == 0
    assert GOOD not in shown
    assert int(said.split()[1]) > 3
    assert said.endswith("seen []\n")
    assert password_of(host, "ada").startswith("$")
    host.run("rm /opt/sampler.py; journalctl --sync || true")
    found = host.run(
        f"grep -rlaF '{GOOD}' /var /home /root /tmp /run /etc; journalctl | grep -F '{GOOD}'",
        check=False,
    )
    assert found.stdout == ""
    assert history(host)[-1]["event"] == "first password"
    assert history(host)[-1]["who"] == "ada"
    assert heals(host)


def test_only_once(host):
    before = password_of(host, "ada")
    status, shown = types(host, "ada")
    assert "ada has a password already, or is locked" in shown
    assert "passwd" in shown
    assert (status, password_of(host, "ada")) == (2, before)


def test_somebody_elses_first_password(host):
    """By way of sudo, though ada may become grace: the kernel knows who logged in."""
    nested = "sudo -k -u grace sudo opensafely-password"
    status, shown = types(host, "ada", GOOD, command=nested)
    assert "the person who logged in is not the one who called sudo" in shown
    assert status == 2
    forged = "sudo -k sh -c 'SUDO_UID=$(id -u grace) opensafely-password'"
    status, shown = types(host, "ada", GOOD, command=forged)
    assert "the person who logged in is not the one who called sudo" in shown
    assert password_of(host, "grace") == "!"
    # A console, where nobody logged in.
    done = host.run("SUDO_UID=4294967295 opensafely-password </dev/null", check=False)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


def test_sudo_asks_for_the_password(host):
    lines = host.run("cat /var/log/sudo.log 2>/dev/null | wc -l", check=False).stdout
    status, shown = types(host, "ada", GOOD, command="sudo -k id")
    assert status == 0
    assert "uid=0(root)" in shown
    log = host.run(f"tail -n +$(({lines.strip()} + 1)) /var/log/sudo.log").stdout
    assert "ada : TTY=" in log.replace("\n    ", " ")
    assert "COMMAND=/usr/bin/id" in log.replace("\n    ", " ")
    assert host.run("stat -c '%a %U' /var/log/sudo.log").stdout == "600 root\n"


def test_a_wrong_password_does_not_do(host):
    status, shown = types(host, "ada", OTHER, OTHER, OTHER, command="sudo -k id")
    assert status == 1
    assert "uid=0" not in shown
    assert "3 incorrect password attempts" in shown


@pytest.mark.parametrize(
    ("command", "fine"),
    [
        ("backend status", (0,)),
        ("backend plan --offline", (0, 3)),
        ("backend status --json", ()),
        ("backend status ;id", ()),
        ("backend plan", ()),
        ("backend plan --offline --only people", ()),
        ("backend apply", ()),
        ("backend", ()),
        ("/srv/backend-server/emis/manage.sh status", ()),
        ("-u rita id", ()),
        ("-i", ()),
    ],
)
def test_what_needs_no_password(host, command, fine):
    """For programs: looking, as a whole; everything else asks."""
    command = command.replace(";", "\\;")
    done = host.ssh("ada", host.people["ada"].key, f"sudo -n {command}", check=False)
    if fine:
        assert done.returncode in fine
        assert "emis" in done.stdout
    else:
        assert (done.returncode, done.stdout) == (1, "")
        assert "a password is required" in done.stderr


def test_passwd_is_as_strict(host):
    before = password_of(host, "ada")
    with desk(host, "ada", "passwd") as terminal:
        terminal.until("Current password: ")
        terminal.type(GOOD + "\n")
        for times, (word, why) in enumerate(WEAK, start=1):
            terminal.until("New password: ", times=times, timeout_s=10)
            terminal.type(word + "\n")
            shown = terminal.until(why, timeout_s=10)
        status = terminal.end(timeout_s=30)
    assert status != 0, shown
    assert password_of(host, "ada") == before
    weak = host.run("echo ada:Sh0rt! | chpasswd", check=False)
    assert "BAD PASSWORD" in weak.stderr
    assert password_of(host, "ada") == before


def test_su_is_for_developers(host):
    rita = host.people["rita"]
    done = host.ssh("rita", rita.key, "su - ada -c id", check=False, stdin=GOOD + "\n")
    assert done.returncode != 0
    assert "assword" not in done.stderr
    assert "uid=" not in done.stdout
    status, shown = types(host, "grace", GOOD, command="su - ada -c id")
    assert "Password:" in shown
    assert "(ada)" in shown
    status, shown = types(host, "grace", OTHER, command="su - ada -c id")
    assert (status, "uid=" in shown) == (1, False)
    assert host.run("su - rita -c 'id -un'").stdout == "rita\n"


def test_a_line_of_others_in_su(host):
    """A wheel line that lets more people try is taken away; everything else stays."""
    before = host.read("/etc/pam.d/su")
    host.run("sed -i '/pam_wheel.so use_uid/d' /etc/pam.d/su")
    host.run("echo 'auth sufficient pam_wheel.so trust group=users' >> /etc/pam.d/su")
    assert manage(host, backend="emis").returncode == 0
    assert host.read("/etc/pam.d/su") == before
    assert heals(host)


# ---- rules of others


BROKEN = "nonsense here is no rule\n"


@pytest.mark.parametrize("ours", ["as declared", "not there yet"])
def test_a_broken_rule_is_there_already(host, ours):
    host.write("/etc/sudoers.d/50-broken", BROKEN, 0o440)
    host.run("cp -a /etc/sudoers.d/zz-opensafely /root/ours")
    if ours == "not there yet":
        host.run("rm /etc/sudoers.d/zz-opensafely")
    with untouched(host):
        done = manage(host, backend="emis")
    host.run("rm /etc/sudoers.d/50-broken; mv /root/ours /etc/sudoers.d/zz-opensafely")
    refused(done, "50-broken")
    assert heals(host)


def test_sudoers_without_its_folder(host):
    before = host.read("/etc/sudoers")
    host.run("sed -i '/includedir/d' /etc/sudoers; rm /etc/sudoers.d/zz-opensafely")
    with untouched(host):
        done = manage(host, backend="emis")
    host.run("cat > /etc/sudoers", stdin=before)
    refused(done, "/etc/sudoers does not include /etc/sudoers.d", "includedir")
    assert manage(host, backend="emis").returncode == 0
    assert heals(host)


@pytest.mark.parametrize(
    "spoil",
    [
        "chmod 666 /etc/sudoers.d/zz-opensafely",
        "chown ada /etc/sudoers.d/zz-opensafely",
        "echo '%researchers ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers.d/zz-opensafely",
        "rm /usr/local/sbin/opensafely-password",
        "echo 'minlen = 4' > /etc/security/pwquality.conf.d/opensafely.conf",
    ],
)
def test_what_was_bent_is_put_right(host, spoil):
    host.run(spoil)
    assert manage(host, backend="emis").returncode == 0
    assert heals(host)


# ---- a backend whose people need no password


def test_sudo_without_a_password(shared_warm_host):
    host = shared_warm_host("test")
    ada = host.people["ada"]
    assert host.ssh("ada", ada.key, "sudo -n id -u").stdout == "0\n"
    rita = host.people["rita"]
    done = host.ssh("rita", rita.key, "sudo -n id", check=False)
    assert (done.returncode, "Permission denied" in done.stderr) == (126, True)
    log = host.run("cat /var/log/sudo.log").stdout.replace("\n    ", " ")
    assert "COMMAND=/usr/bin/id -u" in log
