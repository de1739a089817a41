"""The seed that turns a vendor's image into a backend, in the hands of the real cloud-init."""

from __future__ import annotations

import pytest

from sandbox import identity
from sandbox.command import run
from sandbox.guestimage import VENDORS
from tests.hosts.managing import CHECKOUT, rests


pytestmark = pytest.mark.share("SMB")

NETWORK = """\
version: 2
ethernets:
  {link}:
    addresses: [{address}/24]
    routes: [{{to: 0.0.0.0/0, via: {gateway}}}]
"""
SCRIPTS = "/var/lib/cloud/scripts/per-boot"
SEED = "/var/lib/cloud/seed/nocloud"
SAID = "/var/log/cloud-init-output.log"
INSTALL = (
    "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y "
    "--no-install-recommends install cloud-init python3"
)


@pytest.fixture
def seed(sandbox, tmp_path):
    """A function: where scripts/seed.sh wrote a seed of tpp for a machine with this address."""
    place = sandbox.lay(tmp_path)
    network, folder = tmp_path / "network", tmp_path / "seed"

    def make(link, address, gateway, *options):
        facts = {"link": link, "address": address, "gateway": gateway}
        network.write_text(NETWORK.format(**facts))
        script = place / "scripts/seed.sh"
        run(script, "tpp", folder, "--network-config", network, *options)
        return folder

    return make


def test_cloud_init_runs_the_seed_until_it_has_worked(bare_host, seed):
    host = bare_host()
    host.write(*VENDORS)
    host.run(f"rm -r {CHECKOUT}; {INSTALL}; mkdir -p {SEED}")
    gateway = identity.addresses(host.lab.number, 1)[0]
    folder = seed("host0", host.address, gateway, "--plan")
    run("cp", *folder.glob("*-*"), host.root / SEED[1:])
    host.reboot()
    assert host.run(f"ls {SCRIPTS}").stdout == "opensafely\n", "there is no GitHub here"

    run("cp", folder / "backend.git", host.root / SEED[1:])
    host.reboot()
    said = host.read(SAID)
    assert "+ User ada" in said, said
    status = host.run("cloud-init status --long", check=False).stdout
    assert status.startswith("status: done\n"), status + said
    assert host.run(f"ls {SCRIPTS}").stdout == "", "it is done"
    origin = host.run(f"git -C {CHECKOUT} remote get-url origin").stdout
    assert origin.startswith("https://github-proxy.opensafely.org/opensafely-core/")
    state = host.run(f"git -C {CHECKOUT} status --porcelain --branch").stdout
    assert state == "## main\n", "nothing but the commit"
    assert "opensafely" not in host.read("/etc/hosts"), "a plan touches nothing"
    vendors = host.run("getent passwd 1000", check=False).stdout
    assert vendors == "", "nobody is there who is on no roster"


MISTAKES = [
    (("nowhere", "seed"), "there is no backend nowhere here"),
    (("tpp",), "found 1 words; wanted a backend and a folder"),
    (("tpp", "seed", "--user"), "there is no option --user"),
    (("tpp", "seed", "--network-config", "none"), "no file none for --network-config"),
    (("tpp", "seed"), "what is not committed would not be in the seed"),
]


def test_what_would_be_no_seed_is_refused(sandbox, tmp_path):
    place = sandbox.lay(tmp_path)
    (place / "developers").write_text("linus\n")
    for words, said in MISTAKES:
        done = run(place / "scripts/seed.sh", *words, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
    assert not (tmp_path / "seed").exists()


@pytest.mark.long
def test_a_vendors_image_becomes_a_backend(sandbox, seed, lab):
    guest = sandbox.bare_guest()
    try:
        folder = seed("eth0", guest.address, guest.gateway)
        guest.boot([folder / "seed.iso"], timeout_s=3000)
        assert guest.run(f"ls {SCRIPTS}").stdout == "", guest.read(SAID)
        assert rests(guest, backend="tpp")
        guest.reboot()
        assert rests(guest, backend="tpp"), "cloud-init brought nothing back"
        assert guest.run("getent hosts mirror.example", check=False).returncode == 2
        ada = guest.ssh("ada", guest.people["ada"].key, "id -un")
        assert ada.stdout == "ada\n"
        assert lab.rejected() == 0
    finally:
        sandbox.remove(guest)
