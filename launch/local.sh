#!/usr/bin/env bash
# Any command of gaggle on this machine, over as many ranks as it has GPUs, else cores (at most 8, the number of lanes
# that training over several ranks starts from). Everything but -n goes to gaggle:
#   launch/local.sh [-n RANKS] experts my.toml --train.epochs=1
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
# Not bound: gaggle divides the cores among the ranks, mpirun would give each rank one.
exec mpirun -np "$ranks" --oversubscribe --bind-to none "$GAGGLE" "$@"
