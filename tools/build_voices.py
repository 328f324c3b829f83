"""Builds "emoji groups":

    python tools/build_voices.py --downloads DIR --names assets/data/names --out assets/data/voices

Each emoji of the names set (flags left out, their names say "flag") has its picture and English name from there, and
the name spoken by a speech synthesiser, a voice drawn by a fixed seed. Only the log-mel steps of the speech are kept,
in 8 bits, and SAMPLES short recordings to be played. The group that Unicode files the emoji under is to be predicted.
Names that differ by a person's gender or by what follows a colon stay in one split.

DIR holds Debian's packages of espeak-ng as in SOURCES (apt-get download NAME): they are unpacked, never installed,
and nothing of them is in the product. The same inputs give the same bytes.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from fusion.encoders.sound import RATE, log_mel, open_sound, stacked
from fusion.types import Audio

SOURCES = {
    "espeak-ng_1.51+dfsg-10+deb12u2_amd64.deb": "a11396a690f85f55e6e6b2965505237ddf3dc95c51936aa61de936f1ccf8f4d0",
    "espeak-ng-data_1.51+dfsg-10+deb12u2_amd64.deb": "573f5661c6a5adcf949018baad158c4c773bf5579390ee5235a890f1cd694106",
    "libespeak-ng1_1.51+dfsg-10+deb12u2_amd64.deb": "2b127a95b50d92cbd7a615968d2ac1566e1cbc87e27bcda0c2894afb2407c6d2",
    "libpcaudio0_1.2-2_amd64.deb": "5309759e4d129c7d9a601240cc6e62820ecfa86a1a98e207992ffa6a572dbcd2",
    "libsonic0_0.2.0-12_amd64.deb": "9d60de6918ace0b10e3e4e95421befd08aaf03b5b2a3d71ceb799e0cf259916f",
}
VOICES = ("en-us", "en-us+f2", "en-us+f4", "en-us+m3", "en-gb", "en-gb+f3", "en-gb+m7", "en-gb-scotland")
SEED = 37
TEST, VALID = 0.2, 0.1
SAMPLES = 12
LONGEST = 12  # steps of a name: 3.8 s
GENDER = re.compile(r"\b(?:woman|women|man|men|person|people|boy|girl|mrs|mr|santa|claus)\b")
BYTE = 63.75  # 255 / 4: features lie in [-2, 2]


def synthesiser(downloads: Path, into: Path) -> dict[str, str]:
    """Unpack the packages after comparing them with SOURCES. -> the environment that the program runs in"""
    for name, sha256 in SOURCES.items():
        data = (downloads / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise SystemExit(f"{name} has another checksum than this was built from.")
        subprocess.run(["dpkg", "-x", str(downloads / name), str(into)], check=True)
    libraries = next(into.glob("usr/lib/*/libespeak-ng.so.1")).parent
    return os.environ | {"LD_LIBRARY_PATH": str(libraries), "ESPEAK_DATA_PATH": str(libraries)}


def spoken(root: Path, environment: dict[str, str], voice: str, text: str) -> bytes:
    """A WAV file of the text."""
    command = [str(root / "usr/bin/espeak-ng"), "-v", voice, "--stdout", text]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


def stem(name: str) -> str:
    """What names of one thing share."""
    return " ".join(GENDER.sub(" ", name.casefold().partition(":")[0]).split()) or name.casefold()


def splits(groups: list[str], stems: list[str]) -> list[str]:
    """A split for each row: of each group's stems 20 % to test and 10 % to choose by."""
    rng = np.random.default_rng(SEED)
    chosen: dict[str, str] = {}
    for group in sorted(set(groups)):
        names = sorted({s for s, g in zip(stems, groups, strict=True) if g == group} - set(chosen))
        test, valid = round(TEST * len(names)), round(VALID * len(names))
        for place, at in enumerate(rng.permutation(len(names))):
            chosen[names[at]] = "test" if place < test else "valid" if place < test + valid else "train"
    return [chosen[one] for one in stems]


def build(downloads: Path, names: Path, out: Path) -> dict[str, object]:
    """Writes items.parquet, speech.npz and samples/. -> what meta.json says"""
    known = pd.read_parquet(names / "items.parquet").sort_values("id")
    known = known[known["group"] != "Flags"].drop_duplicates("name")
    rng = np.random.default_rng(SEED)
    voices = [VOICES[at] for at in rng.integers(0, len(VOICES), len(known))]
    played = set(rng.choice(len(known), SAMPLES, replace=False).tolist())
    (out / "samples").mkdir(parents=True, exist_ok=True)
    steps, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        environment = synthesiser(downloads, Path(folder))
        for at, (row, voice) in enumerate(zip(known.itertuples(), voices, strict=True)):
            wav = spoken(Path(folder), environment, voice, str(row.name))
            sound = open_sound(Audio(data=wav))
            made = stacked(log_mel(sound.samples))[:LONGEST]
            steps.append(np.clip(np.round((made + 2) * BYTE), 0, 255).astype(np.uint8))
            sample = ""
            if at in played:
                sample = f"samples/{str(row.id)[1:]}.flac"  # OGG would hold a random number
                soundfile.write(out / sample, sound.samples, RATE, format="FLAC", subtype="PCM_16")
            rows.append({"id": f"v{str(row.id)[1:]}", "of": row.id, "name": row.name, "group": row.group,
                         "voice": voice, "sample": sample, "stem": stem(str(row.name))})  # fmt: skip
    for row, part in zip(rows, splits([r["group"] for r in rows], [r["stem"] for r in rows]), strict=True):
        row["split"] = part
    frame = pd.DataFrame(rows)
    frame.to_parquet(out / ".items.parquet", index=False, compression="zstd")
    os.replace(out / ".items.parquet", out / "items.parquet")
    length = np.array([len(one) for one in steps], dtype=np.uint8)
    with (out / ".speech.npz").open("wb") as stream:
        np.savez_compressed(stream, steps=np.concatenate(steps), length=length)
    os.replace(out / ".speech.npz", out / "speech.npz")
    return {
        "word": "synthetic voice", "seed": SEED, "voices": VOICES, "sources": SOURCES, "byte": BYTE,
        "counts": {
            "emoji": len(frame), **{s: int((frame["split"] == s).sum()) for s in ("train", "valid", "test")},
            "groups": {str(k): int(v) for k, v in frame["group"].value_counts().sort_index().items()},
            "longest": int(length.max()), "samples": SAMPLES, "cut": int((length == LONGEST).sum()),
        },
    }  # fmt: skip


def main() -> None:
    """Reads the arguments, builds, and writes meta.json."""
    parser = argparse.ArgumentParser(description="Builds emoji groups by picture, name and synthetic voice.")
    parser.add_argument("--downloads", type=Path, required=True)
    parser.add_argument("--names", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    meta = build(arguments.downloads, arguments.names, arguments.out)
    aside = arguments.out / ".meta.json"
    aside.write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(aside, arguments.out / "meta.json")
    print(json.dumps(meta["counts"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
