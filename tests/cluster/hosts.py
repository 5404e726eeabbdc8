"""Two hosts h1 and h2 on this machine: each a network and a host name of its own, on a switch whose cables can be cut."""
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from workshop import wait_for

KEEPER = "ip link set lo up; {setup}; echo ready; exec sleep infinity"
# Open MPI's remote shell: `agent HOST COMMAND…`.
AGENT = """#!/bin/bash
host=$1
shift
exec nsenter --target "$(cat {folder}/$host.pid)" --net --uts --mount bash -c "cd '$PWD' && $*"
"""


def why_not():
    """Why there can be no hosts here, as a sentence; empty: there can."""
    for name in ["ip", "unshare", "nsenter"]:
        if not shutil.which(name):
            return f"no hosts in namespaces: {name} is missing (Debian: iproute2, util-linux)"
    if os.geteuid() != 0:
        return "no hosts in namespaces: they need root"
    probe = "ip link add probe0 type bridge && ip link add probe1 type veth peer name probe2"
    tried = subprocess.run(["unshare", "--net", "--uts", "--mount", "bash", "-c", probe], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"no hosts in namespaces here: {tried.stderr.strip()}"


class Hosts:
    """From __enter__ to __exit__. The namespaces live as long as the processes that keep them; nothing is named outside."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="hosts-"))
        self.keepers = {}
        (self.folder / "hosts").write_text("127.0.0.1 localhost\n10.77.0.1 h1\n10.77.0.2 h2\n")
        self.agent = self.folder / "agent"
        self.agent.write_text(AGENT.format(folder=self.folder))
        self.agent.chmod(0o755)
        try:
            self.keep("switch", "ip link add br0 type bridge; ip link set br0 up")
            for i in [1, 2]:
                self.keep(f"h{i}", f"hostname h{i}; mount --bind {self.folder}/hosts /etc/hosts")
                port, pid = f"p{i}", self.keepers[f"h{i}"].pid
                self.on("switch", f"ip link add {port} type veth peer name eth0 netns {pid} && "
                                  f"ip link set {port} master br0 up")
                self.on(f"h{i}", f"ip addr add 10.77.0.{i}/24 dev eth0 && ip link set eth0 up")
            self.wait_for_link()
        except BaseException:
            self.__exit__()
            raise
        return self

    def keep(self, name, setup):
        keeper = subprocess.Popen(["unshare", "--net", "--uts", "--mount", "bash", "-ec", KEEPER.format(setup=setup)],
                                  stdout=subprocess.PIPE, text=True)
        self.keepers[name] = keeper
        (self.folder / f"{name}.pid").write_text(str(keeper.pid))
        assert keeper.stdout.readline() == "ready\n", f"{name} could not be set up"

    def command_on(self, name, *words, cwd="/"):
        return ["nsenter", "--target", str(self.keepers[name].pid), "--net", "--uts", "--mount", "bash", "-c",
                'cd "$0" && exec "$@"', str(cwd), *map(str, words)]

    def on(self, name, script, check=True):
        return subprocess.run(self.command_on(name, "bash", "-c", script), check=check).returncode

    def processes(self, name):
        """Process ids of the host."""
        if self.keepers[name].poll() is not None:
            return []
        network = os.readlink(f"/proc/{self.keepers[name].pid}/ns/net")
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/ns/net") == network:
                    found.append(int(pid))
            except OSError:
                continue
        return found

    def wait_for_link(self):
        for here, there in [("h1", "h2"), ("h2", "h1")]:
            refused = f"(timeout 1 bash -c ': </dev/tcp/{there}/9') 2>&1 | grep -q refused"  # so somebody is there
            wait_for(lambda: self.on(here, refused, check=False) == 0, what=f"{here} does not reach {there}")

    def cut(self, name):
        self.on("switch", f"ip link set p{name[1:]} down")

    def mend(self, name):
        self.on("switch", f"ip link set p{name[1:]} up")
        self.wait_for_link()

    def clear(self):
        """Ends what still runs on the hosts."""
        for name, keeper in self.keepers.items():
            for pid in self.processes(name):
                if pid != keeper.pid:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass

    def __exit__(self, *_):
        self.clear()
        for keeper in self.keepers.values():
            keeper.kill()
            keeper.wait()
            keeper.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
