#!/usr/bin/env bash
# gaggle beside PEFT and mttl, one command: tools/peers/all.sh --to docs/benchmarks/peers.json  (--help for its options)
cd "$(dirname "$0")/../.." || exit 1
. launch/env.sh
python=.venv/bin/python
[ -x $python ] || python=python3
exec $python tools/peers/all.py "$@"
