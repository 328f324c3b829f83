"""The gloss pictures and the gallery keep what their cards promise."""

import csv
import fnmatch
import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path

import PIL.Image
import pytest

from fusion.data import gallery, gloss
from fusion.encoders.words import split_words
from fusion.files import ASSETS, ROOT
from fusion.types import FusionError

DATA = ASSETS / "data"
TOOLS = ROOT / "tools"


@pytest.fixture(scope="module")
def rows():
    return gloss.frame().to_dict("records")


@pytest.fixture(scope="module")
def tags():
    return tool("gloss_tags")


@pytest.fixture(scope="module")
def wordnet():
    return tool("gloss_wordnet")


@pytest.fixture(scope="module")
def links():
    return tool("gloss_links")


def tool(name):
    """A build module; they import each other by name, so their folder is on the path for the while."""
    sys.path.insert(0, str(TOOLS))
    try:
        spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(TOOLS))


def table(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_counts_equal_meta(rows):
    meta = gloss.meta()
    assert meta["word"] == "silver"
    for part, counts in meta["counts"].items():
        own = [row for row in rows if row["part"] == part]
        spans = [kind for row in own for *_, kind in json.loads(row["silver"])]
        assert counts["sentences"] == len(own)
        assert counts["synsets"] == len({row["synset"] for row in own})
        assert counts["pictures"] == len({row["image"] for row in own})
        assert counts["with_an_entity"] == sum(row["silver"] != "[]" for row in own)
        assert {kind: counts[kind] for kind in gloss.KINDS} == {kind: spans.count(kind) for kind in gloss.KINDS}
        for split in gloss.SPLITS:
            assert counts[split] == sum(row["split"] == split for row in own)
    assert sum(counts["sentences"] for counts in meta["counts"].values()) == len(rows)
    assert meta["protocol_definitions"] == sum(row["protocol"] for row in rows)
    assert meta["gold_sentences"] == sum(row["gold"] != "" for row in rows) == 300


def test_ids_are_unique(rows):
    assert len({row["id"] for row in rows}) == len(rows)


@pytest.mark.parametrize("column", ["image", "image2", "synset"])
def test_no_picture_and_no_synset_is_in_two_splits_or_folds(rows, column):
    places = {}
    for row in rows:
        if row[column]:
            places.setdefault(row[column], set()).add((row["split"], row["fold"]))
    assert {key: place for key, place in places.items() if len(place) > 1} == {}


def test_folds_and_splits_agree(rows):
    assert {(row["fold"], row["split"]) for row in rows} == {
        (0, "train"), (1, "train"), (2, "train"), (3, "train"), (3, "valid"), (4, "test"),
    }  # fmt: skip
    sizes = [sum(row["fold"] == fold and row["protocol"] for row in rows) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 2


def test_masked_text_lacks_the_headword(rows):
    for row in rows:
        if row["part"] != "country":
            for word in {row["headword"], row["name"].removeprefix("flag: ")}:
                found = re.search(rf"(?<!\w){re.escape(word)}(?:s|es)?(?!\w)", row["text"], re.IGNORECASE)
                assert found is None, (row["id"], row["text"])


def test_country_sentences_are_unmasked_and_tagged(rows):
    own = [row for row in rows if row["part"] == "country"]
    assert all(row["text"] == row["text_full"] and row["silver"] != "[]" for row in own)
    assert max(sum(row["image"] == image for row in own) for image in {row["image"] for row in own}) <= 40


@pytest.mark.parametrize("column", gloss.SOURCES)
def test_spans_cover_whole_words_and_do_not_overlap(rows, column):
    for row in rows:
        if not row[column]:
            continue
        words = split_words(row["text"])
        starts, ends = {start for start, _ in words}, {end for _, end in words}
        before = 0
        for start, end, kind in json.loads(row[column]):
            assert kind in gloss.KINDS
            assert {start} <= starts, (row["id"], start)
            assert {end} <= ends, (row["id"], end)
            assert before <= start < end, (row["id"], start, end)
            before = end


def test_every_picture_is_there_square_and_used(rows):
    used = {row["image"] for row in rows} | {row["image2"] for row in rows if row["image2"]}
    on_disk = {
        p.relative_to(gloss.FOLDER).as_posix() for f in ("images", "images2") for p in (gloss.FOLDER / f).iterdir()
    }
    assert used == on_disk
    for name in sorted(used)[::50]:
        with PIL.Image.open(gloss.FOLDER / name) as picture:
            assert picture.size == (64, 64)


def test_every_file_has_a_source_a_licence_and_the_checksum_of_the_build():
    sources = table(DATA / "sources.tsv")
    packages = tomllib.loads((TOOLS / "gloss_sources.toml").read_text("utf-8"))
    built = {f"{name} {row['version']}": row["sha256"] for name, row in packages.items()}
    names = [path.relative_to(DATA).as_posix() for path in DATA.rglob("*") if path.is_file()]
    covered = {name for row in sources if row["licence"] for name in fnmatch.filter(names, row["files"])}
    assert sorted(set(names) - covered) == [], "files without a row in sources.tsv"
    for row in sources:
        assert fnmatch.filter(names, row["files"]), row["files"]
        assert row["sha256"] == "-" or re.fullmatch(r"[0-9a-f]{64}", row["sha256"])
        assert built.get(row["source"], row["sha256"]) == row["sha256"]
    assert gloss.meta()["sources"].keys() == packages.keys()


def test_struck_links_leave_the_set_but_stay_in_the_protocol(rows):
    verdicts = {row["synset"]: row for row in table(gloss.FOLDER / "links_reviewed.tsv")}
    pictured = [row for row in rows if row["protocol"]]
    assert {row["synset"] for row in pictured} == set(verdicts)
    assert all(row["reason"] for row in verdicts.values())
    struck = {synset for synset, row in verdicts.items() if row["verdict"] == "strike"}
    assert struck == {row["synset"] for row in rows if not row["link_ok"]}
    assert not struck & {sample.note["synset"] for sample in gloss.load()}
    assert struck <= {sample.note["synset"] for sample in gloss.protocol()}


def test_read_tags_are_held_out_and_are_those_of_the_table(rows):
    read = {row["id"]: row for row in table(gloss.FOLDER / "gold_reviewed.tsv")}
    held = [row for row in rows if row["gold"]]
    assert {row["id"] for row in held} == set(read)
    assert {row["split"] for row in held} == {"test"}
    for row in held:
        assert (row["text"], row["gold"]) == (read[row["id"]]["text"], read[row["id"]]["gold"])
        assert (row["gold"] != row["silver"]) == (read[row["id"]]["changed"] == "yes")
    assert {row["part"] for row in held} == {"picture", "flag", "country"}


def test_samples_have_one_tag_a_word():
    samples = gloss.load("valid")
    assert samples
    assert {sample.split for sample in samples} == {"valid"}
    for sample in samples:
        assert len(sample.target) == len(split_words(sample.text()))
        assert set(sample.target) <= set(gloss.TAGS)
        assert sample.image().path.is_file()
    assert any(tag.startswith("I-") for sample in samples for tag in sample.target)


def test_gold_samples_carry_the_read_tags():
    gold = {sample.id: sample.target for sample in gloss.load(tags="gold")}
    silver = {sample.id: sample.target for sample in gloss.load("test")}
    assert len(gold) == 300
    assert any(gold[key] != silver[key] for key in gold)


@pytest.mark.parametrize("wrong", [{"split": "dev"}, {"tags": "bronze"}])
def test_an_unknown_split_or_source_of_tags_says_what_there_is(wrong):
    with pytest.raises(FusionError, match=r"it has .*(test|gold)"):
        gloss.load(**wrong)


def test_gallery_has_three_captions_a_photograph_and_the_wrong_word_is_in_the_sentence():
    samples = gallery.load()
    assert len(samples) == 36
    assert len({sample.text() for sample in samples}) == 36
    for sample in samples:
        assert sample.note["word"] == "illustrative"
        assert sample.note["name_zh"]
        assert sample.note["licence"]
        with PIL.Image.open(sample.image().path) as picture:
            assert max(picture.size) == 320
        assert ("wrong" in sample.note) == (sample.note["caption"] == gallery.DETAIL)
        assert sample.note.get("wrong", "") in sample.text()
    for key, row in gallery.captions().items():
        assert row["wrong"] not in re.findall(r"\w+", row["fits"]), key


def test_stories_and_pairs_point_at_pictures_and_words():
    stories = gallery.stories()
    assert [story.id for story in stories] == ["fits", "mismatch", "turkey"]
    assert all(story.image.is_file() and story.title["zh"] and story.tell["en"] for story in stories)
    for pair in gallery.pairs():
        assert all(path.is_file() for path in pair.images)
        assert pair.text.startswith(pair.word)
        assert pair.kinds[0] != pair.kinds[1]


# The build, on a few lines in WordNet's own format.

NOUNS = """\
  1 licence line
00000001 03 n 01 person 0 000 | a human being
00000002 03 n 01 location 0 000 | a point in space
00000003 15 n 01 region 0 001 @ 00000002 n 0000 | a part of a place
00000004 17 n 01 dry_land 0 000 | the solid part of the earth
00000005 17 n 01 geological_formation 0 000 | a feature of the earth
00000006 17 n 01 celestial_body 0 000 | a natural object in the sky
00000007 17 n 01 body_of_water 0 000 | a part covered by water
00000008 06 n 01 structure 0 000 | a thing that was built
00000009 14 n 01 organization 0 000 | people who work together
00000010 14 n 01 social_group 0 000 | people with relations
00000011 03 n 01 event 0 000 | something that happens
00000012 18 n 01 spiritual_being 0 000 | a being without a body
00000013 05 n 02 turkey 0 Meleagris_gallopavo 0 000 | a large bird; "the turkeys gobbled in the yard"; "two words"
00000014 15 n 02 Turkey 0 Republic_of_Turkey 0 001 @i 00000003 n 0000 | a country between Europe and Asia
00000015 18 n 02 king 0 male_monarch 0 000 | a man who rules a country
00000016 18 n 02 Martin_King 0 King 0 001 @i 00000001 n 0000 | a leader of men
"""


@pytest.fixture
def nouns(tmp_path, wordnet):
    (tmp_path / "data.noun").write_text(NOUNS, "utf-8")
    senses = {}
    for line in NOUNS.splitlines()[1:]:
        fields = line.split("|")[0].split()
        for i in range(int(fields[3], 16)):
            senses.setdefault(fields[4 + 2 * i].lower(), []).append(fields[0])
    index = "".join(
        f"{form} n {len(offsets)} 0 {len(offsets)} 0 {' '.join(offsets)}\n" for form, offsets in senses.items()
    )
    (tmp_path / "index.noun").write_text(index, "utf-8")
    (tmp_path / "data.adj").write_text(
        "00000021 01 a 01 Turkish 0 000 | of the land\n00000022 00 a 01 Big 0 000 | x\n", "utf-8"
    )
    return wordnet.read_nouns(tmp_path)


def test_glosses_are_cut_into_a_definition_and_examples(nouns, wordnet):
    gloss_line = nouns.synsets["00000013"].gloss
    assert list(wordnet.sentences(gloss_line)) == [
        ("definition", "a large bird"),
        ("example", "the turkeys gobbled in the yard"),
    ]


def test_the_gazetteer_goes_by_the_form_as_written(nouns, tags, tmp_path):
    names = tags.gazetteer(nouns, tmp_path / "data.adj")
    found = [(text, name.kind) for text, name in names.items()]
    assert ("Turkey", "LOC") in found
    assert ("Turkish", "MISC") in found
    assert ("Martin King", "PER") in found
    assert not {"King", "Meleagris gallopavo", "Big", "turkey"} & set(names)
    spans = tags.tag("The Republic of Turkey, King and turkey in Turkish", names)
    assert [(start, end, name.kind) for start, end, name in spans] == [(4, 22, "LOC"), (43, 50, "MISC")]


def test_the_mask_takes_plurals_synonyms_and_capitals_as_they_are_written(tags):
    plurals = {"goose": ["geese"]}
    assert tags.mask("Geese and a goose, no mongoose", ("goose",), plurals) == "something and a something, no mongoose"
    assert tags.mask("hot dogs, a hot-dog", ("hot dog",), {}) == "something, a something"
    assert tags.mask("the US and us", ("US",), {}) == "the something and us"
    assert tags.mask("berries of a berry", ("berry",), {}) == "something of a something"


def test_a_picture_takes_the_bird_and_a_flag_the_country(nouns, links):
    bird = links.Emoji("🦃", "turkey", "Animals & Nature", "animal-bird", "1f983", "1f983.png")
    flag = links.Emoji("🇹🇷", "flag: Türkiye", "Flags", "country-flag", "1f1f9-1f1f7", "")
    assert flag.country == "tr"
    assert [(one.emoji.name, one.synset) for one in links.link([bird, flag, bird], nouns)] == [
        ("turkey", "00000013"),
        ("flag: Türkiye", "00000014"),
    ]


def test_england_is_a_country_of_flag_icons(links):
    england = links.Emoji(
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "flag: England", "Flags", "", "", ""
    )
    assert england.country == "gb-eng"


def test_the_same_rows_are_split_the_same_way_again(nouns, tags, links, tmp_path):
    build = tool("gloss_rows")
    names = tags.gazetteer(nouns, tmp_path / "data.adj")
    bird = links.Emoji("🦃", "turkey", "Animals & Nature", "animal-bird", "1f983", "1f983.png")
    flag = links.Emoji("🇹🇷", "flag: Türkiye", "Flags", "country-flag", "1f1f9-1f1f7", "")

    def once():
        found = links.link([bird, flag], nouns)
        rows = build.named_rows(found, nouns, names, {})
        rows += build.country_rows(found, nouns, names, {one.synset for one in found})
        build.split(rows)
        return [build.as_record(row, {"1f983"}, {"00000013": "strike"}, {}) for row in rows]

    records = once()
    assert records == once()
    assert [(row["id"], row["part"], row["link_ok"], row["image2"]) for row in records] == [
        ("a00000013-0", "picture", False, "images2/1f983.png"),
        ("a00000013-1", "picture", False, "images2/1f983.png"),
        ("a00000014-0", "flag", True, ""),
    ]
    assert records[1]["text"] == "the something gobbled in the yard"


def test_reading_did_not_change_since_the_build(rows):
    """links_reviewed.tsv shows the definitions that the set holds, so a verdict is on what stands there."""
    shown = {row["synset"]: row["definition"] for row in table(Path(gloss.FOLDER) / "links_reviewed.tsv")}
    assert shown == {row["synset"]: row["text_full"] for row in rows if row["protocol"]}
