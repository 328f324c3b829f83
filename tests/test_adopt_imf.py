"""An official IMF file becomes a checkpoint that gives the official scores; everything else is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fusion import checkpoints
from fusion.__main__ import main
from fusion.data.dataset import DataSet
from fusion.data.triples import TripleSet
from fusion.links.inputs import asking, everything
from fusion.links.official import adopt, graph_encoder
from fusion.models.imf import MODALITIES
from fusion.types import Batch, FusionError, Sample

GOLDEN = Path(__file__).parent / "golden" / "imf"


def saved(folder: Path, case: str, name: str, **changes: torch.Tensor) -> Path:
    """A file as the official program writes it."""
    path = folder / name
    torch.save(load_file(GOLDEN / case / "weights.safetensors") | changes, path)
    return path


def triples(entities: int = 40, relations: int = 5) -> DataSet:
    inputs = load_file(GOLDEN / "model_eval_d16" / "inputs.safetensors")
    parts = [inputs[f"{split}_triples"].numpy() for split in ("train", "valid", "test")]
    split = np.repeat(np.arange(3, dtype=np.uint8), [len(part) for part in parts])
    names = tuple(f"relation {i}" for i in range(relations))
    graph = TripleSet("small", np.concatenate(parts).astype(np.int32), split, names, entities=entities)
    return DataSet(
        "small", "small", tuple(Sample(str(i), {}) for i in range(entities)), spec="triples:x", triples=graph
    )


def test_an_official_file_gives_the_official_scores(tmp_path: Path) -> None:
    made = adopt(saved(tmp_path, "model_eval_d16", "IMF.pth"), tmp_path / "own", triples())
    assert "bias in IMF.pth, which no output reads: 1 tensor, 40 numbers" in made.origin["dropped"]
    model = checkpoints.load(made)
    inputs, wanted = (load_file(GOLDEN / "model_eval_d16" / f"{name}.safetensors") for name in ("inputs", "outputs"))
    present = torch.ones(40, 3, dtype=torch.bool)
    batch = asking(Batch({}, {}, {}, {}, present, MODALITIES, ()), inputs["query"][:, :2])
    with torch.no_grad():
        chance = model.decide(model.scores(batch, batch.query))  # type: ignore[operator]  # an IMF
    torch.testing.assert_close(chance, wanted["score_fused"], atol=1e-6, rtol=1e-5)
    assert model(batch).prediction.shape == (12, 10)


def test_the_graph_encoder_opens_and_is_no_predictor(tmp_path: Path) -> None:
    path = saved(tmp_path, "structure_encoder_d12", "GAT_3000.pth")
    encoder = graph_encoder(path)
    batch = everything(triples(), _Nothing())  # type: ignore[arg-type]  # features are not read
    assert batch.graph is not None
    assert encoder.config.heads == 2
    with pytest.raises(FusionError, match="graph encoder of IMF"):
        adopt(path, tmp_path / "own", triples())


def test_the_command_line_adopts_a_state_dict_over_its_triples(
    tmp_path: Path, fusion_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, folder = saved(tmp_path, "model_eval_d16", "IMF.pth"), as_files(tmp_path / "small")
    assert main(("adopt", str(source), "--data", f"triples:{folder}", "--out", str(tmp_path / "own"))) == 0
    assert (tmp_path / "own" / "weights.safetensors").is_file()
    capsys.readouterr()
    assert main(("evaluate", "--checkpoint", str(tmp_path / "own"), "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    data = triples()
    assert data.triples is not None
    model = checkpoints.load(checkpoints.read(tmp_path / "own"))
    asked = data.triples.queries("test")
    batch = asking(Batch({}, {}, {}, {}, torch.ones(40, 3, dtype=torch.bool), MODALITIES, ()), torch.from_numpy(asked))
    with torch.no_grad():
        chance = model.decide(model.scores(batch, batch.query)).numpy()  # type: ignore[operator]  # an IMF
    ranks = []
    for scores, (head, relation, tail) in zip(chance, asked.tolist(), strict=True):
        known = data.triples.queries()
        others = known[(known[:, :2] == [head, relation]).all(1), 2]
        left = np.delete(scores, others[others != tail])
        ranks.append(1 + int((left > scores[tail]).sum()))
    assert found["mrr"] == pytest.approx(float(np.mean(1 / np.array(ranks))), rel=1e-5)
    assert main(("adopt", str(source), "--out", str(tmp_path / "other"))) == 2
    assert "triples:FOLDER" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def as_files(folder: Path) -> Path:
    """The triples of the golden case as a folder of text files."""
    folder.mkdir()
    inputs = load_file(GOLDEN / "model_eval_d16" / "inputs.safetensors")
    lines = {"entity2id.txt": [f"e{i}\t{i}" for i in range(40)], "relation2id.txt": [f"r{i}\t{i}" for i in range(5)]}
    for split in ("train", "valid", "test"):
        lines[f"{split}.txt"] = ["\t".join(map(str, row)) for row in inputs[f"{split}_triples"].tolist()]
    for name, rows in lines.items():
        (folder / name).write_text("\n".join(rows) + "\n", "utf-8")
    return folder


class _Nothing:
    """Features of no modality."""

    features: dict[str, torch.Tensor] = {}  # noqa: RUF012
    modalities: tuple[str, ...] = ()

    def present(self) -> torch.Tensor:
        return torch.zeros(40, 0, dtype=torch.bool)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    good = saved(tmp_path, "model_eval_d16", "IMF.pth")
    for data, words in ((triples(entities=41), "41 and 5"), (triples(relations=6), "40 and 6")):
        with pytest.raises(FusionError, match=words):
            adopt(good, tmp_path / "own", data)
    more = saved(tmp_path, "model_eval_d16", "more.pth", other=torch.zeros(3))
    with pytest.raises(FusionError, match="unknown      other"):
        adopt(more, tmp_path / "own", triples())
    core = {"TuckER_S.W": torch.zeros(16, 16, 15)}
    with pytest.raises(FusionError, match=r"other shape  TuckER_S.W"):
        adopt(saved(tmp_path, "model_eval_d16", "shape.pth", **core), tmp_path / "own", triples())
    torch.save({"weight": torch.zeros(2)}, tmp_path / "else.pth")
    with pytest.raises(FusionError, match="no tables of entities"):
        adopt(tmp_path / "else.pth", tmp_path / "own", triples())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(FusionError, match="choose another folder"):
        adopt(good, tmp_path / "full", triples())
    assert not (tmp_path / "own").exists()
