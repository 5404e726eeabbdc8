# What the launch scripts set, each with its reason. Sourced, from anywhere: . launch/env.sh
# shellcheck shell=bash disable=SC2128
GAGGLE_HOME=$(cd "$(dirname "${BASH_SOURCE:-launch/env.sh}")/.." && pwd)

# The program: the build for GPUs where there is one; where this is PREFIX/share/gaggle/launch, the installed one.
if [ -z "${GAGGLE:-}" ]; then
  for GAGGLE in "${GAGGLE_HOME%/share/gaggle}/bin/gaggle" "$GAGGLE_HOME/build-cuda/gaggle" "$GAGGLE_HOME/build/gaggle"; do
    [ ! -x "$GAGGLE" ] || break
  done
fi
export GAGGLE
case :$PATH: in *:"${GAGGLE%/*}":*) ;; *) export PATH="${GAGGLE%/*}:$PATH" ;; esac  # gaggle is what every "next:" line types

# The mpirun of the MPI that gaggle was built with. On a cluster with an MPI of its own there is none in .venv.
[ -x "$GAGGLE_HOME/.venv/bin/mpirun" ] && export PATH="$GAGGLE_HOME/.venv/bin:$PATH"

# Containers often run as root; Open MPI asks for a confirmation.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# mpirun's daemons notice a host that is gone after 10 + 4·5 s. With the defaults a cut link was noticed after eight
# minutes (Open MPI 4.1). OMPI_ is read by Open MPI 4.1, PRTE_ by 5.
for layer in OMPI PRTE; do
  export ${layer}_MCA_oob_tcp_keepalive_time=10 ${layer}_MCA_oob_tcp_keepalive_intvl=5 \
    ${layer}_MCA_oob_tcp_keepalive_probes=4
done
unset layer

# Threads that wait for each other sleep soon, a GPU's memory stays in one piece (src/app/main.cpp). Set here, the program need not start itself again.
[ -n "${OMP_WAIT_POLICY:-}" ] || export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-1000}
[ -n "${PYTORCH_CUDA_ALLOC_CONF:-}" ] || export PYTORCH_ALLOC_CONF=${PYTORCH_ALLOC_CONF:-expandable_segments:True}

# NCCL says why it gave up (a wrong interface, a lost peer) instead of a bare error number.
export NCCL_DEBUG=${NCCL_DEBUG:-WARN}

# Not set, for they belong to a site: NCCL_SOCKET_IFNAME and NCCL_IB_HCA (NCCL), OMPI_MCA_btl_tcp_if_include and
# PRTE_MCA_prte_if_include (Open MPI) name the network where hosts have several and the wrong one is taken.
