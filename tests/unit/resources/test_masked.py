"""What is masked, of units that systemd has not in memory: what it would find on disk."""

from __future__ import annotations

import pytest

from backend_server.host.reader import HostReader
from backend_server.resources import Masked


NAME = "printer.service"


def fields(top):
    return [change.field for change in Masked(NAME).check(HostReader(top))]


@pytest.fixture
def masked(tmp_path):
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    (folder / NAME).symlink_to("/dev/null")
    return tmp_path


def test_a_link_to_nothing_masks(masked):
    assert fields(masked) == []
    (masked / "etc/systemd/system" / NAME).unlink()
    assert fields(masked) == ["masked"]
    (masked / "etc/systemd/system" / NAME).symlink_to("/lib/systemd/system/other")
    assert fields(masked) == ["masked"]


@pytest.mark.parametrize(
    "folder",
    [
        "etc/systemd/system.control",
        "run/systemd/system.control",
        "run/systemd/transient",
        "run/systemd/generator.early",
    ],
)
def test_no_mask_where_systemd_finds_another_file_first(masked, folder):
    (masked / folder).mkdir(parents=True)
    (masked / folder / NAME).write_text("[Service]\nExecStart=/bin/true\n")
    assert fields(masked) == ["masked"]
