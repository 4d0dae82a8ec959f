"""What is iris in Keras?"""

import keras


def build() -> keras.Model:
    """float32 `[rows, 4]` to logits, float32 `[rows, 3]`; the layers are named as torch's."""
    x = keras.Input((4,), name="x")
    h = keras.layers.Dense(64, name="dense1")(x)
    h = keras.layers.ReLU(name="relu1")(h)
    h = keras.layers.Dense(32, name="dense2")(h)
    h = keras.layers.ReLU(name="relu2")(h)
    return keras.Model({"x": x}, keras.layers.Dense(3, name="logits")(h))
