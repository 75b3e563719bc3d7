"""What can go wrong in the engine.

ValueError
├── HostileUpdate          a peer sent an update that must not reach the engine: refuse it, close that peer
└── MalformedStateVector   (in state_vector) a peer sent a state vector that is none: refuse it, close that peer
Exception
└── EngineFault            the engine itself failed: throw the document away and rebuild it from the log
"""

from __future__ import annotations

from typing import NoReturn


class HostileUpdate(ValueError):
    """An update that is malformed, or that would crash, stall or poison the engine or other peers.

    ``code`` is short and stable, for metrics and tests; ``reason`` says in words what is wrong.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"The update was refused ({code}): {reason}.")
        self.code = code
        self.reason = reason


class EngineFault(Exception):
    """The engine raised or panicked. The document that it held is unusable and may be half changed: rebuild it from the log."""


def raise_fault(error: BaseException) -> NoReturn:
    """Raise :class:`EngineFault` for what a call of the engine raised."""
    # A panic of the engine is no Exception, and its class cannot be imported. KeyboardInterrupt and its like pass.
    if isinstance(error, Exception) or type(error).__module__ == "pyo3_runtime":
        raise EngineFault(f"The engine failed ({type(error).__name__}: {error}).") from error
    raise error
