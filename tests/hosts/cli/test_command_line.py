"""The command line on a host that is a backend: who may ask what, and how it ends."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from backend_server.cli import arguments
from tests.hosts.managing import (
    CHECKOUT,
    changed,
    history,
    manage,
    people_of,
    rests,
    snapshot,
)
from tests.hosts.programs import on_terminal


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test")


def test_show_needs_no_root(host):
    host.run(
        "id ada && rm -rf /tmp/tool && cp -r --preserve=mode /srv/backend-server /tmp/tool"
    )
    show = host.run("runuser -u ada -- /tmp/tool/emis/manage.sh show --release 24.04")
    assert "  User ada " in show.stdout
    assert "archive-ubuntu.opensafely.org" in show.stdout
    found = json.loads(
        host.run("runuser -u ada -- /tmp/tool/test/manage.sh show --json").stdout
    )
    assert set(found) == {"format", "release", "declared"}
    refused = host.run("runuser -u ada -- /tmp/tool/test/manage.sh plan", check=False)
    assert refused.returncode == 2
    assert "needs root" in refused.stderr
    assert "sudo ./test/manage.sh plan" in refused.stderr


# Ours and the standard library's, as they are today: a further one costs every run.
@pytest.mark.parametrize(
    ("words", "ours", "all_of_them"),
    [
        ("plan --offline", 157, 281),
        ("status", 150, 284),
        ("job list", 91, 207),
        ("host disk", 109, 229),
    ],
)
def test_a_command_imports_what_it_needs(host, words, ours, all_of_them):
    python = "/usr/bin/python3 -I -S -X importtime"
    done = host.run(
        f"{python} {CHECKOUT}/backend_server/entry.py {CHECKOUT} test {words} 2>&1"
    )
    names = re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stdout, re.M)
    own = [name for name in names if name.startswith("backend_server.")]
    found = len(own), len(names)
    assert (found[0] <= ours, found[1] <= all_of_them) == (True, True), (found, names)
    assert len(own) > ours / 2, "nothing was counted"


@pytest.mark.parametrize(("words", "most"), [("plan --offline", 5), ("--offline", 6)])
def test_a_run_that_changes_nothing_starts_few_programs(host, words, most):
    done = manage(host, f"{words} --verbose")
    assert done.returncode == 0
    started = re.findall(r"^started: (.*)$", done.stdout, re.M)
    assert len(started) <= most, started
    (shown,) = (line for line in started if line.startswith("systemctl show "))
    assert len(shown.split()) - 3 <= 5, (
        f"1 ms for each unit that is asked about: {shown}"
    )
    assert len({*started}) == len(started), "one was begun, and then asked anew"


# What each command is asked: enough that it can be, and for what takes long of nobody.
WORDS = {
    "show": "show --release 24.04",
    "people who": "people who --root",
    "people revoke": "people revoke nobody --why test",
    "people readmit": "people readmit nobody",
    "people password": "people password nobody --ask",
    "people totp": "people totp nobody",
    "service logs": "service logs jobrunner",
    "service environment": "service environment jobrunner",
    "service restore": "service restore airlock",
    "host prove": "host prove --nonsense",
    "outputs restore": "outputs restore nothing out.csv",
    "outputs review": "outputs review nothing",
    **{
        f"service {verb}": f"service {verb} nobody"
        for verb in ("shell", "follow", "certificate", "backup")
    },
    **{
        f"service {verb}": f"service {verb} jobrunner"
        for verb in ("start", "stop", "restart", "update", "rollback")
    },
    **{f"job {verb}": f"job {verb} nobody" for verb in ("logs", "shell", "kill")},
}
NAMES = [
    *(command.name for command in arguments.COMMANDS),
    *(f"{group.name} {c.name}" for group in arguments.GROUPS for c in group.actions),
]
ASKED = [WORDS.get(name, name) for name in NAMES]
# Each line of words, and how it ended: standard output, standard error and exit status.
ASK = r"""
ask() { bash -c "$MANAGE $2" <&- >$1.out 2>$1.err; echo $? >$1.status; }
export -f ask
export MANAGE=%s/test/manage.sh
rm -rf /tmp/asked; mkdir /tmp/asked; cd /tmp/asked
nl -w1 -s' ' | xargs -P4 -d'\n' -I{} bash -c 'ask "${0%%%% *}" "${0#* }" 8>&- 9>&-' {}
python3 -c '
import json, os
read = lambda name: open(name, errors="replace").read()
found = {n[:-7]: [read(n[:-6] + "out"), read(n[:-6] + "err"), int(read(n))]
         for n in os.listdir() if n.endswith(".status")}
print(json.dumps([found[n] for n in sorted(found, key=int)]))'
"""
BUSY = "exec 8>/run/opensafely/lock 9>/run/opensafely/maintenance; flock 8; flock 9"


def asked(host, lines):
    """(standard output, standard error, exit status) of each, while somebody holds the locks."""
    script = shlex.quote(BUSY + ASK % CHECKOUT)
    done = host.run(f"bash -c {script}", stdin="\n".join(lines) + "\n")
    found = json.loads(done.stdout)
    assert len(found) == len(lines)
    return found


@pytest.mark.share("outputs")
def test_every_command_prints_one_object(host):
    """Whatever came of it: done, refused, wrong usage, or somebody else is at it."""
    mistakes = ["status --nonsense", "frobnicate", "job", "host disk more"]
    lines = [f"{words} --json" for words in (*ASKED, *mistakes)]
    ended = asked(host, lines)
    for words, (out, err, status) in zip(lines, ended):
        assert out.count("\n") == 1, (words, out, err)
        assert json.loads(out)["format"] == 1
        assert status in range(5), (words, status, err)
        assert "Traceback" not in err
    assert {status for _, _, status in ended[: len(ASKED)]} >= {0, 2}
    assert all(status == 2 for _, _, status in ended[len(ASKED) :])


@pytest.mark.share("outputs")
def test_an_output_that_takes_nothing_is_said(host):
    """Full, gone or closed: a sentence, an exit status of ours, and nothing of Python's."""
    says = [f"{words} --json >/dev/full" for words in ASKED[::4]]
    for words in ("show", "status", "service logs jobrunner", "--help", "host -h"):
        says += [f"{words} >/dev/full", f"{words} >&-"]
        says += [f"{words} | true; exit ${{PIPESTATUS[0]}}"]
    for words, (out, err, status) in zip(says, asked(host, says)):
        assert out == ""
        assert status in (1, 2), (words, status, err)
        assert "error: standard output did not take all that this says: " in err, words
        assert "Traceback" not in err
        assert "Exception ignored" not in err


def test_sudo_backend_keeps_the_persons_name(host):
    plan = host.run("runuser -l ada -c 'sudo backend plan'")
    assert re.fullmatch(r"test plan: \d+ as declared \(.*\)\n", plan.stdout)
    host.run("runuser -l ada -c 'sudo backend'")
    assert history(host)[-1]["who"] == "ada"


def test_completion(host):
    with on_terminal(host, "TERM=dumb exec bash --norc -i") as shell:
        shell.type(". /usr/share/bash-completion/bash_completion; PS1='rea''dy> '\n")
        shell.until("ready> ")
        shell.type("sudo backend sta\t--js\t\n")
        shell.until("backend status --json")
        shell.until('"format": 1')
        shell.until("ready> ", times=2)
        shell.type("sudo backend plan --only \t\t")
        shell.until("people")
        said = shell.until("ready> ", times=3).split("ready> ")[2]
    show = manage(host, "show").stdout
    components = re.findall(r"^(\w+)", show, re.MULTILINE)
    offered = set(re.findall("[a-z]+", said.partition("--only")[2])) - {
        "backend",
        "plan",
        "only",
    }
    # Those of other backends are offered too.
    others = {"clock", "desktop", "hyperv", "outputs", "window"}
    assert offered - others == set(components)


def test_drift_is_planned_then_mended(host):
    host.run(
        "chmod 600 /etc/motd; echo changed >> /etc/issue.net; rm /etc/sysctl.d/zz-*"
    )
    host.run("gpasswd -d ada developers; gpasswd -a rita sudo")
    before = snapshot(host)
    plan = manage(host, "plan --json")
    assert plan.returncode == 3
    assert changed(before, snapshot(host)) == []
    planned = json.loads(plan.stdout)
    assert set(planned) == {
        *("format", "backend", "release", "only", "began", "pid", "exit"),
        *("totals", "remarks", "degraded", "unrecorded", "confirmed", "taken_back"),
        *("resources", "duration_s"),
    }
    labels = [found["resource"] for found in planned["resources"]]
    assert labels == [
        "RootEquivalent sudo",
        "Members developers",
        "LostRoles opensafely-people",
        "File /etc/issue.net",
        "File /etc/motd",
        "File /etc/sysctl.d/zz-opensafely.conf",
    ]
    text = manage(host, "plan").stdout
    assert "        -changed\n" in text
    assert "      mode: 0600 -> 0644\n" in text
    assert "      users: +ada\n" in text

    only = manage(host, "--only login --json")
    assert only.returncode == 0
    done = json.loads(only.stdout)
    told = planned["resources"]
    assert done["resources"] == told[3:5]
    assert manage(host, "plan").returncode == 3
    rest = json.loads(manage(host, "apply --json").stdout)
    assert rest["resources"] == [*told[:3], *told[5:]]
    assert people_of(host, "sudo") == set()
    assert rests(host)


def test_status(host):
    found = json.loads(manage(host, "status --json").stdout)
    assert found["format"] == 1
    assert found["backend"] == "test"
    text = manage(host, "status").stdout
    assert "developers  ada grace" in text
    assert "by root at" in text


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("plan", 0, "as declared"),
        ("--offline", 0, "as declared"),
        ("--nonsense", 2, "--nonsense"),
        ("frobnicate", 2, "frobnicate"),
        ("plan --only nothing", 2, "there is no component nothing"),
        ("show --release 18.04", 2, "wanted one of"),
        ("--help", 0, "exit status"),
    ],
)
def test_exit_status(host, words, status, said):
    done = manage(host, words)
    assert done.returncode == status
    assert said in done.stdout + done.stderr


def test_outside_world_that_does_not_answer(host, outside):
    outside.stop()
    plan = manage(host, "plan")
    assert plan.returncode == 4
    names = ("jobs", "controller", "docker-proxy", "github-proxy")
    for name in names:
        line = (
            f"degraded: {name}.opensafely.org (157.245.31.108) port 443 does not answer"
        )
        assert line in plan.stdout
    assert manage(host, "plan --offline").returncode == 0
    found = json.loads(manage(host, "plan --json").stdout)
    unanswered = [line for line in found["degraded"] if "does not answer" in line]
    assert (found["exit"], len(unanswered)) == (4, len(names))
