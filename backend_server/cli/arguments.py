"""The command line as a table: each command, what it does, and its options."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple, NoReturn, Sequence

from backend_server.cli import options
from backend_server.cli.options import Argument, argument, flag
from backend_server.text.errors import Refused


class Command(NamedTuple):
    name: str
    act: str  # a file of this folder, and a function in it: imported when it is asked for
    says: str
    arguments: tuple[Argument, ...] = ()


class Group(NamedTuple):
    name: str
    says: str
    actions: tuple[Command, ...]


_RELEASE = argument("--release", metavar="RELEASE", help="such as `ubuntu 24.04`")
_AGAINST = argument("--against", metavar="BACKEND", help="only what differs from that")
COMMANDS = (
    Command(
        "apply",
        "apply.apply",
        "make this host what it is declared to be (the default)",
        (*options.ACTING, options.YES, options.CONFIRM),
    ),
    Command(
        "plan",
        "apply.plan",
        "what apply would change; exit 3: it would",
        options.ACTING,
    ),
    Command(
        "show",
        "show.show",
        "all that is declared; needs no root and looks at no host",
        (options.ONLY, _RELEASE, _AGAINST),
    ),
    Command("status", "look.status", "what this host is now"),
)
_ROOT = flag("--root", says="everybody who can become root, and each way there")
PEOPLE = (
    Command("list", "people.list_people", "accounts of ours, and who is on a roster"),
    Command(
        "who",
        "people.who",
        "what an account can reach, and why",
        (options.MAYBE_USER, _ROOT),
    ),
    Command(
        "revoke",
        "revoke.revoke",
        "shut out an account, or a key by its SHA256:…, now",
        (options.WHOM, options.WHY),
    ),
    Command(
        "readmit",
        "revoke.readmit",
        "take back a revoke",
        (options.WHOM, options.MAYBE_WHY),
    ),
    Command(
        "password",
        "password.password",
        "give a reviewer a password for the remote desktop; --reset: take anybody's back",
        (options.REVIEWER, options.ASK, options.RESET),
    ),
    Command("totp", "password.totp", "give a second factor", (options.REVIEWER,)),
    Command(
        "sessions",
        "desktop.sessions",
        "who is on the remote desktop, and since when; --end: no longer",
        (options.MAYBE_USER, flag("--end", says="theirs, or everybody's, ends now")),
    ),
    Command("first-password", "people.first_password", "your own, once"),
    Command("narrow", "revoke.narrow", "take away what has ended", (options.OFFLINE,)),
)
_SERVICE = argument("subject", metavar="NAME")
_AGREED = flag("--yes", says="answers yes")
_GO_ON = flag("-f", "--follow", says="go on as it comes")
_BY_TIMER = flag("--by-timer", says="the timer's, every 15 minutes: ends no hold")
_AGENT = flag("--agent", says="what the job-runner says about it instead")
_TO = argument("--to", metavar="DIGEST", type=options.digest, help="sha256:…")
_TAG = argument("--tag", metavar="TAG", help="what that means now; latest")
_KEEP = flag("--keep", says="and do not go back: the fault is elsewhere")
SERVICE = (
    Command("list", "services.list_services", "each service, and what it lacks"),
    Command("logs", "services.logs", "what it and systemd say", (_SERVICE, _GO_ON)),
    Command("start", "services.tell", "run it, and see if it stays up", (_SERVICE,)),
    Command("stop", "services.tell", "end it, until somebody starts it", (_SERVICE,)),
    Command("restart", "services.tell", "end it and run it anew", (_SERVICE,)),
    Command("shell", "services.shell", "look around in its container", (_SERVICE,)),
    Command(
        "update",
        "services.update",
        "run it at another image, and go back if it does not stay up",
        (_SERVICE, _TO, _TAG, _KEEP, _AGREED),
    ),
    Command("rollback", "services.rollback", "undo an update", (_SERVICE, _AGREED)),
    Command(
        "follow", "services.follow", "let it follow its tag", (_SERVICE, _BY_TIMER)
    ),
    Command("hold", "services.hold", "let it follow no tag", (_SERVICE, options.WHY)),
    Command(
        "secrets",
        "secrets.secrets",
        "which are set, and since when; `set NAME` sets one",
        (
            argument("subject", metavar="set", nargs="?"),
            argument("secret", metavar="NAME", nargs="?"),
        ),
    ),
    Command(
        "certificate",
        "services.certificate",
        "what Airlock's page is known by: from standard input, with its key",
        (_SERVICE, argument("how", metavar="renew", nargs="?")),
    ),
    Command("backup", "copies.back_up", "copy what it keeps; a timer's", (_SERVICE,)),
    Command(
        "restore",
        "copies.restore",
        "run it with what it kept then, or last",
        (_SERVICE, argument("when", metavar="WHEN", nargs="?"), _AGREED),
    ),
    Command("environment", "services.environment", "for its unit", (_SERVICE,)),
)
_WAIT = argument("--wait", metavar="TIME", type=options.time, help="for jobs, as 2h")
_REBOOT = flag("--reboot", says="prove after a reboot instead")
HOST = (
    Command(
        "repair",
        "host.repair",
        "give files in the data trees the access back that they should have",
        (flag("--recent", says="only in workspaces that changed since the last time"),),
    ),
    Command("undo", "host.undo", "bring back what an unconfirmed change replaced"),
    Command(
        "maintenance",
        "maintain.maintain",
        "upgrade docker, the kernel and all packages while no job runs, then prove",
        (_WAIT, _REBOOT),
    ),
    Command("prove", "maintain.prove", "try services, the jobs' network, and a job"),
    Command("disk", "disk.show_disk", "what fills the disks"),
    Command("tidy", "disk.tidy", "remove images unused for 30 days; a timer's"),
)
_ENDING = (options.JOBS, _AGREED)
JOB = (
    Command("list", "jobs.list_jobs", "what runs or was left", (options.SINCE,)),
    Command(
        "logs", "jobs.job_logs", "what one has said", (options.JOB, _GO_ON, _AGENT)
    ),
    Command("shell", "jobs.job_shell", "a shell inside its container", (options.JOB,)),
    Command("kill", "jobs.kill", "end jobs now: they fail", _ENDING),
    Command("rerun", "jobs.rerun", "end jobs now: they begin anew", _ENDING),
)
_WORKSPACE = argument("subject", metavar="WORKSPACE")
_LOOK = flag("--look", says="see if any is stuck, for `status`; a timer's")
OUTPUTS = (
    Command("push", "outputs.push", "put what is new on the share; a timer's"),
    Command("releases", "outputs.releases", "requests of Airlock's", (_LOOK,)),
    Command("lay", "outputs.lay", "keep what Airlock is shown; a timer's"),
    Command(
        "restore",
        "outputs.restore",
        "an output as its job made it; what was there stays beside it",
        (_WORKSPACE, argument("path", metavar="PATH")),
    ),
    Command("review", "outputs.review", "what points to people", (_WORKSPACE,)),
)
GROUPS = (
    Group("people", "who can do what on this host", PEOPLE),
    Group("service", "what runs in containers on this host", SERVICE),
    Group("host", "look after this host", HOST),
    Group("job", "what the job-runner runs here", JOB),
    Group("outputs", "what leaves this host for level 4", OUTPUTS),
)
_EXIT_CODES = """\
exit status:
  0  as declared          1  something failed       2  usage, or refused
  3  plan found changes   4  as declared, but degraded
"""


class _Parser(argparse.ArgumentParser):
    """Whose mistakes end as all others do."""

    def error(self, message: str) -> NoReturn:
        raise Refused(
            f"{message}\n{self.format_usage().strip()}", f"{self.prog} --help"
        )


def parser(words: Sequence[str] = (), place: str = "") -> argparse.ArgumentParser:
    """As much as reads these words: making all of it takes longer than most of what is asked.

    PLACE is the folder of manage.sh, so that it can be typed anywhere.
    """
    command, action = (*words[1:3], "", "")[:2]
    everything = (*COMMANDS, *GROUPS)
    asked = [each for each in everything if each[0] == command] or everything
    top = _Parser(
        prog=f"{place}manage.sh",
        description="Makes this host an OpenSAFELY backend and keeps it one.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("backend", help=argparse.SUPPRESS)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add(commands, [each for each in asked if isinstance(each, Command)])
    for name, says, group in (g for g in asked if isinstance(g, Group)):
        of_group = _parser(commands, name, says)
        actions = of_group.add_subparsers(
            dest="action", metavar="ACTION", required=True
        )
        _add(actions, [each for each in group if each.name == action] or group)
    return top


def _parser(parsers: Any, name: str, says: str) -> Any:
    return parsers.add_parser(name, help=says, description=says, allow_abbrev=False)


def _add(parsers: Any, commands: Sequence[Command]) -> None:
    for name, act, says, arguments in commands:
        command = _parser(parsers, name, says)
        command.set_defaults(act=act)
        command.add_argument("--json", action="store_true", help="for programs")
        for each in arguments:
            command.add_argument(*each.names, **each.settings)
