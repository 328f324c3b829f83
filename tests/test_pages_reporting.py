"""The button that makes a report: of what a page shows, told to the command line, once for the same content."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusion import jobs
from fusion.files import home
from tests.opening import opened

SHOWN = [
    ("inspect", {"ckpt": "maf-gloss", "story": "fits"}, ["--text=NASA astronaut", "--image="]),
    ("inspect", {"ckpt": "maf-gloss", "data": "gloss", "id": "a03930630-0", "edit": "image:remove"},
     ["--data=gloss", "--id=a03930630-0", "--edit=image:remove"]),
    ("inspect", {"ckpt": "meaformer-emoji", "data": "emoji", "id": "en-0551"}, ["--data=emoji", "--id=en-0551"]),
    ("inspect", {"ckpt": "imf-keywords", "data": "keywords", "id": "k-2581", "rel": "hasKeyword", "against": "k-0899"},
     ["--relation=hasKeyword", "--against=k-0899"]),
    ("inspect", {"ckpt": "late-groups", "data": "emoji-groups", "id": "v1fa98", "edit": "text:remove"},
     ["--id=v1fa98", "--edit=text:remove"]),
    ("fusion", {"ckpt": "tate-groups", "data": "emoji-groups"}, ["emoji-groups"]),
    ("compare",
     {"ckpt": "late-groups", "data": "emoji-groups", "with": "early-groups", "tab": "sample", "id": "v1fa98"},
     ["--data=emoji-groups", "--id=v1fa98"]),
]  # fmt: skip


@pytest.mark.parametrize(("page", "query", "told"), SHOWN)
def test_the_command_line_is_told_what_the_page_shows(
    page: str, query: dict[str, str], told: list[str], monkeypatch: pytest.MonkeyPatch, fusion_home: Path
) -> None:
    started: list[tuple[list[str], str]] = []
    monkeypatch.setattr(jobs, "start", lambda arguments, key: started.append((list(arguments), key)))
    at = opened(page, query)
    assert not at.exception
    button = next(one for one in at.button if one.label == "Make the report")
    button.click().run()
    ((arguments, _),) = started
    assert arguments[0] == ("compare" if page == "compare" else "report")
    assert any(one.startswith("--checkpoint=") for one in arguments) == (page != "compare")
    for one in (*told, "--lang=en", "--out="):
        assert any(argument.startswith(one) for argument in arguments), (one, arguments)
    out = Path(next(one for one in arguments if one.startswith("--out=")).removeprefix("--out="))
    assert out.parent == home() / "reports"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("<!doctype html>", encoding="utf-8")
    again = opened(page, query)
    assert not [one for one in again.button if one.label == "Make the report"], "it is there: it is handed out"
    assert [one for one in again.get("download_button") if "report" in str(one.proto.label)]


def test_without_a_sample_there_is_nothing_to_report(fusion_home: Path) -> None:
    at = opened("inspect", {"ckpt": "late-groups", "data": "emoji-groups"})
    assert not [one for one in at.button if one.label == "Make the report"]
    at = opened("inspect", {"ckpt": "late-groups", "data": "emoji-groups", "id": "nobody"})
    assert not at.exception
    assert not [one for one in at.button if one.label == "Make the report"]
