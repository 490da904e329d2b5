#!/usr/bin/env bash
# Installs the clients written by others that the foreign tests drive: Python ones into .venv-foreign, jsforce into
# node_modules beside this file. Versions and hashes stand in requirements.lock and package-lock.json.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
venv="$root/.venv-foreign"
python="${PYTHON:-$root/.venv/bin/python}"
[ -x "$python" ] || python=python3.11

if ! cmp -s "$here/requirements.lock" "$venv/.installed"; then
    echo "foreign clients: Python packages into .venv-foreign"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r "$here/requirements.lock"
    cp "$here/requirements.lock" "$venv/.installed"
fi

if ! command -v npm >/dev/null; then
    echo "foreign clients: no npm here, so jsforce is left out and its tests are skipped"
elif ! cmp -s "$here/package-lock.json" "$here/node_modules/.installed"; then
    echo "foreign clients: jsforce into tests/platforms/foreign/node_modules"
    (cd "$here" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    cp "$here/package-lock.json" "$here/node_modules/.installed"
fi
