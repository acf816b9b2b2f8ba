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
.venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off \
    --require-hashes --requirement "$lock" > "$log" 2>&1 &
pip=$!
trap 'kill "$pip" 2>/dev/null' INT TERM HUP
if ! [ -t 1 ]; then echo "  · Installing $label …"; fi
while kill -0 "$pip" 2>/dev/null; do
    if [ -t 1 ]; then  # pip names each package once, as collected or as there already; then it installs them all
        printf '\r  · Installing %s: %s looked up …' "$label" "$(grep -c '^Collecting\|^Requirement already' "$log")"
    fi
    sleep 0.3
done
if [ -t 1 ]; then printf '\r\033[K'; fi
if ! wait "$pip"; then
    tail -n 15 "$log" >&2
    echo "  ✗ Installing $label failed. All that the installer wrote: $log" >&2
    exit 1
fi
echo "  ✓ $label ($(($(date +%s) - started)) s)"

# Built with what the lock brought, so nobody is asked; what they need, MLflow has brought, too.
for package; do
    if ! .venv/bin/python -m pip install --disable-pip-version-check --no-input --quiet --no-index --no-deps \
        --no-build-isolation --force-reinstall "./$package" >> "$log" 2>&1; then
        tail -n 15 "$log" >&2
        echo "  ✗ Installing $package failed. All that the installer wrote: $log" >&2
        exit 1
    fi
done
