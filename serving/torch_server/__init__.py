"""The PyTorch server: AOTInductor packages from the model store, served over the Open Inference Protocol.

The modules, in reading order:

    settings      what can be set on the command line
    store_watch   what is in the model store?
    registry      which versions to load and unload now? (pure)
    fleet         the versions that are loading, ready, refused, or unloading
    ports         what a pool needs of a worker
    pool          one version's queue and its worker processes
    process       one worker process, as the server sees it
    child         the process itself: its end, and what it writes
    frames        bytes between parent and worker (pure)
    worker        the child process: the only module that imports torch
    package       may this file be loaded at all? (pure, run in the worker)
    contract      do these tensors fit the model? (pure)
    inference     one request, without its protocol
    infer         an inference over REST, from its bytes to its answer's
    rest, grpc    the outside calls us
    metrics, logs, scratch
    server        composition, signals, drain
"""
