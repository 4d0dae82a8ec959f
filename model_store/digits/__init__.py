"""digits: which digit was written by hand in these 8×8 pixels? A small convolutional network."""
