"""The real TensorFlow Serving, where its binary is at hand: by itself, and behind Tandem."""
