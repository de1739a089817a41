"""tpp: a Hyper-V guest on a Windows host that manages researchers and reviewers itself."""

from backend_server.checkout.backend import Backend, Share


BACKEND = Backend(
    name="tpp",
    title="TPP",
    # Researchers and reviewers have accounts on the Windows side only.
    rosters=("developers",),
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
    # On a disk of its own. That no job is begun while it is away takes one line more, once it is
    # known where it is mounted:
    #   archives_disk="/srv/high_privacy/archive",
    archives="/srv/high_privacy/archive/archived_workspaces",
    # A folder of the Windows server that reviewers are on.
    share=Share(server="level4", path="Level4Files/workspaces", account="opensafely"),
    # Off. On, it is, with the import of Airlock, and the network that level 4 is on there:
    #   airlock=Airlock("tpp.backends.opensafely.org", level4=("10.1.2.0/24",)),
    # The provider's firewall lets no question about a name through.
    dns=False,
    hyperv=True,
    # Off. On, it would be, with the import of Follow, an owner, and 12 months ahead at most:
    #   follows=(Follow("jobrunner", "latest", "OWNER", "2027-11-28"),),
    # Then whoever pushes `latest` to the registry is root beside patients' data within 15
    # minutes, and nobody here says yes: docs/security.md, Limits.
)
