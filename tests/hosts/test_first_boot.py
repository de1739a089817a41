"""The seed that turns a vendor's image into a backend, in the hands of the real cloud-init."""

from __future__ import annotations

import pytest

from sandbox.command import run
from tests.hosts.managing import CHECKOUT, rests


pytestmark = pytest.mark.share("SMB")

NETWORK = """\
version: 2
ethernets:
  eth0:
    addresses: [{address}/24]
    routes: [{{to: 0.0.0.0/0, via: {gateway}}}]
"""


@pytest.fixture
def guest(sandbox):
    """A vendor's image that has never booted."""
    made = sandbox.bare_guest()
    yield made
    sandbox.remove(made)


@pytest.fixture
def seed(sandbox, guest, tmp_path):
    """A function: the disk that scripts/seed.sh makes for this guest, as nobody in particular."""
    place = sandbox.lay(tmp_path)
    network = tmp_path / "network"
    network.write_text(NETWORK.format(address=guest.address, gateway=guest.gateway))

    def make(*options):
        script = place / "scripts/seed.sh"
        run(script, "tpp", tmp_path, "--network-config", network, *options)
        return tmp_path / "seed.iso"

    return make


def test_cloud_init_runs_the_seed(guest, seed):
    guest.boot([seed("--plan")])
    said = guest.read("/var/log/cloud-init-output.log")
    assert "+ User ada" in said, said
    assert guest.run("cloud-init status").stdout == "status: done\n"
    assert guest.run(f"git -C {CHECKOUT} status --porcelain").stdout == ""
    assert "opensafely" not in guest.read("/etc/hosts"), "a plan touches nothing"
    assert guest.run("ls /var/lib/cloud/scripts/per-boot").stdout == ""


@pytest.mark.long
def test_a_vendors_image_becomes_a_backend(guest, seed, lab):
    guest.boot([seed()], timeout_s=3000)
    said = guest.read("/var/log/cloud-init-output.log")
    assert guest.run("ls /var/lib/cloud/scripts/per-boot").stdout == "", said
    assert rests(guest, backend="tpp")
    guest.reboot()
    assert rests(guest, backend="tpp"), "cloud-init brought nothing back"
    assert guest.run("getent hosts mirror.example", check=False).returncode == 2
    ada = guest.ssh("ada", guest.people["ada"].key, "id -un")
    assert ada.stdout == "ada\n"
    assert lab.rejected() == 0
