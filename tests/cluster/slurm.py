"""A Slurm of our own for the tests: munged, slurmctld and one slurmd as this user, on free ports, in a temporary folder."""
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from workshop import wait_for

PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo"]
SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"

# cred_expire (5 s is the least): a requeued job starts again after seconds instead of two minutes. config_overrides: four tasks fit
# wherever the tests run.
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/sock,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
TmpFS={folder}/tmp
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
PlugStackConfig={folder}/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
SlurmdTimeout=10
KillWait=5
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs=4 RealMemory=1000
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs():
    return [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:{SYSTEM}")]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Slurm:
    """Running from __enter__ to __exit__; the commands are called with run("squeue", …)."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # munged wants a path that everybody may walk
        self.daemons = []
        self.environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"),
                            "PATH": f"{os.environ['PATH']}:{SYSTEM}"}

    def __enter__(self):
        folder = self.folder
        for name in ["state", "spool", "tmp", "munge"]:
            (folder / name).mkdir(parents=True)
        folder.chmod(0o711)
        (folder / "munge").chmod(0o711)
        key = folder / "munge/key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        controller_port, node_port = free_ports(2)
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        (folder / "slurm.conf").write_text(CONFIG.format(host=socket.gethostname().split(".")[0], user=user, folder=folder,
                                                         controller_port=controller_port, node_port=node_port))
        (folder / "plugstack.conf").touch()
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        munge = folder / "munge"
        try:
            self.start("munged", "--foreground", "--num-threads=2", f"--key-file={key}", f"--socket={munge}/sock",
                       f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed")
            wait_for((munge / "sock").exists, what="munged did not start")
            self.start("slurmctld", "-D", "-c")
            self.start("slurmd", "-D", "-N", "n1")
            wait_for(lambda: self.run("sinfo", "-h", "-t", "idle", "-o", "%N", check=False).strip(),
                     what="Slurm's node is not idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, *words):
        with open(self.folder / f"{words[0]}.out", "w") as out:
            self.daemons.append(subprocess.Popen([str(word) for word in words], env=self.environment, stdout=out,
                                                 stderr=out))

    def __exit__(self, *_):
        if len(self.daemons) == 3:
            subprocess.run(["scancel", "--user", str(os.getuid())], env=self.environment, capture_output=True)
            end = time.monotonic() + 20
            while time.monotonic() < end and self.squeue(check=False):
                time.sleep(0.1)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *words, check=True, cwd=None, timeout=60):
        done = subprocess.run([str(word) for word in words], env=self.environment, cwd=cwd, capture_output=True, text=True,
                              timeout=timeout)
        assert not check or done.returncode == 0, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def speaks_pmix(self):
        start = ["srun", "--mpi=pmix", "true"]
        return subprocess.run(start, env=self.environment, capture_output=True, timeout=60).returncode == 0

    def sbatch(self, *words, cwd):
        return int(self.run("sbatch", "--parsable", *words, cwd=cwd))

    def squeue(self, *words, check=True):
        return self.run("squeue", "-h", *words, check=check).strip()

    def wait(self, job, seconds=120):
        """Until the job has left the queue; returns its exit code."""
        wait_for(lambda: not self.squeue("-j", str(job), check=False), seconds, f"job {job} is still in the queue")
        return self.exit_code(job)

    def facts(self, job):
        """What `scontrol show job` says, as a dictionary."""
        return dict(re.findall(r"(\w+)=(\S*)", self.run("scontrol", "show", "job", "-o", str(job))))

    def exit_code(self, job):
        return int(self.facts(job)["ExitCode"].split(":")[0])

