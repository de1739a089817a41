import pytest

from tests.hosts.managing import manage


pytestmark = pytest.mark.share("job-runner")


def test_try(bare_host, sandbox):
    host = bare_host()
    done = manage(host, "--yes")
    print(done.stdout[-6000:], done.stderr[-3000:])
    print(
        host.run(
            "systemctl status opensafely-jobrunner; docker ps -a; journalctl -u opensafely-jobrunner -n 40 --no-pager; cat /etc/opensafely/services/jobrunner",
            check=False,
        ).stdout
    )
    import time

    time.sleep(float(__import__("os").environ.get("HOLD", "0")))
    print(host.id)
    done = manage(host, "")
    print(done.stdout[-6000:], done.stderr[-3000:])
    print(manage(host, "service list").stdout)
    print(manage(host, "service secrets").stdout)
    assert 0
