"""Where do digits' rows come from? 1,797 scanned digits, as scikit-learn carries them."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from model_store.definition import Dataset, Rows
from model_store.digits.definition import DEFINITION

_WHITE = 16.0  # the data counts the dark pixels of 4×4 squares


def load() -> Dataset:
    """1,437 rows to train, 360 to test: `image` is float32 `[rows, 8, 8, 1]`, 0 to 1."""
    assert DEFINITION.recipe is not None
    bunch = load_digits()
    train_x, test_x, train_y, test_y = train_test_split(
        (bunch.images / _WHITE).astype(np.float32)[..., np.newaxis],
        bunch.target.astype(np.int64),
        test_size=360,
        stratify=bunch.target,
        random_state=DEFINITION.recipe.seed,
    )
    return Dataset(
        name="digits",
        source="scikit-learn, sklearn.datasets.load_digits (E. Alpaydin, C. Kaynak, UCI, 1998)",
        license="BSD-3-Clause (scikit-learn), CC BY 4.0 (UCI)",
        label_names=tuple(str(name) for name in bunch.target_names),
        train=Rows(inputs={"image": train_x}, labels=train_y),
        test=Rows(inputs={"image": test_x}, labels=test_y),
    )
