"""Writes test/unit/audit/data/probe.json: what scikit-learn's logistic regression predicts.

Usage: python -m venv /tmp/probe && /tmp/probe/bin/pip install scikit-learn
       /tmp/probe/bin/python tools/reference/probe_goldens.py
Features are standardised on the training folds and divided by sqrt(F); C is 1 / (strength n).
"""

import json
import sys
from pathlib import Path

import numpy
import scipy
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

FILE = Path(__file__).resolve().parents[2] / "test/unit/audit/data/probe.json"
NUM_FOLDS = 4
STRENGTHS = [1e-3, 1e-1, 1.0]


def draw(name: str, n: int, width: int, num_classes: int, seed: int) -> dict:
    """Returns random features with class centres, labels, and folds that hold every class."""
    rng = numpy.random.default_rng(seed)
    labels = numpy.arange(n) % num_classes
    centres = rng.normal(size=(num_classes, width)) * 0.7
    features = centres[labels] + rng.normal(size=(n, width)) * rng.uniform(0.1, 5, size=width)
    features[:, 1] = 2.5  # a feature that says nothing
    folds = (numpy.arange(n) // num_classes) % NUM_FOLDS
    features = numpy.round(features + 3, 3)
    return dict(name=name, numClasses=num_classes, features=features, labels=labels, folds=folds)


def judge(case: dict, strength: float) -> dict:
    """Returns the probabilities of every item by the fit that did not see it."""
    features, labels, folds = case["features"], case["labels"], case["folds"]
    chances = numpy.zeros((len(labels), case["numClasses"]))
    for fold in range(NUM_FOLDS):
        train, test = folds != fold, folds == fold
        scaler = StandardScaler().fit(features[train])
        root = numpy.sqrt(features.shape[1])
        model = LogisticRegression(
            C=1 / (strength * train.sum()), solver="lbfgs", tol=1e-10, max_iter=100_000
        )
        model.fit(scaler.transform(features[train]) / root, labels[train])
        chances[test] = model.predict_proba(scaler.transform(features[test]) / root)
    accuracy = float((chances.argmax(axis=1) == labels).mean())
    rows = [[round(float(p), 8) for p in row] for row in chances]
    return dict(strength=strength, accuracy=accuracy, probabilities=rows)


def main() -> None:
    """Writes the file."""
    cases = [draw("narrow", 60, 8, 4, 1), draw("wide", 36, 60, 3, 2)]
    for case in cases:
        case["fits"] = [judge(case, strength) for strength in STRENGTHS]
        for key in ("features", "labels", "folds"):
            case[key] = case[key].tolist()
    versions = {
        "python": sys.version.split()[0],
        "scikit-learn": sklearn.__version__,
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
    }
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(dict(versions=versions, cases=cases)) + "\n")


if __name__ == "__main__":
    main()
