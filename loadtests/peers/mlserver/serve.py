"""The runtime that MLServer loads by its name in model-settings.json."""

from __future__ import annotations

from mlserver import MLModel, types
from mlserver.codecs import NumpyCodec

from loadtests.peers.served import OUTPUTS, load


class Served(MLModel):  # type: ignore[misc]  # not in the gateway's environment, where mypy runs
    """A model of the store; MLServer joins the requests of a batch before `predict` and cuts its answer."""

    async def load(self) -> bool:
        """Load it."""
        self._run = load(self.settings.name)
        return True

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        """One batch."""
        inputs = {entry.name: NumpyCodec.decode_input(entry) for entry in payload.inputs}
        output = NumpyCodec.encode_output(OUTPUTS[self.settings.name], self._run(inputs))
        return types.InferenceResponse(model_name=self.name, outputs=[output])
