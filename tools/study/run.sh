#!/usr/bin/env bash
# The study, one command: tools/study/run.sh (in the background: nohup tools/study/run.sh &). Fetches the model and the tasks
# once, runs stage after stage, and writes STUDY.md. Kill it at any moment and start it again. --help for its options.
set -euo pipefail
cd "$(dirname "$0")/../.."
. launch/env.sh
stamp=.venv/.installed-study
if ! cmp -s tools/study/requirements.txt $stamp; then
  .venv/bin/pip install --quiet --disable-pip-version-check -r tools/study/requirements.txt
  cp tools/study/requirements.txt $stamp
fi
case " $* " in *" --sample "*) ;; *) tools/demo_assets.sh ;; esac
exec .venv/bin/python tools/study/run.py "$@"
