"""What can be wrong before a broker is open."""

from __future__ import annotations


class BrokerSetupError(Exception):
    """The server that the settings name will not carry news as it is. The message is one line for people: what is wrong, and
    what to do.
    """
