"""The checkout as a whole: all its problems at once, or what a declaration depends on."""

import os
from datetime import date
from pathlib import Path

import pytest

from backend_server.base.hosts_block import BEGIN, END
from backend_server.checkout.gather import gather
from backend_server.run.place import load
from backend_server.text.errors import Refused
from backend_server.text.releases import named
from tests.unit.example import BACKENDS, ROOT, ROSTERS, checkout_of


TODAY = date(2027, 1, 15)


def gathered(checkout, name="test"):
    return gather(load(name, checkout), named("debian 12"), checkout, TODAY)


@pytest.fixture
def checkout(tmp_path):
    return checkout_of("test", tmp_path / "checkout")


def problems(checkout):
    with pytest.raises(Refused) as refused:
        gathered(checkout)
    assert "try" not in refused.value.hint
    assert refused.value.hint
    first, *rest = str(refused.value).splitlines()
    assert "nothing was touched" in first
    return rest


@pytest.mark.parametrize("name", BACKENDS)
def test_each_backend_has_its_own_rosters(name, tmp_path):
    site = gathered(checkout_of(name, tmp_path / "checkout"), name)
    assert set(site.people) == set(site.backend.rosters)
    assert [e.name for e in site.people["developers"]] == ["ada", "grace"]
    assert site.backend.name == name


def test_what_a_site_holds(checkout):
    (checkout / "packages/core.txt").write_text("bash less # both\n\ngit\n")
    names = b"jobs controller docker-proxy github-proxy release".split()
    pins = b" ".join(name + b".opensafely.org" for name in names)
    (checkout / "test/hosts").write_bytes(b"192.0.2.7 %s\r\n# c\n::1 d" % pins)
    (checkout / "test/backend.env").write_text(
        "MIRROR=https://a.example\nSECURITY_MIRROR='https://b.example'\n"
    )
    (checkout / "etc/ä").write_text("ü\n", "utf-8")
    site = gathered(checkout)
    assert site.packages["core"] == {"bash", "less", "git"}
    assert site.hosts == f"192.0.2.7 {pins.decode()}\n# c\n::1 d\n"
    assert site.mirror == "https://a.example"
    assert site.security_mirror == "https://b.example"
    assert site.etc["/etc/ä"] == "ü\n"
    assert site.checkout == str(checkout)


def test_who_is_expired_is_left_out_from_that_day_on(checkout):
    (checkout / "developers").write_text(
        "ada expires=2027-01-16\ngrace expires=2027-01-15\nlin expires=2027-01-14\n"
    )
    assert [e.name for e in gathered(checkout).people["developers"]] == ["ada"]


def test_every_problem_of_every_file_is_listed_at_once(checkout):
    (checkout / "developers").write_text("ada\nroot\n\na_b\nada\n")
    (checkout / "test/researchers").write_text("Ada\n")
    (checkout / "test/reviewers").unlink()
    (checkout / "packages/core.txt").write_text("bash\nBash --force\n")
    (checkout / "test/hosts").write_text("::1 a\nexample\n192.0.2.7\n")
    (checkout / "test/backend.env").unlink()
    found = [line.partition(": ")[0] for line in problems(checkout)]
    assert found == [
        "developers:2",
        "developers:4",
        "developers:5",
        "packages/core.txt:2",
        "packages/core.txt:2",
        "test/backend.env",
        "test/hosts:2",
        "test/hosts:3",
        "test/researchers:1",
        "test/reviewers",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "developers",
        "test/reviewers",
        "test/hosts",
        "test/backend.env",
        "packages/purge.txt",
    ],
)
def test_a_file_that_is_missing_is_no_empty_list(checkout, name):
    (checkout / name).unlink()
    assert problems(checkout) == [f"{name}: cannot be read: No such file or directory"]


@pytest.mark.parametrize("roster", ["researchers", "reviewers"])
def test_a_list_of_people_who_are_managed_elsewhere(tmp_path, roster):
    checkout = checkout_of("tpp", tmp_path / "checkout")
    (checkout / "tpp" / roster).write_text("rita\n")
    with pytest.raises(Refused) as refused:
        gathered(checkout, "tpp")
    said = f"tpp/{roster}: TPP manages its {roster} elsewhere, and nobody on this list"
    assert said in str(refused.value)
    assert gathered(checkout_of("emis", tmp_path / "emis"), "emis").people[roster]


BAD_ENV = [
    "MIRROR=ftp://mirror.example\nSECURITY_MIRROR=https://b.example\n",
    "MIRROR=https://a.example\nSECURITY_MIRROR=\n",
    "MIRROR=https://a.example/\nSECURITY_MIRROR=https://b.example\n",
    "MIRROR=https://a b.example\nSECURITY_MIRROR=https://b.example\n",
]


@pytest.mark.parametrize("text", BAD_ENV)
def test_a_mirror_is_an_https_address_or_empty_and_there_are_two_or_none(
    checkout, text
):
    (checkout / "test/backend.env").write_text(text)
    assert problems(checkout)[0].startswith("test/backend.env")


@pytest.mark.parametrize(
    "line",
    ["999.1.1.1 a", BEGIN.strip(), END.strip(), "1.2.3 a", ":::: a", "::2", "\udce9 a"],
)
def test_hosts_that_are_none(checkout, line):
    text = f"::1 a\n{line}\n".encode("utf-8", "surrogateescape")
    (checkout / "test/hosts").write_bytes(text)
    assert [p.partition(": ")[0] for p in problems(checkout)] == ["test/hosts:2"]


def test_the_shipped_checkout_has_no_problem_but_that_it_names_nobody():
    for name in BACKENDS:
        assert not any(gathered(ROOT, name).people.values())


def test_a_backend_that_is_not_there(tmp_path):
    with pytest.raises(Refused, match="there is no backend nowhere"):
        load("nowhere", Path(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "BACKEND = Backend(\n    name='bad'\n    title=''\n)\n",
            "backend.py:",
        ),
        (
            "from backend_server.checkout.backend import Backend\nBACKEND = Backend(nane=1)\n",
            "nane",
        ),
        ("", "no attribute 'BACKEND'"),
    ],
)
def test_a_backend_that_is_no_python_is_a_sentence(tmp_path, text, said):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/backend.py").write_text(text)
    with pytest.raises(Refused) as refused:
        load("bad", tmp_path)
    assert said in str(refused.value)


def test_a_backend_has_the_name_of_its_folder(tmp_path):
    """Copied from emis and not edited, it would become emis."""
    checkout = checkout_of("emis", tmp_path / "checkout")
    (checkout / "emis").rename(checkout / "made-up")
    with pytest.raises(Refused, match="has name='emis'; wanted 'made-up'") as refused:
        load("made-up", checkout)
    assert f"{checkout}/made-up/backend.py" in refused.value.hint


def test_what_was_edited_within_the_second_is_read(tmp_path):
    """Python would take the bytecode of before: as old, and as long."""
    backend = checkout_of("emis", tmp_path / "checkout") / "emis/backend.py"
    assert load("emis", tmp_path / "checkout").title == "EMIS"
    at = backend.stat().st_mtime_ns
    backend.write_text(backend.read_text().replace('"EMIS"', '"emis"'))
    os.utime(backend, ns=(at, at))
    assert load("emis", tmp_path / "checkout").title == "emis"
    assert not (backend.parent / "__pycache__").exists()


def test_the_sample_people_are_those_of_the_rosters():
    assert set(ROSTERS) == {"developers", "researchers", "reviewers"}


def test_an_endpoint_without_an_address(checkout):
    """Containers have no name server: /etc/hosts is all they know."""
    text = (checkout / "test/hosts").read_text()
    (checkout / "test/hosts").write_text(text.replace("github-proxy", "github"))
    assert problems(checkout) == [
        "test/backend.py: endpoint github-proxy.opensafely.org has no line in test/hosts"
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("jobrunner", "is no `SERVICE sha256:`"),
        ("jobrunner latest", "is no `SERVICE sha256:`"),
        (f"jobrunner sha256:{'0' * 63}", "is no `SERVICE sha256:`"),
        (f"jobrunner sha256:{'1' * 64}", "has a line above already"),
    ],
)
def test_images_that_are_none(checkout, line, why):
    good = f"# a comment\njobrunner sha256:{'0' * 64}  # and another\n"
    (checkout / "test/images.lock").write_text(good)
    assert gathered(checkout).images == {"jobrunner": f"sha256:{'0' * 64}"}
    (checkout / "test/images.lock").write_text(f"{good}{line}\n")
    (found,) = problems(checkout)
    assert found.startswith("test/images.lock:3: ")
    assert why in found


def test_a_second_factor_that_nothing_would_ask_for(checkout):
    path = checkout / "test/backend.py"
    text = path.read_text().replace(
        "    name=", "    second_factor=True,\n    name=", 1
    )
    path.write_text(text)
    (found,) = problems(checkout)
    assert found.startswith("test/backend.py: second_factor: there is no rdp_address")
