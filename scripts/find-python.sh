#!/bin/sh
# Prints the Python that .venv is made with: 3.11 or newer, with venv. The versions that we test come first; PYTHON=… chooses another.
without_venv=
for candidate in "$PYTHON" python3.13 python3.12 python3.11 python3 python; do
    test -n "$candidate" || continue
    # A name on the PATH may be a shim that refuses to start: only what really runs counts.
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        command -v "$candidate"
        exit 0
    fi
    test -n "$without_venv" || without_venv=$candidate
done

if test -n "$without_venv"; then
    echo "cowrite: $without_venv is installed without its venv module. On Debian and Ubuntu: apt install python3-venv" >&2
else
    echo "cowrite: no Python 3.11 or newer found. Install one (Debian and Ubuntu: apt install python3 python3-venv)," >&2
    echo "         or name one: make PYTHON=/path/to/python3 …" >&2
fi
exit 1
