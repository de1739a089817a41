"""What a manifest lets go to level 4."""

import json

import pytest

from backend_server.outputs import manifest


def said(**outputs):
    return json.dumps({"workspace": "ws", "repo": None, "outputs": outputs})


def output(level="moderately_sensitive", **more):
    return {"level": level, "action": "describe", "excluded": False, **more}


def test_only_moderate_outputs_their_notes_logs_and_the_manifest_last():
    text = said(
        **{
            "out/b.csv": output(),
            "out/a.csv": output(excluded=True),
            "out/patients.csv": output("highly_sensitive", action="extract"),
            "out/other.csv": output("", action=None),
        }
    )
    assert manifest.paths(text) == (
        "out/a.csv.txt",
        "out/b.csv",
        "metadata/describe.log",
        "metadata/extract.log",
        "metadata/manifest.json",
    )


@pytest.mark.parametrize("level", ["Moderately_Sensitive", "moderate", None, True, []])
def test_no_other_word_is_moderate(level):
    paths = manifest.paths(said(x=output(level)))
    assert paths == ("metadata/describe.log", "metadata/manifest.json")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"outputs": []}', '{"outputs": {"a": 1}}', '{"outputs": null}'],
)
def test_anything_else_is_said_to_be_none(text):
    with pytest.raises(manifest.Wrong, match="cannot be understood"):
        manifest.paths(text)
