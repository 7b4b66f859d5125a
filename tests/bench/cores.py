"""How long a build takes on more cores than there are: cores.py MANYFRAME PIPELINE SAMPLES

Builds the pipeline with one thread and takes from its log how long each sample took to make and to write, and each task to
finish its shards; run it where nothing else does. These costs, repeated until there are SAMPLES of them, are then run again on
1 to 128 simulated cores by the rules of the engine (`crates/engine/src/engine.rs`, `task.rs`, `crates/base/src/parallel.rs`):
workers take samples in order, each task has a thread that starts samples within its window and writes what is ready, and all
of them share the cores evenly. What is before and after the samples (start, reading the annotations, the plan, the commit) is on
one core. A part of it grows with the number of samples, which is not known: the whole build is between one that has it as often
as the costs are repeated, and one that has it once.
"""

import heapq
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

CORES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass
class Task:
    """Seconds: of each sample to make and to write, and to finish the shards."""

    samples: list = field(default_factory=list)
    finish_s: float = 0.0


@dataclass
class Recorded:
    tasks: list
    # Seconds before the first sample and after the last task.
    serial_s: float


def record(manyframe: str, pipeline: str) -> Recorded:
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        command = [manyframe, "build", pipeline, "--output", out, "--fresh", "--threads", "1", "--verbose", "--log-format", "json"]
        start = time.time()
        process = subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        end = time.time()
        shutil.rmtree(f"{out}.work", ignore_errors=True)
    if process.returncode != 0:
        sys.exit(process.stderr)
    tasks, times = {}, []
    for line in process.stderr.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        fields = event.get("fields", {})
        if fields.get("message") not in ("sample written", "shards finished"):
            continue
        task = tasks.setdefault(fields["task"], Task())
        at = datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00")).timestamp()
        if fields["message"] == "sample written":
            made_s, written_s = fields["made_us"] / 1e6, fields["written_us"] / 1e6
            task.samples.append((made_s, written_s))
            times.append(at - made_s - written_s)
        else:
            task.finish_s = fields["finished_us"] / 1e6
        times.append(at)
    return Recorded([tasks[number] for number in sorted(tasks)], min(times) - start + end - max(times))


class Machine:
    """Cores that all running threads share evenly. `now` is in seconds; `work` in seconds that each running thread has had."""

    def __init__(self, num_cores: int):
        self.num_cores, self.now, self.work, self.running, self.order = num_cores, 0.0, 0.0, [], 0

    def start(self, cost_s: float, then) -> None:
        self.order += 1
        heapq.heappush(self.running, (self.work + cost_s, self.order, then))

    def run(self) -> None:
        while self.running:
            rate = min(1.0, self.num_cores / len(self.running))
            ends, _, then = heapq.heappop(self.running)
            self.now += (ends - self.work) / rate
            self.work = ends
            then()


class Simulation:
    def __init__(self, tasks: list, num_threads: int, num_at_once: int):
        self.machine, self.left, self.idle, self.queue = Machine(num_threads), deque(tasks), num_threads, deque()
        self.window = 8 * num_threads // num_at_once
        self.written_s = [0.0] * num_at_once
        for driver in range(num_at_once):
            self.next_task(driver)

    def next_task(self, driver: int) -> None:
        if self.left:
            Driver(self, driver, self.left.popleft()).advance()

    def make(self, cost_s: float, then) -> None:
        self.queue.append((cost_s, then))
        self.give_work()

    def give_work(self) -> None:
        while self.idle and self.queue:
            cost_s, then = self.queue.popleft()
            self.idle -= 1
            self.machine.start(cost_s, lambda then=then: self.made(then))

    def made(self, then) -> None:
        self.idle += 1
        self.give_work()
        then()

    def write(self, driver: int, cost_s: float, then) -> None:
        self.written_s[driver] += cost_s
        self.machine.start(cost_s, then)


class Driver:
    """The thread of a task: starts samples within a window, and writes them in order."""

    def __init__(self, simulation: Simulation, number: int, task: Task):
        self.simulation, self.number, self.task = simulation, number, task
        self.num_started, self.num_written, self.ready, self.is_writing = 0, 0, set(), False

    def advance(self) -> None:
        samples = self.task.samples
        if self.num_written in self.ready:
            self.ready.remove(self.num_written)
            self.is_writing = True
            self.simulation.write(self.number, samples[self.num_written][1], self.written)
            return
        while self.num_started < len(samples) and self.num_started - self.num_written < self.simulation.window:
            number, self.num_started = self.num_started, self.num_started + 1
            self.simulation.make(samples[number][0], lambda number=number: self.made(number))
        if self.num_written == len(samples):
            self.is_writing = True
            self.simulation.write(self.number, self.task.finish_s, lambda: self.simulation.next_task(self.number))

    def made(self, number: int) -> None:
        self.ready.add(number)
        if not self.is_writing:
            self.advance()

    def written(self) -> None:
        self.is_writing = False
        self.num_written += 1
        self.advance()


def simulate(tasks: list, num_threads: int, num_at_once: int) -> tuple:
    simulation = Simulation(tasks, num_threads, num_at_once)
    simulation.machine.run()
    return simulation.machine.now, max(simulation.written_s)


def main() -> None:
    manyframe, pipeline, num_samples = sys.argv[1], sys.argv[2], int(sys.argv[3])
    recorded = record(manyframe, pipeline)
    costs = [sample for task in recorded.tasks for sample in task.samples]
    times = -(-num_samples // len(costs))
    tasks = recorded.tasks * times
    made_s, written_s = (sum(sample[part] for sample in costs) for part in (0, 1))
    finish_s = sum(task.finish_s for task in recorded.tasks)
    print(
        f"{len(costs)} samples in {len(recorded.tasks)} tasks: made in {made_s:.2f} s, written in {written_s:.2f} s, shards finished in "
        f"{finish_s:.2f} s, {recorded.serial_s:.2f} s before and after; {times} times\n"
    )
    print("| cores | samples, two tasks at once | samples, tasks as the engine runs them | busiest writer | whole build |\n|--:|--:|--:|--:|--:|")
    work_s = times * (made_s + written_s + finish_s)
    for num_cores in CORES:
        two_s, _ = simulate(tasks, num_cores, 2)
        now_s, writer_s = simulate(tasks, num_cores, max(2, num_cores // 4))
        least, most = ((work_s + serial_s) / (now_s + serial_s) for serial_s in (times * recorded.serial_s, recorded.serial_s))
        cells = [f"{work_s / two_s:.1f}×", f"{work_s / now_s:.1f}×", f"{writer_s / now_s:.0%}", f"{least:.1f}× to {most:.1f}×"]
        print(f"| {num_cores} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
