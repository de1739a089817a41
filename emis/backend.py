"""emis: an Ubuntu machine on AWS where reviewers work too, over a remote desktop."""

from backend_server.checkout.backend import Backend


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
)
