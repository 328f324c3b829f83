"""Baselines of a set of sequences, as its card states them:  python tools/measure_streams.py DATA [DATA ...]

Linear models on the mean over the steps of each modality, features as the product's encoders make them: ridge for a
score, logistic regression for a class. The strength of the penalty is chosen on the valid part, the figures are of the
test part. A sample without a modality has the mean of the others there. Prints one JSON value a data set.
"""

import json
import sys
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from fusion.data import open_data
from fusion.streams.inputs import Streams, read

PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)


def means(streams: Streams, modality: str) -> np.ndarray:
    """The mean over a modality's real steps, of absent ones that of the training samples. (N, D)"""
    length, table = streams.length[modality], streams.features[modality]
    found = np.stack([table[row, : max(n, 1)].astype(np.float64).mean(0) for row, n in enumerate(length)])
    there = streams.present[:, streams.names.index(modality)]
    found[~there] = found[there & (streams.split == 0)].mean(0)
    return found


def scores(streams: Streams, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Test figures of one input."""
    train, valid, test = (streams.split == at for at in range(3))
    x = StandardScaler().fit(x[train]).transform(x)
    best, chosen = -np.inf, None
    for penalty in PENALTIES:
        if streams.classes:
            model = LogisticRegression(C=1 / penalty, max_iter=300).fit(x[train], y[train])
            right = float((model.predict(x[valid]) == y[valid]).mean())
        else:
            model = Ridge(penalty).fit(x[train], y[train])
            right = -float(np.abs(model.predict(x[valid]) - y[valid]).mean())
        if right > best:
            best, chosen = right, model
    said = chosen.predict(x[test])
    if streams.classes:
        return {"accuracy": round(float((said == y[test]).mean()), 3)}
    return {
        "r": round(float(np.corrcoef(said, y[test])[0, 1]), 3), "mae": round(float(np.abs(said - y[test]).mean()), 3),
    }  # fmt: skip


def measured(spec: str) -> dict[str, object]:
    """The baselines of one data set."""
    streams = read(open_data(spec))
    y = streams.target.numpy()
    train, test = streams.split == 0, streams.split == 2
    rows: dict[str, object] = {}
    if streams.classes:
        rows["most frequent class"] = {"accuracy": round(float((y[test] == np.bincount(y[train]).argmax()).mean()), 3)}
    else:
        rows["mean of the training scores"] = {"mae": round(float(np.abs(y[test] - y[train].mean()).mean()), 3)}
    tables = {m: means(streams, m) for m in streams.names}
    for name, table in tables.items():
        rows[name] = scores(streams, table, y)
    rows["all, side by side"] = scores(streams, np.concatenate(list(tables.values()), axis=1), y)
    return {"data": spec, "train": int(train.sum()), "test": int(test.sum()), "baselines": rows}


def main() -> None:
    """Measures the sets that are named."""
    warnings.simplefilter("ignore")  # of iterations: the fit is judged by the figures
    for spec in sys.argv[1:]:
        print(json.dumps(measured(spec), indent=1))


if __name__ == "__main__":
    main()
