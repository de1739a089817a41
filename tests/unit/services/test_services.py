"""Services: which image counts, what is lacking, when one last polled, what its unit says."""

import json
import os
import shlex
import time

import pytest

from backend_server.checkout import env, service
from backend_server.checkout.backend import Backend, Follow
from backend_server.checkout.gather import gather
from backend_server.engine import history
from backend_server.host.asking import start_or_end
from backend_server.host.reader import HostReader
from backend_server.jobs.component import jobrunner
from backend_server.run.place import services_of
from backend_server.services import (
    agent,
    choices,
    environment,
    followed,
    states,
    trees,
)
from backend_server.services.component import confined, unit
from backend_server.text.errors import Refused
from backend_server.text.parsers import parse_mount_sources
from backend_server.text.releases import named
from tests.unit.example import BACKENDS, ROOT, TODAY, checkout_of, load, site_of


OLD, NEW, CHOSEN = ("sha256:" + 64 * digit for digit in "012")


@pytest.fixture
def site(tmp_path):
    return site_of("test", "bookworm", tmp_path / "checkout")


@pytest.fixture
def host(tmp_path):
    return HostReader(tmp_path / "host")


def lay(host, path, text):
    at = host.root / path[1:]
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(text)


# ---- images


def choice(**changes):
    found = choices.Choice("jobrunner", CHOSEN, OLD, "ada", "2027-01-15T00:00:00Z")
    return json.dumps({**found._asdict(), **changes}) + "\n"


def test_a_choice_counts_until_the_checkout_says_another(host):
    assert choices.digest(host, "jobrunner", OLD) == OLD
    assert choices.digest(host, "jobrunner", "") == ""
    lay(host, service.CHOICES, choice())
    assert choices.digest(host, "jobrunner", OLD) == CHOSEN
    assert choices.digest(host, "jobrunner", NEW) == NEW
    assert choices.digest(host, "other", OLD) == OLD


@pytest.mark.parametrize("line", ["{}", "jobrunner sha256:0", "[1]", choice(more=1)])
def test_a_broken_list_of_choices_is_refused(host, line):
    lay(host, service.CHOICES, line)
    with pytest.raises(Refused, match="line 1 of /etc/opensafely/images.lock"):
        choices.digest(host, "jobrunner", OLD)


def test_images_that_may_be_needed_again(site, host):
    site = site.__class__(**{**vars(site), "images": {"jobrunner": OLD}})
    name = "docker-proxy.opensafely.org/opensafely-core/job-runner"
    settings = choices.Settings(f"{name}@{CHOSEN}", f"{name}@{NEW}", "999")
    lay(
        host,
        f"{service.SETTINGS}/jobrunner",
        env.rendered({k.upper(): v for k, v in settings._asdict().items()}),
    )
    assert choices.settings(host, "jobrunner") == settings
    wanted = {f"{name}@{digest}" for digest in (OLD, NEW, CHOSEN)}
    assert states.images_in_use(site, host) == wanted


# ---- environment


def test_what_is_lacking_has_a_sentence_with_what_mends_it(site, host):
    lay(
        host,
        service.SECRETS,
        "CONTROLLER_TASK_API_TOKEN=\nPRIVATE_REPO_ACCESS_TOKEN='hunter2\n",
    )
    site = site._replace(services=site.services[:1])
    image, line, *tokens = states.degraded(site, host)
    assert image.endswith("sudo backend service update jobrunner")
    assert line.startswith("/etc/opensafely/env/02_secrets.env:2: the quote ")
    assert [words.rpartition(" ")[2] for words in tokens] == [
        "CONTROLLER_TASK_API_TOKEN",
        "PRIVATE_REPO_ACCESS_TOKEN",
    ]
    assert "hunter2" not in "".join([line, *tokens])


def test_names_that_changed_since_the_start(host):
    lay(
        host,
        f"{service.MERGED}/jobrunner",
        env.rendered({"A": "'1'", "B": "2", "C": "3"}),
    )
    lay(host, service.DEFAULTS, "A=\"'1'\"\nB=1\n")
    lay(host, service.LOCAL, "D=4\n")
    assert environment.differing(host, "jobrunner", ()) == ("B", "C", "D")


def test_a_service_is_told_its_own_secrets_and_no_other_ones(site, host):
    """The job-runner, which is root, what nobody else is meant to know as well."""
    lay(host, service.DEFAULTS, "A=1\n")
    own = "CONTROLLER_TASK_API_TOKEN PRIVATE_REPO_ACCESS_TOKEN"
    theirs = "AIRLOCK_API_TOKEN DJANGO_SECRET_KEY"
    names = f"{own} {theirs} OF_NOBODY".split()
    lay(host, service.SECRETS, "".join(f"{name}=x\n" for name in names))
    told = {
        each.name: sorted(environment.now(host, each.secrets, each.others).values)
        for each in site.services
    }
    assert told["jobrunner"] == ["A", *own.split()[:1], "OF_NOBODY", *own.split()[1:]]
    assert told["airlock"] == ["A", *theirs.split()]


def test_a_database_is_asked_for_where_there_are_patients(site):
    assert "DEFAULT_DATABASE_URL" not in jobrunner(site.backend).secrets
    assert "DEFAULT_DATABASE_URL" in jobrunner(load("tpp", ROOT)).secrets


@pytest.mark.parametrize("name", BACKENDS)
def test_what_is_laid_on_every_host_is_in_order(name, tmp_path):
    found = site_of(name, "focal", tmp_path / "checkout")
    assert env.parse("x", found.etc[service.DEFAULTS])[1] == []
    assert env.parse("x", found.service_env)[1] == []


# ---- the last good poll

S = 1_000_000


@pytest.mark.parametrize(
    ("moments", "last"),
    [
        ([], None),
        ([(True, 0), (False, 2), (True, 7), (False, 9)], None),
        ([(True, 0), (False, 15), (True, 20), (False, 22)], "1970-01-01T00:00:15Z"),
        ([(True, 0), (False, 99), (True, 100), (False, 200)], "1970-01-01T00:03:20Z"),
        ([(False, 99), (True, 100)], None),
    ],
)
def test_the_last_good_poll_is_the_end_of_a_long_run(moments, last):
    """The agent ends with the first poll that fails: one that ran for three loops had polled."""
    log = [(None if starts else 1, at * S) for starts, at in moments]
    found = states._last_poll(log)
    assert (history.at(found) if found else None) == last


def test_the_journal_as_journalctl_gives_it():
    lines = [
        '{"MESSAGE_ID":"39f53479d3a045ac8e11786248231fbf","__REALTIME_TIMESTAMP":"1795581179000001","MESSAGE":"Started"}',
        '{"MESSAGE_ID":"98e","__REALTIME_TIMESTAMP":"1795581180000002","EXIT_STATUS":"3"}',
    ]
    assert [start_or_end(line) for line in lines] == [
        (None, 1795581179000001),
        (3, 1795581180000002),
    ]


# ---- what the agent says

BEGIN = "2026-11-29 12:00:00.123Z agnt agent.main loop started "
END = """\
Traceback (most recent call last):
  File "/app/agent/service.py", line 48, in <module>
    main()
Exception: Some tasks failed, restarting agent loop"""
ARCHIVED = """\
2026-11-29 12:00:01.000Z agnt Workspace w3 has been archived. id=7kq task=7kq-001 task_type=RUNJOB
2026-11-29 12:00:01.123Z agnt task error task=7kq-001 task_type=RUNJOB
Traceback (most recent call last):
  File "/app/agent/main.py", line 50, in handle_tasks
    handle_single_task(task, api)
agent.executors.local.LocalExecutorError: Workspace w3 has been archived. Contact us"""
PULL = """\
2026-11-29 12:00:02.123Z agnt task error task=u2m-002-cancel task_type=CANCELJOB
Traceback (most recent call last):
  File "/app/agent/lib/docker.py", line 9, in docker
subprocess.CalledProcessError: Command '['docker', 'pull']' returned non-zero exit status 1.

stderr:

Error response from daemon: manifest unknown

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
agent.lib.docker.DockerDiskSpaceError"""
AWAY = """\
Traceback (most recent call last):
  File "/app/agent/task_api.py", line 30, in request_json
requests.exceptions.ConnectionError: Max retries exceeded"""


def said(*parts):
    return list(enumerate("\n".join(parts).splitlines()))


def test_a_task_that_errs_by_the_agents_log():
    runs = agent.runs(said(BEGIN, ARCHIVED, END, BEGIN, ARCHIVED, PULL, END))
    archived, pull = agent.erring(runs, up=False)
    wanted = "agent.executors.local.LocalExecutorError: Workspace w3 has been archived. Contact us"
    assert archived == agent.Erring("7kq", "w3", wanted, "1970-01-01T00:00:02Z")
    assert (pull.job, pull.error) == ("u2m", "agent.lib.docker.DockerDiskSpaceError")
    assert "cancels it at https://jobs.opensafely.org/jobs/7kq/" in str(archived)
    assert agent.erring(agent.runs(said("nonsense", "task error task=1")), True) == ()


@pytest.mark.parametrize(
    ("parts", "up", "jobs"),
    [
        ((BEGIN, ARCHIVED, END), False, ["7kq"]),
        ((BEGIN, ARCHIVED, END, BEGIN), True, ["7kq"]),
        ((BEGIN, ARCHIVED, END, BEGIN, AWAY), False, []),
        ((BEGIN, ARCHIVED, END, BEGIN, PULL), True, ["u2m"]),
    ],
)
def test_only_what_errs_now_counts(parts, up, jobs):
    assert [each.job for each in agent.erring(agent.runs(said(*parts)), up)] == jobs


def test_what_others_say_goes_to_no_terminal_as_it_is():
    (found,) = agent.erring(agent.runs(said(ARCHIVED.replace("us", "\x1b[2J"))), True)
    assert found.error.endswith("Contact ?[2J")
    forged = ARCHIVED.replace("task=7kq", "task=\x1b[2J")
    assert agent.erring(agent.runs(said(forged)), True) == ()


SS = """\
0 0 172.17.0.2:45678 157.245.31.108:443 cubic wscale:7,7 rto:204 rtt:0.1/0.1 lastsnd:4120 lastrcv:4116 lastack:4116
0 0 172.17.0.2:45680 157.245.31.108:443 cubic wscale:7,7 rto:204 lastrcv:60000
0 0 172.17.0.2:45682 157.245.31.108:443
"""


def test_connections_as_ss_lists_them():
    found = {"172.17.0.2:45678": (4.116, 4.12), "172.17.0.2:45680": (60.0, 0)}
    assert agent.connections(SS) == found


@pytest.mark.parametrize(
    ("wires", "silent"),
    [
        ([], 0),
        ([(4, 4.1)], 0),
        ([(24, 24.1)], 0),
        ([(59, 59.1)], 0),  # busy, and the second thread will ask
        ([(61, 61.1)], 61),  # a first question, before which TLS said its last
        ([(31, 26)], 31),  # on a connection that had answers before
        ([(2, 2.1), (31, 26)], 31),  # and the second thread has its own
        ([(31, 0.1)], 0),  # asked a moment ago, after a pause
        ([(1, 40), (2, 2.1)], 40),  # a word now and then, and no answer
        ([(1, 20)], 0),  # one that takes its time
    ],
)
def test_an_agent_that_waits_for_an_answer(wires, silent):
    assert agent.silent_s(wires, 5.0, 30.0) == silent


class Wires:
    """A host whose agent has the one connection, over which it said its last word when it is told."""

    def __init__(self, monkeypatch, *asked):
        self.asked, self.now = list(asked), 100.0
        monkeypatch.setattr(agent.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(agent.time, "sleep", self.later)

    def later(self, seconds):
        self.now += seconds

    def docker_object(self, name):
        return {"State": {"Pid": 1}}

    def tcp_connections(self, pid):
        asked = self.asked.pop(0) if len(self.asked) > 1 else self.asked[0]
        return f"0 0 a:1 b:443 rto:1 lastsnd:{(self.now - asked) * 1000:.0f}\n"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ([99], False),  # nothing more is said
        ([99, 100, 100], False),  # shaking hands
        ([99, 99, 99, 99, 103.6], True),
    ],
)
def test_a_poll_that_was_answered(monkeypatch, asked, answered):
    found = agent.unanswered(Wires(monkeypatch, *asked), "jobrunner", 5)
    assert (found == "") is answered


NEIGHBOURS = """\
172.17.0.1 dev eth0 lladdr d6:50:61:24:c3:15  ref 1 used 6/{}/3probes 4 REACHABLE
172.17.0.9 dev eth0  used 80/140/77probes 6 FAILED
"""


class HungUp(Wires):
    """Whose controller hangs up after each answer; so many seconds ago something got through."""

    def docker_object(self, name):
        return {"State": {"Pid": 1}} if self.asked else {}

    def tcp_connections(self, pid):
        return ""

    def neighbours(self, pid):
        return "" if self.asked[0] is None else NEIGHBOURS.format(self.asked[0])

    def container_said(self, name, lines, since):
        return ""


@pytest.mark.parametrize(
    ("asked", "up_s", "ago", "silent"),
    [
        ([3], 100, 3, 0),
        ([59], 100, 59, 0),
        ([61], 100, None, 61),
        ([None], 50, None, 0),  # and has asked nothing yet
        ([None], 70, None, 70),
        ([500], 50, None, 0),  # that was before
        ([], 100, None, 0),  # docker does not answer
        ([3], 10, None, 0),
    ],
)
def test_an_agent_without_a_connection(monkeypatch, asked, up_s, ago, silent):
    monkeypatch.setattr(agent.time, "time", lambda: 1000.0)
    seen = agent.look(HungUp(monkeypatch, *asked), "jobrunner", up_s, 5.0, 30.0)
    assert seen == agent.Seen(answer=0 if ago is None else 1000 - ago, silent_s=silent)


def test_a_poll_after_which_it_was_hung_up_on(monkeypatch):
    """Two moments, a loop apart; what asks nothing, or began a moment ago, has not had one."""
    asks = HungUp(monkeypatch, 1)
    assert agent.unanswered(asks, "jobrunner", 5) == ""
    asks.asked = [None]
    assert agent.unanswered(asks, "jobrunner", 5)
    asks.neighbours = lambda pid: "" if asks.now < 150 else NEIGHBOURS.format(0)
    asks.now = 149.0
    later, asks.asked = asks.now, [None]
    assert agent.unanswered(asks, "jobrunner", 5) == ""
    assert asks.now > later + 3.5


def test_what_the_agent_says_of_a_job():
    text = "\n".join((BEGIN, ARCHIVED, PULL, BEGIN))
    lines = [{"__REALTIME_TIMESTAMP": "1", "MESSAGE": m} for m in text.splitlines()]

    class Host:
        def container_said(self, name, lines_, since):
            return "\n".join(map(json.dumps, lines))

    assert "\n".join(agent.about(Host(), "jobrunner", "7kq")) == ARCHIVED
    assert list(agent.about(Host(), "jobrunner", "nothing")) == []


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (
            "TypeError: Task.__init__() got an unexpected keyword argument 'user'",
            "user",
        ),
        ("TypeError: __init__() got an unexpected keyword argument 'a\x1b[2J'", ""),
        ("KeyError: 'user'", ""),
    ],
)
def test_a_field_that_is_not_known(text, field):
    assert agent.unknown_field("loop started", text) == field


def test_what_a_container_said_as_journalctl_gives_it():
    text = (
        '{"__REALTIME_TIMESTAMP":"1795581179500000","MESSAGE":"text"}\n'
        '{"__REALTIME_TIMESTAMP":"1795581180000000","MESSAGE":[102,255]}\n'
    )
    assert agent.said(text) == [(1795581179.5, "text")]


@pytest.mark.parametrize(
    ("shown", "word"),
    [
        ({"ActiveState": "inactive", "NRestarts": "5"}, "stopped"),
        ({"ActiveState": "failed"}, "stopped"),
        ({}, "stopped"),
        (
            {"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "1"},
            "restarting",
        ),
        ({"ActiveState": "active", "NRestarts": "0"}, "running"),
        (
            {
                "ActiveState": "active",
                "NRestarts": "3",
                "ActiveEnterTimestampMonotonic": "1",
            },
            "running",
        ),
        ({"ActiveState": "active", "NRestarts": "3"}, "restarting"),
    ],
)
def test_words_for_a_state(shown, word):
    assert states._word(shown) == word


@pytest.mark.parametrize(
    ("runs_s", "ago_s", "up", "goes_on"),
    [
        ([20, 20, 20], 5, 18, True),
        ([20, 20, 20], 5, 41, False),
        ([20, 20], 5, 18, False),
        ([20, 1, 4], 5, 15, False),
        ([20, 5, 20], 5, 18, True),
        ([20, 20, 20], 400, 18, False),
        ([], 0, 18, False),
    ],
)
def test_one_that_ended_often_may_do_so_again(runs_s, ago_s, up, goes_on):
    """Until it is up for twice as long as it mostly was, a moment ago; none that was stopped."""
    at, log = time.time() - ago_s - sum(runs_s), []
    for run_s in runs_s:
        log += [(None, int(at * S)), (1, int((at + run_s) * S))]
        at += run_s
    assert states._goes_on(log, up) is goes_on
    stopped = [(None, int(at * S)), (143, int(at * S))]
    assert not states._goes_on([*log, *stopped], up)


def test_of_a_traceback_it_is_the_error_that_is_told():
    said = ["Traceback (most recent call last):", "TypeError: no 'x'", BEGIN]
    assert agent.why_ended(said) == "TypeError: no 'x'"
    assert agent.why_ended(["this version cannot start"]) == "this version cannot start"
    assert agent.why_ended([]) == ""


# ---- telemetry

HEADERS = environment.HEADERS


def test_only_who_needs_the_headers_has_anything_of_an_exporter(host):
    lines = (
        f"{HEADERS}=Authorization=x\nOTEL_EXPORTER_OTLP_ENDPOINT=https://else\nA=1\n"
    )
    lay(host, service.LOCAL, lines)
    found = environment.now(host)
    assert found.values == {"A": "1"}
    assert found.withheld == ("OTEL_EXPORTER_OTLP_ENDPOINT", HEADERS)
    assert environment.now(host, [HEADERS]).values == {
        "A": "1",
        HEADERS: "Authorization=x",
    }


def test_the_agent_tells_whom_the_backend_says(site):
    off = jobrunner(site.backend)
    assert HEADERS not in off.secrets
    assert not [name for name, _ in off.environment if "OTEL_EXPORTER" in name]
    on = jobrunner(site.backend._replace(telemetry="https://collector.opensafely.org"))
    assert HEADERS in on.secrets
    assert "--env=OTEL_EXPORTER_OTLP_ENDPOINT=https://collector" in unit(site, on)


# ---- archives


def test_the_unit_is_bound_to_the_disk_with_archives(site):
    assert "BindsTo" not in unit(site, jobrunner(site.backend))
    backend = site.backend._replace(archives_disk="/srv/high_privacy/archive")
    text = unit(site, jobrunner(backend))
    for word in ("BindsTo", "After"):
        assert f"\n{word}=srv-high_privacy-archive.mount\n" in text


# ---- the unit


def test_the_unit_holds_what_docker_is_to_limit(site):
    what = jobrunner(site.backend)
    text = unit(site, what).replace("\\\n", "")
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    argv = shlex.split(line.partition("=")[2])
    assert set(argv) >= confined(what) - {"--group-add=docker"}
    assert argv[-2:] == ["${IMAGE}", "/app/docker/scripts/agent.sh"]
    assert "--group-add=${DOCKER_GID}" in argv
    assert argv.count("--env-file=/run/opensafely/env/jobrunner") == 1
    for mount in what.mounts:
        assert f"--volume={mount}" in argv


def test_words_of_ours_mean_nothing_to_systemd(site):
    what = jobrunner(site.backend)
    odd = what.__class__(**{**vars(what), "environment": (("A", "50% $HOME x"),)})
    assert "'--env=A=50%% $$HOME x'" in unit(site, odd)


# ---- following a tag

FOLLOW = {
    "service": "jobrunner",
    "tag": "latest",
    "owner": "ada",
    "until": "2028-01-16",
}


def exception(tmp_path, **changes):
    backend = load("test", ROOT)
    follow = Follow(**{**FOLLOW, **changes})
    backend = Backend(**{**vars(backend), "follows": (follow,)})
    checkout = checkout_of("test", tmp_path / "checkout")
    found = gather(backend, named("bookworm"), checkout, TODAY)
    return found._replace(services=services_of(backend))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"owner": " "}, "nobody answers for it"),
        ({"until": ""}, "wanted a day, 2028-01-16 at the latest"),
        ({"until": "next year"}, "wanted a day, 2028-01-16 at the latest"),
        ({"until": "2027-1-31"}, "wanted a day, 2028-01-16 at the latest"),
        ({"until": "2028-01-17"}, "wanted a day, 2028-01-16 at the latest"),
        ({"until": "2999-01-31"}, "wanted a day, 2028-01-16 at the latest"),
    ],
)
def test_an_exception_without_end_or_owner_is_refused(tmp_path, changes, why):
    with pytest.raises(Refused, match=why):
        exception(tmp_path, **changes)


def test_an_exception_for_no_service_is_refused(tmp_path):
    with pytest.raises(Refused, match="follows a tag for 'nobody'"):
        exception(tmp_path, service="nobody")


@pytest.mark.parametrize(
    ("today", "over"), [("2028-01-15T23:59:59Z", 0), ("2028-01-16T00:00:00Z", 1)]
)
def test_an_exception_that_is_over_is_said(tmp_path, host, monkeypatch, today, over):
    monkeypatch.setattr(followed, "now", lambda: today)
    found = list(states.degraded(exception(tmp_path), host))
    assert sum("follows latest no longer" in line for line in found) == over


@pytest.mark.parametrize("text", ["{", "[]", '{"more": 1}'])
def test_what_was_kept_and_cannot_be_read_is_forgotten(host, text):
    lay(host, "/var/lib/opensafely/jobrunner.followed", text)
    assert followed.kept(host, "jobrunner") == followed.Kept()


# ---- the age of an image


@pytest.mark.parametrize(
    ("made", "days"),
    [
        ("2027-01-01", 0),
        ("2026-12-31", 15),
        ("2026-01-15", 365),
        ("1970-01-01", 0),  # as builds that can be repeated have it
        ("0001-01-01", 0),
        ("", 0),
    ],
)
def test_an_old_image(monkeypatch, made, days):
    monkeypatch.setattr(states.history, "now", lambda: "2027-01-15T00:00:00Z")
    wanted = f"its image is {days} days old; sudo backend service update jobrunner"
    assert list(states.old("jobrunner", made)) == ([wanted] if days else [])


# ---- what is mounted below the trees

HERE = {"/": ("8:1", "/"), "/srv": ("8:2", "/"), "/srv/t/late": ("8:3", "/")}
INSIDE = {"/": ("0:9", "/"), "/srv/t": ("8:2", "/t"), "/srv/t/late": ("8:3", "/")}


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ({}, []),
        ({"/srv/t/late": None}, ["/srv/t/late"]),  # it came later
        ({"/srv/t/gone": ("8:4", "/")}, ["/srv/t/gone"]),  # it was taken away
        ({"/srv/t/late": ("8:5", "/")}, ["/srv/t/late"]),  # another disk
        ({"/srv/t/late": ("8:3", "/old")}, ["/srv/t/late"]),  # another folder of it
        ({"/srv/t": ("8:1", "/srv/t")}, ["/srv/t"]),  # below the tree itself
        ({"/srv/tx": ("8:7", "/"), "/proc": ("0:1", "/")}, []),
    ],
)
def test_mounts_that_differ(inside, found):
    sources = {at: s for at, s in {**INSIDE, **inside}.items() if s}
    assert trees.differing(HERE, sources, ("/srv/t",)) == found


def test_sources_of_mounts():
    text = (
        "1 0 8:1 / / rw shared:1 - ext4 a rw\n"
        "2 1 8:2 /x /srv rw master:1 - xfs b rw\n"
        "3 1 8:3 / /srv rw - xfs c rw\n"
    )
    assert parse_mount_sources(text) == {"/": ("8:1", "/"), "/srv": ("8:3", "/")}


def test_a_container_whose_first_process_has_just_ended():
    """Nobody has waited for it yet, and the kernel has no mounts of it to list."""
    ended = os.fork()
    if not ended:
        os._exit(0)
    os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
    try:

        class Ends(HostReader):
            def docker_object(self, name):
                return {"State": {"Pid": ended}}

        assert trees.unlike(Ends(), "jobrunner", ["/srv"]) == []
    finally:
        os.waitpid(ended, 0)
