#!/usr/bin/python3
"""How long a run that changes nothing takes, next to the floor, on a host that is as declared.

The floor is a bare interpreter that imports the standard-library modules which the
run imports, and reads the files which it reads; `imports` is that with the tool's own
modules. All are timed in turn, so that a machine that slows down slows each.

Where other work goes on, `chrt --rr 10` before it takes the processor for these alone.

    sudo benchmarks/noop.py [--rounds N] [./test/manage.sh --offline]
"""

from __future__ import annotations

import argparse
import ast
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


PYTHON = ("/usr/bin/python3", "-I", "-S")

# Runs entry.py as the command would, and writes down what it opened and imported.
RECORDER = """
import sys
notes, entry, *arguments = sys.argv[1:]
opened = []
def note(event, args):
    if event == "open" and isinstance(args[0], str):
        opened.append(args[0])
sys.addaudithook(note)
sys.argv = [entry, *arguments]
try:
    with open(entry) as f:
        exec(compile(f.read(), entry, "exec"), {"__name__": "__main__", "__file__": entry})
finally:
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    with open(notes, "w") as f:
        f.write(repr((list(dict.fromkeys(opened)), files)))
"""


def recorded(
    manage: Path, arguments: list[str]
) -> tuple[list[str], list[str], list[str]]:
    """The files that the run reads; of the modules that it imports, the standard library's and its own."""
    backend = manage.resolve().parent
    entry = backend.parent / "backend_server" / "entry.py"
    with tempfile.NamedTemporaryFile("r") as notes:
        argv = [
            *PYTHON,
            "-c",
            RECORDER,
            notes.name,
            str(entry),
            str(backend.parent),
            backend.name,
        ]
        subprocess.run([*argv, *arguments], stdout=subprocess.DEVNULL, check=False)
        opened, modules = ast.literal_eval(notes.read())
    files = [name for name in opened if is_data(name, notes.name)]
    place = str(backend.parent)
    # Whoever was imported first stands last: os brings genericpath, which cannot come alone.
    known = {n: f or "" for n, f in reversed(modules.items()) if n != "__main__"}
    own = [name for name, file in known.items() if file.startswith(place)]
    return files, [name for name in known if name not in own], own


def is_data(name: str, notes: str) -> bool:
    """Whether an opened file is one that the floor must read too; modules it reads anyway."""
    code = name.endswith((".py", ".pyc", ".so"))
    return name.startswith("/") and not code and name != notes and Path(name).is_file()


def floor(files: list[str], modules: list[str], rest: str = "") -> list[str]:
    code = f"import {', '.join(modules)}\n"
    read = f"for name in {files!r}: open(name, 'rb').read()\n"
    return [*PYTHON, "-c", code + read + rest]


def importing(manage: Path, own: list[str]) -> str:
    place = str(manage.resolve().parents[1])
    return f"import sys; sys.path.insert(0, {place!r}); import {', '.join(own)}"


def timed_ms(argv: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True)
    elapsed = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"error: {argv} ended with {done.returncode}: {done.stderr.decode()}")
    return elapsed * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a no-op run next to its floor.")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command or ["./test/manage.sh", "--offline"]
    manage = Path(command[0])
    files, modules, own = recorded(manage, command[1:])
    timed = {
        "floor": floor(files, modules),
        "imports": floor(files, modules, importing(manage, own)),
        "command": command,
    }
    rounds = range(options.rounds + 1)
    # The first of each only fills the caches of the machine.
    found = [[timed_ms(argv) for argv in timed.values()] for _ in rounds][1:]
    print(
        f"{len(modules)} and {len(own)} modules, {len(files)} files, {options.rounds} rounds"
    )
    print("        median      min")
    for name, times in zip(timed, zip(*found)):
        print(f"{name:<8}{statistics.median(times):6.1f} {min(times):8.1f} ms")
    low, own_ms, high = (statistics.median(times) for times in zip(*found))
    print(
        f"ratio   {high / low:6.2f}, {(own_ms - low) / high:.0%} of the command imports its own modules"
    )


if __name__ == "__main__":
    main()
