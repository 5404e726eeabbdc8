#!/usr/bin/env bash
# What gaggle report starts: sees to Python and the packages that the page is made with, then to the page (tools/report.py).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../../.venv
needs="gaggle report draws with Python 3.11 or newer and the packages of $here/requirements.txt"

say() { echo "error: $*" >&2 && exit 2; }
has_packages() { "$1" -c 'import numpy, plotly, tomllib' 2>/dev/null; }

if [ -x "$venv/bin/pip" ]; then
  python=$venv/bin/python
  stamp=$venv/.installed-report
  if ! cmp -s "$here/requirements.txt" "$stamp"; then
    echo "putting plotly and NumPy into .venv, once …" >&2
    if said=$("$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" 2>&1); then
      cp "$here/requirements.txt" "$stamp" 2>/dev/null || true  # another user's .venv: pip is asked again next time
    else
      has_packages "$python" || say "$needs; they could not be installed: ${said##*$'\n'}"
    fi
  fi
else
  python=$(command -v python3) || say "$needs; there is no python3 on PATH: install it"
  has_packages "$python" || say "$needs, which $python lacks: $python -m pip install -r $here/requirements.txt (in a virtual environment that is on PATH)"
fi
exec "$python" "$here/../report.py" "$@"
