"""Load for a collaboration server, made and measured: what ``cowrite load`` does, for programs.

    report = await run(Plan(url="http://127.0.0.1:8000", people=100, typing=10, rate=5))
    print(report.delivery.latency.p99)

It is somebody else's client: it knows the protocols, and nothing of the server's insides, so that it measures other servers of
y-websocket's and Hocuspocus' protocols in the same way. docs/reference/load.md says what the figures mean.

A run: ``command`` (for a terminal, with ``option_values`` and ``progress``) → ``running``, which follows a ``plan`` → in each
process a ``generator``, whose ``people`` come by ``ramp_up``, act by ``pacing``, write ``edits``, read ``frames``, and count
in a ``meter`` → ``report``. Another process is reached through ``worker_process``, which starts ``worker``. ``seeding`` puts
text into documents before; ``server_figures`` looks at the server.
"""

from cowrite.loadtest.errors import LoadError
from cowrite.loadtest.plan import Plan, Protocol
from cowrite.loadtest.report.model import Report
from cowrite.loadtest.running import run

__all__ = ["LoadError", "Plan", "Protocol", "Report", "run"]
