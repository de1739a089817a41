"""What is said of a release that is not as it has to be, word for word as the real one says it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict


Record = Dict[str, Any]
MOST = 16 << 20
NEEDED = ("files", "metadata", "review")
OF_FILE = ("name", "url", "size", "sha256", "date", "metadata", "review")
MAY_BE_NULL = ("review",)
REQUIRED, NULL = "This field is required.", "This field may not be null."


def problems(found: object) -> Record:
    """What the real one says of a release that it does not take: of files, by their place."""
    if not isinstance(found, dict):
        return {"non_field_errors": ["Invalid data. Expected a dictionary."]}
    wrong: Record = {name: [REQUIRED] for name in NEEDED if name not in found}
    if found.get("metadata", {}) is None:
        wrong["metadata"] = [NULL]
    of_files = {
        str(place): said
        for place, file in enumerate(found.get("files") or ())
        for said in [_of_file(file)]
        if said
    }
    return {**wrong, **({"files": of_files} if of_files else {})}


def _of_file(file: Record) -> Record:
    wrong: Record = {name: [REQUIRED] for name in OF_FILE if name not in file}
    for name in OF_FILE:
        if name in file and file[name] is None and name not in MAY_BE_NULL:
            wrong[name] = [NULL]
    size, date = file.get("size"), file.get("date")
    if isinstance(size, int) and size > MOST:
        shown = f"{size / (1 << 20):.1f}Mb"
        wrong["size"] = [f"File size should be <16Mb. {file.get('name')} is {shown}Mb"]
    if date is not None and not _is_date(date):
        wrong["date"] = [
            "Datetime has wrong format. Use one of these formats instead: "
            "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
        ]
    return wrong


def _is_date(date: object) -> bool:
    try:
        datetime.fromisoformat(str(date).replace("Z", "+00:00"))
    except ValueError:
        return False
    return isinstance(date, str)
