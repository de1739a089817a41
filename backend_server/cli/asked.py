"""What commands of several families are asked besides `Asked` of run/place.py."""

from __future__ import annotations

from backend_server.run.place import Asked


class Named(Asked):
    """Of one thing or person in particular."""

    subject: str = ""
