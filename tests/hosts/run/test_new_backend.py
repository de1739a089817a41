"""A backend that was made by scripts/new-backend.sh, on a host: from nothing to an agent that stays up."""

from __future__ import annotations

import pytest

from tests.hosts.managing import CHECKOUT, changed, manage, rests, snapshot
from tests.hosts.services.running import polls_again


NAME = "made-up"
COMMIT = (
    "git -c user.name=ada -c user.email=ada@localhost commit -qam 'a further backend'"
)
# A checkout on a host has no tests; nobody's name is in it, and it wants an image.
MAKE = f"""
cd {CHECKOUT} && sed -i 's#^./scripts/test.sh accept.*#exit#' scripts/new-backend.sh
./scripts/new-backend.sh {NAME} --like test
cp test/images.lock {NAME}/ && : > {NAME}/backend.env
echo rita > {NAME}/researchers; echo gus > {NAME}/reviewers
sed -i 's/name="{NAME}"/name="test"/' {NAME}/backend.py
git checkout -q scripts && git add -A && {COMMIT}
"""
ENVIRONMENT = "/etc/opensafely/env/03_backend.env"
RESTARTS = "systemctl show -P NRestarts opensafely-jobrunner.service"


@pytest.fixture
def known(outside):
    """The stand-ins, whose controller knows it, as it knows each folder of this checkout."""
    tokens = outside.controller.tokens
    tokens[NAME] = tokens["test"]
    outside.start()
    yield outside
    del tokens[NAME]
    outside.start()


def test_a_new_backend_from_a_bare_host(bare_host, known):
    """Without a Python yet, and with an empty backend.env; its agent runs for it."""
    host = bare_host("bookworm")
    host.run(MAKE)
    done = manage(host, "--yes", backend=NAME)
    assert done.returncode == 2
    assert "has name='test'; wanted 'made-up'" in done.stderr
    assert host.run("test -e /etc/opensafely/backend", check=False).returncode == 1
    mends = done.stderr.partition("   try: ")[2]
    host.run(f"{mends.strip()} && cd {CHECKOUT} && {COMMIT}")

    done = manage(host, "--yes", backend=NAME)
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run("cat /etc/opensafely/backend").stdout == f"{NAME}\n"
    assert f"BACKENDS={NAME}\n" in host.run(f"cat {ENVIRONMENT}").stdout
    polls_again(host, known)
    assert host.run(RESTARTS).stdout == "0\n"
    assert rests(host, NAME)

    before = snapshot(host)
    refused = manage(host, "--yes", backend="test")
    assert refused.returncode == 2
    assert f"this host is the backend {NAME}; wanted test" in refused.stderr
    shown = host.run("backend show --against test")
    assert f"{NAME} against test on debian 12" in shown.stdout
    assert changed(before, snapshot(host)) == []
