"""Running programs in a guest: through its agent, on a line that is no network."""

from __future__ import annotations

import base64
import json
import random
import socket
import time
from pathlib import Path
from typing import Any, Mapping

from sandbox.command import Done
from sandbox.errors import SandboxError
from sandbox.machine import CLEAN


# How soon it is asked whether a program has ended, and how seldom at last: emulated, each
# answer takes the time of a thousand system calls from what is waited for.
PAUSE_S, LONGEST_S, LONGER = 0.05, 1.0, 1.3


class Agent:
    """qemu-guest-agent, as root. It works with the network cut, and with sshd shut."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(
        self,
        command: str,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        timeout_s: float = 600,
    ) -> Done:
        """A shell line, to its end and that of all that holds its output open."""
        deadline = time.monotonic() + timeout_s
        settings = [f"{name}={value}" for name, value in (env or {}).items()]
        words = (*CLEAN[1:], *settings, "bash", "-c", command)
        arguments: dict[str, Any] = {"path": "/usr/bin/env", "arg": list(words)}
        # Without any, it would inherit the agent's.
        arguments["input-data"] = base64.b64encode(stdin.encode()).decode()
        pid = self.ask("guest-exec", {**arguments, "capture-output": True})["pid"]
        pause_s = PAUSE_S
        while True:
            found = self.ask("guest-exec-status", {"pid": pid})
            if found["exited"]:
                return done(command, found)
            if time.monotonic() > deadline:
                raise SandboxError(f"not done in {timeout_s:.0f} s: {command}")
            time.sleep(pause_s)
            pause_s = min(pause_s * LONGER, LONGEST_S)

    def ask(
        self, command: str, arguments: Mapping[str, Any], timeout_s: float = 20
    ) -> Any:
        """One question. Each has a connection of its own: only one at a time is heard."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout_s)
                connection.connect(str(self.path))
                with connection.makefile("rwb") as stream:
                    synchronise(stream)
                    send(stream, command, arguments)
                    answer = json.loads(stream.readline())
        except (OSError, ValueError) as error:
            raise SandboxError(f"the guest's agent does not answer: {error}") from error
        if "error" in answer:
            raise SandboxError(f"{command}: {answer['error']['desc']}")
        return answer["return"]


def synchronise(stream: Any) -> None:
    """What an earlier question left on the line is passed over."""
    number = random.randrange(1 << 30)
    stream.write(b"\xff")
    send(stream, "guest-sync-delimited", {"id": number})
    while True:
        line = stream.readline()
        if not line:
            raise OSError("it hung up")
        _, mark, text = line.rpartition(b"\xff")
        if mark and json.loads(text).get("return") == number:
            return


def send(stream: Any, command: str, arguments: Mapping[str, Any]) -> None:
    question = {"execute": command, "arguments": dict(arguments)}
    stream.write(json.dumps(question).encode() + b"\n")
    stream.flush()


def done(command: str, found: Mapping[str, Any]) -> Done:
    """The end of a program, told as for one of this machine; killed by a signal: -N."""
    texts = [
        base64.b64decode(found.get(name, "")).decode("utf-8", "replace")
        for name in ("out-data", "err-data")
    ]
    code = found.get("exitcode", -found.get("signal", 0))
    return Done(command, code, *texts)
