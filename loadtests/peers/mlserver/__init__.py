"""MLServer with a model of the store."""
