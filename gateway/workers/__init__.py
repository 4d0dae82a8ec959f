"""How do several processes serve as one gateway?

                     ┌─ accepts REST, hands each connection to a worker in turn ─┐
    supervisor ──────┼─ starts workers, and starts those that die again          ├──▶ worker 0 … worker N-1
    (no requests)    └─ admin: /metrics, /readyz, /admin of all of them, merged ─┘       │
                                                                 gRPC: all listen on one port ◀┘

    told.py         what does a worker tell of itself?                  (values)
    merging.py      what do the metrics of several workers say together? (pure)
    ledger.py       what was counted, by those that live and by those that died?
    orders.py       what is a worker told when it is started?
    handing.py      how does a connection get from the supervisor to a worker?
    crew.py         how are the workers kept running, and stopped?
    asking.py       how does the supervisor ask its workers?
    admin.py        what may be asked of all of them together?
    turns.py        which worker's batch goes next, when they share an arm's slots?
    leases.py       by which means do they?
    ports.py        how is a port held for the workers, and for nobody else?
    supervisor.py   who is wired to whom?
    front.py        where do a worker's requests come from?
    office.py       what does a worker ask of the others, and tell them?
    child.py        what does a worker's process do?

Nothing here is in the way of a request: a worker is an ordinary gateway with another front.
"""
