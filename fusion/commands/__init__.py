"""What each verb of the command line does: a table VERBS of verb -> (sentence, its options, its function)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusion.commands.catalogue import data, doctor, models
from fusion.commands.explaining import explain
from fusion.commands.reporting import report, stories
from fusion.commands.running import adopt, evaluate, inspect, observe, train
from fusion.commands.spaces import spaces
from fusion.commands.triage import inspect_set, verdicts
from fusion.commands.trust import trust
from fusion.commands.versus import compare

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON value")


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", nargs="?", help="a bundled data set or a path (default: all bundled), or one of "
                        "`features`, `import`, `get`")  # fmt: skip
    parser.add_argument("of", nargs="?", metavar="DATA", help="with `features`: the graphs to compute them of; with "
                        "`import`: mmsa; with `get`: stamps")  # fmt: skip
    parser.add_argument("file", nargs="?", metavar="FILE", help="with `import`: the feature file (.pkl); with `get`: "
                        "the package, where it was fetched before")  # fmt: skip
    parser.add_argument("--out", help="with `features`: the file to write, .safetensors or .npz; with `import`: the "
                        "folder of the safe copy")  # fmt: skip
    parser.add_argument(
        "--scale", help="with `import`: lowest and highest score, such as -3,3 (default: by its labels)"
    )
    parser.add_argument("--classes", action="store_true", help="with `import`: predict its classes, not its scores")
    parser.add_argument("--modality", help="with `features`: which, apart by commas (default: all but char)")
    parser.add_argument("--encoder", action="append", default=[], metavar="MODALITY=NAME", help="another encoder")
    parser.add_argument("--half", action="store_true", help="with `features`: 16 bits a number")
    _json(parser)


def _inspect(parser: argparse.ArgumentParser) -> None:
    _sample(parser)
    parser.add_argument("--out", help="folder for the report: HTML, CSV, PNG")
    _json(parser)


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("of", nargs="?", metavar="DATA", help="a bundled data set or a path, for a report of the whole "
                        "set (default: what the checkpoint was trained on)")  # fmt: skip
    _sample(parser)
    parser.add_argument("--out", help="the HTML file to write (default: report.html)")
    parser.add_argument("--interactive", action="store_true", help="pictures that answer to the pointer: 5 MB more")
    _json(parser)


def _stories(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="only say where the checkpoints differ from what is kept")
    _json(parser)


def _sample(parser: argparse.ArgumentParser) -> None:
    """What names one sample, and the checkpoint that reads it."""
    parser.add_argument("--image", help="path of an image")
    parser.add_argument("--text", help="a sentence")
    parser.add_argument("--audio", help="path of a recording: WAV, OGG or FLAC")
    parser.add_argument("--edit", action="append", default=[], metavar="MODALITY=HOW", help="what to do to a modality "
                        "before it is read: remove, zero, mean, shuffle, drop:RATE, hide:3+5 and others")  # fmt: skip
    parser.add_argument("--id", "--head", help="a sample of --data instead, or an entity: the head of a question")
    parser.add_argument("--relation", help="what the head is asked for, by name; ~NAME reads it backwards")
    parser.add_argument("--data", help="data set of --id (default gloss, or what the checkpoint was trained on)")
    parser.add_argument("--against", "--tail", help="an entity of the other graph to compare with (default: the "
                        "partner), or the tail of a question (default: a held-out answer)")  # fmt: skip
    parser.add_argument("--recomputed", action="store_true", help="make an entity's weights anew under each subset")
    parser.add_argument("--donor", help="path of the image to exchange in the drop test")
    parser.add_argument("--checkpoint", help="name or folder (default: the first one found)")
    parser.add_argument("--lang", default="en", choices=("en", "zh"), help="language of the report")


def _explain(parser: argparse.ArgumentParser) -> None:
    _sample(parser)
    parser.add_argument("--target", help="what is explained: answer, answer:CLASS, match, tag:STEP; of entities "
                        "and links rank, cosine, chance, rank:ID (default: the first that the system has)")  # fmt: skip
    parser.add_argument("--method", default="occlusion", help="occlusion (default), shapley, integrated, "
                        "gradient_x_input, grad_cam, relevance, rollout, mean, raw, weights, or all")  # fmt: skip
    parser.add_argument("--whole", action="store_true", help="judge whole modalities, by occlusion or exact Shapley")
    parser.add_argument("--pairs", type=int, default=8, help="pairs of orders of sampled Shapley values (default 8)")
    _json(parser)


def _observe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="a bundled data set or a path")
    parser.add_argument("--checkpoint", help="name or folder (default: the first one found)")
    parser.add_argument("--bundled", action="store_true", help="keep the result beside the checkpoint")
    _json(parser)


def _adopt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="folder with pytorch_model.bin, pytorch_encoder.bin and model_config.json; or "
                        "one file: a state dict of MCLEA, MEAformer, IMF, HSCL or TFR-Net, or the variables of TATE as "
                        ".npz or .safetensors")  # fmt: skip
    parser.add_argument("--out", help="folder of the new checkpoint (default: beside your others)")
    parser.add_argument("--vocab", help="vocab.txt of its text encoder, where the folder has none")
    parser.add_argument("--data", help="whose entities a state dict knows: dbp15k:FOLDER, triples:FOLDER")
    parser.add_argument("--modalities", help="of a state dict: which were read, apart by commas")
    parser.add_argument("--heads", type=int, help="of MEAformer's transformer (default 1), of HSCL's attention to "
                        "text (12), of TFR-Net (6), or of TATE (4): no file says them")  # fmt: skip
    parser.add_argument("--encoder-heads", help="of HSCL's encoders of sound and vision, apart by a comma (default: "
                        "those of the paper's widths)")  # fmt: skip
    parser.add_argument("--text-heads", type=int, help="of TFR-Net's text encoder (default 12)")
    parser.add_argument("--recon-heads", type=int, default=0, help="of what rebuilds hidden steps in TFR-Net (default: "
                        "25, or the next number that divides its lengths)")  # fmt: skip
    parser.add_argument("--scale", help="of HSCL and TFR-Net: lowest and highest score (default -3,3)")
    parser.add_argument("--steps", help="of TATE: longest vision, audio and text (default 100,150,25)")
    parser.add_argument("--classes", help="of TATE: names of its classes in their order, apart by commas")
    parser.add_argument("--tag", help="of TATE: the tag that its program gave every sample (default 0110)")
    parser.add_argument("--features", action="append", default=[], metavar="FILE", help="feature file of its data")
    parser.add_argument("--weights", help="*_wight_dic.pkl of MEAformer, to compare with")
    _json(parser)


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a system, see `models`")
    parser.add_argument("--data", help="a bundled data set or a path (default gloss, emoji or keywords)")
    parser.add_argument("--name", help="name of the new checkpoint (default: system-data-seed)")
    parser.add_argument("--seed", type=int, default=37)
    parser.add_argument("--epochs", type=int, help="at most (default: the recipe's)")
    parser.add_argument("--minutes", type=float, default=30.0, help="budget (default 30)")
    parser.add_argument("--rate", type=float, help="peak learning rate (default: the recipe's)")
    parser.add_argument("--batch", type=int, help="samples a step (default: the recipe's)")
    parser.add_argument("--mismatch", type=float, default=0.0, help="share of training pairs whose image is exchanged")
    parser.add_argument("--fine-tune", action="store_true", help="train the text encoder along (slower; kept with it)")
    parser.add_argument("--resume", action="store_true", help="go on from the last saved epoch of this name")
    parser.add_argument("--seeds", type=int, default=1, help="runs, not for maf; the first one is kept (default 1)")
    parser.add_argument("--features", action="append", default=[], metavar="FILE", help="a feature file of entities")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a setting of the model")
    _json(parser)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", help="name or folder (default: the first one found)")
    parser.add_argument("--data", help="a bundled data set or a path (default gloss, or the graphs it was trained on)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--mismatch", type=float, default=0.0, help="share of pairs whose image is exchanged")
    parser.add_argument("--seed", type=int, default=0, help="of the negatives")
    _json(parser)


def _spaces(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", help="a checkpoint, by name or folder, or a data set")
    parser.add_argument("--data", help="another data set of the checkpoint (default: what it was trained on)")
    _json(parser)


def _trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a checkpoint, by name or folder")
    parser.add_argument("--data", help="a bundled data set or a path (default: what it was trained on)")
    parser.add_argument("--table", type=int, help="rows of the additive projection, at most 300 (default: as many as "
                        "fit two minutes)")  # fmt: skip
    parser.add_argument("--again", action="store_true", help="measure anew what was kept, with the seeds of now")
    parser.add_argument("--bundled", action="store_true", help="keep the result beside the checkpoint")
    _json(parser)


def _compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="a checkpoint, by name or folder")
    parser.add_argument("b", metavar="B", nargs="?", help="another one of the same task and inputs")
    parser.add_argument("--switch", default="", metavar="NAME=VALUE", help="instead of B: A with this setting")
    parser.add_argument("--data", help="a bundled data set or a path (default: what A was trained on)")
    parser.add_argument("--id", help="one sample; of links HEAD|RELATION|TAIL (default: the whole set)")
    parser.add_argument("--out", help="the file to write, .html or .csv")
    parser.add_argument("--lang", default="en", choices=("en", "zh"), help="language of the page")
    _json(parser)


def _inspect_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="a bundled data set, a path, or the address of a table "
                        "(s3://..., any that fsspec knows)")  # fmt: skip
    parser.add_argument("--checkpoint", help="name or folder (default: the untrained encoders, for pairs)")
    parser.add_argument("--out", metavar="RUN", help="folder of the run (default: one of its own, by content)")
    parser.add_argument("--engine", default="plain", choices=("plain", "ray"), help="one process, or actors of Ray")
    parser.add_argument("--workers", type=int, default=2, help="with ray: actors (default 2)")
    _json(parser)


def _verdicts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a run, or its name among yours")
    parser.add_argument("what", choices=("export", "import", "cleaned"), help="verdicts out, in, or the manifest "
                        "without the mismatches")  # fmt: skip
    parser.add_argument("file", metavar="FILE", help="a .csv, .jsonl or .parquet file")
    parser.add_argument("--reviewer", default="", help="whose verdicts an imported table without names holds")
    parser.add_argument("--history", action="store_true", help="with export: every change, not only what holds")
    _json(parser)


VERBS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = {
    "models": ("list the systems", _json, models),
    "data": ("list the data sets, check, import or get one, or compute features of its entities", _data, data),
    "train": ("train a system", _train, train),
    "evaluate": ("held-out figures of a checkpoint", _evaluate, evaluate),
    "inspect": ("run one sample through a checkpoint", _inspect, inspect),
    "explain": ("say why one number of a sample is what it is, and test it", _explain, explain),
    "report": ("write one HTML file of a sample or of a whole data set", _report, report),
    "stories": ("ask the bundled checkpoints for what the demo tells, and keep it", _stories, stories),
    "observe": ("run a whole data set through a checkpoint", _observe, observe),
    "inspect-set": ("rank all samples of a data set by how suspicious they are", _inspect_set, inspect_set),
    "verdicts": ("take verdicts out of a run or into it", _verdicts, verdicts),
    "adopt": ("turn an official checkpoint folder into one of ours", _adopt, adopt),
    "spaces": ("compare spaces side by side on held-out rows", _spaces, spaces),
    "trust": ("tell which fusion signals of a checkpoint follow what removal does", _trust, trust),
    "compare": ("compare two checkpoints, or one with a switch flipped", _compare, compare),
    "doctor": ("check versions, device, weights and folders", _json, doctor),
}
