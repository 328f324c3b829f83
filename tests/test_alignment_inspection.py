"""A graph checkpoint at work: adopted ones compute the official numbers, and an inspection says what is the case."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import cosine_similarity

from fusion import checkpoints
from fusion.__main__ import main
from fusion.alignment import official, scoring, whole
from fusion.alignment.inputs import everything
from fusion.alignment.inspection import Aligner
from fusion.data import DATASETS, DataSet
from fusion.data.feature_files import Table, write
from fusion.data.graph_features import graph_features
from fusion.data.graphs import GraphSet
from fusion.explain.subsets import subsets
from fusion.foreign import arrays
from fusion.metrics.behaviour import spearman
from fusion.metrics.intervals import bootstrap, spearman_interval
from fusion.models import MODELS
from fusion.types import FusionError, Image, Sample, Text
from fusion.words import use

GOLDEN = Path(__file__).parent / "golden"
CASES = {"meaformer": "h1l1_6mod", "mclea": "gat_6mod"}
FULL = {"img": "image", "att": "attribute", "rel": "relation", "name": "name", "char": "char"}


def golden(system: str, what: str) -> dict[str, Tensor]:
    return load_file(GOLDEN / system / CASES[system] / f"{what}.safetensors")


def data_of(system: str) -> DataSet:
    """The entities of a parity case as a data set of two graphs."""
    inputs = golden(system, "inputs")
    count = len(inputs["rel_features"])
    links = torch.cat((inputs["train_links"], inputs["test_links"])).numpy().astype(np.int32)
    side = (np.arange(count) >= count // 2).astype(np.uint8)
    side[links[:, 0]], side[links[:, 1]] = 0, 1
    split = np.array([0] * len(inputs["train_links"]) + [2] * len(inputs["test_links"]), np.uint8)
    triples = inputs["triples"].numpy().astype(np.int32)
    names = tuple(f"relation {i}" for i in range(int(triples[:, 1].max()) + 1))
    graph = GraphSet(("one", "two"), side, triples, names, links, split, kind=("thing",) * count)
    samples = tuple(Sample(f"e{i}", {"name": Text(f"entity {i}")}) for i in range(count))
    return DataSet("golden", "Golden", samples, digest=system, spec="golden", graph=graph)


def features_of(system: str, data: DataSet, path: Path) -> Path:
    inputs = golden(system, "inputs")
    tables = {}
    for short, name in FULL.items():
        found = inputs.get(f"{short}_features_raw", inputs.get(f"{short}_features"))
        assert found is not None
        tables[name] = Table(found.numpy(), np.ones(len(found), dtype=bool), "of the case")
    write(path, [sample.id for sample in data.samples], tables)
    return path


def adopted(system: str, folder: Path, **more: object) -> tuple[checkpoints.Checkpoint, DataSet]:
    data = data_of(system)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(golden(system, "weights"), folder / "model.pkl")
    files = [features_of(system, data, folder / "features.safetensors")]
    names = () if system == "mclea" else ("image", "attribute", "relation", "graph", "name", "char")
    options = {"modalities": names, "files": files, **more}
    return official.adopt(folder / "model.pkl", folder / "made", data, **options), data  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["meaformer", "mclea"])
def aligner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Aligner:
    return Aligner.open(*adopted(request.param, tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="module")
def weighing(tmp_path_factory: pytest.TempPathFactory) -> Aligner:
    """One whose weights are each entity's own."""
    return Aligner.open(*adopted("meaformer", tmp_path_factory.mktemp("weighing")))


def links_to_test(aligner: Aligner) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in aligner.graph.pairs("test")]


def csls(aligner: Aligner) -> Tensor:
    """Of every entity to test with every partner, by the formula itself. (P, P)"""
    pairs = torch.tensor(links_to_test(aligner))
    cosine = (aligner.tables["joint"][pairs[:, 0]] @ aligner.tables["joint"][pairs[:, 1]].T).double()
    return 2 * cosine - cosine.topk(3, 1).values.mean(1)[:, None] - cosine.topk(3, 0).values.mean(0)[None]


def test_an_adopted_checkpoint_computes_the_official_vectors_and_weights(aligner: Aligner) -> None:
    outputs = golden(aligner.checkpoint.model, "outputs")
    joint = torch.nn.functional.normalize(outputs["emb/joint"], dim=1)
    torch.testing.assert_close(aligner.tables["joint"], joint, atol=1e-5, rtol=0)
    wanted = outputs.get("meta_weights")
    if wanted is not None:
        torch.testing.assert_close(aligner.weights, wanted, atol=1e-5, rtol=0)
    else:
        assert aligner.weights.std(0).max() == 0


def test_the_rank_is_that_of_the_formula_in_an_inspection_and_in_the_whole_set(
    aligner: Aligner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    frame = whole.whole(aligner).frame
    scores = csls(aligner)
    for at, (own, partner) in enumerate(links_to_test(aligner)[:8]):
        forth = int((scores[at] >= scores[at, at] - 1e-6).sum())
        back = int((scores[:, at] >= scores[at, at] - 1e-6).sum())
        seen = aligner.inspect(f"e{own}")
        assert seen.rank == frame["rank"][own] == forth
        assert frame["rank_back"][own] == frame["rank"][partner] == back
        assert aligner.inspect(f"e{partner}").rank == back
        assert seen.candidates[0].id == frame["best"][own]
        assert [c.score for c in seen.candidates] == sorted((c.score for c in seen.candidates), reverse=True)
        assert seen.partner is not None
        assert seen.partner.id == frame["partner"][own] == seen.other.id


def test_every_subset_is_the_cosine_of_what_is_left(aligner: Aligner) -> None:
    own, partner = links_to_test(aligner)[3]
    seen = aligner.inspect(f"e{own}")
    blocks = dict(zip(aligner.modalities, aligner.tables["joint"].split(list(aligner.widths), 1), strict=True))
    found = subsets(aligner.modalities)
    assert len(found) == len(set(found)) == 63
    assert seen.drop.conditions[0] == "as_is"
    assert seen.drop.conditions[1:7] == tuple(f"without_{m}" for m in aligner.modalities)
    pool = [b for _, b in links_to_test(aligner)]
    for place, subset in enumerate(found):
        left = torch.cat([blocks[m] for m in subset], 1)
        cosines = cosine_similarity(left[own][None], left[pool])
        value = cosines[pool.index(partner)]
        rank, joint = seen.drop.value[0, place].tolist()
        assert joint == pytest.approx(float(value), abs=1e-5)
        assert rank == int((cosines >= value - 1e-6 * (1 + abs(value))).sum())
    alone = dict(zip(seen.drop.conditions, seen.drop.value[0, :, 0].tolist(), strict=True))
    assert {m: alone[f"only_{m}"] for m in aligner.modalities} == dict(seen.rank_by)
    assert sum(seen.shapley.values()) == pytest.approx(1 / alone["as_is"], abs=1e-6)
    assert [s.name for s in seen.trace][-2:] == ["drop", "subsets"]
    assert seen.trace["drop"].value.shape == (1, 7, 2)  # type: ignore[union-attr]


def test_the_candidates_say_exact_parts_and_each_modality_votes(aligner: Aligner) -> None:
    own, _ = links_to_test(aligner)[1]
    seen = aligner.inspect(f"e{own}")
    for one in seen.candidates:
        assert sum(one.shares.values()) == pytest.approx(one.joint, abs=1e-5)
        row = aligner.dataset.index[one.id]
        assert one.joint == pytest.approx(float(aligner.tables["joint"][own] @ aligner.tables["joint"][row]), abs=1e-5)
        assert bool(one.late) == (aligner.checkpoint.model == "meaformer")
    pool = [b for _, b in links_to_test(aligner)]
    for m, block in zip(aligner.modalities, aligner.tables["joint"].split(list(aligner.widths), 1), strict=True):
        assert seen.votes[m] == f"e{pool[int(cosine_similarity(block[own][None], block[pool]).argmax())]}"
    assert all(low <= middle <= high for low, middle, high in seen.band.values())


def test_weights_made_anew_are_those_of_a_model_that_never_saw_the_modality(weighing: Aligner) -> None:
    own, partner = links_to_test(weighing)[2]
    kept, anew = weighing.inspect(f"e{own}"), weighing.inspect(f"e{own}", recomputed=True)
    assert anew.recomputed
    assert not kept.recomputed
    assert kept.drop.caveat != anew.drop.caveat
    assert torch.equal(kept.drop.value[0, 0], anew.drop.value[0, 0])
    batch = everything(weighing.dataset, weighing.features).without("name")
    joint = weighing.model.tables(batch)["joint"]  # type: ignore[operator]
    place = anew.drop.conditions.index("without_name")
    assert float(anew.drop.value[0, place, 1]) == pytest.approx(float(joint[own] @ joint[partner]), abs=1e-5)
    assert float(kept.drop.value[0, place, 1]) != pytest.approx(float(joint[own] @ joint[partner]), abs=1e-5)


def test_one_weight_for_all_is_the_same_made_anew(tmp_path: Path) -> None:
    aligner = Aligner.open(*adopted("mclea", tmp_path / "run"))
    own, _ = links_to_test(aligner)[2]
    anew = aligner.inspect(f"e{own}", recomputed=True)
    assert not anew.recomputed
    assert torch.equal(anew.drop.value, aligner.inspect(f"e{own}").drop.value)


def test_a_pair_is_of_two_graphs_and_ids_are_known(aligner: Aligner) -> None:
    (own, _), (_, other) = links_to_test(aligner)[:2]
    seen = aligner.inspect(f"e{own}", against=f"e{other}")
    assert seen.other.id == f"e{other}"
    assert float(seen.trace["cosine_share"].value.sum()) == pytest.approx(
        float(aligner.tables["joint"][own] @ aligner.tables["joint"][other]), abs=1e-5
    )
    with pytest.raises(FusionError, match="both of the graph"):
        aligner.inspect(f"e{own}", against=f"e{links_to_test(aligner)[1][0]}")
    with pytest.raises(FusionError, match="no sample"):
        aligner.inspect("e999")
    with pytest.raises(FusionError, match="another program made"):
        aligner.inspect(f"e{own}", image=Image(data=b""))


def test_an_entity_without_a_link_is_ranked_among_the_whole_other_graph(aligner: Aligner) -> None:
    linked = set(aligner.graph.links.ravel().tolist())
    own = next(row for row in range(len(aligner.dataset)) if row not in linked)
    seen = aligner.inspect(f"e{own}")
    assert seen.rank is None
    assert seen.partner is None
    assert not seen.rank_by
    assert seen.among == seen.among_all == len(aligner.graph.rows(1 - int(aligner.graph.side[own])))
    assert seen.other.id == seen.candidates[0].id
    assert {notice.key for notice in seen.notices} == {"notice.unlinked"}
    assert torch.isfinite(seen.drop.value).all()


def test_the_whole_set_is_kept_and_comes_back(
    weighing: Aligner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    assert whole.stored(weighing.checkpoint, weighing.dataset) is None
    told: list[tuple[int, int]] = []
    made = whole.whole(weighing, lambda done, total: told.append((done, total)))
    assert told[-1] == (28, 28)  # 2 splits, 2 + 2 x 6 steps each
    again = whole.stored(weighing.checkpoint, weighing.dataset)
    assert again is not None
    assert again.frame.equals(made.frame)
    assert again.faithful == made.faithful
    for name in ("fused", "image"):
        vectors = again.vectors(name)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
        np.testing.assert_allclose(vectors, made.vectors(name), atol=2e-3)
    with pytest.raises(FusionError, match="no modality"):
        again.vectors("smell")
    rows = made.frame[made.frame["split"] == "test"]
    expected = spearman(rows["weight_image"].to_numpy(), rows["effect_image"].to_numpy())
    assert made.faithful["image"] is not None
    assert made.faithful["image"].value == pytest.approx(expected)
    beside = whole.whole(weighing, bundled=True)
    folder = weighing.checkpoint.folder / "observations" / "golden"
    assert sorted(path.name for path in folder.iterdir()) == ["meta.json", "rows.parquet"]
    assert beside.frame.equals(made.frame)


def test_an_effect_is_how_far_the_partner_falls(
    weighing: Aligner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    frame = whole.whole(weighing).frame
    pairs = torch.tensor(links_to_test(weighing))
    blocks = weighing.tables["joint"].split(list(weighing.widths), 1)
    left = torch.nn.functional.normalize(torch.cat(blocks[1:], 1), dim=1)  # without the image
    cosine = left[pairs[:, 0]] @ left[pairs[:, 1]].T
    scores = 2 * cosine - cosine.topk(3, 1).values.mean(1)[:, None] - cosine.topk(3, 0).values.mean(0)[None]
    ranks = (scores >= scores.diagonal()[:, None] - 1e-6).sum(1)
    rows = pairs[:, 0].numpy()
    np.testing.assert_array_equal(frame["effect_image"][rows], ranks.numpy() - frame["rank"][rows])


def test_a_rank_correlation_of_weighted_rows_is_that_of_the_rows_drawn() -> None:
    random = np.random.default_rng(5)
    a = random.integers(0, 6, 60).astype(float)
    b = a + random.normal(0, 3, 60).round()
    groups = np.repeat(np.arange(30), 2)
    found = spearman_interval(a, b, n=100, groups=groups)
    slow = bootstrap(np.stack((a, b), 1), lambda rows: spearman(*rows.T) or 0.0, n=100, groups=groups)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((slow.low, slow.high))
    assert spearman_interval(np.ones(9), np.arange(9.0)) is None


class Trap:
    """What a pickle must never be asked for."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it ran')",)


def test_meta_weights_are_read_compared_and_nothing_else_is(tmp_path: Path) -> None:
    wanted = golden("meaformer", "outputs")["meta_weights"]
    for name, table in (("torch", wanted), ("numpy", wanted.numpy()), ("double", wanted.double().numpy())):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps({"all": table, "left": table[:3]}))
        torch.testing.assert_close(arrays(tmp_path / f"{name}.pkl")["all"].float(), wanted)
    made, _ = adopted("meaformer", tmp_path / "run", modalities=(), weights=tmp_path / "numpy.pkl")
    assert made.config["modalities"] == ["image", "attribute", "relation", "graph", "name", "char"]
    assert made.origin["meta_weights"]["largest_difference"] < 1e-5
    torch.testing.assert_close(load_file(made.folder / official.KEPT)["meta_weight"], wanted)
    for name, bad in (("code", {"all": Trap()}), ("object", {"all": np.array([Trap()], dtype=object)})):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(bad))
        with pytest.raises(FusionError, match="could run code"):
            arrays(tmp_path / f"{name}.pkl")
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps({"all": wanted.numpy()})[:-40])
    with pytest.raises(FusionError, match=r"damaged|refused"):
        arrays(tmp_path / "cut.pkl")
    (tmp_path / "sums.pkl").write_bytes(pickle.dumps({"all": 2 * wanted.numpy()}))
    with pytest.raises(FusionError, match="sum to one"):
        adopted("meaformer", tmp_path / "other", weights=tmp_path / "sums.pkl")


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    data, state = data_of("meaformer"), golden("meaformer", "weights")
    files = [features_of("meaformer", data, tmp_path / "features.safetensors")]
    names = ("image", "attribute", "relation", "graph", "name", "char")

    def refused(said: str, change: dict[str, Tensor] | None = None, without: str = "", **more: object) -> None:
        weights = {k: v for k, v in (state | (change or {})).items() if k != without}
        torch.save(weights, tmp_path / "model.pkl")
        options = {"modalities": names, "files": files, **more}
        with pytest.raises(FusionError, match=said):
            official.adopt(tmp_path / "model.pkl", tmp_path / "made", data, **options)  # type: ignore[arg-type]
        assert not (tmp_path / "made").exists()

    refused("doesn't say which modalities", modalities=())
    refused("no modality", modalities=("smell",))
    refused("without its graph", modalities=("image",))
    refused("unknown +extra.weight", {"extra.weight": torch.zeros(2)})
    refused(
        "missing +fusion.fusion_layer.0.output", without="multimodal_encoder.fusion.fusion_layer.0.output.dense.bias"
    )
    refused("lacks img_fc", without="multimodal_encoder.img_fc.weight")
    refused("has 5 numbers", {"multi_loss_layer.log_vars": torch.zeros(5)})
    refused("does not divide", heads=7)
    refused("90 entities", {"multimodal_encoder.entity_emb.weight": torch.zeros(90, 24)})
    refused("letters have columns", files=[])
    refused("NaN", {"multimodal_encoder.img_fc.bias": torch.full((24,), torch.nan)})
    short = {"multimodal_encoder.img_fc.weight": torch.zeros(24, 35)}
    refused("36", short)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "mine.txt").write_text("mine")
    with pytest.raises(FusionError, match="would be replaced"):
        official.adopt(tmp_path / "model.pkl", tmp_path / "made", data, modalities=names, files=files)
    assert (tmp_path / "made" / "mine.txt").exists()


@pytest.fixture
def pictured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Aligner:
    """Eight entities, all but one with a picture, under a small untrained MEAformer and a bundled encoder."""
    monkeypatch.setenv("FUSION_HOME", str(tmp_path / "home"))
    samples = []
    for at in range(8):
        Pictures.linear_gradient("L").rotate(40 * at).convert("RGB").resize((48, 48)).save(tmp_path / f"{at}.png")
        image = {} if at == 7 else {"image": Image(path=tmp_path / f"{at}.png")}
        samples.append(Sample(f"e{at}", {"name": Text(f"thing {at}"), **image}))
    graph = GraphSet(
        ("one", "two"), np.array([0] * 4 + [1] * 4, np.uint8),
        np.array([[0, 0, 1], [1, 1, 2], [2, 0, 3], [4, 0, 5], [5, 1, 6], [6, 0, 7]], np.int32), ("is", "likes"),
        np.array([[0, 4], [1, 5], [2, 6], [3, 7]], np.int32), np.array([0, 2, 2, 2], np.uint8),
    )  # fmt: skip
    data = DataSet("tiny", "Tiny", tuple(samples), digest="1" * 64, spec="tiny", graph=graph)
    monkeypatch.setitem(DATASETS, "tiny", lambda: data)
    features = graph_features(data, ("image", "relation"))
    torch.manual_seed(1)
    model = MODELS["meaformer"](MODELS["meaformer"].Config(
        entities=8, modalities=("image", "relation", "graph"), input_widths=(1280, 2, 12), hidden_widths=(12,),
        width=12, inner_width=8,
    ))  # fmt: skip
    made = checkpoints.save(
        tmp_path / "home" / "checkpoints" / "tiny", model.eval(), encoders=dict(features.sources), data="tiny",
        metrics={}, card="", origin={"kind": "trained"},
    )  # fmt: skip
    return Aligner.open(made)


def test_another_picture_changes_its_entity_and_never_runs_the_graph_encoder(
    pictured: Aligner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the graph encoder ran again")

    monkeypatch.setattr(pictured.model.encoder.structure, "forward", never)  # type: ignore[union-attr]
    before = pictured.inspect("e1")
    same = pictured.inspect("e1", image=pictured.dataset.get("e1").image())
    torch.testing.assert_close(same.drop.value, before.drop.value, atol=2e-3, rtol=0)
    assert same.weights == pytest.approx(before.weights, abs=1e-3)
    partner = pictured.dataset.get("e5").image()
    after = pictured.inspect("e1", image=partner)
    assert after.candidates[[c.id for c in after.candidates].index("e5")].early["image"] == pytest.approx(1, abs=1e-3)
    assert after.rank_by["image"] == 1
    assert after.rank_by["graph"] == before.rank_by["graph"]
    assert after.weights != pytest.approx(before.weights, abs=1e-6)
    assert after.sample.image() is partner
    again = pictured.inspect("e1")
    assert torch.equal(again.drop.value, before.drop.value)
    given = pictured.inspect("e7", image=partner)
    assert pictured.inspect("e7").imputed["image"]
    assert not given.imputed["image"]
    assert [n.key for n in pictured.inspect("e7").notices] == ["notice.imputed"]
    assert [n.key for n in pictured.inspect("e0").notices] == ["notice.trained"]
    replaced = pictured.inspect("e1", image=partner, recomputed=True)
    assert torch.equal(replaced.drop.value[0, 0], after.drop.value[0, 0])


def test_the_crowd_of_a_new_vector_is_that_of_the_formula() -> None:
    torch.manual_seed(0)
    queries, candidates = (torch.nn.functional.normalize(torch.randn(n, 5), dim=1) for n in (9, 7))
    near = scoring.crowding(queries, candidates, block=4)
    moved = torch.nn.functional.normalize(torch.randn(5), dim=0)
    changed = queries.clone()
    changed[3] = moved
    expected = (candidates @ changed.T).topk(3, 1).values.mean(1)
    torch.testing.assert_close(scoring.crowded(near, 3, candidates @ moved), expected)
    few = scoring.crowding(queries[:1], candidates)
    torch.testing.assert_close(scoring.crowded(few, 0, candidates @ queries[0]), candidates @ queries[0])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_command_line_inspects_reports_and_observes(
    pictured: Aligner, tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str
) -> None:
    name = pictured.checkpoint.name
    out = tmp_path / "report"
    given = ["inspect", "--checkpoint", name, "--id", "e1", "--json", "--out", str(out), "--lang", language]
    assert main(given) == 0
    use("en")
    said = json.loads(capsys.readouterr().out)
    assert said["rank"]["among"] == 3
    assert len(said["drop"]["subsets"]) == 7
    assert {"modality_attention_1", "meta_weight", "cosine_share", "subsets"} <= {s["name"] for s in said["signals"]}
    page = (out / "report.html").read_text("utf-8")
    assert "thing 1" in page
    assert {"en": "Without relations", "zh": "去掉关系"}[language] in page
    assert (out / "csv" / "candidates.csv").is_file()
    assert main(["observe", "tiny", "--checkpoint", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["entities"] == 8
    assert told["pairs"] == 3
    assert main(["inspect", "--checkpoint", name, "--text", "hello"]) == 2
    assert "aligns entities" in capsys.readouterr().err


def test_a_checkpoint_of_pairs_is_no_aligner_and_other_data_is_named(pictured: Aligner) -> None:
    with pytest.raises(FusionError, match="aligns no entities"):
        Aligner.open(checkpoints.find("maf-gloss"))
    with pytest.raises(FusionError, match="knows 8"):
        Aligner.open(pictured.checkpoint, data_of("mclea"))
