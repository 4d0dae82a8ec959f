"""TensorFlow Serving behind the gateway: its configuration, and a stand-in where its binary is missing.

Read in this order:

    config      which models, from which paths, which of their versions: the values, and how to write them
    textproto   the same, read from the file that the real server reads
    versions    what to load or unload next? (pure)
    signature   does this request fit this signature, and what is to be run? (pure)
    examples    what do Classify and Regress ask of a signature, and make of its outputs? (pure)
    servable    one SavedModel in memory; the only module that calls TensorFlow
    served      which versions are loaded, who is using them, what is their state?
    loader      watches the base paths and keeps `served` as the configuration wants it
    reload      what happens when another configuration is sent?
    inference   what do Classify, Regress and MultiInference answer?
    pool        threads for calls, and a bound on how many wait for one
    service     the gRPC methods: bytes in, bytes out
    events      what happened, one JSON line each
    settings    the command line's flags, as values
    standin     the parts put together: load, listen, follow, drain
    local       the command line: what can go wrong early, signals, the exit status
"""
