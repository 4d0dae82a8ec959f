"""How is HTTP/1.1 spoken to clients, quickly and within bounds?

uvicorn's protocol with what it lacks. The gateway and the servers behind it listen with it; it knows nothing of
models. In the order of reading: `cycle` (one request and its answer), `bounds` (patience and refusals), `intake`
(large bodies), `direct` (answers without a task), `protocol` (bytes become requests), `listen`.
"""
