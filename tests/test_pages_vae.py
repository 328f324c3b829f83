"""Inspect for a system that makes samples: what it makes of every subset, and along one latent dimension."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import pytest
import torch
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, words
from fusion.explain import edits
from fusion.signals import CrossGeneration, Posterior
from fusion.streams import runs, spaces
from fusion.streams.inspection import Reader
from fusion.streams.traversal import order, walk
from fusion.types import Image, Sample
from fusion.views import generation
from fusion.views.speech import num

ROOT = Path(__file__).resolve().parent.parent
ID = "d1700"
Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small MoPoE of the bundled digits after one epoch."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(root))
        patch.setattr(runs, "NETWORKS", ())
        patch.setattr(runs, "CURVE_SEEDS", (0,))
        patch.setattr(spaces, "DRAWS", 2)
        few = {"hidden": "16", "latent": "4", "epochs": "1"}
        runs.train("mopoe", "digits", name="made", settings=few, say=lambda _: None)
        yield root


@pytest.fixture
def app(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens Inspect at the tab of what is made, as a link would."""
    monkeypatch.setenv("FUSION_HOME", str(home))
    monkeypatch.setattr(checkpoints, "roots", lambda: [home / "checkpoints"])

    def opened(**query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for name, value in ({"ckpt": "made", "id": ID, "lang": "en", "tab": "rebuilt"} | query).items():
            at.query_params[name] = value
        words.use(query.get("lang", "en"))
        at.switch_page("pages/inspect.py")
        at.run()
        assert not at.exception
        assert not at.error, [one.value for one in at.error]
        return at

    yield opened
    words.use("en")


def said(at: AppTest) -> str:
    return "\n".join(str(one.value) for one in (*at.markdown, *at.caption)).replace("\\", "")


def looked(home: Path, edit: str = "") -> tuple[Reader, Posterior]:
    reader = Reader.open(checkpoints.read(home / "checkpoints" / "made"))
    posterior = reader.inspect(ID, edits.read(edit, reader.names)).trace.first(Posterior)
    assert posterior is not None
    return reader, posterior


@pytest.mark.parametrize(("language", "edit"), [("en", ""), ("zh", "image:remove")])
def test_the_dimension_that_says_most_comes_first_and_its_walk_is_what_the_model_makes(
    app: Open, home: Path, language: str, edit: str
) -> None:
    at = app(lang=language, edit=edit)
    reader, posterior = looked(home, edit)
    ranked = order(posterior)
    box = at.selectbox(key="walk_dimension")
    assert box.value == ranked[0]
    assert num(float(posterior.kl[0, ranked[0]])) in box.options[0]
    wanted = generation.walk(walk(reader, posterior, ranked[0]))
    assert wanted.title in said(at)
    assert wanted.finding in said(at)
    box.set_value(ranked[-1]).run()
    assert generation.walk(walk(reader, posterior, ranked[-1])).finding in said(at)


def test_the_walk_reaches_as_far_as_it_is_told(app: Open, home: Path) -> None:
    at = app()
    reader, posterior = looked(home)
    at.button_group(key="walk_reach").set_value("posterior").run()
    wanted = generation.walk(walk(reader, posterior, order(posterior)[0], "posterior"))
    assert wanted.finding in said(at)


def test_every_subset_has_its_row(app: Open, home: Path) -> None:
    at = app()
    text = said(at)
    pair = f"{words.t('name.image')} + {words.t('name.text')}"
    assert pair in text, "what the twin looks like by the two others"
    assert len(at.get("plotly_chart")) == 2


def test_a_dropped_picture_alone_makes_every_modality(home: Path) -> None:
    reader, _ = looked(home)
    whole = reader.dataset.get(ID)
    picture = whole.image()
    assert picture is not None
    larger = io.BytesIO()
    picture.open().resize((210, 210), PIL.Image.Resampling.NEAREST).save(larger, "PNG")
    dropped = Sample("dropped", {"image": Image(data=larger.getvalue())})
    seen = reader.inspect(dropped).trace
    known = reader.inspect(ID, edits.read("twin:remove,text:remove", reader.names)).trace
    made, wanted = seen.first(CrossGeneration), known.first(CrossGeneration)
    assert made is not None
    assert wanted is not None
    assert made.told[0].tolist() == wanted.told[0].tolist() == [True, *[False] * 5, True]
    torch.testing.assert_close(made.value[:, 0], wanted.value[:, 0], atol=0.02, rtol=0)
    assert made.value[0, 0].std() > 0
    table = generation.grid(made, dropped, seen).table
    assert len(table) == 2, "the truth and the picture alone, which is everything"
