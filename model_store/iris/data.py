"""Where do iris' rows come from? Fisher's 150 flowers, as scikit-learn carries them."""

import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

from model_store.definition import Dataset, Rows
from model_store.iris.definition import DEFINITION


def load() -> Dataset:
    """120 rows to train, 30 to test, each species in the same share: `x` is float32 `[rows, 4]`, in cm."""
    assert DEFINITION.recipe is not None
    bunch = load_iris()
    train_x, test_x, train_y, test_y = train_test_split(
        bunch.data.astype(np.float32),
        bunch.target.astype(np.int64),
        test_size=30,
        stratify=bunch.target,
        random_state=DEFINITION.recipe.seed,
    )
    return Dataset(
        name="iris",
        source="scikit-learn, sklearn.datasets.load_iris (R. A. Fisher, 1936)",
        license="BSD-3-Clause (scikit-learn)",
        label_names=tuple(str(name) for name in bunch.target_names),
        train=Rows(inputs={"x": train_x}, labels=train_y),
        test=Rows(inputs={"x": test_x}, labels=test_y),
    )
