"""What a reviewer edits in place, Airlock shows beside what the job made; on a host with reviewers.

The way back, and what becomes of somebody's forgery, are tried by the people who would do it.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.hosts.airlock.asking import be_shown, lay
from tests.hosts.desktop.desktops import as_gus
from tests.hosts.managing import manage
from tests.hosts.programs import wait_until


pytestmark = pytest.mark.share("Airlock")

WORKSPACE = "trial"
MEDIUM = f"/srv/medium_privacy/workspaces/{WORKSPACE}"
REVIEW = f"/srv/medium_privacy/review/{WORKSPACE}"
TABLE, MARKED = "sex,n\nF,3120\nM,3\n", "sex,n\nF,3120\nM,[REDACTED]\n"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("emis")
    assert manage(host, "--offline", backend="emis").returncode in (0, 4)
    return host


def entries(host):
    return json.loads(host.read(f"{REVIEW}/metadata/manifest.json"))["outputs"]


def test_an_edit_in_place_is_beside_its_original_half_a_minute_later(host):
    """By the timer alone."""
    lay(host, "output/table.csv", TABLE, WORKSPACE)
    assert entries(host).keys() == {"output/table.csv"}
    host.run(as_gus(f"sed -i s/M,3/M,[REDACTED]/ {MEDIUM}/output/table.csv"))
    redacted = "redacted/output/table.csv"
    wait_until(lambda: redacted in entries(host), 90)
    assert host.read(f"{REVIEW}/output/table.csv") == TABLE
    assert host.read(f"{REVIEW}/{redacted}") == MARKED
    assert entries(host)[redacted]["file_of"] == "gus"
    notes = host.run(as_gus(f"cat {REVIEW}/metadata/redactions.txt")).stdout
    assert f"{redacted}: a change, in a file of gus's, taken in at 2" in notes
    # Airlock, which has uid 10000 and no more, opens what it is to show, and writes nothing.
    inside = "docker exec airlock python3 -c"
    reads = f"print(open('{REVIEW}/{redacted}').read(), end='')"
    assert host.run(f'{inside} "{reads}"').stdout == MARKED
    writes = f"open('{REVIEW}/mine', 'w')"
    assert "Read-only" in host.run(f'{inside} "{writes}"', check=False).stderr
    host.run("systemctl start opensafely-review.service")
    assert host.run("systemctl show -P Result opensafely-review").stdout == "success\n"


@pytest.mark.parametrize(
    "line",
    [
        f"touch {REVIEW}/mine",
        f"echo x >{REVIEW}/output/table.csv",
        f"rm {REVIEW}/metadata/manifest.json",
        "mv /srv/medium_privacy/review /srv/medium_privacy/mine",
    ],
)
def test_nobody_else_writes_there(host, line):
    host.run(f"ls {REVIEW}/output/table.csv")
    found = host.run(as_gus(line), check=False)
    assert found.returncode != 0
    assert "denied" in found.stderr
    host.run(as_gus(f"cat {REVIEW}/output/table.csv"))


@pytest.mark.parametrize(
    "line",
    [
        f"mv {MEDIUM}/metadata {MEDIUM}/.m",
        f"mv {MEDIUM}/output {MEDIUM}/mine",
        f"rm -r {MEDIUM}/metadata",
        f"mv {MEDIUM} {MEDIUM}-mine",
        f"mv -T {MEDIUM}/output/sub {MEDIUM}/metadata",
        f"echo x >>{MEDIUM}/metadata/manifest.json",
    ],
)
def test_no_reviewer_puts_a_manifest_in_place_of_the_agents(host, line):
    """What he edits in a folder of outputs stays there."""
    host.run(f"install -d -o opensafely -g reviewers -m 2770 {MEDIUM}/output/sub")
    host.run("backend host repair --recent")
    before = host.read(f"{MEDIUM}/metadata/manifest.json")
    found = host.run(as_gus(line), check=False)
    assert found.returncode != 0
    assert re.search("denied|not permitted", found.stderr), found.stderr
    assert host.read(f"{MEDIUM}/metadata/manifest.json") == before
    host.run(as_gus(f"echo >{MEDIUM}/output/sub/own && rm -r {MEDIUM}/output/sub/own"))


def test_a_workspace_that_is_left_as_it_was_is_told_by_status(host):
    manifest = f"{MEDIUM}/metadata/manifest.json"
    host.run(f"chown gus {manifest}")
    said = (
        f"workspace {WORKSPACE}: is, or has a manifest or metadata, of somebody's own"
    )
    wait_until(lambda: said in manage(host, "status", backend="emis").stdout, 90)
    host.run(f"chown opensafely {manifest}")
    wait_until(lambda: said not in manage(host, "status", backend="emis").stdout, 90)


def test_what_points_to_people_is_listed_for_a_developer(host):
    done = manage(host, f"outputs review {WORKSPACE}", backend="emis")
    assert done.returncode == 0, done.stderr
    line = (
        "'output/table.csv': row 3, column 'n': a count of 1 to 7, which is redacted\n"
    )
    assert line in done.stdout
    assert "'redacted/output/table.csv': row 3, column 'n': a count" not in done.stdout
    assert manage(host, "outputs review none", backend="emis").returncode == 2
    assert (
        "audit are kept for ever\n" in manage(host, "host disk", backend="emis").stdout
    )


def test_the_way_back_keeps_the_edit(host):
    done = manage(host, f"outputs restore {WORKSPACE} no.csv", backend="emis")
    assert done.returncode == 2
    assert "'no.csv' is no output that a job made" in done.stderr
    words = f"outputs restore {WORKSPACE} output/table.csv"
    done = manage(host, words, backend="emis")
    assert done.returncode == 0, done.stderr
    kept = re.search(r"is now '(output/table\.edited-.*\.csv)'", done.stdout)[1]
    assert host.read(f"{MEDIUM}/output/table.csv") == TABLE
    assert host.read(f"{MEDIUM}/{kept}") == MARKED
    host.run(as_gus(f"echo >>{MEDIUM}/output/table.csv"))  # he may edit it anew
    assert manage(host, words, backend="emis").returncode == 0

    def taken_back():
        be_shown(host)
        return entries(host).keys() == {"output/table.csv"}

    wait_until(taken_back, 60)
    assert manage(host, words, backend="emis").returncode == 0  # there is nothing to do
