"""What it asks of the place that outputs are released to, as the real one asks."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Mapping


class Refused(Exception):
    """It was not done; the status and the beginning of what was said."""


class Api:
    def __init__(self, env: Mapping[str, str]) -> None:
        self.base, self.token = env["AIRLOCK_API_ENDPOINT"], env["AIRLOCK_API_TOKEN"]

    def post(self, path: str, body: bytes, user: str = "", **headers: str) -> Any:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        usual = {
            "Authorization": self.token,
            "OS-User": user,
            "Accept": "application/json",
        }
        request = urllib.request.Request(
            f"{self.base}/{path}", body, {**usual, **named}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.loads(reply.read() or b"{}")
        except urllib.error.HTTPError as error:
            said = error.read(500).decode("utf-8", "replace")
            raise Refused(f"{error.code} {said}") from None

    def login(self, user: str, token: str) -> dict[str, Any]:
        body = json.dumps({"user": user, "token": token}).encode()
        kind = "application/json"
        return dict(self.post("releases/authenticate", body, Content_Type=kind))

    def create(
        self, known: str, workspace: str, files: list[dict[str, Any]], user: str
    ) -> None:
        metadata = {"tool": "airlock", "airlock_id": known}
        body = json.dumps(
            {"files": files, "metadata": metadata, "review": None}
        ).encode()
        where, kind = f"releases/workspace/{workspace}", "application/json"
        self.post(where, body, user, Content_Type=kind)

    def upload(self, known: str, path: str, data: bytes, user: str) -> None:
        named = f'attachment; filename="{path}"'
        kind = "application/octet-stream"
        try:
            self.post(
                f"releases/release/{known}",
                data,
                user,
                Content_Type=kind,
                Content_Disposition=named,
            )
        except Refused as refused:
            if "already been uploaded" not in str(refused):
                raise
