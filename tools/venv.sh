#!/bin/sh
# usage: sh tools/venv.sh LOCK [PACKAGE…]
# Makes .venv with the newest suitable Python (or the one in $PYTHON) and installs a locked requirements file into it,
# and then our own packages.
set -eu
lock="$1"
shift

is_suitable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

if ! { [ -x .venv/bin/python ] && is_suitable .venv/bin/python; }; then
    found=""
    for name in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        if is_suitable "$name"; then found="$name"; break; fi
    done
    if [ -z "$found" ]; then
        echo "Countersign needs Python 3.11, 3.12 or 3.13; ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || true)." >&2
        echo "Install one (on Debian: apt-get install python3 python3-venv) or name it: make demo PYTHON=/path/to/python3.11" >&2
        exit 1
    fi
    echo "  · Making .venv with $("$found" --version) …"
    if ! "$found" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "This Python has no venv and ensurepip. On Debian: apt-get install python3-venv" >&2
        exit 1
    fi
    "$found" -m venv --clear .venv
fi

count="$(awk '/^[A-Za-z0-9]/ { n++ } END { print n + 0 }' "$lock")"
log=.venv/install.log
label="$count pinned packages from $lock"
started="$(date +%s)"
# Our own packages after it: they are built with what the lock brought.
.venv/bin/python tools/install.py "$lock" "$@" > "$log" 2>&1 &
installer=$!
trap 'kill "$installer" 2>/dev/null' INT TERM HUP
if ! [ -t 1 ]; then echo "  · Installing $label …"; fi
while kill -0 "$installer" 2>/dev/null; do
    if [ -t 1 ]; then printf '\r  · Installing %s: %s s …' "$label" "$(($(date +%s) - started))"; fi
    sleep 0.3
done
if [ -t 1 ]; then printf '\r\033[K'; fi
if ! wait "$installer"; then
    tail -n 15 "$log" >&2
    echo "  ✗ Installing $label failed. All that the installer wrote: $log" >&2
    exit 1
fi
echo "  ✓ $label ($(($(date +%s) - started)) s)"
