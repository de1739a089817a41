"""What a run refuses with a sentence and exit status 2, before it touches anything."""

from __future__ import annotations

import json
import re

import pytest

from backend_server.cli.arguments import COMMANDS, GROUPS
from sandbox.fixtures import ubuntu_user
from tests.hints import PASTED, SHOWN
from tests.hosts.managing import (
    CHECKOUT,
    edited,
    manage,
    refused,
    rests,
    untouched,
)


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test")
    assert rests(host)
    return host


# As where systemd does not run the machine: nobody can say otherwise in this namespace.
WITHOUT_SYSTEMD = (
    "unshare --mount sh -c 'mount -t tmpfs none /run/systemd; exec \"$@\"' -"
)


def test_bare_host(bare_host):
    """Where there is no Python yet, the shell that would install it refuses."""
    host = bare_host("bookworm")
    (apply,) = (each for each in COMMANDS if each.name == "apply")
    values = {"--only": "docker", "--confirm-within": "60"}
    with untouched(host):
        for option in (name for each in apply.arguments for name in each.names):
            if option != "--yes":
                words = f"{option} {values.get(option, '')}"
                refused(manage(host, words), "becomes test", "--yes")
        for word in ("--yess", "--help", "-h"):
            refused(manage(host, f"--yes {word}"), f"installs it for {word}")
        refused(manage(host), "becomes test", "--yes")
        done = manage(host, "--json")
        assert json.loads(done.stdout)["error"] in done.stderr
        refused(
            manage(host, "plan"), "plan installs none", "try: sudo ./test/manage.sh"
        )
        refused(manage(host, "--yes", prefix=WITHOUT_SYSTEMD), "systemd", "sandbox.sh")
        refused(
            manage(host, "--yes", prefix="setpriv --reuid=1000"), "only root", "sudo"
        )
    host.write(f"{CHECKOUT}/developers", "# nobody\n\n  # really\n")
    with untouched(host):
        refused(manage(host, "--yes"), "no developer is on the roster", "developers")


def test_no_systemd(host):
    with untouched(host):
        refused(
            manage(host, prefix=WITHOUT_SYSTEMD), "systemd does not run this machine"
        )


def test_not_root(host):
    host.run("cp -r /srv/backend-server /tmp/copy && chown -R ada: /tmp/copy")
    done = host.run("runuser -u ada /tmp/copy/test/manage.sh", check=False)
    refused(done, "needs root and this is uid", "sudo ./test/manage.sh apply")


def test_other_backend(host):
    with untouched(host):
        done = manage(host, "--yes", backend="tpp")
        refused(done, "this host is the backend test; wanted tpp", "/test/manage.sh")
        refused(manage(host, "plan", backend="emis"), "wanted emis")


def lines():
    """Every command that looks at this host, as it is typed, with what it must be given."""
    given = {"subject": "ada", "subjects": "ada", "user": "ada", "path": "a.csv"}
    for group, commands in (("", COMMANDS), *((g.name, g.actions) for g in GROUPS)):
        for command in commands:
            arguments = [given.get(each.names[0], "") for each in command.arguments]
            needs = [a.names[0] for a in command.arguments if "required" in a.settings]
            words = (group, command.name, *arguments, *(f"{name}=x" for name in needs))
            if command.name not in ("show", "revoke", "undo"):
                yield " ".join(filter(None, words))


def test_every_command_on_another_backends_host(host):
    with untouched(host):
        for words in lines():
            done = manage(host, words, backend="tpp")
            refused(done, "this host is the backend test; wanted tpp")
            assert done.stdout == "", words


def test_rubbish_instead_of_a_name_holds_up_no_rescue(host):
    with edited(host, "/etc/opensafely/backend", "rubbish\n"):
        refused(manage(host, "status"), "this host is the backend rubbish")
        assert manage(host, "host undo").returncode == 0
        done = manage(host, "people revoke nobody-here --why test")
        assert "this host is the backend" not in done.stderr


def test_first_run_without_a_terminal(host):
    with edited(host, "/etc/opensafely/backend", ""):
        host.run("mv /etc/opensafely/backend /root/backend")
        with untouched(host):
            done = manage(host)
            refused(done, "nobody is here to confirm", "becomes test", "--yes")
        host.run("mv /root/backend /etc/opensafely/backend")
    assert rests(host)


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        (
            "chown ada backend_server/text/change.py",
            "chown root backend_server/text/change.py",
        ),
        (
            "chmod g+w backend_server/text/change.py",
            "chmod g-w backend_server/text/change.py",
        ),
        ("chmod o+w packages", "chmod o-w packages"),
        ("chmod o+w developers", "chmod o-w developers"),
        ("chown ada .git/config", "chown root .git/config"),
        ("chmod o+w scripts/bootstrap.sh", "chmod o-w scripts/bootstrap.sh"),
        ("chmod o+w .", "chmod o-w ."),
        ("chmod o+w /srv", "chmod o-w /srv"),
        ("chown ada /srv", "chown root /srv"),
        ("setfacl -m u:ada:rwx backend_server", "setfacl -b backend_server"),
        ("ln -s /home/ada/change.py backend_server/other.py", "true"),
    ],
)
def test_checkout_that_a_user_can_change(host, spoil, mend):
    """Refused before anything in it is run: what would be run here leaves a folder."""
    planted = "import os; os.mkdir('/root/was-run')"
    host.run(
        f'cd {CHECKOUT} && echo "{planted}" >> backend_server/text/change.py && {spoil}'
    )
    try:
        refused(manage(host), CHECKOUT.split("/")[1], "   try: ")
        assert host.run("ls /root").stdout == ""
    finally:
        host.run(f"cd {CHECKOUT} && {mend}; git checkout -q . && git clean -fdq")
    assert rests(host)


def test_hostile_rosters(host):
    """Everything wrong with all of the files at once, and nothing is touched."""
    place = f"{CHECKOUT}/"
    wrong = {
        "developers": "ada\nroot\n12345\nwith space\na--b\n"
        + "x" * 33
        + "\n$(id)\n../up\n",
        "test/researchers": "ADA\nrita expires=tomorrow\ngrace\u202e\nrita id=007",
        "test/reviewers": "gus\r\ngus\r\nsudo\r\nd\u00e9\r\nopensafely",
        "packages/core.txt": "acl\n--allow-unauthenticated\n",
        "test/hosts": "jobs.opensafely.org\n",
    }
    lines = {
        "developers": (2, 3, 4, 5, 6, 7, 8),
        "test/researchers": (1, 2, 3, 4),
        "test/reviewers": (2, 3, 4, 5),
        "packages/core.txt": (2,),
        "test/hosts": (1,),
    }
    for path, text in wrong.items():
        host.run(f"cat > {place}{path}", stdin=text)
    with untouched(host):
        done = manage(host, "--yes")
    host.run(f"cd {CHECKOUT} && git checkout -q .")
    found = set(re.findall(r"^(?:error: )?(\S+:\d+): ", done.stderr, re.MULTILINE))
    refused(done, "nothing was touched")
    assert found == {f"{path}:{n}" for path, numbers in lines.items() for n in numbers}
    assert done.stderr.isascii()  # nothing that could drive a terminal


def test_missing_roster(host):
    host.run(f"mv {CHECKOUT}/test/reviewers /root/")
    refused(manage(host), "test/reviewers", "cannot be read")
    host.run(f"mv /root/reviewers {CHECKOUT}/test/")


@pytest.mark.parametrize("text", ["", "# ada\n", "ada expires=2001-01-01\n"])
def test_no_developer(host, text):
    with edited(host, f"{CHECKOUT}/developers", text), untouched(host):
        refused(manage(host), "no developer is on the roster developers", "commit")


def test_account_of_somebody_else(host, outside):
    host.run("useradd -m linus")
    outside.github("linus")
    try:
        with edited(host, f"{CHECKOUT}/developers", "ada\ngrace\nlinus\n"):
            with untouched(host):
                refused(manage(host), "linus would be adopted")
            assert manage(host, "--yes").returncode == 0
            assert "opensafely-people" in host.run("id -nG linus").stdout
    finally:
        host.run("gpasswd -d linus developers; userdel -r linus", check=False)
    assert rests(host)


@pytest.mark.parametrize("group", ["sudo", "adm", "disk"])
def test_stranger_who_is_as_good_as_root(host, group):
    host.run(f"useradd -m mallory && gpasswd -a mallory {group}")
    try:
        with untouched(host):
            done = manage(host)
        refused(done, "neither on a roster nor a provider account")
        command = f"gpasswd --delete mallory {group}"
        assert f"   try: {command}\n" in done.stderr
        host.run(command)
        assert rests(host)
    finally:
        host.run("userdel -r mallory", check=False)


def test_provider_account_keeps_sudo(warm_host):
    host = warm_host("test", shape=[ubuntu_user])
    assert manage(host).returncode == 0  # which finds the provider's rules in order
    assert rests(host)
    assert "sudo" in host.run("id -nG ubuntu").stdout.split()
    ubuntu = host.people["ubuntu"]
    assert host.ssh("ubuntu", ubuntu.key, "sudo -n id -u").stdout == "0\n"


def test_conflicting_line_in_hosts(host):
    ours = host.read("/etc/hosts")
    with edited(host, "/etc/hosts", f"192.0.2.1 jobs.opensafely.org\n{ours}"):
        with untouched(host):
            done = manage(host)
        refused(
            done, "gives jobs.opensafely.org the address 192.0.2.1", "grep -n jobs."
        )
    assert rests(host)


# ---- what stands after `try:`


GONE = "and nothing is refused any more"
# One who pastes it is shown what to decide about: this text; which is nothing for us to do.
SHOWS, CHOOSES = "it shows", "somebody chooses"
DAEMON = "/etc/docker/daemon.json"
STATE = "/var/lib/opensafely"
LATER = f"mv {DAEMON} /root/daemon.json; cp /root/daemon.json {DAEMON}"
TRIED = [
    # what is amiss; what was typed; what comes of the line; what ends it where that did not
    ("true", "plan", "tpp", GONE, "", "true"),
    ("true", "people revoke rita --why ''", "test", GONE, "", "true"),
    ("true", "people revoke nobody-here --why x", "test", SHOWS, "rita", "true"),
    ("true", "people readmit ada", "test", SHOWS, "rita", "true"),
    ("true", "people who", "test", GONE, "", "true"),
    ("true", "people password nobody-here --reset", "test", SHOWS, "rita", "true"),
    (
        "true",
        "service start nonsense",
        "test",
        CHOOSES,
        "choose from jobrunner",
        "true",
    ),
    ("true", "--only nonsense", "test", CHOOSES, "choose from ", "true"),
    (
        f"{LATER}; echo x > {DAEMON}; rm -r /var/lib/opensafely/docker",
        "plan --offline",
        "test",
        GONE,
        "",
        f"cp /root/daemon.json {DAEMON}",
    ),
    (
        f"{LATER}; sed -i '0,/{{/s//{{\"iptables\": false,/' {DAEMON}",
        "plan --offline",
        "test",
        SHOWS,
        '"iptables": false',
        f"cp /root/daemon.json {DAEMON}",
    ),
    (
        "echo DOCKER_OPTS=--iptables=false >> /etc/default/docker",
        "plan --offline",
        "test",
        SHOWS,
        "DOCKER_OPTS=--iptables=false",
        "sed -i /--iptables/d /etc/default/docker",
    ),
    (
        "sed -i '/^# END opensafely/d' /etc/hosts",
        "plan --offline",
        "test",
        GONE,
        "",
        "true",
    ),
    (
        "sed -i '1i 192.0.2.1 jobs.opensafely.org' /etc/hosts",
        "plan --offline",
        "test",
        SHOWS,
        "1:192.0.2.1",
        "sed -i /192.0.2.1/d /etc/hosts",
    ),
    (
        "useradd mallory; gpasswd -a mallory adm",
        "plan --offline",
        "test",
        GONE,
        "",
        "userdel mallory",
    ),
    (
        "sed -i s/^/#/ developers",
        "plan --offline",
        "test",
        CHOOSES,
        "YOUR-GITHUB-NAME",
        "git checkout -q developers",
    ),
    (
        "echo root >> developers",
        "plan --offline",
        "test",
        CHOOSES,
        "correct these lines",
        "git checkout -q developers",
    ),
    (
        "mkdir /etc/profile.d/x; mv /etc/profile.d/opensafely.sh /root; "
        "mkdir /etc/profile.d/opensafely.sh",
        "plan --offline",
        "test",
        GONE,
        "",
        "rm -r /etc/profile.d/x /etc/profile.d/opensafely.sh.old",
    ),
    (
        "chown ada developers",
        "plan --offline",
        "test",
        GONE,
        "",
        "chown root developers",
    ),
    ("chmod o+w packages", "plan --offline", "test", GONE, "", "chmod o-w packages"),
    (
        "mkdir '/srv/a b'; cp -a . '/srv/a b/c'; chmod o+w developers",
        "plan --offline",
        "test",
        GONE,
        "",
        "rm -rf '/srv/a b'; chmod o-w developers",
    ),
    # ---- what stands on the host already, and is not as declared
    (
        "cp -a /etc/sudoers /root/sudoers; sed -i /includedir/d /etc/sudoers; "
        "rm /etc/sudoers.d/zz-opensafely",
        "plan --offline",
        "test",
        GONE,
        "",
        "cp -a /root/sudoers /etc/sudoers",
    ),
    (
        "echo mallory:x:0:0::/:/bin/sh >> /etc/passwd",
        "plan --offline",
        "test",
        GONE,
        "",
        "sed -i /^mallory/d /etc/passwd",
    ),
    (
        "groupmod -g 12345 reviewers",
        "plan --offline",
        "test",
        GONE,
        "",
        "groupmod -g 10010 reviewers || true",
    ),
    (
        "usermod -g researchers ada",
        "plan --offline",
        "test",
        GONE,
        "",
        "usermod -g ada ada",
    ),
    (
        "userdel rita; mv /home/rita /root/rita; install -d -o daemon /home/rita",
        "plan --offline",
        "test",
        GONE,
        "",
        "rm -rf /home/rita /home/rita.old /root/rita",
    ),
    (
        "usermod --home /home/elsewhere rita",
        "plan --offline",
        "test",
        GONE,
        "",
        "usermod --home /home/rita rita",
    ),
    (
        "systemctl stop opensafely-jobrunner docker.socket docker; usermod -u 12345 opensafely",
        "plan --offline",
        "test",
        GONE,
        "",
        "usermod -u 10000 opensafely || true; systemctl start docker",
    ),
    # ---- our own records
    (
        f"cp -a {STATE}/github.json /root; echo x > {STATE}/github.json",
        "plan --offline",
        "test",
        GONE,
        "",
        f"rm -f {STATE}/github.json.broken; mv /root/github.json {STATE}",
    ),
    (
        f"echo x > {STATE}/applied.json",
        "people revoke rita --why x",
        "test",
        GONE,
        "",
        "true",
    ),
    (
        f"rm {STATE}/applied.json",
        "people revoke rita --why x",
        "test",
        GONE,
        "",
        "true",
    ),
    (
        "mv /etc/opensafely/backend /root/backend",
        "--only login --yes",
        "test",
        SHOWS,
        "nobody is here to confirm",
        "mv /root/backend /etc/opensafely/backend",
    ),
    # ---- what cannot be done to this one
    ("true", "people who --user rita", "test", CHOOSES, "usage", "true"),
    (
        "true",
        "people password gus --ask",
        "test",
        SHOWS,
        "gus",
        "true",
    ),
    (
        "true",
        "service shell airlock",
        "test",
        SHOWS,
        "Started opensafely-airlock.service",
        "true",
    ),
    (
        "systemctl stop opensafely-jobrunner",
        "service shell jobrunner",
        "test",
        GONE,
        "",
        "true",
    ),
    (
        "true",
        "people revoke SHA256:short --why x",
        "test",
        CHOOSES,
        "wanted SHA256: and 43 characters",
        "true",
    ),
]
NO_COMMAND = (
    "command not found",
    "usage:",
    "syntax error",
    "Traceback",
    "No such file",
)


def pasted(host, done):
    """The line is run as somebody pastes it who stands in the checkout and may use sudo."""
    hint = (done.stdout + done.stderr).partition("try: ")[2].partition("\n")[0]
    assert hint, done.stdout + done.stderr
    return hint, host.run(f"cd {CHECKOUT}; {hint}", check=False)


def first_sentence(done):
    return (done.stdout + done.stderr).partition("try: ")[0]


@pytest.mark.parametrize(("spoil", "words", "backend", "what", "text", "mend"), TRIED)
def test_what_stands_after_try(host, spoil, words, backend, what, text, mend):
    """Pasted, it ends the trouble or shows what to decide; or it says what somebody chooses."""
    host.run(f"cd {CHECKOUT}; {spoil}")
    try:
        before = manage(host, words, backend)
        assert before.returncode in (1, 2), before.stdout + before.stderr
        if what == CHOOSES:
            assert text in before.stdout + before.stderr
            return
        hint, done = pasted(host, before)
        said = done.stdout + done.stderr
        assert not [each for each in NO_COMMAND if each in said], f"{hint}\n{said}"
        assert text in said, f"{hint}\n{said}"
        after = manage(host, words, backend)
        if what == GONE and words.startswith("plan") and backend == "test":
            assert first_sentence(after) != first_sentence(before), hint
            assert after.returncode in (0, 3, 4), after.stdout + after.stderr
        elif what == GONE:
            assert done.returncode in (0, 4), f"{hint}\n{said}"
    finally:
        host.run(f"cd {CHECKOUT}; {mend}")
        manage(host, "people readmit rita")
        assert manage(host, "--offline").returncode in (0, 4)


def test_a_path_that_a_shell_reads_otherwise(host):
    """in-force/22: mikkelchokolate/Veil#241, systemd/systemd#2132."""
    for path in ("/srv/a b/c", "/srv/b%h$x"):
        host.run(f"mkdir -p '{path}'; rmdir '{path}'; cp -a {CHECKOUT} '{path}'")
        done = host.run(f"'{path}/test/manage.sh' plan --offline", check=False)
        refused(done, "without blanks, quotes, % and $")
        _, moved = pasted(host, done)
        assert moved.returncode == 0, moved.stderr
        better = re.sub("[ %$]+", "-", path)
        done = host.run(f"{better}/test/manage.sh plan --offline", check=False)
        host.run(f"rm -rf {better}; rmdir '/srv/a b' 2>/dev/null || true")
        assert done.returncode == 3, done.stdout + done.stderr  # units name the path


# Of what stands after `try:` and changes nothing, filled in; each can be pasted.
LOOKS = [
    "sudo backend host disk",
    "timedatectl",
    "apt-get update; nft list table inet opensafely",
    "journalctl -u ssh -n 50",
    "journalctl -u ssh",
    "grep -rni include /etc/ssh/sshd_config /etc/ssh/sshd_config.d",
    "grep -rni disableforwarding /etc/ssh",
    "sudo backend people sessions",
    "sudo backend status",
    "df -h; df -i; sudo backend status",
    "df -h; journalctl -t backend-server -n 1",
    "ps -fp 1",
    "namei -l /etc/passwd",
    "getent passwd ada; grep ^passwd /etc/nsswitch.conf",
    "systemctl status docker.service",
    "systemctl cat apt-daily.timer",
    "systemctl status docker.service; sudo backend",
    "ssh-keygen -l -f keys/rita",
    "findmnt --target /srv/high_privacy",
    "getent group ada",
    "ls /srv/backend-server/*/manage.sh",
    "git -C /srv/backend-server diff test/backend.py",
    "sudo backend service secrets",
    "sudo backend service list",
    "ls -lR /var/lib/opensafely",
]


def pattern(template):
    return ".*".join(map(re.escape, template.split("{}")))


@pytest.mark.parametrize("line", LOOKS)
def test_what_only_shows(host, line):
    done = host.run(f"cd {CHECKOUT}; {line}", check=False)
    said = done.stdout + done.stderr
    assert done.returncode in (0, 4), said
    assert said or line.startswith("git"), line
    assert not [each for each in NO_COMMAND if each in said], said


def test_all_that_only_show_are_shown():
    shown = [template for template, where in PASTED.items() if where == SHOWN]
    for template in shown:
        assert any(re.fullmatch(pattern(template), line) for line in LOOKS), template
