"""emis: an Ubuntu machine on AWS where reviewers work too, over a remote desktop."""

from backend_server.checkout.backend import Airlock, Backend


BACKEND = Backend(
    name="emis",
    title="EMIS",
    rosters=("developers", "researchers", "reviewers"),
    provider_accounts=frozenset({"ubuntu"}),
    endpoints=(
        "jobs.opensafely.org:443",
        "controller.opensafely.org:443",
        "docker-proxy.opensafely.org:443",
        "github-proxy.opensafely.org:443",
        "archive-ubuntu.opensafely.org:443",
        "security-ubuntu.opensafely.org:443",
    ),
    github="https://github-proxy.opensafely.org",
    # AWS lets in only what comes through the jump host.
    rdp_address="0.0.0.0",
    airlock=Airlock("emis.backends.opensafely.org"),
    # Off. On, it would be, with the import of Follow, an owner, and 12 months ahead at most:
    #   follows=(Follow("jobrunner", "latest", "OWNER", "2027-11-28"),),
    # Then whoever pushes `latest` to the registry is root beside patients' data within 15
    # minutes, and nobody here says yes: docs/security.md, Limits.
)
