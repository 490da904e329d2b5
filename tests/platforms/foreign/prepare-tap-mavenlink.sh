#!/usr/bin/env bash
# Installs the Singer tap for Mavenlink (Kantata's old name), unchanged, into .venv-tap-mavenlink.
# The tap pins packages of 2018 that do not run on Python 3.11, so it and its framework are installed without their
# dependencies, and today's requests and singer-python beside them. Versions and hashes: tap-mavenlink.lock.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
venv="$root/.venv-tap-mavenlink"
python="${PYTHON:-$root/.venv/bin/python}"
[ -x "$python" ] || python=python3

if cmp -s "$here/tap-mavenlink.lock" "$venv/.installed"; then
    exit 0
fi
echo "foreign clients: tap-mavenlink into .venv-tap-mavenlink"
rm -rf "$venv"
"$python" -m venv "$venv"
pip=("$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes --no-deps)
"${pip[@]}" -r "$here/tap-mavenlink.build.lock"
"${pip[@]}" --no-build-isolation -r "$here/tap-mavenlink.lock"
cp "$here/tap-mavenlink.lock" "$venv/.installed"
