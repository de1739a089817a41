"""What the documents say is so: tables, keys, links, command lines, and whom they name."""

import ast
import io
import json
import os
import re
import shlex
import shutil
import tokenize
from pathlib import Path

import pytest

from backend_server.access.component.sudo import FIXED_COMMANDS
from backend_server.cli import desktop as session_commands
from backend_server.cli import disk as disk_commands
from backend_server.cli import ending, main, secrets
from backend_server.cli import host as host_commands
from backend_server.cli import people as people_commands
from backend_server.cli import services as service_commands
from backend_server.cli.arguments import COMMANDS, GROUPS, parser
from backend_server.engine import report
from backend_server.engine.engine import Outcome
from backend_server.host.command import Output
from backend_server.host.reader import HostReader
from backend_server.host.sessions import Session
from backend_server.jobs.listing import Job
from backend_server.jobs.proving import Result
from backend_server.jobs.tidy import Tidied
from backend_server.outputs import pushed
from backend_server.people import reach
from backend_server.resources import Group
from backend_server.run import run, status
from backend_server.run.place import Asked
from backend_server.services import states
from backend_server.storage.component import HIGH_TREE, MEDIUM_TREE, WORKSPACES
from backend_server.storage.tree import Counts
from backend_server.text.change import Change
from backend_server.text.errors import UserError
from backend_server.text.releases import RELEASES
from backend_server.text.roles import (
    AREAS,
    HIGH,
    MEDIUM,
    METADATA,
    REQUESTS,
    ROLES,
    ROOT_EQUIVALENT_GROUPS,
)
from roster import __main__ as roster_cli
from sandbox import __main__ as sandbox_cli
from tests.hosts.desktop.touched import OWNER, PARTS, touched
from tests.unit.example import public_key


ROOT = Path(__file__).parents[2]
NOT_OURS = {".git", ".venv", ".hypothesis", "__pycache__"}


def files():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in NOT_OURS and "cache" not in f]
        yield from (Path(folder, name) for name in names)


FILES = sorted(files())
DOCUMENTS = [path for path in FILES if path.suffix == ".md"]


def name_of(path):
    return str(path.relative_to(ROOT))


every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


# ---- docs/access.md is backend_server/text/roles.py

ACCESS = ROOT / "docs/access.md"


RIGHTS = ("group", "login", "sudo", "reads", "writes", "network", "roster")


def cell(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "nothing"
    return value or "none"


def table_of_roles():
    yield f"| role | {' | '.join(RIGHTS)} |"
    yield "|---" * (1 + len(RIGHTS)) + "|"
    for role in ROLES:
        cells = " | ".join(cell(getattr(role, right)) for right in RIGHTS)
        yield f"| {role.name} | {cells} |"


PLACES = {
    HIGH: f"`{HIGH_TREE}`",
    MEDIUM: f"`{WORKSPACES[MEDIUM]}`",
    METADATA: "there, `metadata/` and `manifest.json` of a workspace",
    REQUESTS: f"`{MEDIUM_TREE}/requests`",
}


def table_of_trees():
    yield f"| area | where | {' | '.join(role.name for role in ROLES)} |"
    yield "|---" * (2 + len(ROLES)) + "|"
    for area in AREAS:
        cells = " | ".join(rights(role, area) for role in ROLES)
        yield f"| {area} | {PLACES[area]} | {cells} |"


def rights(role, area):
    reads = ["list, read"] if area in role.reads else []
    writes = ["write, create, delete, rename"] if area in role.writes else []
    return ", ".join(reads + writes) or "nothing"


def table_of_desktops():
    """What tests/hosts/desktop/test_neighbours.py tries, cell by cell."""
    yield f"| | {' | '.join(PARTS)} |"
    yield f"|---|{'---|' * len(PARTS)}"
    for who in (*(role.name for role in ROLES if role.roster), OWNER):
        cells = " | ".join(where(who, part) for part in PARTS)
        yield f"| {'its owner' if who == OWNER else who} | {cells} |"


def where(who, part):
    """On which releases they get at it."""
    found = [r for r in RELEASES if part in touched(who, r)]
    if len(found) in (0, len(RELEASES)):
        return "yes" if found else "no"
    return f"xrdp {', '.join(sorted({release.xrdp.version for release in found}))}"


def watched_groups():
    yield ", ".join(f"`{name}`" for name in sorted(ROOT_EQUIVALENT_GROUPS)) + "."


def fixed_commands():
    yield ", ".join(f"`sudo {shown(each)}`" for each in FIXED_COMMANDS) + "."


def shown(command):
    return command.replace(' ""', "").rpartition("sbin/")[2]


@pytest.mark.parametrize(
    ("mark", "render"),
    [
        ("fixed-commands", fixed_commands),
        ("roles", table_of_roles),
        ("trees", table_of_trees),
        ("root-equivalent", watched_groups),
        ("desktops", table_of_desktops),
    ],
    ids=["fixed-commands", "roles", "trees", "root-equivalent", "desktops"],
)
def test_access_is_the_table_of_roles(mark, render, request):
    text = ACCESS.read_text()
    begin, end = f"<!-- {mark} -->\n", "<!-- end -->\n"
    before, found, rest = text.partition(begin)
    assert found, f"docs/access.md has no {begin.strip()}"
    block, found, after = rest.partition(end)
    assert found, f"docs/access.md has no {end.strip()} after {begin.strip()}"
    assert "<!--" not in block, f"{begin.strip()} has no end of its own"
    wanted = "\n".join(["", *render(), "", ""])
    if request.config.getoption("--accept"):
        ACCESS.write_text(before + begin + wanted + end + after)
    else:
        assert block == wanted, "./scripts/test.sh accept tests/unit/test_docs.py"


# ---- docs/json.md has exactly the keys that are printed


def documented(mark):
    """The keys of the table after this mark in docs/json.md, in order."""
    text = (ROOT / "docs/json.md").read_text()
    _, found, rest = text.partition(f"<!-- keys: {mark} -->\n\n")
    assert found, f"docs/json.md has no keys: {mark}"
    table, _, _ = rest.partition("\n\n")
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


class Bookworm(HostReader):
    """An empty host of a known release, whose checkout is at no commit."""

    def git_status(self, checkout):
        return Output(0, "", "")

    def timers(self):
        return ""


@pytest.fixture
def a_run(tmp_path):
    checkout, host = tmp_path / "checkout", tmp_path / "host"
    for name in ("backend_server", "etc", "packages", "test"):
        shutil.copytree(ROOT / name, checkout / name)
    (checkout / "developers").write_text("ada\n")
    (checkout / "keys").mkdir()
    (checkout / "keys/ada").write_text(public_key("ada"))
    (host / "etc").mkdir(parents=True)
    (host / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\n")
    asked = run.of_checkout(run.Options("test", checkout, offline=True), Bookworm(host))
    return asked, Bookworm(host)


def test_keys_of_plan_and_apply(a_run):
    assert list(a_run[0].data()) == documented("run")


def test_keys_of_a_line_of_the_history(a_run, monkeypatch):
    lines = []
    monkeypatch.setattr(run.history, "append", lambda host, line: lines.append(line))
    monkeypatch.setattr(type(a_run[1]), "keep", lambda host: None, raising=False)
    a_run[0].record(a_run[1])
    assert list(lines[0]) == documented("run") + documented("history")


def test_keys_of_services_and_secrets(a_run, monkeypatch, capsys):
    ran, host = a_run
    assert list(states.State._fields) == documented("service list")
    (secret, *_) = secrets.listed(ran.site, host)
    assert list(secret) == documented("service secrets")
    asked = run.Options("test", ROOT, json=True)
    service_commands._say(asked, "jobrunner", "jobrunner was stopped")
    said = json.loads(capsys.readouterr().out)
    assert list(said) == ["format", *documented("service")]


def test_keys_of_a_resource_and_of_a_change():
    changes = (Change("gid", None, 10010),)
    error = UserError("found and wanted", hint="what next")
    (found,) = report.data([Outcome("people", Group("x"), changes, error)])
    assert list(found) == documented("resource")
    assert list(found["changes"][0]) == documented("change")


def test_outcomes_are_the_documented_ones():
    text = (ROOT / "docs/json.md").read_text()
    line = re.findall(r"^\| `outcome` .*", text, re.MULTILINE)[0]
    made, gone = (Change("name", None, "x"),), (Change("name", "x", None),)
    kinds = [
        report.kind(Outcome("people", Group("x"), *rest))
        for rest in [(made,), (gone,), (made + gone,), (made, UserError("no"))]
    ]
    kinds.append(report.kind(Outcome("people", Group("x"), reached=False)))
    assert kinds == ["added", "removed", "changed", "failed", "not reached"]
    assert {f"`{kind}`" for kind in kinds} <= set(re.findall("`[^`]+`", line))


def test_keys_of_status(a_run):
    ran, host = a_run
    found = status.status(ran.site, host)
    assert ["format", *found] == documented("status")
    assert f"`{'`, `'.join(found['people'])}`" in (ROOT / "docs/json.md").read_text()


def test_keys_of_outputs():
    found = pushed.summary(pushed.Record("2027-01-15T09:45:12Z"))
    assert list(found) == documented("outputs push")


def test_keys_of_people(a_run):
    ran, host = a_run
    (host.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (ada,) = reach.listed(ran.site, host)
    assert list(ada) == documented("people list")
    assert list(reach.who(ran.site, host, "ada")) == documented("people who")
    (root,) = reach.who_is_root(ran.site, host)
    assert list(root) == documented("people who --root")


@pytest.mark.parametrize(
    ("field", "word"),
    [("!", "none yet"), ("$6$x$x", "set"), ("!$6$x$x", "locked"), (None, "no account")],
)
def test_words_for_a_password(a_run, field, word):
    _, host = a_run
    line = f"ada:{field}:20000:0:99999:7:::\n" if field else ""
    (host.root / "etc/shadow").write_text(line)
    assert reach.password(host, "ada") == word
    assert f"`{word}`" in (ROOT / "docs/json.md").read_text()


def test_keys_of_an_event(a_run, monkeypatch, capsys):
    _, host = a_run
    lines = []
    monkeypatch.setattr(people_commands, "first", lambda host: ("ada", "a secret"))
    monkeypatch.setattr(people_commands, "set_password", lambda *of: None)
    monkeypatch.setattr(ending, "tell", lambda host, sentence: None)
    monkeypatch.setattr(run.history, "append", lambda host, line: lines.append(line))
    assert people_commands.first_password(Asked("test", ROOT), host) == 0
    assert list(lines[0]) == documented("event")
    assert f"`{lines[0]['event']}`" in (ROOT / "docs/json.md").read_text()


def test_keys_of_sessions():
    found = session_commands._data(Session("1", "gus", "xrdp-sesman", "", 0.0), True)
    assert list(found) == documented("people sessions")


def test_keys_of_undo(a_run, monkeypatch, capsys):
    monkeypatch.setattr(host_commands, "outlive_terminal", lambda options: None)
    assert host_commands.undo(Asked("test", ROOT, json=True), a_run[1]) == 0
    assert list(json.loads(capsys.readouterr().out)) == documented("undo")


def test_keys_of_jobs_results_and_tidying():
    assert list(Job._fields) == documented("job")
    assert list(Result._fields) == documented("result")
    assert ["format", *Tidied._fields, "updates"] == documented("tidy")


def test_keys_of_disk(a_run, capsys):
    asked = Asked("test", ROOT, json=True)
    assert disk_commands.show_disk(asked, a_run[1]) in (0, 4)
    assert list(json.loads(capsys.readouterr().out)) == documented("disk")


def test_keys_of_repair():
    assert ["format", *vars(Counts())] == documented("repair")


def test_keys_of_an_error_and_of_show(monkeypatch, capsys):
    monkeypatch.setattr(main.streams, "lay", lambda: None)
    assert (
        main.main(["nowhere", "show", "--json", "--release", "noble"], str(ROOT)) == 2
    )
    assert list(json.loads(capsys.readouterr().out)) == documented("error")
    assert main.main(["test", "show", "--json", "--release", "noble"], str(ROOT)) == 0
    assert list(json.loads(capsys.readouterr().out)) == documented("show")
    words = ["test", "show", "--json", "--against", "emis", "--release", "noble"]
    assert main.main(words, str(ROOT)) == 0
    assert list(json.loads(capsys.readouterr().out)) == documented("show --against")


# ---- links lead somewhere

LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def anchors(path):
    """The headings of a document, as GitHub makes anchors of them."""
    for heading in re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@every_document
def test_links_resolve(path):
    for link in LINK.findall(path.read_text()):
        if re.match("[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        there = path.parent / target if target else path
        assert there.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(there), f"{link}: no such heading"


# Files of ours by their ending, and folders by the first of them; not what begins with `/`.
NAMED = re.compile(
    r"(?<![\w/.{}$~<-])(?:(?:[\w-]+/)*[\w-]+\.(?:py|sh|md|toml)"
    r"|(?:backend_server|benchmarks|docs|roster|sandbox|scripts|tests)/[\w/-]+)\b"
)
MADE_UP = re.compile("BACKEND|NAME|NOUN|ROOM")
SOURCES = [path for path in FILES if path.suffix in (".md", ".py", ".sh", ".toml")]
NAMES = {path.name for path in FILES}


def prose(path):
    """What a document says, or the comments and docstrings of a source file."""
    text = path.read_text()
    if path.suffix == ".md":
        yield text
    elif path.suffix == ".py":
        for each in ast.walk(ast.parse(text)):
            if isinstance(each, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                yield ast.get_docstring(each) or ""
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            yield token.string if token.type == tokenize.COMMENT else ""
    else:
        yield from re.findall("#.*", text)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_that_are_named_are_there(path):
    """From the top, from backend_server/, beside the file, or by a name that is somewhere."""
    tops = (ROOT, ROOT / "backend_server", path.parent)
    for name in NAMED.findall("\n".join(prose(path))):
        known = name in NAMES or any((top / name).exists() for top in tops)
        assert known or MADE_UP.search(name), name


# ---- command lines that are shown can be typed

COMMAND = re.compile(
    r"(?:sudo )?(\./[\w/]+/manage\.sh|\./scripts/[\w-]+\.sh)([^`#|…\n]*)"
    r"|sudo (backend)\b([^`#|…\n]*)"
)


def shown_commands(path):
    """Name and arguments of each command line of ours in code."""
    code = re.findall("`([^`\n]+)`", path.read_text())
    code += re.findall(r"^ {4,}(?:\$ )?(.+)$", path.read_text(), re.MULTILINE)
    for line in code:
        found = COMMAND.match(line)
        if found:
            script, words, backend, more = found.groups()
            yield script or backend, shlex.split(words if script else more)


def parse(script, words):
    if script.endswith("/manage.sh") or script == "backend":
        backend = script.split("/")[1] if "/" in script else "test"
        assert MADE_UP.fullmatch(backend) or (ROOT / backend / "manage.sh").exists()
        parser().parse_args(main._with_default_command([backend, *words]))
    elif script == "./scripts/sandbox.sh":
        sandbox_cli.parse(words)
    elif script == "./scripts/roster.sh":
        roster_cli.parse(words)
    elif script == "./scripts/test.sh":
        modes = re.search(r"^case .* in (.+)\) mode=", TEST_SH, re.MULTILINE).group(1)
        assert not words or words[0] in modes.split(" | "), f"test.sh has no {words[0]}"
    else:
        assert (ROOT / script).exists(), f"there is no {script}"


def is_understood(script, words):
    try:
        parse(script, words)
    except SystemExit as ended:
        return ended.code == 0  # help was asked for
    return True


TEST_SH = (ROOT / "scripts/test.sh").read_text()


@every_document
def test_command_lines_can_be_typed(path):
    for script, words in shown_commands(path):
        assert is_understood(script, words), f"{script} {' '.join(words)}"


def test_the_readme_shows_each_command():
    shown = {words[0] for script, words in shown_commands(ROOT / "README.md") if words}
    commands = {command.name for command in COMMANDS} - {"apply"}
    assert shown >= commands | {name for name, _, _ in GROUPS}


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


# ---- nobody is named

NOBODY = {"ada", "grace", "rita", "gus", "opensafely", "ubuntu", "root"}
PEOPLE = re.compile(
    r"/home/(\w+)|\b(\w+)@(?!openssh\.com|sha256:)|--(?:delete|add) (\w+)|usermod -aG \S+ (\w+)"
    r"|\b(?:chage|usermod|pkill|terminate-user|crontab)\b[^\n`;]* (\w+)$"
    r'|"who": "(\w+)"|last run .* by (\w+)|User (\w+),|^ +users: (.+)$'
    r'|"(?:developers|researchers|reviewers)": \[([^\]]*)\]',
    re.MULTILINE,
)


@every_document
def test_nobody_is_named(path):
    for groups in PEOPLE.findall(path.read_text()):
        named = {name.lower() for found in groups for name in re.findall(r"\w+", found)}
        assert named <= NOBODY, f"{name_of(path)} names {named - NOBODY}"
