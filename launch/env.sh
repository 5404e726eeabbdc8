# Settings of Open MPI that gaggle's launch scripts use. Sourced from the project's root.
[ -x .venv/bin/mpirun ] && export PATH="$PWD/.venv/bin:$PATH"
# Containers often run as root; Open MPI asks for a confirmation.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
