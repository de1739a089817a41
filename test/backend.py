"""test: dummy data, for newcomers and for tests; without the desktop, it is soon made."""

from backend_server.checkout.backend import Airlock, Backend, Follow


BACKEND = Backend(
    name="test",
    title="dummy data, for trying things out",
    rosters=("developers", "researchers", "reviewers"),
    provider_accounts=frozenset({"ubuntu"}),
    sudo_password=False,
    endpoints=(
        "jobs.opensafely.org:443",
        "controller.opensafely.org:443",
        "docker-proxy.opensafely.org:443",
        "github-proxy.opensafely.org:443",
    ),
    github="https://github-proxy.opensafely.org",
    database=("192.0.2.30:1433",),
    dummy_data=True,
    # Without a desktop only root reaches it here.
    airlock=Airlock("test.backends.opensafely.org"),
    # Nothing here is worth more than an agent that its controller has not left behind.
    follows=(Follow("jobrunner", "latest", "the developers", "2027-11-28"),),
)
