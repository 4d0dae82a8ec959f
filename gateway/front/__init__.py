"""How does the whole gateway run inside Envoy, which then serves REST, gRPC and TLS on its ports?

`process` is `tandem serve --front envoy`: it starts Envoy, and tells it to end. Envoy loads Python by the
package pyvoy, and with it `inside`, the application; `within` is the gateway's front there. `listeners` says
how Envoy is configured, `terms` what both sides have to know.
"""
