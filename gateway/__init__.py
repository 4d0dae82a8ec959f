"""Tandem: one endpoint in front of TensorFlow Serving and a PyTorch server.

The path of one request, and the module that takes each step:

    servers.rest | servers.grpc   bytes arrive; the dialect's codec reads them
    codecs.*                      bytes -> messages.InferRequest (pure)
    pipeline                      the story: one pass over the steps below, in a scene (table, lanes)
      lifecycle                   may we accept it?
      routing                     which arm, which shadows? (pure)
      batching                    when, with whom, how many rows?
      backends.*                  the batch goes out over gRPC and comes back
      shadow                      aside: what would another arm have said?
    codecs.*                      messages.InferResponse -> bytes (pure)
    telemetry                     every step is counted and timed

Read the folders in the order of that list; `app.py` wires them together, `workers` runs several as one.
"""

__version__ = "0.1.0"
