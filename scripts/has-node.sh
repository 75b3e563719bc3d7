#!/bin/sh
# Succeeds when the machine has a Node and an npm that can build the page (Vite 8: Node 20.19, 22.12 or newer).
node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major >= 23 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1);
' >/dev/null 2>&1 && npm --version >/dev/null 2>&1
