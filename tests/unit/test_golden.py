"""What each backend declares on each release, word for word: a change of it is read in the diff.

`scripts/test.sh accept` rewrites the files.
"""

import re
from argparse import _SubParsersAction

import pytest

from backend_server.checkout.service import Service
from backend_server.cli.arguments import parser
from backend_server.desktop.component import FOLDERS, WALLS
from backend_server.desktop.remote import RemoteDesktop
from backend_server.docker.network import DockerRules
from backend_server.engine import report
from backend_server.jobs.component import jobrunner
from backend_server.resources import UNITS, File, Unit
from backend_server.run.backends import declare
from backend_server.run.place import services_of
from backend_server.services.container_service import ContainerService
from backend_server.text.releases import RELEASES
from tests.unit.example import BACKENDS, ROOT, site_of


PLANS = ROOT / "tests" / "plans"
COMPLETION = (ROOT / "etc/bash_completion.d/backend").read_text()


def declared(backend, release, place):
    return declare(site_of(backend, release.name, place / "checkout"))


def golden(backend, release):
    return PLANS / f"{backend}-{release.distribution}-{release.version}.txt"


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
@pytest.mark.parametrize("backend", BACKENDS)
def test_golden(backend, release, tmp_path, request):
    lines = report.declared(declared(backend, release, tmp_path))
    found = "".join(f"{line}\n" for line in lines)
    file = golden(backend, release)
    if request.config.getoption("--accept"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(found, "utf-8")
    assert file.exists(), "there is none yet: scripts/test.sh accept"
    assert found == file.read_text("utf-8")


def test_a_further_service_is_no_surprise(tmp_path):
    """docker may be restarted while it runs; and the job-runner stays the job-runner."""
    site = site_of("test", "bookworm", tmp_path / "checkout")
    runner = jobrunner(site.backend)
    further = Service("collector", "tells", "example/collector", 1, 1, route=())
    backend = site.backend._replace(services=(further,))
    for services in ((runner, further), (further, runner)):
        site = site._replace(services=services, backend=backend)
        parts = {p.name: p for p in declare(site)}
        (rules,) = (r for r in parts["docker"].resources if type(r) is DockerRules)
        assert rules.services == {"jobrunner", "collector"}
        for name in ("jobrunner", "collector"):
            units = [r for r in parts[name].resources if type(r) is ContainerService]
            assert [unit.name for unit in units] == [name]
    assert [each.name for each in services_of(backend)][-1] == "collector"


def test_no_golden_is_left_over(request):
    wanted = {golden(backend, release) for backend in BACKENDS for release in RELEASES}
    if request.config.getoption("--accept"):
        for file in {*PLANS.iterdir()} - wanted:
            file.unlink()
    assert set(PLANS.iterdir()) == wanted


# What etc/ has for a component that not every backend has.
ONLY = {
    "desktop": (*FOLDERS, *WALLS, "/etc/xrdp/", "/etc/pam.d/xrdp-sesman"),
    "airlock": (
        f"{UNITS}/opensafely-airlock",
        f"{UNITS}/opensafely-certificate",
        f"{UNITS}/opensafely-review",
    ),
    "window": (
        f"{UNITS}/opensafely-airlock-window",
        "/etc/opensafely/airlock-turns",
        *(
            f"/etc/xdg/opensafely/{place}/opensafely-airlock"
            for place in ("autostart", "data/applications")
        ),
    ),
    "outputs": ("/etc/systemd/system/opensafely-outputs",),
    "hyperv": ("/etc/udev/",),
    "clock": ("/etc/chrony/", "/etc/systemd/system/chrony.service.d/"),
}


# Units have the name of the place where something is mounted.
NAMED_BY_PLACE = ("opensafely-outputs.mount", "opensafely-outputs.automount")
# Where there are no name servers, and where there is a mirror, as the release has it: the
# plans of emis hold each.
OF_SOME = ("/etc/resolv.conf", "/etc/dhcp/", "/etc/apt/sources.list")


@pytest.mark.parametrize("backend", BACKENDS)
class TestDeclaration:
    @pytest.fixture
    def parts(self, backend, tmp_path):
        return declared(backend, RELEASES[0], tmp_path)

    def test_every_file_under_etc_is_declared(self, parts):
        paths = {fact for part in parts for r in part.resources for fact in r.owns()}
        verbatim = {
            f"/{path.relative_to(ROOT)}"
            for path in (ROOT / "etc").rglob("*")
            if path.is_file() and path.name not in NAMED_BY_PLACE
        }
        here = {part.name for part in parts}
        elsewhere = tuple(x for name in ONLY.keys() - here for x in ONLY[name])
        # Of the newest releases.
        not_here = (*elsewhere, *OF_SOME, "/etc/apparmor.d/")
        assert {path for path in verbatim if not path.startswith(not_here)} <= paths

    def test_component_names_are_unique(self, parts):
        names = [part.name for part in parts]
        assert len(set(names)) == len(names)

    def test_labels_are_unique(self, parts):
        """By them `show --against` knows what is the same on another backend."""
        labels = [r.label for part in parts for r in part.resources]
        assert [label for label in labels if labels.count(label) > 1] == []

    def test_components_need_what_comes_before_them(self, parts):
        before = set()
        for part in parts:
            assert set(part.needs) <= before, part.name
            before.add(part.name)

    def test_who_is_told_of_a_change_is_declared_after_it(self, parts):
        """Else a pending mark would never go, or only with the next run."""
        waiting = set()
        for resource in (r for part in parts for r in part.resources):
            # A noun that is told of its own change, and asks after it, sees to it itself.
            waiting.update(set(resource.notifies()) - set(resource.asks()))
            if isinstance(resource, (Unit, RemoteDesktop)):
                waiting.discard(resource.name)
            if type(resource) is ContainerService:
                waiting.discard(resource.unit)
        assert waiting == set()

    def test_nothing_in_it_is_secret_or_of_another_place(self, parts, tmp_path):
        text = "\n".join(report.declared(parts))
        assert str(tmp_path) not in text
        assert str(ROOT) not in text
        assert not re.search(r"\$\w|\$\{", "".join(templates(parts)))


def templates(parts):
    """The texts that were filled in; what is installed verbatim may have dollars."""
    for resource in (r for part in parts for r in part.resources):
        if type(resource) is File and not (ROOT / resource.path[1:]).exists():
            yield resource.text.replace('"$@"', "")


# ---- the command line and its completion


def commands():
    return next(a for a in parser()._actions if type(a) is _SubParsersAction).choices


def options():
    return {
        option
        for command in commands().values()
        for action in command._actions
        for option in action.option_strings
        if option.startswith("--")
    }


def words(after):
    """The words that completion offers: at first, for a `-`, or after another word."""
    quoted = re.findall(r"(?:commands|options)='([^']*)'", COMPLETION)
    moments = ("", "-", "--only", "people", "service", "host", "job")
    return {*dict(zip(moments, quoted))[after].split()}


def test_every_component_of_some_backend_is_completed(tmp_path):
    here = RELEASES[0]
    every = (declared(backend, here, tmp_path / backend) for backend in BACKENDS)
    assert words("--only") == {part.name for parts in every for part in parts}


def test_every_command_is_completed():
    assert words("") == set(commands())


def test_every_option_is_completed():
    assert words("-") == options()
