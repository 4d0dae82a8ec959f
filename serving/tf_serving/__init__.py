"""TensorFlow Serving behind the gateway: its configuration, and a stand-in where its binary is missing.

Read in this order:

    config      which models, from which paths, which of their versions: the values, and how to write them
    textproto   the same, read from the file that the real server reads
    versions    what to load or unload next? (pure)
    signature   does this request fit this signature, and what is to be run? (pure)
    servable    one SavedModel in memory; the only module that calls TensorFlow
    served      which versions are loaded, who is using them, what is their state?
    loader      watches the base paths and keeps `served` as the configuration wants it
    pool        threads for calls, and a bound on how many wait for one
    service     the gRPC methods: bytes in, bytes out
    events      what happened, one JSON line each
    settings    the command line's flags, as values
    standin     the parts put together: load, listen, follow, drain
    local       the command line: what can go wrong early, signals, the exit status
"""
