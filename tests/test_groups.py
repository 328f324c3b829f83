"""Groups of a map, and the words that set them apart."""

import numpy as np

from fusion.projections.groups import apart, groups, words_of


def planted(rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Four clusters far apart, and which one each row is of."""
    random = np.random.default_rng(0)
    code = np.arange(rows) % 4
    centres = 8 * random.normal(size=(4, 12))
    return (centres[code] + random.normal(size=(rows, 12))).astype(np.float32), code


def test_groups_keep_what_lies_together_together_and_repeat_themselves() -> None:
    x, code = planted()
    found = groups(x)
    assert found.shape == (200,)
    for group in np.unique(found):
        assert len(set(code[found == group])) == 1  # no group mixes two clusters
    assert np.array_equal(found, groups(x.copy()))


def test_few_vectors_are_one_group() -> None:
    x, _ = planted(30)
    assert set(groups(x).tolist()) == {0}


def test_the_word_of_a_group_is_found_and_a_word_of_all_is_not() -> None:
    names = ("red apple", "green pear", "grey stone", "blue sea")
    code = np.arange(80) % 4
    texts = [f"a small picture of {names[one]}" for one in code]
    found = apart(texts, code)
    for words, name in zip(found, names, strict=True):
        assert set(words) == set(name.split())


def test_chance_sets_nothing_apart() -> None:
    random = np.random.default_rng(3)
    words = [f"word{chr(97 + i)}" for i in range(20)]
    texts = [" ".join(random.choice(words, 5)) for _ in range(400)]
    assert apart(texts, random.integers(0, 6, 400)) == [()] * 6


def test_a_group_of_a_handful_has_no_label() -> None:
    code = np.array([0] * 5 + [1] * 50)
    assert apart(["one"] * 5 + ["many"] * 50, code)[0] == ()


def test_chinese_is_told_by_pairs_of_characters_and_endings_of_a_word_once() -> None:
    assert words_of("红苹果 Apples, a 3D thing") == {"红苹", "苹果", "apples", "thing"}
    code = np.repeat([0, 1], 40)
    found = apart(["一个红苹果"] * 40 + ["一块灰石头"] * 40, code, most=1)
    assert set(found[0]) <= {"一个", "个红", "红苹", "苹果"}
    assert apart(["face faces"] * 40 + ["hand"] * 40, code)[0] == ("face",)
