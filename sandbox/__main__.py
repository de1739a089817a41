"""The command line of scripts/sandbox.sh."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from typing import Sequence

from sandbox import cgroups, doors, kept, managed, trial, visits, work
from sandbox.checkout import Checkout
from sandbox.errors import CannotRun, SandboxError
from sandbox.host import Host
from sandbox.progress import Step
from sandbox.sandbox import Sandbox


USAGE = """%(prog)s BACKEND [options] [-- CMD …]
       %(prog)s --bare BACKEND [options] [-- CMD …]
       %(prog)s --list
       %(prog)s --shell NAME [-- CMD …]
       %(prog)s --job NAME
       %(prog)s --remove NAME"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Options up to `--`; what follows is for the host."""
    words, command = list(argv), []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    parser = argparse.ArgumentParser(
        prog="sandbox.sh",
        usage=USAGE,
        description="Boot a disposable host here and make it a backend, twice.",
    )
    parser.add_argument("backend", nargs="?", metavar="BACKEND")
    parser.add_argument("--bare", metavar="BACKEND", help="a host before its first run")
    parser.add_argument("--release", default="", help="12, bookworm …; this machine's")
    parser.add_argument("--keep", action="store_true", help="leave the host running")
    parser.add_argument("--list", action="store_true", help="hosts that were kept")
    parser.add_argument("--shell", metavar="NAME", help="a shell in a kept host")
    parser.add_argument("--job", metavar="NAME", help="give a kept host a job")
    parser.add_argument("--remove", metavar="NAME", help="remove a host that was kept")
    parser.add_argument("--online", action="store_true", help="open to the outside")
    parser.add_argument("--developers", nargs="+", default=[], metavar="NAME")
    options = parser.parse_args(words)
    options.command = command
    visit = (options.list, options.shell, options.job, options.remove)
    if sum(map(bool, (options.backend, options.bare, *visit))) != 1:
        known = ", ".join(Checkout().backends())
        parser.error(
            f"wanted a BACKEND ({known}), or --bare BACKEND, --list, "
            "--shell NAME, --job NAME, --remove NAME: one of them"
        )
    if options.online != bool(options.developers):
        parser.error("--online and --developers NAME… go together")
    return options


def attempt(options: argparse.Namespace) -> int:
    """The exit status of the trial, or of the command that came after it."""
    # With a command, stdout is the command's.
    stream = sys.stderr if options.command else sys.stdout
    backend = options.backend or options.bare
    Checkout().require(backend)
    sandbox = Sandbox(developers=options.developers, keep=options.keep)
    try:
        sandbox.tree(options.release)
        with Step("booting a bare host"):
            host = sandbox.bare(options.release, backend[:8], legacy_cgroups=True)
        doors.open_for_caller(host)
        status = 0 if options.bare else trial.twice(host, backend, stream)
        if options.command and status in managed.DONE:
            return trial.run_there(host.machine, options.command)
        if not options.command:
            say = trial.sayer(stream)
            done = not options.bare and status in managed.DONE
            if done and not options.online and work.expected(host):
                say(work.do(host, sandbox.outside.controller, backend))
            show(host, options, say)
        return status
    finally:
        leave(sandbox, options, backend)


def show(host: Host, options: argparse.Namespace, say: trial.Say) -> None:
    """A summary, and on a terminal the offer of a shell."""
    say(trial.summary(host))
    if options.bare:
        manage = f"./{options.bare}/manage.sh"
        say(f"  bare: nobody has an account before {manage} was run in a shell of it")
    removal = f"to remove it: sudo ./scripts/sandbox.sh --remove {host.id}"
    say(f"  {removal}" if options.keep else "  when this ends, it is gone")
    if sys.stdin.isatty() and sys.stdout.isatty() and wanted("A shell in it?"):
        trial.shell(host.machine)


def wanted(question: str) -> bool:
    """Whether the answer is yes, as Enter alone is; Ctrl-D is a no."""
    try:
        return input(f"\n{question} [Y/n] ").strip().lower() in ("", "y", "yes")
    except EOFError:
        print()
        return False


def leave(sandbox: Sandbox, options: argparse.Namespace, backend: str) -> None:
    """Nothing is left but the cache, unless the host was to be kept and is up."""
    up = [host for host in sandbox.hosts if host.state]
    if options.keep and up:
        kept.keep(up[0], backend, sandbox.images)
        again = "sudo ./scripts/sandbox.sh --list"
        print(f"{up[0].id} is kept; how to get in: {again}", file=sys.stderr)
    else:
        sandbox.close()


def stop(number: int, _: object) -> None:
    """An exception, unlike the signal's own end, takes the host down."""
    raise SystemExit(128 + number)


def perform(options: argparse.Namespace) -> int:
    """The exit status of what was asked for."""
    if os.geteuid() != 0:
        words = shlex.join(sys.argv[1:])
        hint = f"sudo ./scripts/sandbox.sh {words}"
        raise CannotRun("only root can make a sandbox, or look into one", hint=hint)
    cgroups.check()
    if options.list:
        print(visits.listed())
    elif options.shell:
        return visits.shell(options.shell, options.command)
    elif options.job:
        print(visits.job(options.job))
    elif options.remove:
        kept.remove(options.remove)
    else:
        return attempt(options)
    return 0


def main(argv: Sequence[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    options = parse(argv)
    try:
        return perform(options)
    except SandboxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        gone = "" if options.keep else "; the host is gone"
        print(f"\nstopped{gone}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
