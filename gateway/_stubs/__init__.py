"""Generated messages, wire-compatible with TF Serving's and the Open Inference Protocol's."""
