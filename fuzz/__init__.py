"""Attacks on everything that reads what a peer sends: ``make fuzz``. ``docs/reliability.md`` says what must hold.

* ``targets/``: one module for each decoder, with what must hold for all bytes.
* ``guided.py``: atheris, which makes bytes that take new ways through the code; ``mutation.py``: seeded damage, without it.
* ``hostile.py``: writes valid-looking hostile updates; ``rooms.py`` and ``servers.py`` send them to a room and to a server.
* ``campaign.py``: all of these for some minutes. ``corpus/``: bytes that took ways of their own; tests replay them.
"""
