"""Who can do what in the data trees: every role, tried by a real process, cell by cell."""

from __future__ import annotations

import json
import shlex
import time
from functools import partial
from pathlib import Path

import pytest

from backend_server.text.roles import (
    AREAS,
    HIGH,
    MEDIUM,
    METADATA,
    OPENSAFELY,
    REQUESTS,
    ROLES,
)
from tests.hosts.desktop.desktops import PASSWORD as DESKTOP_PASSWORD
from tests.hosts.desktop.exits import desktop
from tests.hosts.desktop.remote import ensure_client
from tests.hosts.managing import CHECKOUT, manage, rests


pytestmark = pytest.mark.share("access")

PASS = "systemctl start opensafely-modes.service"
HIGH_WORK = "/srv/high_privacy/workspaces"
MEDIUM_WORK = "/srv/medium_privacy/workspaces"
REQUESTS_TREE = "/srv/medium_privacy/requests"
HELPERS = "/usr/local/lib/tests"
PASSWORD = "Mend 4 hedges, twice"
ACTIONS = ("list", "read", "write", "create", "delete", "rename", "chmod")


def as_account(account, command):
    return f"setpriv --reuid {account} --regid {account} --init-groups -- {command}"


def with_sudo(account, command):
    asked = f"printf '%s\\n' '{PASSWORD}' | sudo -S -p '' -v; sudo -n {command}; exit"
    return as_account(account, f"bash -c {shlex.quote(asked)}")


def in_session(account, command):
    """With the rights that the session on the remote desktop was given, as the kernel has them."""
    status = f"/proc/$(pgrep -o -u {account} -x xfce4-session)/status"
    ids = {
        word: f"$(sed -n 's/^{name}:[[:space:]]*//p' {status} | {first})"
        for word, name, first in (
            ("reuid", "Uid", "cut -f1"),
            ("regid", "Gid", "cut -f1"),
            ("groups", "Groups", "xargs | tr ' ' ,"),
        )
    }
    words = " ".join(f"--{word} {found}" for word, found in ids.items())
    return f"setpriv {words} -- {command}"


# How a process of theirs is started: an account for each role, and two that have none.
ACTORS = {
    "developer": partial(as_account, "ada"),
    "sudoer": partial(with_sudo, "ada"),
    "researcher": partial(as_account, "rita"),
    "reviewer": partial(as_account, "gus"),
    "desktop": partial(in_session, "gus"),
    "service": partial(as_account, OPENSAFELY),
    "provider": partial(as_account, "ubuntu"),
    "nobody": partial(as_account, "vera"),
}
ROLE_OF = {role.name: role for role in ROLES}
ROLE_OF["desktop"] = ROLE_OF["reviewer"]


def is_sticky(key, area, file):
    """Where entries are the agent's to move: among workspaces, and after a pass in each."""
    inside = key.startswith("later/") and "/" not in file
    return area == MEDIUM and (key == "trees/medium" or inside)


def expected(actor, area, action, sticky):
    """What the table of roles says. Only whose file it is may chmod, and jobs made these."""
    if actor == "sudoer":  # root, who leaves a line in sudo's log
        return True
    role = ROLE_OF.get(actor)
    if role is None:
        return False
    if action == "chmod" or sticky and action in ("delete", "rename"):
        return role.group == OPENSAFELY
    return area in (role.reads if action in ("list", "read") else role.writes)


def python(script, *words):
    argv = ("/usr/bin/python3", "-I", "-S", f"{HELPERS}/{script}", *words)
    return " ".join(map(shlex.quote, argv))


# ---- the moments at which it is tried: where, and in which area that is

BORN = ("open-0666", "mkdir-0777/file")
WAYS = (
    *("open-0666", "open-0644", "open-0600", "chmod-600", "chmod-640", "chmod-644"),
    *("mkdir-0777/file", "mkdir-0755/file", "mkdir-0700/file"),
)
COPIES = tuple(f"copied-{way}" for way in WAYS if "/" not in way)
UMASKS = ("022", "077")


def work(umask):
    return f"study-{umask}"


def first_run():
    yield "trees/high", HIGH, HIGH_WORK, "file"
    yield "trees/medium", MEDIUM, MEDIUM_WORK, "file"
    yield "trees/requests", REQUESTS, REQUESTS_TREE, "file"


def at_once():
    for umask in UMASKS:
        for way in BORN:
            for area, tree in ((HIGH, HIGH_WORK), (MEDIUM, MEDIUM_WORK)):
                yield f"born/{umask}/{area}/{way}", area, f"{tree}/{work(umask)}", way
        requests = f"{REQUESTS_TREE}/{work(umask)}/1"
        yield f"born/{umask}/requests", REQUESTS, requests, "content"


def after_a_pass():
    for umask in UMASKS:
        high, medium = f"{HIGH_WORK}/{work(umask)}", f"{MEDIUM_WORK}/{work(umask)}"
        for way in (*WAYS, *COPIES):
            yield f"later/{umask}/high/{way}", HIGH, high, way
            yield f"later/{umask}/medium/{way}", MEDIUM, medium, way
        for way in ("moved-in", "copy2-0600"):
            yield f"later/{umask}/medium/{way}", MEDIUM, medium, way
        yield f"later/{umask}/log", HIGH, f"{high}/metadata", "action.log"
        for file in ("action.log", "manifest.json"):
            yield f"later/{umask}/{file}", METADATA, f"{medium}/metadata", file


def next_job():
    for umask in UMASKS:
        folder = f"{MEDIUM_WORK}/{work(umask)}/metadata"
        yield f"next/{umask}/log", METADATA, folder, f"born-{umask}.log"


MOMENTS = {f.__name__: list(f()) for f in (first_run, at_once, after_a_pass, next_job)}


def place(key, actor, folder, file):
    path = f"{folder}/{file}"
    folder = path.rpartition("/")[0]
    own = f"{actor}.{key.replace('/', '.')}"
    names = {kind: f"{folder}/{kind}-{own}" for kind in ("victim", "moved")}
    return {"folder": folder, "file": path, **names}


def try_all(host, cells):
    """By actor and key, what came of each action."""
    return {
        actor: try_as(host, actor, become, cells) for actor, become in ACTORS.items()
    }


def try_as(host, actor, become, cells):
    places = {key: place(key, actor, folder, file) for key, _, folder, file in cells}
    used_up = [p[kind] for p in places.values() for kind in ("victim", "moved")]
    host.run(as_account(OPENSAFELY, "xargs touch"), stdin="\n".join(used_up))
    command = become(python("probe.py"))
    return json.loads(host.run(command, stdin=json.dumps(places)).stdout)


def make(host, path, umask="022", mode="0666"):
    """A file of the service's, as its own process makes it."""
    os_open = f"import os; os.umask(0o{umask}); os.open('{path}', os.O_CREAT, 0o{mode})"
    host.run(as_account(OPENSAFELY, f'python3 -I -S -c "{os_open}"'))


@pytest.fixture(scope="module")
def host(shared_warm_host):
    """Right after the first run, with no pass yet but those the tests ask for."""
    host = shared_warm_host("emis")
    host.run("systemctl stop opensafely-modes.timer")
    host.run("useradd --create-home --groups sudo ubuntu; useradd --create-home vera")
    host.run("chpasswd", stdin=f"ada:{PASSWORD}\n")
    ensure_client()
    host.run("backend people password --ask gus", stdin=f"{DESKTOP_PASSWORD}\n")
    with desktop(host, DESKTOP_PASSWORD):  # and goes on when nobody looks at it
        pass
    for script in ("probe.py", "agent.py"):
        host.write(f"{HELPERS}/{script}", (Path(__file__).parent / script).read_text())
    return host


@pytest.fixture(scope="module")
def tried(host):
    """What came of everything, at each moment in turn."""
    found = {}
    for area in (HIGH_WORK, MEDIUM_WORK, REQUESTS_TREE):
        make(host, f"{area}/file")
    found["first_run"] = try_all(host, MOMENTS["first_run"])
    for umask in UMASKS:
        host.run(as_account(OPENSAFELY, python("agent.py", work(umask), umask)))
    found["at_once"] = try_all(host, MOMENTS["at_once"])
    host.run(PASS)
    found["after_a_pass"] = try_all(host, MOMENTS["after_a_pass"])
    for umask in UMASKS:
        folder = f"{MEDIUM_WORK}/{work(umask)}/metadata"
        make(host, f"{folder}/born-{umask}.log", umask)
    found["next_job"] = try_all(host, MOMENTS["next_job"])
    return found


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("actor", ACTORS)
def test_every_cell_is_as_the_table_of_roles_has_it(actor, moment, tried):
    cells = {
        f"{key}: {action}": expected(actor, area, action, is_sticky(key, area, file))
        for key, area, _, file in MOMENTS[moment]
        for action in ACTIONS
    }
    found = {
        f"{key}: {action}": done
        for key, actions in tried[moment][actor].items()
        for action, done in actions.items()
    }
    assert found == cells


def test_every_area_and_role_is_tried():
    areas = {area for cells in MOMENTS.values() for _, area, _, _ in cells}
    assert areas == set(AREAS)
    assert set(ROLE_OF) <= set(ACTORS)


# ---- the trees are nobody's to rearrange


@pytest.mark.parametrize(
    "command",
    [
        "mv /srv/medium_privacy/requests /srv/medium_privacy/workspaces/mine",
        "mv /srv/medium_privacy/requests /srv/medium_privacy/old",
        "rmdir /srv/medium_privacy/requests",
        "ln -s /tmp /srv/medium_privacy/more",
        "mv /srv/medium_privacy/workspaces /srv/medium_privacy/old",
        "setfacl -m g:reviewers:rwx /srv/medium_privacy/requests",
        "ln /etc/shadow /srv/medium_privacy/workspaces/shadow",
        "ls /srv/high_privacy",
    ],
)
def test_a_reviewer_cannot(host, command):
    done = host.run(as_account("gus", command), check=False)
    assert done.returncode != 0
    said = ("ermission denied", "not permitted", "Invalid cross-device link")
    assert any(words in done.stderr for words in said)


FACTS = "stat --format='%n %a %U %G %Z'"


def test_planted_links_lead_nowhere(host):
    """Neither a pass nor a repair follows what a reviewer put into medium privacy."""
    make(host, f"{HIGH_WORK}/patients")
    outside = f"/etc /etc/shadow /home/vera {HIGH_WORK} {HIGH_WORK}/patients"
    look = f"{FACTS} {outside}; getfacl --absolute-names {outside}"
    before = host.run(look).stdout
    folder = f"{MEDIUM_WORK}/planted"
    plant = f"""
        mkdir -p {folder}/metadata
        ln -s /etc {MEDIUM_WORK}/etc
        ln -s /etc/shadow {folder}/shadow
        ln -s /etc {folder}/etc
        ln -s {HIGH_WORK} {folder}/high
        ln -s {HIGH_WORK}/patients {folder}/metadata/manifest.json
        ln -s /home/vera {folder}/vera
        mkfifo {folder}/pipe
    """
    host.run(as_account("gus", f"sh -ec {shlex.quote(plant)}"))
    host.run(PASS, timeout_s=60)
    done = host.run(f"{CHECKOUT}/emis/manage.sh host repair", timeout_s=60)
    assert host.run(look).stdout == before
    assert "planted" not in done.stdout + done.stderr


def test_hostile_names_are_walked_and_not_shown(host):
    names = ["-rf", "a\nb", "\033[2J", "\377\376", "$(reboot)", "x" * 255]
    folder = f"{MEDIUM_WORK}/hostile"
    lines = [f'touch "./$(printf %b {shlex.quote(n)})"; ' for n in names]
    inside = f"mkdir {folder}; cd {folder}; {''.join(lines)} chmod 600 ./*"
    host.run(as_account(OPENSAFELY, f"sh -ec {shlex.quote(inside)}"))
    done = host.run(f"{CHECKOUT}/emis/manage.sh host repair --recent")
    assert done.stdout.count("\n") == 1
    assert "reboot" not in done.stdout
    read = f"cd {folder} && cat -- ./* && ls | wc -l"
    host.run(as_account("gus", f"sh -ec {shlex.quote(read)}"))


# ---- passes


def narrow(host, workspace, files=1):
    """A workspace whose files reviewers cannot read yet, as a job left it."""
    folder = f"{MEDIUM_WORK}/{workspace}"
    script = f"""
        umask 077
        mkdir -p {folder}/metadata
        cd {folder}
        seq {files} | xargs touch
        chmod 600 -- [0-9]*
        echo . > metadata/manifest.tmp
        mv metadata/manifest.tmp metadata/manifest.json
    """
    host.run(as_account(OPENSAFELY, f"bash -ec {shlex.quote(script)}"))
    return folder


def closed(host, folder):
    """How many files there a reviewer cannot write."""
    find = f"find {folder} -maxdepth 1 -type f ! -writable"
    return len(host.run(as_account("gus", find)).stdout.splitlines())


def test_a_killed_pass_is_made_up_for_by_the_next(host):
    folder = narrow(host, "killed", files=20_000)
    repair = f"{CHECKOUT}/emis/manage.sh host repair --recent"
    deadline = 0.1
    while not closed(host, folder) < 20_000:
        host.run(f"timeout --signal=KILL {deadline:.2f} {repair}", check=False)
        deadline += 0.05
    assert closed(host, folder) > 0, "it was killed half-way"
    host.run(PASS)
    assert closed(host, folder) == 0


def test_the_timer_fires_by_itself(host):
    folder = narrow(host, "timed")
    assert closed(host, folder) == 1
    host.run("systemctl start opensafely-modes.timer")
    deadline = time.monotonic() + 75
    while closed(host, folder) and time.monotonic() < deadline:
        time.sleep(1)
    assert closed(host, folder) == 0
    failed = host.run("systemctl --failed --plain --no-legend", check=False).stdout
    assert "opensafely" not in failed


def test_a_repaired_host_is_still_as_declared(host):
    """What is declared is not the walk's to change, nor the other way about."""
    host.run("gpasswd --delete ubuntu sudo; systemctl start opensafely-modes.timer")
    host.run(f"{CHECKOUT}/emis/manage.sh host repair")
    manage(host, backend="emis")  # the rules name who is here by now
    assert rests(host, "emis")


def test_drift_of_the_trees_is_set_right(host):
    host.run(f"""
        setfacl -m u:vera:rwx -m d:u:vera:rwx {MEDIUM_WORK}
        chmod 755 /srv/high_privacy
        setfacl -k {HIGH_WORK}
        chgrp vera {REQUESTS_TREE}
    """)
    planned = manage(host, "plan --offline", backend="emis")
    done = manage(host, "--offline", backend="emis")
    assert (planned.returncode, done.returncode) == (3, 0), done.stdout + done.stderr
    assert planned.stdout.splitlines()[:-1] == done.stdout.splitlines()[:-1]
    assert "user:vera:rwx" in planned.stdout
    assert rests(host, "emis")
    found = host.run(f"getfacl --absolute-names {MEDIUM_WORK}").stdout
    assert "vera" not in found


def test_a_run_killed_before_systemd_read_a_unit_file_is_made_up_for(host):
    """The file is right, and only the mark says that systemd does not know yet."""
    unit = "opensafely-modes.timer"
    host.run(f"""
        sed -i 's/^AccuracySec=.*/AccuracySec=5s/' /etc/systemd/system/{unit}
        systemctl daemon-reload
        sed -i 's/^AccuracySec=.*/AccuracySec=1s/' /etc/systemd/system/{unit}
        echo "$(cat /proc/sys/kernel/random/boot_id) then killed" \
            > /var/lib/opensafely/pending/daemon-reload.{unit}
    """)
    asked = f"systemctl show --property=AccuracyUSec,NeedDaemonReload {unit}"
    assert "AccuracyUSec=5s" in host.run(asked).stdout
    assert manage(host, backend="emis").returncode in (0, 4)
    assert host.run(asked).stdout == "AccuracyUSec=1s\nNeedDaemonReload=no\n"
    assert rests(host, "emis")
