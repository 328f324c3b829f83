"""Tux Paint's stamps: only the right package is unpacked, nothing of it lands elsewhere, and the set is as it says."""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from fusion.__main__ import main
from fusion.data import kind_of, open_data, stamps, stamps_get
from fusion.types import FusionError


def package(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    """A Debian package of some files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    blob = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", data.getvalue())):
        blob += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        blob += b"\n" * (len(content) % 2)
    path.write_bytes(blob)
    return path


def stamped(count: int = 24) -> dict[str, bytes]:
    stream = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), "red").save(stream, "PNG")
    files = {"./" + stamps_get.LICENCE: b"GPL-2"}
    for category in ("animals", "food", "symbols"):
        for at in range(count):
            start = f"./{stamps_get.STAMPS}{category}/inner/thing{at}"
            caption = "A twin." if at in (3, 4) else f"A {category} {at}."
            files[f"{start}.txt"] = f"{caption}\nfr.utf8=Une chose.\n".encode()
            if at != 1:
                files[f"{start}.png"] = stream.getvalue()
            files[f"{start}.svg"] = b"<svg/>"
            if at != 2:
                files[f"{start}_desc_fr.ogg"] = b"OggS"
            files[f"{start}_desc_ru.ogg"] = b"OggS"
    files[f"./{stamps_get.STAMPS}medical/only.txt"] = b"A pill.\n"
    return files


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path / "home"))
    return tmp_path


def accepted(monkeypatch: pytest.MonkeyPatch, path: Path) -> Path:
    monkeypatch.setattr(stamps_get, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_a_package_is_unpacked_and_read(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = accepted(monkeypatch, package(house / "stamps.deb", stamped()))
    said = stamps_get.get(path)
    assert (said["stamps"], said["with_picture"], said["with_speech"]) == (73, 69, 69)
    root = stamps_get.folder()
    assert (root / "LICENCE.txt").read_bytes() == b"GPL-2"
    assert not [*root.rglob("*.svg"), *root.rglob("*_ru.ogg")]
    data = open_data("stamps")
    assert kind_of("stamps") == data.kind == "streams"
    assert data.streams.classes == ("animals", "food")
    assert len(data) == 48
    assert data.streams.encoded == ("text", "image", "audio")
    row = data.index["animals/inner/thing1"]
    assert data.streams.present[row].tolist() == [True, False, True]
    assert data.samples[row].text() == "A animals 1."
    assert data.streams.present[data.index["food/inner/thing2"]].tolist() == [True, True, False]
    assert "medical" in data.notes[-1]
    assert sum(sample.split == "test" for sample in data.samples) > 5
    twins = {data.get(f"{c}/inner/thing{at}").split for c in ("animals", "food") for at in (3, 4)}
    assert len(twins) == 1  # one caption, one split, whatever the category
    assert np.array_equal(data.streams.target, [sample.target for sample in data.samples])
    assert stamps_get.get(house / "not there.deb")["stamps"] == 73  # got once, never again


def test_another_file_is_refused_and_nothing_is_unpacked(house: Path) -> None:
    path = package(house / "stamps.deb", stamped())
    with pytest.raises(FusionError, match=r'"stamps.deb" has sha256 .* nothing was unpacked'):
        stamps_get.get(path)
    assert not stamps_get.folder().exists()
    with pytest.raises(FusionError, match=r'There is no file "none\.deb"'):
        stamps_get.get(house / "none.deb")


@pytest.mark.parametrize(
    "name",
    [
        f"./{stamps_get.STAMPS}../../../../../out.txt",
        f"/{stamps_get.STAMPS}animals/out.txt",
        "./etc/out.txt",
        f"./{stamps_get.STAMPS}animals/../../../../../../../out.txt",
    ],
)
def test_a_package_writes_nowhere_else(house: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    inside = f"./{stamps_get.STAMPS}animals/a.txt"
    path = package(house / "s.deb", {inside: b"A.", name: b"out"}, {f"./{stamps_get.STAMPS}animals/l.txt": "a.txt"})
    accepted(monkeypatch, path)
    stamps_get.get(path)
    assert sorted(p.name for p in stamps_get.folder().rglob("*") if p.is_file()) == ["a.txt", "meta.json"]
    assert not list(house.glob("out.txt"))


def test_a_damaged_or_swollen_package_leaves_nothing(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = package(house / "s.deb", stamped())
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(FusionError, match="is damaged"):
        stamps_get.get(accepted(monkeypatch, path))
    monkeypatch.setattr(stamps_get, "MOST", 300)
    with pytest.raises(FusionError, match="unpacks to more than it should"):
        stamps_get.get(accepted(monkeypatch, package(house / "s.deb", stamped())))
    assert not stamps_get.folder().exists()


def test_what_cannot_be_fetched_says_how_to_get_it(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*given: Any, **named: Any) -> Any:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(stamps_get.shutil, "which", lambda name: None)
    monkeypatch.setattr(stamps_get.urllib.request, "urlopen", unreachable)
    assert main(["data", "get", "stamps"]) == 2
    said = capsys.readouterr().err
    assert "could not be fetched" in said
    assert "data get stamps FILE" in said
    assert main(["data", "stamps"]) == 2
    assert "python -m fusion data get stamps" in capsys.readouterr().err
    assert main(["data", "get", "everything"]) == 2


def test_captions_are_english_or_none(tmp_path: Path) -> None:
    for text, caption in (("A cat.\nfr.utf8=Un chat.", "A cat."), ("fr.utf8=Un chat.", ""), ("", "")):
        (tmp_path / "a.txt").write_text(text, "utf-8")
        assert stamps.caption_of(tmp_path / "a.txt") == caption
