"""How fast is Tandem beside the servers that do the same work? Each as its makers advise, and tuned.

`python -m loadtests.peers` measures; read on in this order:

    __main__.py   what can be asked for, and in which order it happens
    peer.py       what a peer is, and how one is started and stopped
    <peer>/       peer.py: settings, command, how it is asked; serve.py: its service, which runs in its environment
    served.py     the models, inside the peers' environments
    offline.py    what the model does without any server
    questions.py  the rows that are sent, and what must be answered
    forms.py      how each server wants a row
    closed.py     a closed loop, by wrk; the open one is loadtests/open_loop
    judge.py      are the answers right?
    targets.py, section.py  what the rows say
"""
