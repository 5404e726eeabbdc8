"""Random kills, stops and restarts of workers that share one registry. At every moment the registry verifies; in the end
every expert was committed once, with the bits of an undisturbed run.

    python tests/cluster/chaos.py --minutes 30 --experts 40      # prints what it did; exit code 1 where a promise broke
"""
import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from workshop import SPLITS, WORDS, Workshop, write_tokenizer  # noqa: E402

# A process that the loader still works on heeds no request to stop: signals end it.
ENDINGS = {0: "done", 75: "saved and left", -signal.SIGKILL: "killed", -signal.SIGTERM: "ended by TERM while loading",
           -signal.SIGUSR1: "ended by USR1 while loading"}


def write_many_tasks(folder, count):
    """Task k: repeat the k-th word of the input and those after it. Each has examples of its own."""
    import json

    folder.mkdir(exist_ok=True)
    for k in range(count):
        draw = random.Random(k)
        with open(folder / f"task{k:02}.jsonl", "w") as file:
            for i in range(40):
                words = draw.sample(WORDS, 4)
                example = {"id": f"{k}-{i}", "input": f"{k}: {' '.join(words)}", "output": " ".join(words[k % 4:]),
                       "split": SPLITS[i % len(SPLITS)]}
                file.write(json.dumps(example) + "\n")


def grow_world(folder, experts):
    from make_models import make_model

    make_model(folder / "base", "llama", seed=3)
    write_tokenizer(folder / "base")
    write_many_tasks(folder / "tasks", experts)


class Chaos:
    def __init__(self, shop, seed, workers, settings, experts):
        self.shop, self.draw, self.workers, self.experts = shop, random.Random(seed), workers, experts
        self.words = ["experts", "tiny.toml", "--cluster.independent=true", "--cluster.lease_s=4", *settings]
        self.running, self.asleep, self.log = [], [], open(shop.folder / "chaos.log", "w")
        self.did, self.ended, self.checks = collections.Counter(), collections.Counter(), 0

    def start(self):
        self.running.append(subprocess.Popen(self.shop.command(*self.words), cwd=self.shop.folder,
                                             env=self.shop.environment(), stdout=self.log, stderr=self.log))

    def reap(self):
        """Whether all is done. A worker also leaves when the others hold all that is left."""
        for process in [p for p in self.running if p.poll() is not None]:
            self.running.remove(process)
            self.asleep = [(end, p) for end, p in self.asleep if p is not process]
            self.ended[process.returncode] += 1
            assert process.returncode in ENDINGS, f"a worker ended with {process.returncode}: see chaos.log"
        return len(list((self.shop.folder / "registry/experts").glob("*/CURRENT"))) == self.experts

    def disturb(self):
        victim = self.draw.choice(self.running)
        what = self.draw.choices(["kill", "usr1", "term", "sleep"], [6, 2, 1, 1])[0]
        self.did[what] += 1
        if what == "sleep":  # longer than the lease: others take its item over, and it comes back
            victim.send_signal(signal.SIGSTOP)
            self.asleep.append((time.monotonic() + 6, victim))
        else:
            victim.send_signal({"kill": signal.SIGKILL, "usr1": signal.SIGUSR1, "term": signal.SIGTERM}[what])

    def wake(self, all_of_them=False):
        for end, process in list(self.asleep):
            if all_of_them or time.monotonic() > end:
                process.send_signal(signal.SIGCONT)
                self.asleep.remove((end, process))

    def verify(self):
        registry = self.shop.folder / "registry"
        if not (registry / "registry.json").exists():
            return
        self.checks += 1
        done = subprocess.run(self.shop.command("registry", "verify", "--registry", "registry"), cwd=self.shop.folder,
                              capture_output=True, text=True)
        assert done.returncode == 0, f"the registry does not verify:\n{done.stdout}{done.stderr}"

    def run(self, seconds=float("inf"), disturbances=float("inf"), pause=(0.1, 1.5)):
        """Until so many seconds or disturbances are over; then in peace until all is done."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and sum(self.did.values()) < disturbances:
                if self.reap():
                    return  # all done before the time was over
                while len(self.running) < self.workers:
                    self.start()
                time.sleep(self.draw.uniform(*pause))
                self.wake()
                self.reap()
                if self.running:
                    self.disturb()
                self.verify()
            self.wake(all_of_them=True)
            while not self.reap():
                if not self.running:
                    self.start()
                self.verify()
                time.sleep(0.2)
        finally:
            self.wake(all_of_them=True)
            for process in self.running:
                process.kill()
                process.wait()

    def check_end(self, reference):
        self.verify()
        commits = collections.Counter(line["item"] for line in self.shop.journal() if line["kind"] == "committed")
        # A worker that is killed behind its commit writes no line on it; the bits tell that the expert is there, and once.
        assert all(count == 1 for count in commits.values()), f"committed twice: {commits}"
        bits, expected = self.shop.bits(), self.shop.bits(reference)
        assert bits == expected, f"other bits: {sorted(set(bits.items()) ^ set(expected.items()))}"


def calm(shop, settings):
    """The undisturbed registry `calm`."""
    shop.run("experts", "tiny.toml", *settings, "--registry.path=calm", "--run.dir=calm-runs")


def chaos(shop, seed, workers, settings, **until):
    """From an empty registry to its end, which is held against `calm`."""
    storm = Chaos(shop, seed, workers, settings, len(list((shop.folder / "tasks").iterdir())))
    storm.run(**until)
    shop.run(*storm.words)  # finds nothing left to do, and collects
    storm.check_end("calm")
    return storm


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--experts", type=int, default=40)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=300, help="per expert")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("chaos"))
    parser.add_argument("--gaggle", type=Path, default=Path("build/gaggle"))
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True)
    grow_world(folder, arguments.experts)
    shop, settings = Workshop(folder, arguments.gaggle.resolve()), [f"--train.steps={arguments.steps}", "--checkpoint.every=20"]
    calm(shop, settings)
    begin, storms = time.monotonic(), []
    while (left := begin + 60 * arguments.minutes - time.monotonic()) > 0:
        if storms:
            shutil.rmtree(folder / "registry")
        storms.append(chaos(shop, arguments.seed + len(storms), arguments.workers, settings, seconds=left))
    did, ended = (sum((getattr(storm, what) for storm in storms), collections.Counter()) for what in ["did", "ended"])
    print(f"{arguments.experts} experts, {arguments.workers} workers: grown {len(storms)} times in "
          f"{(time.monotonic() - begin) / 60:.1f} minutes")
    print("disturbed:", ", ".join(f"{count} × {what}" for what, count in did.most_common()))
    print("ended:    ", ", ".join(f"{count} × {ENDINGS[code]}" for code, count in ended.most_common()))
    print(f"verified:  {sum(storm.checks for storm in storms)} times; every expert committed once, with the bits of the "
          f"undisturbed run")


if __name__ == "__main__":
    main()
