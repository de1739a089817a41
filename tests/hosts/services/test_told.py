"""What somebody does at once is in the history, at whatever step of it they are killed."""

from __future__ import annotations

import json

import pytest

from sandbox import fixtures
from tests.hosts.airlock.asking import FOLDER, NAME
from tests.hosts.managing import CHECKOUT, HISTORY, KILLED, edited
from tests.sampling import one_of


pytestmark = pytest.mark.share("outputs")
HELD = "/var/lib/opensafely/jobrunner.held"
SEEN = "/var/lib/opensafely/images-seen.json"
WORD = "Plum7-Kettle_Orbit"
# Each: as before, what is typed, and whether it is done now.
COMMANDS = {
    "hold": (f"rm -f {HELD}", "service hold jobrunner --why x", f"test -e {HELD}"),
    "certificate": (
        f"rm -rf {FOLDER}; cp -a /root/page {FOLDER}",
        "service certificate airlock",
        f"! diff -r /root/page {FOLDER}",
    ),
    "tidy": (
        f"echo x > /tmp/x; id=$(tar c -C /tmp x | docker import - x); echo '{{\"'$id'\": \"2020-01-01\"}}' > {SEEN}",
        "host tidy",
        "while pgrep -f '[d]ocker image rm'; do :; done; ! docker image inspect x",
    ),
    "given": (
        "usermod -p '!' gus",
        "people password --ask gus",
        "! getent shadow gus | grep '^gus:!:'",
    ),
    "first": (
        "usermod -p '!' ada",
        "people first-password",
        "! getent shadow ada | grep '^ada:!:'",
    ),
    "taken": (
        "usermod -p x gus",
        "people password --reset gus",
        "getent shadow gus | grep '^gus:!:'",
    ),
    "totp": (
        "rm -f /var/lib/opensafely/second_factors/gus",
        "people totp gus",
        "test -e /var/lib/opensafely/second_factors/gus",
    ),
}
EVENTS = {
    "hold": "service hold",
    "certificate": "service certificate",
    "tidy": "host tidy",
    "given": "password given",
    "first": "first password",
    "taken": "password reset",
    "totp": "second factor given",
}
# Killed at each step, and once at none. script(1) is a terminal to those who want one.
EACH = f"""
before=$1 words=$2 is_done=$3 number=0
while rm -f /run/steps && test $((number += 1)) -lt 400 && ! test -e /run/ended; do
    eval "$before" >/dev/null 2>&1
    lines=$(wc -l < {HISTORY})
    tool="python3 -I -S /root/killed.py $number /run/steps {CHECKOUT}/backend_server/entry.py {CHECKOUT} test $words"
    case $words in
    *totp*) script -qec "$tool" /dev/null ;;
    *first*) SUDO_UID=$(id -u ada) python3 -I /root/typed.py /root/given $tool ;;
    *) $tool < /root/given ;;
    esac > /run/said 2>&1
    test ! -e /run/steps || touch /run/ended
    eval "$is_done" >/dev/null 2>&1 && is=done || is=as_before
    echo "$number $is $(tail -n +$((lines + 1)) {HISTORY} | tr -d '\\n')"
done
rm /run/ended
"""
# On a terminal, as somebody who logged in by ssh, and types a word wherever one is asked for.
TYPED = """
import os, pty, sys
word = open(sys.argv[1], "rb").read()
open("/proc/self/loginuid", "w").write(os.environ["SUDO_UID"])
asks = (b"shown): ", b"Once more: ")
def heard(terminal):
    said = os.read(terminal, 1024)
    if said.endswith(asks):
        os.write(terminal, word)
    return said
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[2:], heard)))
"""


@pytest.fixture(scope="module")
def host(shared_warm_host, sandbox, tmp_path_factory):
    """Where gus comes by a remote desktop, for what operators give; it has none."""
    shape = [fixtures.quiet_timer]
    host = shared_warm_host("test", shape=shape, legacy_cgroups=True)
    host.run("cat > /root/killed.py", stdin=KILLED.read_text())
    host.run("cat > /root/each.sh", stdin=EACH)
    host.run("cat > /root/typed.py", stdin=TYPED)
    host.run(
        "mkdir -p /var/lib/opensafely/second_factors; apt-get -qq install qrencode"
    )
    certificate, key = sandbox.authority.issue([NAME], tmp_path_factory.mktemp("page"))
    chain = certificate.read_text() + sandbox.authority.certificate.read_text()
    host.run(
        f"cp -a {FOLDER} /root/page; cat > /root/pem", stdin=chain + key.read_text()
    )
    path = f"{CHECKOUT}/test/backend.py"
    more = '    rdp_address="0.0.0.0",\n    second_factor=True,\n    airlock='
    with edited(host, path, host.read(path).replace("    airlock=", more)):
        yield host


@pytest.mark.parametrize("command", one_of("told", *COMMANDS))
def test_who_is_killed_at_it_has_told_it(host, command):
    given = "/root/pem" if command == "certificate" else f"<(echo {WORD})"
    host.run(f"bash -c 'cat {given} > /root/given'")
    before, words, is_done = COMMANDS[command]
    said = host.run(
        'bash /root/each.sh "$A" "$B" "$C"',
        env={"A": before, "B": words, "C": is_done},
    )
    steps = [line.split(" ", 2) for line in said.stdout.splitlines()]
    print(said.stdout, host.run("cat /run/said").stdout)
    for number, came, lines in steps:
        assert came == "as_before" or EVENTS[command] in lines, number
    assert (steps[0][1], steps[-1][1]) == ("as_before", "done")
    assert len(steps) > 10
    whole = host.run(f"tail -n 1 {HISTORY}").stdout
    assert json.loads(whole)["event"] == EVENTS[command]
    host.run(before)
