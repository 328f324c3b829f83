"""From a folder of triples to the pages: trained by the command line, then opened in Inspect, Fusion, Map and Match."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, words
from fusion.__main__ import main
from fusion.data import open_data
from fusion.links.inspection import Predictor
from fusion.links.whole import LinkSet, whole
from pages.parts import cache, link_fusion, link_question, link_tabs

ROOT = Path(__file__).resolve().parent.parent
SIZE = 24  # entities: a ring, "next" leads one on and "over" three on
Open = Callable[..., AppTest]


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is trained here is no checkpoint of other tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    """triples:FOLDER, of a ring with names."""
    folder = tmp_path_factory.mktemp("shared") / "ring"
    folder.mkdir()
    rows = np.array([(at, way, (at + (1, 3)[way]) % SIZE) for at in range(SIZE) for way in (0, 1)])
    part = np.repeat([0, 1, 2], [36, 6, 6])[np.random.default_rng(1).permutation(len(rows))]
    files = {
        "entity2id.txt": [f"{chr(97 + at)}lace_{at}\t{at}" for at in range(SIZE)],
        "relation2id.txt": ["next\t0", "over\t1"],
        **{name: ["\t".join(map(str, row)) for row in rows[part == at].tolist()]
           for at, name in enumerate(("train.txt", "valid.txt", "test.txt"))},
    }  # fmt: skip
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    return f"triples:{folder}"


@pytest.fixture(scope="module")
def trained(spec: str) -> str:
    """The name of a checkpoint that was trained on the folder in seconds."""
    settings = ("width=8", "check=2", "structure_epochs=3", "baselines=")
    told = [one for setting in settings for one in ("--set", setting)]
    given = ("--data", spec, "--name", "of-a-folder", "--batch", "16", "--epochs", "4", "--rate", "0.02")
    assert main(("train", "imf", *given, *told)) == 0
    return "of-a-folder"


@pytest.fixture(scope="module")
def asked(trained: str, spec: str) -> LinkSet:
    """All held-out questions."""
    return whole(Predictor.open(checkpoints.find(trained), open_data(spec)))


@pytest.fixture
def app(trained: str, spec: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Open]:
    """Opens a page as a link to the folder and its checkpoint would: app(page, **query)."""
    monkeypatch.setenv("FUSION_DATA_ROOTS", str(Path(spec.removeprefix("triples:")).parent))

    def opened(page: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for name, value in ({"lang": "en", "ckpt": trained, "data": spec} | query).items():
            at.query_params[name] = value
        words.use(query.get("lang", "en"))
        at.switch_page(f"pages/{page}.py")
        return at.run()

    yield opened
    words.use("en")
    cache.forget_data(spec)
    broken = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not broken, broken


def told(key: str, language: str) -> str:
    return words.catalogue(language)[key]


def metric(at: AppTest, key: str, language: str) -> str:
    return next(one.value for one in at.metric if one.label == told(key, language))


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_a_question_to_a_folder_is_answered_as_by_the_command_line(
    app: Open, spec: str, asked: LinkSet, language: str
) -> None:
    row, triples = asked.frame[asked.frame["split"] == "test"].iloc[0], open_data(spec).triples
    assert triples is not None
    relation = link_question.address(triples, int(row["relation"]))
    at = app("inspect", lang=language, id=row["head"], rel=relation, against=row["tail"])
    assert not at.exception
    assert not at.error
    assert metric(at, "links.verdict.rank", language) == f"{int(np.ceil(row['rank'])):,}"
    assert metric(at, "links.verdict.answer", language) == row["best_name"]
    for tab in link_tabs.TABS:
        at.session_state["links_tabs"] = told(f"links.tab.{tab}", language)
        at.run()
        assert not at.exception, tab
        assert not at.error, tab


@pytest.mark.parametrize("language", list(words.LANGUAGES))
@pytest.mark.parametrize("page", ["fusion", "map", "match"])
def test_a_trained_folder_is_drawn_on_every_page(app: Open, asked: LinkSet, page: str, language: str) -> None:
    at = app(page, lang=language)
    assert not at.exception
    assert not at.error
    assert told(f"{page}.lead.triples", language) in [one.value for one in at.markdown]
    assert page == "match" or at.get("plotly_chart")
    for tab in link_fusion.TABS if page == "fusion" else ():
        at.session_state["deciding_tabs"] = told(f"deciding.tab.{tab}", language)
        at.run()
        assert not at.exception, tab
        assert not at.error, tab


def test_match_counts_what_the_checkpoint_measured(app: Open, trained: str, asked: LinkSet) -> None:
    held = asked.frame[asked.frame["split"] == "test"]
    measured = checkpoints.find(trained).metrics["test"]
    assert float((1 / held["rank"]).mean()) == pytest.approx(measured["mrr"], rel=1e-6)
    shown = [one.value for one in app("match").metric]
    assert any(f"{measured['mrr']:.3f}".lstrip("0") in value for value in shown), shown
