"""Whenever a run is killed, the next one ends with everything as declared."""

from __future__ import annotations

import contextlib
import random

import pytest

from tests.hosts.managing import CHECKOUT, KILLED, manage, rests
from tests.hosts.programs import in_background, wait_until


# A managed host as it was before: nothing of ours but the packages, the slow part of a first run.
UNMANAGE = rf"""
for user in ada grace gus rita opensafely opensafely-canary; do userdel -fr $user; done
for group in developers researchers reviewers opensafely-people opensafely; do groupdel $group; done
systemctl disable --now opensafely-modes.timer opensafely-undo-at-boot.service opensafely-jobrunner.service opensafely-tidy.timer
mv /etc/opensafely/env/02_secrets.env /root
systemctl disable opensafely-firewall.service
docker network rm jobrunner-db
apt-mark unhold docker.io containerd runc
nft delete table inet opensafely
{CHECKOUT}/test/manage.sh show --release 12 |
    sed -nE 's,^  (File|UnitFile|Sudoers|SshdConfig|Directory|OnlyTheseKeys|DaemonJson) (/[^ ]+).*,\2,p' | xargs rm -rf
# The provider laid these before the first run.
install -D -m 600 /root/02_secrets.env /etc/opensafely/env/02_secrets.env
rm /usr/share/pam-configs/opensafely-*
pam-auth-update --package
systemctl daemon-reload
systemctl restart ssh
"""
# What the tool starts is left to go on, as after a real kill; the next run starts at once.
ATTEMPT = f"""
manage={CHECKOUT}/test/manage.sh
entry={CHECKOUT}/backend_server/entry.py
/usr/bin/python3 -I -S /opt/killed.py $1 /run/steps $entry {CHECKOUT} test --yes --offline >/run/first 2>&1
echo killed $?
$manage --yes --offline > /run/second 2>&1 || cat /run/first /run/second
echo next $?
$manage > /run/third 2>&1
echo last $? $(grep -c . /run/third)
cat /run/third
find / -xdev -name '.*.tmp' -o -path /proc -prune -o -name '*.dpkg-new' -print
"""
SEED, SAMPLE = 20, 4  # each is a first run and two more


def attempt(warm_host, step):
    """On a host of its own: what is killed has to do with daemons, not only with files."""
    host = warm_host("test")
    host.run(f"exec >/dev/null 2>&1\n{UNMANAGE}", check=False)
    host.write("/opt/killed.py", KILLED.read_text())
    said = host.run(f'bash -c "$ATTEMPT" - {step}', env={"ATTEMPT": ATTEMPT}).stdout
    steps = int(host.run("cat /run/steps || echo 0").stdout)
    host.destroy()
    return said, steps


def assert_it_healed(said):
    status, *rest = said.splitlines()
    # What works is another process than the one that waits for it, once nothing is left to ask.
    assert status in ("killed 137", "killed 1"), said
    assert rest[:2] == ["next 0", "last 0 1"], said
    assert len(rest) == 3, said  # the line of totals, and nothing left lying about


def test_between_any_two_steps(warm_host, pytestconfig):
    whole, count = attempt(warm_host, 0)
    assert whole.startswith("killed 0\nnext 0\nlast 0 1\n"), whole
    assert count > 300
    steps = range(1, count + 1)
    if not pytestconfig.getoption("--long"):
        steps = random.Random(SEED).sample(steps, SAMPLE)
    for step in steps:
        print(f"killed at step {step}")  # shown when it fails
        assert_it_healed(attempt(warm_host, step)[0])


@pytest.mark.parametrize("victims", ["dpkg", "apt-get dpkg", "python3 apt-get dpkg"])
def test_while_dpkg_works(shared_warm_host, victims):
    """Of a run that installs packages, one to three processes are killed in the middle."""
    host = shared_warm_host("test")
    host.run("apt-get -qq purge vim ripgrep tcpdump")
    with in_background(host, f"{CHECKOUT}/test/manage.sh") as run:
        wait_until(lambda: not host.run("pgrep -x dpkg", check=False).returncode)
        host.run(f"for name in {victims}; do pkill -9 -x $name; done", check=False)
        said = run.end()
    assert run.process.returncode in (0, 1, -9, 137), said
    again = manage(host)
    assert again.returncode == 0, again.stdout + again.stderr
    assert host.run("dpkg --audit").stdout == ""
    assert rests(host)


HOLD = """
use Fcntl; open my $lock, ">>", $ARGV[0];
my $whole = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0); fcntl($lock, F_SETLKW, $whole) or die;
$| = 1; print "held\\n"; sleep 600;
"""


def test_while_python_is_installed(bare_host):
    """Before there is a Python: another who installs is waited for, and each kill is healed."""
    host = bare_host("bookworm")
    command = (f"{CHECKOUT}/test/manage.sh", "--yes")
    moments = (
        "pgrep -x dpkg",
        "test -e /usr/bin/python3.11",
        "test -e /usr/bin/python3",
    )
    with contextlib.ExitStack() as stack:
        holders = []
        for lock in ("/var/lib/dpkg/lock-frontend", "/var/lib/apt/lists/lock"):
            perl = in_background(host, "perl", "-e", HOLD, lock)
            holders.append(stack.enter_context(perl))
            assert holders[-1].line() == "held\n"
        with in_background(host, *command) as run:
            for holder in holders:
                said = run.line()
                while said and str(holder.pid) not in said:
                    said = run.line(timeout_s=20)
                assert "waiting up to 600 s for perl" in said
                holder.kill()
            kill_at(host, moments[0], run)
    for moment in moments[1:]:
        with in_background(host, *command) as run:
            kill_at(host, moment, run)
    done = manage(host, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run("dpkg --audit").stdout == ""
    assert rests(host)


def kill_at(host, moment, run):
    """The run and what it started are dead as soon as MOMENT is true; or it has ended."""
    over = "pgrep -f '[t]est/manage.sh' >/dev/null || exit 0"  # this shell is none
    host.run(f"until {moment} >/dev/null; do {over}; done", check=False)
    run.kill()  # first, or it would start the next
    host.run("pkill -9 -x 'apt-get|dpkg'", check=False)
    run.end()
