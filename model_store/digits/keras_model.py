"""What is digits in Keras?"""

import keras

_TORCH_EPSILON = 1e-5  # of torch's batch normalisation; Keras' own default is 1e-3


def build() -> keras.Model:
    """float32 `[rows, 8, 8, 1]` to logits, float32 `[rows, 10]`; the layers are named as torch's."""
    image = keras.Input((8, 8, 1), name="image")
    h = keras.layers.Conv2D(16, 3, padding="same", name="conv1")(image)
    h = keras.layers.BatchNormalization(epsilon=_TORCH_EPSILON, name="bn1")(h)
    h = keras.layers.ReLU(name="relu1")(h)
    h = keras.layers.Conv2D(32, 3, padding="same", name="conv2")(h)
    h = keras.layers.BatchNormalization(epsilon=_TORCH_EPSILON, name="bn2")(h)
    h = keras.layers.ReLU(name="relu2")(h)
    h = keras.layers.MaxPooling2D(2, name="pool")(h)
    h = keras.layers.Flatten(name="flatten")(h)
    h = keras.layers.Dense(64, name="dense1")(h)
    h = keras.layers.ReLU(name="relu3")(h)
    return keras.Model({"image": image}, keras.layers.Dense(10, name="logits")(h))
