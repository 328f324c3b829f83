"""The demo (?mode=demo): stored stories on the whole window, for a stage. No model and no checkpoint is read.

Numbers are those of assets/demo.json, which `python -m fusion stories` asks of the bundled checkpoints; the browser
walks through the screens by itself.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from fusion.files import ASSETS, inside
from fusion.words import current, t
from pages.parts import chrome

HERE = Path(__file__).parent
STORED = ASSETS / "demo.json"
FEELING, PERSON = "Smileys & Emotion", "People & Body"  # classes of the fourth story
Screen = dict[str, Any]  # what the browser draws: JSON

_deck = component(
    "fusionscope_demo", html='<div class="host"></div>', css=(HERE / "demo.css").read_text("utf-8"),
    js=(HERE / "demo.js").read_text("utf-8"),
)  # fmt: skip


def asked() -> bool:
    """Whether the address asks for the demo."""
    return st.query_params.get("mode") == "demo"


def show() -> None:
    """The whole page: configuration, and the stories."""
    chrome.speak()
    st.set_page_config(
        page_title=f"{t('demo.title')} · Fusionscope", page_icon=str(chrome.ASSETS / "icon.png"), layout="wide",
        initial_sidebar_state="collapsed",
    )  # fmt: skip
    _deck(key="demo", data=_made(STORED.stat().st_mtime_ns, current()))


@st.cache_data(max_entries=4, show_spinner=False)
def _made(time: int, language: str) -> dict[str, Any]:
    return deck(json.loads(STORED.read_text("utf-8"))["stories"])


def deck(stories: dict[str, Any]) -> dict[str, Any]:
    """All screens with their words and pictures, as the browser gets them."""
    made = [_menu(), *_truck(stories["truck"]), *_wrong(stories["truck"], stories["kangaroo"])]
    made += [*_sloth(stories["sloth"]), *_frown(stories["frown"])]
    names = ("truck", "wrong", "sloth", "frown")
    faces = (stories["truck"]["with"]["image"], stories["truck"]["wrong"]["image"], stories["sloth"]["images"][1],
             stories["frown"]["image"])  # fmt: skip
    told = [
        {"title": t(f"demo.{name}"), "tell": t(f"demo.{name}.tell"), "image": face}
        for name, face in zip(names, faces, strict=True)
    ]
    starts = [next(i for i, one in enumerate(made) if one["story"] == name) for name in names]
    words = {name: t(f"demo.{name}") for name in ("title", "lead", "stored", "leave", "back", "next", "play", "pause",
                                                  "keys")}  # fmt: skip
    pictures = {name: _address(name) for name in sorted(set(_named(made)) | set(faces))}
    return {"screens": made, "stories": told, "starts": starts, "words": words, "pictures": pictures}


def _named(screens: list[Screen]) -> list[str]:
    """The pictures of screens."""
    found = [one["src"] for screen in screens for one in screen.get("images", ())]
    return found + [row["src"] for screen in screens for row in screen.get("bars", ()) if "src" in row]


def _address(name: str) -> str:
    """A bundled picture as an address that asks nobody."""
    data = inside(ASSETS, name).read_bytes()
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def _screen(story: str, look: str, at: int, **more: Any) -> Screen:
    values = more.pop("values", {})
    return {
        "story": story, "title": t(f"demo.{story}"), "look": look, "line": t(f"demo.{story}.{at}", **values),
        "note": t(f"demo.{story}.{at}.note", **values), **more,
    }  # fmt: skip


def _menu() -> Screen:
    return {"story": "", "look": "menu", "title": "", "line": t("demo.title"), "note": ""}


def _share(value: float) -> str:
    """A share as people say it: whole percent."""
    return t("demo.share", value=f"{100 * value:.0f}")


def _words(read: dict[str, Any]) -> list[dict[str, Any]]:
    """Each word with the chance that it is part of a name; what is marked as one stands out."""
    marked = {name.split()[0] for name, _, _ in read["names"]}
    return [
        {"text": word, "value": chance, "label": _share(chance), "high": word in marked}
        for word, chance in zip(read["words"], read["chances"], strict=True)
    ]


def _plain(words: list[str]) -> list[dict[str, Any]]:
    return [{"text": word} for word in words]


def _at(read: dict[str, Any], word: str = "truck") -> float:
    return float(read["chances"][read["words"].index(word)])


def _truck(told: dict[str, Any]) -> list[Screen]:
    """A picture takes a doubt away."""
    alone, seen = told["without"], told["with"]
    values = {"before": _share(_at(alone)), "after": _share(_at(seen))}
    image = [{"src": seen["image"], "alt": t("demo.picture.truck")}]
    bars = [
        {"name": t("demo.bar.words"), "value": _at(alone), "text": values["before"], "kind": "bad"},
        {"name": t("demo.bar.both"), "value": _at(seen), "text": values["after"], "kind": "good"},
    ]
    return [
        _screen("truck", "words", 1, words=_plain(alone["words"])),
        _screen("truck", "words", 2, words=_words(alone), walk=True, values=values),
        _screen("truck", "words", 3, words=_words(seen), walk=True, images=image, looks=seen["looks"], values=values),
        _screen("truck", "bars", 4, bars=bars, images=image, values=values),
    ]


def _wrong(told: dict[str, Any], kangaroo: dict[str, Any]) -> list[Screen]:
    """A wrong picture is noticed, and changes nothing; and where that fails."""
    right, wrong, alone = told["with"], told["wrong"], told["without"]
    image = [{"src": wrong["image"], "alt": t("demo.picture.kangaroo")}]
    fit = [
        {"name": t("demo.bar.right"), "value": right["match"], "text": _share(right["match"]), "kind": "good",
         "src": right["image"]},
        {"name": t("demo.bar.wrong"), "value": wrong["match"], "text": _share(wrong["match"]), "kind": "bad",
         "src": wrong["image"]},
    ]  # fmt: skip
    doubt = [
        {"name": t("demo.bar.none"), "value": _at(alone), "text": _share(_at(alone)), "kind": "bad"},
        {"name": t("demo.bar.wrong"), "value": _at(wrong), "text": _share(_at(wrong)), "kind": "bad"},
        {"name": t("demo.bar.right"), "value": _at(right), "text": _share(_at(right)), "kind": "good"},
    ]
    names = ("kangaroo", "truck", "biscuit", "lion", "disc")
    others = [
        {"name": t(f"demo.picture.{name}"), "value": row["match"], "text": _share(row["match"]), "src": row["image"],
         "kind": "good" if name == "kangaroo" else ""}
        for name, row in zip(names, kangaroo["pictures"], strict=True)
    ]  # fmt: skip
    others = [others[0], *sorted(others[1:], key=lambda row: row["value"])]
    values = {"same": _share(_at(wrong)), "right": _share(_at(right)), "fit": _share(wrong["match"])}
    return [
        _screen("wrong", "words", 1, words=_plain(alone["words"]), images=image),
        _screen("wrong", "bars", 2, bars=fit, values=values),
        _screen("wrong", "bars", 3, bars=doubt, values=values),
        _screen("wrong", "bars", 4, bars=others, values={"text": kangaroo["text"], "most": others[-1]["text"],
                                                         "name": others[-1]["name"]}),
    ]  # fmt: skip


def _sloth(told: dict[str, Any]) -> list[Screen]:
    """Only the picture brings two entities together."""
    pair = [{"src": src, "alt": name, "name": name.split(" ", 1)[-1]}
            for src, name in zip(told["images"], told["names"], strict=True)]  # fmt: skip
    under = t("demo.of", count=f"{told['among']:,}")
    place = lambda value: t("demo.place", value=f"{value:,}")  # noqa: E731
    alone = [
        {"name": t(f"demo.by.{m}"), "text": place(told["alone"][m]), "under": under,
         "kind": "good" if told["alone"][m] == 1 else ""}
        for m in ("name", "graph", "image")
    ]  # fmt: skip
    both = [
        {"name": t("demo.by.all"), "text": place(told["place"]), "under": under, "kind": "good"},
        {"name": t("demo.by.without"), "text": place(told["without_image"]), "under": under, "kind": "bad"},
    ]
    values = {"among": f"{told['among']:,}", "without": told["without_image"], "place": told["place"]}
    values |= {m: told["alone"][m] for m in ("name", "graph", "image")}
    return [
        _screen("sloth", "pair", 1, images=pair, values=values),
        _screen("sloth", "places", 2, places=alone, values=values),
        _screen("sloth", "places", 3, places=both, images=pair, values=values),
    ]


def _frown(told: dict[str, Any]) -> list[Screen]:
    """Words say one thing, voice and picture another."""
    image = [{"src": told["image"], "alt": t("demo.picture.frown")}]
    said = {FEELING: "feeling", PERSON: "person"}

    def row(name: str, chance: float, label: str) -> dict[str, Any]:
        side = said[label]
        text = t(f"demo.said.{side}", value=_share(chance))
        return {"name": t(f"demo.source.{name}"), "value": chance, "text": text,
                "kind": "bad" if side == "feeling" else "good"}  # fmt: skip

    answers, alone = told["answers"], told["alone"]
    first = [row(m, alone[m][answers[m]["said"]], answers[m]["said"]) for m in ("text", "audio", "image")]
    second = [row(m, answers[m]["truth"], answers[m]["said"]) for m in ("text+audio", "all")]
    values = {"text": told["text"], "words": _share(alone["text"][FEELING]), "voice": _share(alone["audio"][PERSON]),
              "both": _share(answers["text+audio"]["truth"]), "all": _share(answers["all"]["truth"])}  # fmt: skip
    return [
        _screen("frown", "pair", 1, images=image, words=_plain(told["text"].split()), values=values),
        _screen("frown", "bars", 2, bars=first, values=values),
        _screen("frown", "bars", 3, bars=second, images=image, values=values),
    ]
