"""How fast is the path? Side by side in one run, as ratios: `python -m loadtests.bench`."""
