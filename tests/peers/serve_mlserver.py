"""The models' code for the real MLServer, which loads `Served` by its name, in its own environment."""

from __future__ import annotations

import numpy as np
from mlserver import MLModel, types
from mlserver.codecs import NumpyCodec

from tests.peers import models


class Served(MLModel):  # type: ignore[misc]  # not in the gateway's environment, where mypy runs
    """One of the models, by its name in model-settings.json."""

    async def load(self) -> bool:
        """Load it."""
        self._function = models.load(self.settings.name)
        return True

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        """One request."""
        inputs = {entry.name: _decoded(entry) for entry in payload.inputs}
        outputs = self._function(inputs)
        return types.InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[_encoded(name, array) for name, array in outputs.items()],
        )


def _decoded(entry: types.RequestInput) -> models.Array:
    if entry.datatype != "BYTES":
        array: models.Array = NumpyCodec.decode_input(entry)
        return array
    elements = [e.encode() if isinstance(e, str) else bytes(e) for e in entry.data]
    return np.array(elements, object).reshape(entry.shape)


def _encoded(name: str, array: models.Array) -> types.ResponseOutput:
    if array.dtype.kind != "O":
        return NumpyCodec.encode_output(name, array)
    data = array.ravel().tolist()
    return types.ResponseOutput(name=name, datatype="BYTES", shape=list(array.shape), data=data)
