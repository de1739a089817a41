"""Secrets: set without being seen, kept as they are, and never started without."""

import re

import pytest

from tests.hosts.managing import CHECKOUT, history, manage, refused, rests
from tests.hosts.programs import in_background, on_terminal
from tests.hosts.services.running import (
    SECRETS,
    UNIT,
    environ,
    inspected,
    listed,
    started,
)


pytestmark = pytest.mark.share("job-runner")
CANARY = "Wagon4-Thimble-Fern-secret"
SET = "service secrets set"
# Which programs are told the secret by argv or environment, as long as this runs.
SAMPLER = f"""
import glob, sys
secret, seen, rounds = b"{CANARY}", set(), 0
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
                with open(path.rpartition("/")[0] + "/comm") as file:
                    seen.add(path.rpartition("/")[2] + " " + file.read().strip())
except BaseException:
    print("rounds", rounds, "seen", sorted(seen), flush=True)
"""
# Where a secret must not be written; its own files are named. containerd keeps, for root alone,
# what each container is to be started with.
SEARCH = f"grep -rlsF {CANARY} /etc /var/log /var/lib/opensafely /run /tmp /root /home --exclude-dir=journal --exclude-dir=containerd"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test")


def test_nobody_sees_it_but_the_one_service(host):
    """Set, taken up, shown in lists, managed again: in no argv, log, history, and one environment."""
    before = host.read(SECRETS)
    host.run(
        f"cat > {SECRETS}", stdin="# of ours, by hand\n" + before + "MINE='a # b' # c\n"
    )
    with in_background(host, "python3", "-c", SAMPLER) as sampler:
        assert sampler.line() == "looking\n"
        argv = f"{CHECKOUT}/test/manage.sh {SET} PRIVATE_REPO_ACCESS_TOKEN"
        done = host.run(argv, stdin=CANARY + "\n")
        assert "PRIVATE_REPO_ACCESS_TOKEN is set; jobrunner runs with it" in done.stdout
        said = done.stdout + done.stderr
        for words in (
            "",
            "plan",
            "-v",
            "service list --json",
            "service secrets",
            "status",
        ):
            done = manage(host, words)
            said += done.stdout + done.stderr
        host.run(f"kill -INT {sampler.pid}")
        found = sampler.end()
    rounds, seen = re.fullmatch(r"rounds (\d+) seen (.*)\n", found).groups()
    assert int(rounds) > 20
    seen = eval(seen)
    assert {each.partition(" ")[0] for each in seen} == {"environ"}
    allowed = {
        "docker-init",
        "tini",
        "agent.sh",
        "bash",
        "python3",
        "runc:[2:INIT]",
        "runc",
        "exe",
    }
    assert {each.partition(" ")[2] for each in seen} <= allowed, seen
    assert environ(host)["PRIVATE_REPO_ACCESS_TOKEN"] == CANARY
    assert environ(host)["MINE"] == "a # b"
    assert CANARY not in said
    assert set(host.run(SEARCH, check=False).stdout.split()) == {
        SECRETS,
        "/run/opensafely/env/jobrunner",
    }
    journal = host.run("journalctl --no-pager -o export")
    assert CANARY not in journal.stdout
    ids = "docker ps -aq | grep -v $(docker inspect -f '{{.Id}}' jobrunner | cut -c1-12) | xargs -r docker inspect"
    assert CANARY not in host.run(ids, check=False).stdout
    event = [line for line in history(host) if line.get("event") == "secret set"][-1]
    assert (event["subject"], event["who"]) == ("PRIVATE_REPO_ACCESS_TOKEN", "root")
    text = host.read(SECRETS)
    assert text.startswith("# of ours, by hand\n")
    assert text.endswith("MINE='a # b' # c\n")
    assert (
        host.run(f"stat -c '%a %U' {SECRETS} /run/opensafely/env/jobrunner").stdout
        == "600 root\n" * 2
    )
    assert (
        host.run("stat -c %a /etc/opensafely/env /run/opensafely/env").stdout
        == "700\n" * 2
    )
    assert rests(host)


def test_missing_is_named_and_not_started(host):
    """Absent, then empty, then a value: plan, apply, status and the unit's own start agree."""
    whole = host.read(SECRETS)
    without = re.sub("^CONTROLLER_TASK_API_TOKEN=.*\n", "", whole, flags=re.MULTILINE)
    token = re.search("^CONTROLLER_TASK_API_TOKEN=(.*)$", whole, re.MULTILINE).group(1)
    since = started(host)
    host.run(f"mv {SECRETS} /root/")
    lacks = "jobrunner has no value for CONTROLLER_TASK_API_TOKEN in"
    for words in ("plan", "", "status", "service list"):
        done = manage(host, words)
        assert done.returncode in ((3, 4) if words == "plan" else (4,)), done.stdout
        assert lacks in done.stdout, words
        assert (
            "sudo backend service secrets set CONTROLLER_TASK_API_TOKEN" in done.stdout
        )
    assert host.run(f"stat -c %a {SECRETS}").stdout == "600\n"
    assert "NAME=value" in host.read(SECRETS)
    assert started(host) == since, "what runs goes on"
    host.run(f"systemctl restart {UNIT}", check=False)
    assert listed(host)["state"] == "stopped"
    assert (
        "it lacks CONTROLLER_TASK_API_TOKEN"
        in host.run(f"journalctl -u {UNIT} -n 20").stdout
    )
    assert host.run(f"systemctl is-failed {UNIT}", check=False).stdout == "inactive\n"
    refused(manage(host, "service start jobrunner"), lacks)
    found = manage(host, "service secrets").stdout
    assert re.search(r"CONTROLLER_TASK_API_TOKEN +missing", found)
    assert "OTEL" not in found
    host.run(f"cat > {SECRETS}", stdin=without)
    command = f"{CHECKOUT}/test/manage.sh {SET} CONTROLLER_TASK_API_TOKEN"
    with on_terminal(host, command) as terminal:
        terminal.until("(nothing is shown): ")
        terminal.type(f"{token}\n")
        terminal.until("Once more: ")
        terminal.type("another\n")
        assert terminal.end() == 2
        assert token not in terminal.seen
    assert host.read(SECRETS) == without
    with on_terminal(host, command) as terminal:
        terminal.until("(nothing is shown): ")
        terminal.type(f"{token}\n")
        terminal.until("Once more: ")
        terminal.type(f"{token}\n")
        assert terminal.end() == 0, terminal.seen
        assert "jobrunner runs with it" in terminal.seen
        assert token not in terminal.seen
    assert listed(host)["state"] == "running"
    assert re.search(
        r"CONTROLLER_TASK_API_TOKEN +set 20\d\d-",
        manage(host, "service secrets").stdout,
    )
    assert rests(host)


def test_open_to_others_is_closed_and_said(host):
    text = host.read(SECRETS)
    host.run(f"chmod 644 {SECRETS}")
    done = manage(host)
    assert done.returncode == 0
    assert (
        "mode: 0644, open to others: its secrets may be known, replace them -> 0600"
        in done.stdout
    )
    assert host.read(SECRETS) == text
    assert host.run(f"stat -c %a {SECRETS}").stdout == "600\n"
    assert "open to others" in str(history(host)[-1]["resources"])


@pytest.mark.parametrize("place", [SECRETS, SECRETS.rpartition("/")[0]])
def test_a_file_that_cannot_be_written_is_said_first(host, place):
    """As chattr(1) leaves it: nothing is restarted for it, and what is printed mends it."""
    argv = f"{CHECKOUT}/test/manage.sh {SET} PRIVATE_REPO_ACCESS_TOKEN"
    text, since = host.read(SECRETS), started(host)
    host.run(f"chattr +i {place}")
    try:
        done = host.run(argv, stdin=f"for {place}\n", check=False)
        refused(done, f"{SECRETS} cannot be written: Operation not permitted")
        assert (host.read(SECRETS), started(host)) == (text, since)
        host.run(done.stderr.partition("try: ")[2].strip())
        host.run(argv, stdin=f"for {place}\n")
        assert environ(host)["PRIVATE_REPO_ACCESS_TOKEN"] == f"for {place}"
    finally:
        host.run(f"chattr -i {place}")


@pytest.mark.parametrize(
    ("words", "stdin", "why"),
    [
        (f"{SET} CONTROLER_TOKEN", "x", "choose from CONTROLLER_TASK_API_TOKEN"),
        (f"{SET} CONTROLLER_TASK_API_TOKEN", "", "was empty; nothing was changed"),
        (
            f"{SET} CONTROLLER_TASK_API_TOKEN",
            "hunter2\nhunter2\n",
            "no line can hold it",
        ),
        ("service secrets get", "", "wanted nothing, or set NAME"),
    ],
)
def test_what_is_not_taken(host, words, stdin, why):
    text, since = host.read(SECRETS), inspected(host)["State"]["StartedAt"]
    done = host.run(f"{CHECKOUT}/test/manage.sh {words}", stdin=stdin, check=False)
    refused(done, why)
    assert "hunter2" not in done.stderr
    assert host.read(SECRETS) == text
    assert started(host) == since
