"""What a package may take along to a newer version, by what apt says it would do."""

import pytest

from backend_server.resources import Packages
from backend_server.text.errors import Refused


SAID = "Inst python3.11 [3.11.2-6] (3.11.2-7 Debian)\nInst window (1 Debian)\n"
MORE = "Inst docker.io [20.10] (26.1 Debian)\n"


class Apt:
    def __init__(self, said):
        self.stdout = said

    def apt_simulation(self, verb, packages):
        return self


def judged(said, *upgrades):
    packages = Packages("window", frozenset({"window"}), upgrades=upgrades)
    packages._refuse_side_effects(packages.names, Apt(said))


def test_what_is_named_is_taken_along():
    judged(SAID, "python3.")


def test_nothing_else_is():
    with pytest.raises(Refused, match=r"would also upgrade python3\.11"):
        judged(SAID)
    with pytest.raises(Refused, match=r"would also upgrade docker\.io$"):
        judged(SAID + MORE, "python3.")
