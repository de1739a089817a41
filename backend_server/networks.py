"""The networks that containers are on, by the names that the kernel and docker give them."""

from __future__ import annotations


TABLE = "opensafely"  # the nftables table `inet opensafely`
DATABASE_NETWORK = "jobrunner-db"  # docker's name; the job-runner knows it
DATABASE_BRIDGE = (
    "opensafely-db"  # its interface, so that rules can stand before docker does
)
SERVICES_BRIDGE = "docker0"  # docker's own, which services are on
NO_DNS = "192.0.2.0"  # nobody: RFC 5737 keeps it free
