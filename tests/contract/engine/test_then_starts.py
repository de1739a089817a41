"""Whoever relies on systemd for the rest knows where systemd was not told: none answers here."""

import pytest

from backend_server.engine import lock
from backend_server.text.errors import CommandFailed


def test_it_is_said_and_what_is_done_meanwhile_is_done():
    done = []
    with pytest.raises(CommandFailed, match="systemd-run"):  # noqa: SIM117
        with lock.then_starts("some.service"):
            done.append("written down")
    assert done == ["written down"]
