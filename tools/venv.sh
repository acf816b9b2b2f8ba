#!/bin/sh
# Makes .venv with the newest suitable Python (or the one in $PYTHON) and installs a locked requirements file into it.
set -eu
lock="$1"

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
    echo "Making .venv with $("$found" --version) …"
    if ! "$found" -c 'import venv, ensurepip' 2>/dev/null; then
        echo "This Python has no venv and ensurepip. On Debian: apt-get install python3-venv" >&2
        exit 1
    fi
    "$found" -m venv --clear .venv
fi

echo "Installing $(grep -c '^[A-Za-z0-9]' "$lock") pinned packages from $lock (minutes the first time, seconds afterwards) …"
quiet=""
if [ -e .venv/runtime.stamp ]; then quiet="--quiet"; fi  # most is there; pip would say so once per package
.venv/bin/python -m pip install $quiet --disable-pip-version-check --require-hashes --requirement "$lock"
