"""The emoji names: extra training pairs that never show what the gloss set holds out."""

from __future__ import annotations

from fusion.data import gloss, names


def test_a_picture_of_the_gloss_set_keeps_its_split_and_fold() -> None:
    known = {row["image"]: (row["split"], row["fold"]) for row in gloss.frame().to_dict(orient="records")}
    shared = [row for row in names.frame().to_dict(orient="records") if row["image"].startswith("gloss/")]
    assert len(shared) > 500
    for row in shared:
        assert (row["split"], row["fold"]) == known[row["image"].removeprefix("gloss/")]


def test_no_training_pair_has_a_held_out_picture() -> None:
    held_out = {s.image().path.name for split in ("valid", "test") for s in gloss.load(split)}
    assert not held_out & {s.image().path.name for s in names.load("train")}


def test_every_picture_is_there_and_every_text_says_something() -> None:
    for row in names.frame().to_dict(orient="records"):
        assert row["text"].startswith(row["name"])
        for name in filter(None, (row["image"], row["image2"])):
            assert (names.FOLDER / name).is_file(), name
