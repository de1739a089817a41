"""The releases that hosts are tried on, besides this machine's own."""

from tests.sampling import one_of


NEIGHBOURS = one_of("releases", "bullseye", "trixie")
