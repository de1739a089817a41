"""What an answer depends on, whatever it is called and however long that is."""

import pytest

from backend_server.engine.in_force import InForce
from backend_server.host import HostReader


pytestmark = pytest.mark.share("in force")


class Asked(InForce):
    """Goes by a file, and by a fact that is no path."""

    fact: str = ""

    def goes_by(self, host):
        yield from ("/etc/rules", self.fact)

    def objection(self, host):
        return None


@pytest.fixture
def host(tmp_path):
    (tmp_path / "etc").mkdir()
    return HostReader(tmp_path)


def proof(host, fact):
    assert Asked("rules", fact=fact).check(host) == ()
    return dict(host.to_keep)


def test_a_fact_is_as_long_as_it_likes(host):
    """Of a hundred people, say: as the name of a folder the kernel would not take it."""
    many = " ".join(f"person{number}" for number in range(100))
    assert proof(host, many) != proof(host, f"{many} ada")


def test_a_file_counts(host):
    before = proof(host, "ada")
    (host.root / "etc/rules").write_text("more")
    assert proof(host, "ada") != before
