"""BentoML with a model of the store."""
