"""From one model definition to a published version: train, export twice, hold both to the same answers.

    python -m serving.export build iris digits minilm

Read `build.py` first: it is the story. The steps that need a framework are `torch_steps.py` and
`tensorflow_steps.py`, each a process in its own environment; everything else needs numpy at most.
"""
