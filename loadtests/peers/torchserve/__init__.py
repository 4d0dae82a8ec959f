"""TorchServe with a model of the store."""
