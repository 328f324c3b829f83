"""The two catalogues say the same things, every sentence is used, and none is written anywhere else."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

from fusion import words

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path for folder in ("fusion", "pages") for path in (ROOT / folder).rglob("*.py")
) + [path for path in (ROOT / "app.py",) if path.exists()]  # fmt: skip
PAGES = [path for path in SOURCES if path.name == "app.py" or "pages" in path.relative_to(ROOT).parts]
HOVER = re.compile(r"%\{[^}]*\}")  # Plotly's own placeholders, filled in the browser

# Keys that are put together while running, and where: the prefix, the place that makes it.
DYNAMIC = {
    "name.": "fusion/views/speech.py say(): technical names of modalities, signals, conditions, observables",
}


def constants(path: Path) -> tuple[set[str], set[tuple[str, str]]]:
    """String constants of a file, and the (beginning, end) of its f-strings."""
    plain: set[str] = set()
    made: set[tuple[str, str]] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            plain.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            first, last = node.values[0], node.values[-1]
            start = first.value if isinstance(first, ast.Constant) else ""
            end = last.value if isinstance(last, ast.Constant) and last is not first else ""
            made.add((str(start), str(end)))
    return plain, made


PLAIN: set[str] = set()
MADE: set[tuple[str, str]] = set()
for source in SOURCES:
    found, joined = constants(source)
    PLAIN |= found
    MADE |= {(start, end) for start, end in joined if re.fullmatch(r"[a-z_]+\.[a-z_.]*", start)}
MADE |= {(prefix, "") for prefix in DYNAMIC}


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(HOVER.sub("", sentence)) if name is not None}


def test_both_languages_have_the_same_keys():
    assert set(words.catalogue("en")) == set(words.catalogue("zh"))


def test_both_sentences_fill_the_same_places():
    english, chinese = words.catalogue("en"), words.catalogue("zh")
    keys = sorted(set(english) & set(chinese))
    assert not [key for key in keys if placeholders(english[key]) != placeholders(chinese[key])]
    assert not [key for key in keys if HOVER.findall(english[key]) != HOVER.findall(chinese[key])]
    assert not [key for key in keys if not all(name.isidentifier() for name in placeholders(english[key]))]


def test_no_sentence_is_unused():
    unused = [
        key for key in sorted(words.catalogue("en"))
        if key not in PLAIN and not any(key.startswith(start) and key.endswith(end) for start, end in MADE)
    ]  # fmt: skip
    assert not unused, f"nothing in fusion/, pages/ or app.py asks for {unused}"


def asked() -> list[tuple[str, str]]:
    """Every literal key given to t(), with its file."""
    keys = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                value = node.args[0].value
                if name == "t" and isinstance(value, str):
                    keys.append((value, str(path.relative_to(ROOT))))
    return sorted(set(keys))


def test_no_sentence_is_missing():
    missing = [(key, file) for key, file in asked() if key not in words.catalogue("en")]
    assert not missing, f"asked for, but in no catalogue: {missing}"


def test_every_caveat_of_a_signal_has_its_sentence():
    wanted = {text for text in PLAIN if re.fullmatch(r"caveat\.[a-z_]+", text)}
    assert wanted
    assert wanted <= set(words.catalogue("en"))


def test_english_is_english_and_chinese_is_chinese():
    chinese = re.compile(r"[\u4e00-\u9fff]")
    assert not [
        key for key, sentence in words.catalogue("en").items() if chinese.search(sentence) and "lang" not in key
    ]
    same = [
        key for key, sentence in words.catalogue("zh").items()
        if not key.endswith(".example")  # an example is in the language that the encoder reads
        and not chinese.search(HOVER.sub("", sentence)) and re.search(r"[A-Za-z]{3,} [A-Za-z]{2,}", sentence)
    ]  # fmt: skip
    assert not same, f"not translated: {same}"


def test_chinese_uses_chinese_punctuation():
    wrong = re.compile(r"[\u4e00-\u9fff][,;:!?](?!\w)|[\u4e00-\u9fff]\.(?!\w)")
    assert not [key for key, sentence in words.catalogue("zh").items() if wrong.search(sentence)]


def test_chinese_tells_the_modality_from_the_file():
    modality = re.compile(r"图片信息|文本与图片|文本和图片|图片和文本|图片与文本|自己的图片[^只直，]|图片向量")
    file = re.compile(r"(?:拖入|上传|打开|选取|浏览)(?:您自己的|一张)?图像")
    wrong = [key for key, text in words.catalogue("zh").items() if modality.search(text) or file.search(text)]
    assert not wrong, f"图像 is the modality, 图片 the file: {wrong}"


def docstrings(tree: ast.Module) -> set[int]:
    """The places of docstrings."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value) for node in ast.walk(tree)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }  # fmt: skip


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_write_no_sentence_of_their_own(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = docstrings(tree)
    sentence = re.compile(
        r"[\u4e00-\u9fff]|^[A-Z][a-z]+(?: [a-z0-9’'-]+){2,}|[a-z]{2,} [a-z]{2,} [a-z]{2,}[^<>{};]*[.?!]$"
    )
    style = re.compile(r"[{};<>]|:\s*\d")  # style sheets and markup are no sentences
    written = [
        node.value for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
        and sentence.search(node.value) and not style.search(node.value)
    ]  # fmt: skip
    assert not written


def test_t_fills_falls_back_and_refuses():
    words.use("fr")
    assert words.current() == "en"
    assert words.t("views.region", row=2, column=3) == "row 2, column 3"
    words.use("zh")
    assert words.t("views.region", row=2, column=3) == "第 2 行第 3 列"
    words.use("en")
    with pytest.raises(KeyError):
        words.t("no.such.key")


def test_bold_that_ends_in_punctuation_is_followed_by_a_space() -> None:
    """Markdown takes a mark between punctuation and a letter for text, and shows the stars."""
    wrong = []
    for language in ("en", "zh"):
        for key, line in words.catalogue(language).items():
            pieces = line.split("**")  # every second one is bold
            wrong += [key for at in range(1, len(pieces) - 1, 2) if re.search(r"[^\w\s]$", pieces[at])
                      and re.match(r"[\w{]", pieces[at + 1])]  # fmt: skip
    assert wrong == []
