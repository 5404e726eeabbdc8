"""Stages in order: each is one process of gaggle, its output in logs/NAME.log, and done once stages/NAME.json says so."""
import fcntl
import hashlib
import json
import pathlib
import signal
import subprocess
import time

import study_tasks
from study_stages import words

DONE, SOME_SET_ASIDE, BY_STOP_FILE, STOPPED = 0, 3, 4, 75  # gaggle's exit codes (docs/architecture.md)


def say(*text):
    print(*text, flush=True)


def clock(seconds):
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


class Runner:
    def __init__(self, plan, stages, gaggle, only=None):
        self.plan, self.stages, self.gaggle = plan, stages, gaggle
        self.only, self.child, self.stopping = only, None, False
        self.folder = plan.folder
        self.keys = {}
        for stage in stages:
            self.keys[stage.name] = self.key(stage)
        self.commit = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=pathlib.Path(__file__).parent, text=True,
                                     capture_output=True).stdout.strip()

    def key(self, stage):
        """Of everything that a stage's results follow from: with another plan or config it is another stage."""
        own = [stage.command, words(self.plan, stage), [self.keys[name] for name in stage.needs], "".join(self.plan.config_texts())]
        if stage.command == "tasks":
            own += [self.plan.all_tasks(), self.plan.data["rows"]]
        return hashlib.sha256(json.dumps(own).replace(str(self.folder), "").encode()).hexdigest()

    def record(self, stage):
        """What an earlier start has left of the stage under this key: {"key", "seconds", "code"}; code None: not done."""
        path = self.folder / "stages" / f"{stage.name}.json"
        found = json.loads(path.read_text()) if path.exists() else {}
        return found if found.get("key") == self.keys[stage.name] else {"seconds": 0, "code": None}

    def done(self, stage):
        return self.record(stage)["code"] in (DONE, SOME_SET_ASIDE) and (self.folder / stage.leaves).exists()

    def keep(self, stage, seconds, code):
        path = self.folder / "stages" / f"{stage.name}.json"
        path.parent.mkdir(exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps({"key": self.keys[stage.name], "seconds": round(seconds, 1), "code": code,
                                      "commit": self.commit}) + "\n")
        beside.replace(path)

    def needed_by(self, stage):
        """Stages that have to be done first and are not."""
        return [other.name for other in self.stages if other.name in stage.needs and not self.done(other)]

    def wanted(self, stage):
        return self.only is None or any(stage.name.startswith(word) for word in self.only)

    def command(self, stage, *more):
        ranks = self.plan.data["ranks"]
        start = ["mpirun", "-np", str(ranks), "--oversubscribe", "--bind-to", "none"] if ranks > 1 else []
        return [*start, str(self.gaggle), stage.command, str(self.plan.config), *words(self.plan, stage), *more]

    def lock(self):
        """Held by this process and by the stage that it starts: who comes while one of them works waits for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = open(self.folder / "lock", "w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{self.folder}: another start, or a stage that it left, is at work there; waiting for it to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def run(self):
        held = self.lock()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        failed = []
        for stage in filter(self.wanted, self.stages):
            if self.stopping:
                break
            if self.done(stage):
                continue
            if missing := self.needed_by(stage):
                say(f"{stage.name}: passed over, for {', '.join(missing)} is not done")
                failed.append(stage.name)
                continue
            code = self.run_stage(stage, held)
            self.stopping = self.stopping or code in (STOPPED, BY_STOP_FILE)
            if not self.stopping and not self.done(stage):
                say(f"{stage.name}: ended with {code}; its last words are in {self.log(stage)}")
                failed.append(stage.name)
        if self.stopping:
            say("stopped; start again to go on")
            return STOPPED
        say(f"{sum(map(self.done, self.stages))} of {len(self.stages)} stages are done")
        return 1 if failed else 0

    def log(self, stage):
        return self.folder / "logs" / f"{stage.name}.log"

    def run_stage(self, stage, held):
        say(f"{time.strftime('%H:%M')}  {stage.name}")
        began, before = time.monotonic(), self.record(stage)["seconds"]
        if stage.command == "tasks":
            study_tasks.make_tasks(self.plan)
            code = DONE
        else:
            self.log(stage).parent.mkdir(exist_ok=True)
            with open(self.log(stage), "a") as log:
                self.child = subprocess.Popen(self.command(stage), stdout=log, stderr=log, cwd=self.folder,
                                              stdin=subprocess.DEVNULL, pass_fds=[held.fileno()], process_group=0)
                if self.stopping:
                    self.pass_on()
                code = self.child.wait()
                self.child = None
        self.keep(stage, before + time.monotonic() - began, code)
        return code

    def stop(self, number, frame):
        self.stopping = True
        self.pass_on()

    def pass_on(self):
        """gaggle saves what it is at and ends with 75. mpirun, whose own end a Ctrl-C would be, passes this signal to its ranks."""
        if self.child:
            self.child.send_signal(signal.SIGUSR1)

    def why_open(self, stage):
        """Of a stage that is not done, or not wholly."""
        record, missing = self.record(stage), self.needed_by(stage)
        if record["code"] == SOME_SET_ASIDE:
            return "some of its items were set aside"
        if missing:
            return f"waits for {', '.join(missing)}"
        return "not run" if record["code"] in (None, STOPPED, BY_STOP_FILE) else f"ended with exit code {record['code']}"

    def status(self):
        for stage in self.stages:
            record = self.record(stage)
            word = "done" if self.done(stage) and not record["code"] else self.why_open(stage)
            print(f"{stage.name:34}  {clock(record['seconds']) if record['seconds'] else '':>8}  {word}")
        return 0

    def dry_run(self):
        """Each stage's own plan, where what it needs is there."""
        if not self.done(self.stages[0]):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.run_stage(self.stages[0], None)
        for stage in filter(self.wanted, self.stages[1:]):
            print(f"\n== {stage.name}", flush=True)
            if self.done(stage):
                print(f"done in {clock(self.record(stage)['seconds'])}")
            elif missing := self.needed_by(stage):
                print(f"can be planned when there is: {', '.join(missing)}")
            else:
                subprocess.run(self.command(stage, "--dry-run"), cwd=self.folder, stdin=subprocess.DEVNULL)
        return 0
