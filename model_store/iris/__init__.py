"""iris: which of three species has these sepals and petals? A perceptron 4-64-32-3, the smallest model."""
