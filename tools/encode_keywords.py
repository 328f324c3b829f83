"""Writes the features that come with the emoji and keywords graph:  python tools/encode_keywords.py

pictures.npz and texts.npz in assets/data/keywords, so that nobody waits for them. Run it after build_keywords.py. Two
minutes on a CPU the first time.
"""

import os

import torch

from fusion.data import keywords
from fusion.data.feature_files import write
from fusion.data.graph_features import BUNDLED, made_by
from fusion.data.link_features import ENCODED, link_tables
from fusion.encoders import encoder


def main() -> None:
    """Encode the pictures and the names, each into a file of its own."""
    torch.set_num_threads(max(1, min(2, os.cpu_count() or 1)))
    data = keywords.load()
    ids = [sample.id for sample in data.samples]
    for name, table in link_tables(data).items():
        path = keywords.FOLDER / BUNDLED[name]
        write(path, ids, {name: table}, made_by(data, encoder(ENCODED[name])), half=True)
        print(f"{path.name}: {int(table.known.sum())} of {len(ids)} entities, {table.values.shape[1]} features")


if __name__ == "__main__":
    main()
