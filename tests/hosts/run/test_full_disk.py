"""A disk without room: every file is as it was, the run says so, and the next one mends it."""

from __future__ import annotations

import pytest

from tests.hosts.managing import manage, missed, rests


@pytest.fixture(scope="module")
def host(shared_warm_host):
    return shared_warm_host("test")


@pytest.mark.parametrize("before", ["", "# as it was\n"], ids=["absent", "old"])
@pytest.mark.parametrize(
    "path",
    ["/etc/profile.d/opensafely.sh", "/etc/systemd/journald.conf.d/opensafely.conf"],
)
def test_full_disk(host, path, before):
    """The file is as it was, and no half of a new one lies about."""
    folder = path.rpartition("/")[0]
    host.run(f"mount -t tmpfs -o size=8k none {folder}")
    if before:
        host.run(f"cat > {path}", stdin=before)
    host.run(f"head -c 1M /dev/zero > {folder}/fill || true")
    there = host.run(f"ls -A {folder}").stdout
    try:
        done = manage(host, "--json")
        assert done.returncode == 1
        failed = missed(done)[0]
        assert failed["resource"] == f"File {path}"
        assert "No space left on device" in failed["error"]
        assert "df -h" in failed["hint"]
        assert host.run(f"ls -A {folder}").stdout == there
        assert host.run(f"cat {path}", check=False).stdout == before
        host.run(f"rm {folder}/fill")
        assert manage(host).returncode == 0
        assert rests(host)
    finally:
        host.run(f"umount {folder}")
    assert rests(host)


def test_full_disk_under_the_hosts_template(host):
    """A file that keeps its inode is rewritten only once its new text has had room."""
    folder = "/etc/cloud/templates"
    path = f"{folder}/hosts.debian.tmpl"
    text = "127.0.0.1 localhost\n" + "# theirs\n" * 440
    host.run(f"mkdir -p {folder} && mount -t tmpfs -o size=16k none {folder}")
    try:
        host.run(f"cat > {path}", stdin=text)
        host.run(f"head -c 1M /dev/zero > {folder}/fill || true")
        assert manage(host).returncode == 1
        assert host.run(f"cat {path}").stdout == text
        assert host.run(f"ls -A {folder}").stdout == "fill\nhosts.debian.tmpl\n"
        host.run(f"rm {folder}/fill")
        assert manage(host).returncode == 0
        assert host.run(f"cat {path}").stdout.startswith(text)
    finally:
        host.run(f"umount {folder}; rm -r /etc/cloud")
    assert rests(host)


def test_full_disk_under_the_history(host):
    folder = "/var/log/opensafely"
    host.run(f"mount -t tmpfs -o size=4k,mode=750 none {folder}")
    host.run(f"head -c 1M /dev/zero > {folder}/fill || true")
    try:
        done = manage(host)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "this run is not in the history" in done.stdout
        assert "No space left on device" in done.stdout
    finally:
        host.run(f"umount {folder}")
    assert rests(host)
