"""The command line: what is understood, and how a mistake ends."""

import importlib
import json
import os
import re

import pytest

from backend_server.cli import arguments, main
from backend_server.cli.arguments import parser
from backend_server.run.place import Asked
from tests.unit.example import BACKENDS, ROOT, checkout_of


def asked(*argv):
    words = main._with_default_command(argv)
    options = parser(words).parse_args(words)
    assert options == parser().parse_args(words)  # as much of the parser as is needed
    return main._asked(options, str(ROOT))[1]


def test_apply_is_the_default():
    assert asked("test") == asked("test", "apply")
    assert asked("test", "--yes", "--offline") == asked(
        "test", "apply", "--yes", "--offline"
    )
    assert asked("test", "-v").verbose


def test_every_option():
    found = asked(
        "emis", "apply", "--only", "a", "--only", "b", "--json", "--offline", "-v"
    )
    assert (found.backend, found.only, found.yes) == ("emis", ("a", "b"), False)
    assert (found.json, found.offline, found.verbose) == (True, True, True)
    assert asked("tpp").confirm_within == 300
    assert asked("tpp", "--confirm-within", "5").confirm_within == 5
    assert asked("tpp", "show", "--release", "noble").release == "noble"


COMMANDS = [
    *((command.name,) for command in arguments.COMMANDS),
    *((name, command.name) for name, _, group in arguments.GROUPS for command in group),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_is_told_all_that_it_takes_and_nothing_else(words):
    table = [each for each in arguments.COMMANDS if (each.name,) == words]
    for name, _, group in arguments.GROUPS:
        table += [each for each in group if (name, each.name) == words]
    (command,) = table
    taken = {each.names[-1].lstrip("-").replace("-", "_") for each in command.arguments}
    file, _, function = command.act.partition(".")
    module = importlib.import_module(f"backend_server.cli.{file}")
    act = getattr(module, function)
    kind = vars(module)[act.__annotations__["options"]]
    assert issubclass(kind, Asked)
    told = {*kind._fields, *(act.__kwdefaults__ or ())}
    told -= {"action"}  # by which name it was called
    assert told == {"backend", "checkout", "json"} | taken


MISTAKES = [
    [],
    ["test", "destroy"],
    ["test", "apply", "more"],
    ["test", "--ye"],
    ["test", "apply", "--y"],
    ["test", "plan", "--off"],
    ["test", "plan", "--yes"],
    ["test", "status", "--only", "people"],
    ["test", "apply", "--only"],
    ["test", "apply", "--release", "noble"],
    ["test", "apply", "--confirm-within", "0"],
    ["test", "apply", "--confirm-within", "-5"],
    ["test", "plan", "--confirm-within", "5"],
]


@pytest.mark.parametrize("argv", MISTAKES, ids=" ".join)
def test_a_mistake_is_usage_and_2(argv, capsys):
    assert main.main(argv, str(ROOT)) == 2
    said = capsys.readouterr()
    place = f"{ROOT}/test/" if argv else ""
    assert f"usage: {place}manage.sh" in said.err
    assert f"try: {place}manage.sh" in said.err
    assert said.out == ""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_wrong_usage_is_json_too(words, capsys):
    assert main.main(["test", *words, "--json", "--nonsense"], str(ROOT)) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["exit"]) == (1, 2)
    assert found["error"]


@pytest.mark.parametrize(
    "words", [["--help"], ["-h"], ["status", "--help"], ["host", "disk", "-h"]]
)
def test_help_is_no_json(words, capsys):
    assert main.main(["test", *words, "--json"], str(ROOT)) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["exit"]) == (1, 2)
    assert "help" in found["error"]


@pytest.mark.parametrize("argv", [["test", "-h"], ["test", "--help"]])
def test_help(argv, capsys):
    assert main.main(argv, str(ROOT)) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("apply", "plan", "show", "status"))
    assert "exit status:" in said


@pytest.mark.parametrize("command", ["apply", "plan", "status"])
def test_all_but_show_need_root(command, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main.main(["emis", command], str(ROOT)) == 2
    assert capsys.readouterr().err == (
        f"error: `{command}` needs root and this is uid 1000\n"
        f"   try: sudo ./emis/manage.sh {command}\n"
    )


@pytest.fixture(autouse=True)
def _this_process_goes_on(monkeypatch):
    """What main sets for a process that ends soon is not for the one that runs the tests."""
    monkeypatch.setattr(main.streams, "lay", lambda: None)


@pytest.mark.parametrize("name", BACKENDS)
def test_show(name, tmp_path, capsys):
    checkout = checkout_of(name, tmp_path / "checkout")
    assert main.main([name, "show", "--release", "noble"], str(checkout)) == 0
    text = capsys.readouterr().out
    assert text.startswith("identity\n  Directory /etc/opensafely\n")
    assert main.main([name, "show", "--release", "24.04", "--json"], str(checkout)) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["release"]) == (1, "ubuntu 24.04")
    assert found["declared"] == text.splitlines()


def test_show_only(tmp_path, capsys):
    checkout = str(checkout_of("test", tmp_path / "checkout"))
    show = ["test", "show", "--release", "12"]
    assert main.main([*show, "--only", "logs", "--only", "hosts"], checkout) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if line[0] != " "]
    assert [head.split()[0] for head in heads] == ["hosts", "logs"]
    assert main.main([*show, "--only", "nothing"], checkout) == 2
    said = capsys.readouterr().err
    assert "there is no component nothing" in said
    assert "try: choose from identity, leavers, " in said


AGAINST = ("show", "--release", "noble", "--against")


def against(capsys, own, other, *words):
    assert main.main([own, *AGAINST, other, *words], str(ROOT)) == 0
    return capsys.readouterr().out


def test_show_against_another_backend(capsys):
    """What only one of them has, what both have otherwise, and nothing that is the same."""
    text = against(capsys, "tpp", "emis")
    first, *lines, last = text.splitlines()
    assert first == (
        "tpp against emis on ubuntu 24.04: + only tpp has, - only emis has, ~ both have, emis -> tpp"
    )
    for line in (
        "  ~ File /etc/opensafely/backend",
        "      text: emis -> tpp",
        "  + Packages hyperv, names linux-",
        "  - ContainerService airlock, ",
        "  - File /etc/xrdp/xrdp.ini, ",
        "        -BACKENDS=emis",
        "        +BACKENDS=tpp",
    ):
        assert any(found.startswith(line) for found in lines), line
    assert "Sudoers" not in text
    assert not any(
        usual in text for usual in (", owner root", ", validate ", ", alone ")
    )
    heads = [line for line in lines if line[0] != " "]
    assert len(heads) == len({*heads})
    assert re.fullmatch(
        r"\d+ the same, \d+ only on tpp, \d+ only on emis, \d+ different", last
    )


def test_show_against_says_the_same_the_other_way_round(capsys):
    there, back = (
        json.loads(against(capsys, own, other, "--json"))
        for own, other in (("tpp", "emis"), ("emis", "tpp"))
    )
    assert (there["format"], there["against"]) == (1, "emis")
    turned = {"added": "removed", "removed": "added", "changed": "changed"}

    def found(each, before, after, outcome):
        changes = [(c["field"], c[before], c[after]) for c in each["changes"]]
        return repr((each["component"], each["resource"], outcome, changes))

    one = {found(x, "before", "after", x["outcome"]) for x in there["differs"]}
    other = {found(x, "after", "before", turned[x["outcome"]]) for x in back["differs"]}
    assert one == other
    assert len(one) == len(there["differs"]) > 50


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_does_not_differ_from_itself(name, capsys):
    said = against(capsys, name, name).splitlines()
    assert len(said) == 2
    assert re.fullmatch(r"\d+ the same", said[-1])
    assert json.loads(against(capsys, name, name, "--json"))["differs"] == []


def test_show_against_only(capsys):
    """Of components that either has."""
    for own, other in (("tpp", "emis"), ("emis", "tpp")):
        said = against(capsys, own, other, "--only", "desktop", "--only", "identity")
        heads = [line for line in said.splitlines()[1:-1] if line[0] != " "]
        assert sorted(heads) == ["desktop", "identity"]
    assert main.main(["tpp", *AGAINST, "emis", "--only", "nothing"], str(ROOT)) == 2
    assert "there is no component nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("nowhere", "there is no backend nowhere"),
        ("../etc", "'../etc' is no name of a backend"),
        ("", "'' is no name of a backend"),
        ("backend_server", "no name of a backend"),
        ("docs", "there is no backend docs"),
    ],
)
def test_show_against_what_is_none(other, said, capsys):
    for words in ((), ("--json",)):
        assert main.main(["tpp", *AGAINST, other, *words], str(ROOT)) == 2
        assert said in capsys.readouterr().err


def test_a_refusal_says_the_same_to_programs(tmp_path, capsys):
    (tmp_path / "test").mkdir()
    assert (
        main.main(["nowhere", "show", "--json", "--release", "12"], str(tmp_path)) == 2
    )
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["format"], found["exit"]) == (1, 2)
    assert found["error"] in err
    assert found["hint"] in err
