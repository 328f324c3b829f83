"""What if and Explain on Inspect of pairs: edits listed, undone, linked; reasons beside their test."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from fusion.data import open_data
from fusion.words import t
from tests.test_app import Open, app, tiny  # noqa: F401  fixtures


@pytest.fixture(scope="module")
def id() -> str:
    return next(one.id for one in open_data("gloss").samples if one.image() is not None and len(one.text()) > 30)


def opened(app: Open, id: str, tab: str, **query: str) -> AppTest:  # noqa: F811
    """Inspect of a sample of the gloss set with a tab open."""
    at = app("inspect", lang="en", data="gloss", id=id, **query)
    at.session_state["inspect_tabs"] = t(f"inspect.tab.{tab}")
    return at.run()


def said(at: AppTest) -> str:
    return "\n".join(element.value for element in (*at.markdown, *at.info, *at.caption, *at.warning))


def line(at: AppTest) -> str:
    return at.session_state["view"].get("edit") or ""


def test_an_edit_is_made_listed_and_undone(app: Open, id: str) -> None:  # noqa: F811
    at = opened(app, id, "drop")
    assert t("edits.none") in said(at)
    before = [metric.value for metric in at.metric]
    at.selectbox(key="bench_how").set_value("hide").run()
    places = next(box for box in at.multiselect if box.key.startswith("bench_places_hide_text"))
    at = places.set_value([0, 1]).run()
    at = at.button(key="bench_apply").click().run()
    assert line(at) == "text:hide:0+1"
    assert not at.exception
    assert not at.error
    assert "hidden" in said(at)
    assert len(at.dataframe) == 1
    at = at.button(key="bench_undo").click().run()
    assert line(at) == ""
    assert [metric.value for metric in at.metric] == before


def test_edits_of_the_picture_the_text_and_the_gate_go_together(app: Open, id: str) -> None:  # noqa: F811
    at = opened(app, id, "drop", edit="text:replace:0:Dogs,image:paint:0+1+2,image:blur:24,gate:fix:0")
    assert not at.exception
    assert not at.error
    assert sum((button.key or "").startswith("edit_out_") for button in at.button) == 4
    assert next(m.value for m in at.metric if m.label == t("verdict.gate")) == "0"
    at = at.button(key="edit_out_3").click().run()
    assert line(at) == "text:replace:0:Dogs,image:paint:0+1+2,image:blur:24"
    assert next(m.value for m in at.metric if m.label == t("verdict.gate")) != "0"
    at = at.button(key="bench_none").click().run()
    assert line(at) == ""


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ("text:hide:999", "has no step 999"),
        ("image:paint:99", "no region 99"),
        ("text:remove,image:remove", "Nothing is left"),
        ("gate2:fix:1", "can't be set"),
        ("image:swap:nobody", "nobody"),
        ("region_attention:mute:77", "has no head 77"),
        ("image:mean", "take zero"),
        ("nonsense", "edit one of them"),
    ],
)
def test_edits_that_cannot_be_made_are_a_sentence(app: Open, id: str, edit: str, says: str) -> None:  # noqa: F811
    at = opened(app, id, "drop", edit=edit)
    assert not at.exception
    assert any(says in error.value for error in at.error), [error.value for error in at.error]


def test_edits_stay_with_the_sample_that_they_were_made_of(app: Open, id: str) -> None:  # noqa: F811
    at = opened(app, id, "drop", edit="text:hide:0")
    assert line(at) == "text:hide:0"
    at = at.button(key="row_on").click().run()
    assert line(at) == ""


def test_reasons_come_with_their_test_and_change_with_the_method(app: Open, id: str) -> None:  # noqa: F811
    at = opened(app, id, "explain")
    assert not at.exception
    assert not at.error
    assert t("views.deletion.title") in said(at)
    assert t("views.insertion.title").partition(": ")[2] in said(at)
    for method in ("integrated", "grad_cam", "relevance", "rollout", "mean", "raw", "gradient_x_input"):
        at.session_state["explain_method"] = method
        at = at.run()
        assert not at.exception, method
        assert not at.error, method
        assert t(f"method.tell.{method}") in said(at)


def test_what_is_dear_says_its_cost_first(app: Open, id: str) -> None:  # noqa: F811
    at = opened(app, id, "explain")
    at.session_state["explain_method"] = "shapley"
    at = at.run()
    assert "variants" in said(at)
    assert t("views.deletion.title") not in said(at)
    at = at.button(key="explain_run").click().run()
    assert not at.exception
    assert t("views.deletion.title") in said(at)


def test_the_bench_offers_what_the_checkpoint_has(app: Open, id: str) -> None:  # noqa: F811
    at = opened(app, id, "drop")
    offered = set(at.selectbox(key="bench_how").options)
    wanted = {t(f"edits.how.{how}") for how in ("hide", "replace", "paint", "blur", "swap", "mute", "fix", "noise")}
    assert wanted <= offered


def test_whole_modalities_are_one_bar_each(app: Open, id: str) -> None:  # noqa: F811
    at = opened(app, id, "explain")
    at.session_state["explain_whole"] = True
    for method in ("occlusion", "shapley"):
        at.session_state["explain_method"] = method
        at = at.run()
        assert not at.exception
        assert not at.error
        assert t("views.attribution.whole.title") in said(at)
