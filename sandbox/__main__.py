"""The command line of scripts/sandbox.sh."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Sequence

from sandbox import kept, managed, trial, work
from sandbox.checkout import Checkout
from sandbox.errors import SandboxError
from sandbox.host import Host
from sandbox.progress import Step
from sandbox.sandbox import Sandbox, check_machine


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Options up to `--`; what follows is for the host."""
    words, command = list(argv), []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    parser = argparse.ArgumentParser(
        prog="sandbox.sh",
        usage="%(prog)s BACKEND [options] [-- CMD …]",
        description="Boot a disposable host here and make it a backend, twice.",
    )
    parser.add_argument("backend", nargs="?", metavar="BACKEND")
    parser.add_argument("--release", default="", help="12, bookworm …; this machine's")
    parser.add_argument("--keep", action="store_true", help="leave the host running")
    parser.add_argument("--remove", metavar="NAME", help="remove a host that was kept")
    parser.add_argument("--online", action="store_true", help="open to the outside")
    parser.add_argument("--developers", nargs="+", default=[], metavar="NAME")
    options = parser.parse_args(words)
    options.command = command
    if bool(options.backend) == bool(options.remove):
        parser.error("wanted a BACKEND, or --remove NAME")
    if options.online != bool(options.developers):
        parser.error("--online and --developers NAME… go together")
    return options


def attempt(options: argparse.Namespace) -> int:
    """The exit status of the trial, or of the command that came after it."""
    # With a command, stdout is the command's.
    stream = sys.stderr if options.command else sys.stdout

    def say(text: str) -> None:
        print(text, file=stream, flush=True)

    Checkout().require(options.backend)
    sandbox = Sandbox(developers=options.developers, keep=options.keep)
    try:
        sandbox.tree(options.release)
        with Step("booting a bare host"):
            name = options.backend[:8]
            host = sandbox.bare(options.release, name, legacy_cgroups=True)
        status = trial.twice(host, options.backend, say)
        if options.command and status in managed.DONE:
            status = trial.run_there(host, options.command)
        elif not options.command:
            if status in managed.DONE and not options.online and work.expected(host):
                say(work.do(host, sandbox.outside.controller, options.backend))
            show(host, options.keep, say)
        return status
    finally:
        leave(sandbox, options.keep)


def show(host: Host, keep: bool, say: trial.Say) -> None:
    """A summary, and on a terminal the offer of a shell."""
    say(trial.summary(host))
    removal = f"to remove it: sudo ./scripts/sandbox.sh --remove {host.id}"
    say(f"  {removal}" if keep else "  when this ends, it is gone")
    if sys.stdin.isatty() and sys.stdout.isatty():
        answer = input("\nA shell in it? [Y/n] ").strip().lower()
        if answer in ("", "y", "yes"):
            trial.shell(host)


def leave(sandbox: Sandbox, keep: bool) -> None:
    """Nothing is left but the cache, unless the host was to be kept and is up."""
    up = [host for host in sandbox.hosts if host.state]
    if keep and up:
        kept.keep(up[0])
    else:
        sandbox.close()


def stop(number: int, _: object) -> None:
    """An exception, unlike the signal's own end, takes the host down."""
    raise SystemExit(128 + number)


def main(argv: Sequence[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    options = parse(argv)
    try:
        if options.remove:
            check_machine()
            kept.remove(options.remove)
            return 0
        return attempt(options)
    except SandboxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nstopped; the host is gone", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
