#!/usr/bin/env bash
# Any command of gaggle on this machine, over as many ranks as it has GPUs, else cores (at most 8, the number of lanes
# that training over several ranks starts from). Everything but -n goes to gaggle:
#   launch/local.sh [-n RANKS] experts my.toml --train.lr=1e-3
set -euo pipefail
# shellcheck source=launch/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

ranks=
if [ "${1:-}" = -n ]; then
  ranks=${2:-}
  if ! [[ $ranks =~ ^[1-9][0-9]*$ ]]; then
    printf 'launch/local.sh: -n %s: a number of ranks was expected, e.g. -n 2\n' "$ranks" >&2
    exit 2
  fi
  shift 2
fi
if [ $# = 0 ]; then
  sed -n '2,4s/^# *//p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
if ! [ -x "$GAGGLE" ]; then
  printf 'launch/local.sh: %s is not there: tools/setup.sh builds it\n' "$GAGGLE" >&2
  exit 2
fi

if [ -z "$ranks" ]; then
  ranks=$(nvidia-smi --list-gpus 2>/dev/null | grep -c '^GPU') || {
    ranks=$(OMP_NUM_THREADS="" nproc)
    # A container's quota (docker --cpus, Kubernetes' limits) pays for fewer than it shows; "max": there is none.
    if read -r quota period 2>/dev/null </sys/fs/cgroup/cpu.max && [ "$quota" != max ] && [ $((quota / period)) -lt "$ranks" ]; then
      ranks=$((quota < period ? 1 : quota / period))
    fi
  }
  [ "$ranks" -le 8 ] || ranks=8
fi
[ "$ranks" = 1 ] && exec "$GAGGLE" "$@"

# At Ctrl-C mpirun drops what the ranks say and kills them a second later. SIGUSR1 it passes on: they save, and say so. So
# mpirun is in a process group of its own (set -m), which the terminal's Ctrl-C does not reach; the second one ends it.
set -m
# Not bound: gaggle divides the cores among the ranks, mpirun would give each rank one.
mpirun -np "$ranks" --oversubscribe --bind-to none "$GAGGLE" "$@" &
job=$!
pass_on=USR1
trap 'kill -$pass_on "$job"; pass_on=TERM' INT
for signal in USR1 USR2 TERM; do
  # shellcheck disable=SC2064
  trap "kill -$signal $job" $signal
done
code=0
wait "$job" || code=$?
while [ $code -gt 128 ]; do  # a signal came while we waited, or ended mpirun: then there is nobody left to wait for
  again=0
  wait "$job" 2>/dev/null || again=$?
  [ $again != 127 ] || break
  code=$again
done
exit $code
