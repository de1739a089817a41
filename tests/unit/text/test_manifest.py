"""What a manifest lets go to level 4."""

import json

import pytest

from backend_server.text import manifest


def said(**outputs):
    return json.dumps({"workspace": "ws", "repo": None, "outputs": outputs})


def read(text):
    return manifest.read(text.encode("utf-8", "surrogateescape"))


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
    assert read(text).paths() == (
        "out/a.csv.txt",
        "out/b.csv",
        "metadata/describe.log",
        "metadata/extract.log",
        "metadata/manifest.json",
    )


@pytest.mark.parametrize("level", ["Moderately_Sensitive", "moderate", None, True, []])
def test_no_other_word_is_moderate(level):
    paths = read(said(x=output(level))).paths()
    assert paths == ("metadata/describe.log", "metadata/manifest.json")


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"outputs": []}', '{"outputs": {"a": 1}}'),
        *('{"outputs": null}', "[" * 100_000, '{"outputs": ' * 100_000),
        *('{"outputs": {"a": {"size": 1e999}}}', '{"outputs": {}, "x": -1e999}'),
        *('{"outputs": {}, "x": NaN}', '{"outputs": {}, "x": %s}' % ("9" * 2_000_000)),
    ],
    ids=lambda text: text[:24],
)
def test_anything_else_is_said_to_be_none(text):
    with pytest.raises(manifest.Wrong, match="cannot be understood"):
        read(text)


def test_it_is_read_up_to_a_size():
    text = said(**{f"{n}.csv": output(size=n) for n in range(9)}).encode()
    assert len(manifest.read(text + b" " * 1000).outputs) == 9
    with pytest.raises(manifest.Wrong, match="has more than 16777216 bytes"):
        manifest.read(text + b" " * manifest.LARGEST)


def test_what_goes_says_nothing_of_what_may_not_go():
    kept = {"size": 5, "row_count": 7, "content_hash": "beef"}
    text = said(
        **{
            "out/patients.csv": output("highly_sensitive", **kept),
            "out/other.csv": output("", **kept),
            "out/table.csv": output(size=3, message="é\udcff"),
        }
    )
    with_more = json.dumps({**json.loads(text), "actions": {"extract": "out/patients"}})
    going = read(with_more).text()
    assert json.loads(going) == {
        "workspace": "ws",
        "repo": None,
        "outputs": {"out/table.csv": output(size=3, message="é\udcff")},
    }
    assert not [word for word in ("patients", "other", "beef") if word in going]
    assert read(going).paths()[0] == "out/table.csv"


@pytest.mark.parametrize("depth", [1, 900, 980, 1000])
def test_what_is_deep_in_an_output_does_not_go(depth):
    """Indented, each of its zeros would be as wide as it is deep."""
    deep = "[" * depth + ",".join(["0"] * 20_000) + "]" * depth
    whole = json.dumps({"a": output(size=1, unknown="x")})
    level = '"level": "moderately_sensitive", "excluded": false'
    text = f'{{"outputs": {{"b": {{"x": {deep}, {level}}}, {whole[1:]}}}'
    try:
        found = read(text)
    except manifest.Wrong:
        assert depth > 900
    else:
        going = found.text()
        assert len(going) < 1000
        outputs = json.loads(going)["outputs"]
        assert outputs["a"] == output(size=1)
        assert outputs["b"] == {"level": "moderately_sensitive", "excluded": False}


def test_all_that_the_agent_says_of_an_output_goes():
    """What Airlock needs of one: sandbox/agent writes what the real one does."""
    keys = (
        *("level", "excluded", "size", "timestamp", "content_hash", "message", "user"),
        *("commit", "repo", "job_id", "job_request", "action", "row_count"),
        *("col_count", "out_of_date_action", "out_of_date_output"),
        *("redacted_from", "redacted_by"),
    )
    wanted = {**dict.fromkeys(keys, 1), "level": "moderately_sensitive", "repo": None}
    going = read(said(a=wanted)).text()
    assert json.loads(going)["outputs"] == {"a": wanted}
