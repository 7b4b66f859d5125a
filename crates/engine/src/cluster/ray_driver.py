"""Runs tasks of manyframe on a Ray cluster: python3 THIS-FILE. `manyframe run PLAN --engine ray --print` writes this file.

A job is `manyframe task DIRECTORY RANGE` in a process of its own on some node. It may run twice, and what it makes appears whole:
a job that died, or says that trying again may help, is submitted again; one that says that it will not ends the run.
Exit codes: 0 all tasks are done, 1 trying again may help, 2 it will not.
"""
import collections, hashlib, json, os, subprocess, sys, tempfile, threading, time

ORDER = json.loads("ORDER GOES HERE")
WRONG, NO_PROGRAM = 2, "no program"
MOST_IN_FLIGHT, MOST_ATTEMPTS, MOST_DEATHS = 1000, 3, 20
FOUND = {}


def end_with_parent():
    """Ends this process when whoever started it does, who holds the other end of stdin."""
    sys.stdin.read()
    os._exit(1)


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def find_program(path, digest, shipped):
    """The driver's program: under its path, as on a shared disk or in an image, or as it was shipped."""
    copy = f"{tempfile.gettempdir()}/manyframe-{os.getuid()}-{digest[:16]}"
    for candidate in (path, copy):
        if FOUND.get(candidate) or (os.path.isfile(candidate) and digest_of(candidate) == digest):
            FOUND[candidate] = True
            return candidate
    if shipped is None:
        return None
    import ray

    with tempfile.NamedTemporaryFile(dir=tempfile.gettempdir(), delete=False) as file:
        file.write(ray.get(shipped[0]))
    os.chmod(file.name, 0o700)
    os.replace(file.name, copy)
    return copy


def run_job(path, digest, shipped, arguments):
    """Runs on a node. Returns the exit code of the job, the end of its stderr, and how long it took."""
    program = find_program(path, digest, shipped)
    if program is None:
        return NO_PROGRAM, "", 0
    started = time.time()
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return done.returncode, done.stderr[-2000:].decode(errors="replace"), time.time() - started


def main():
    try:
        import ray
    except ImportError:
        print(f"{sys.executable} has no package ray; --python names another Python", file=sys.stderr)
        return WRONG
    # Where Ray is started by this process, as in a trial on one machine.
    os.environ.setdefault("RAY_process_group_cleanup_enabled", "true")
    ray.init(address=ORDER["address"] or os.environ.get("RAY_ADDRESS", "auto"), log_to_driver=False, logging_level="ERROR")
    digest, shipped = digest_of(ORDER["program"]), None
    # Retries are counted here, so that every reason to try again has its bound.
    wanted = {"num_cpus": ORDER["cpus"], "num_gpus": ORDER["gpus"]}
    remote = ray.remote(run_job).options(**wanted, max_retries=0, scheduling_strategy="SPREAD")
    todo = collections.deque((tasks, 0, 0) for tasks in ORDER["jobs"])
    most, flying = min(ORDER["most_jobs"] or MOST_IN_FLIGHT, MOST_IN_FLIGHT), {}
    while todo or flying:
        while todo and len(flying) < most:
            job = todo.popleft()
            arguments = [*ORDER["arguments"], "--with-parent", job[0]]
            flying[remote.remote(ORDER["program"], digest, shipped, arguments)] = job
        for reference in ray.wait(list(flying), timeout=10)[0]:
            tasks, attempts, deaths = flying.pop(reference)
            try:
                code, text, seconds = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                code, text, attempts = 1, str(error), attempts + 1
            except ray.exceptions.RayError as error:
                code, text, deaths = 1, f"its worker or node died: {error}", deaths + 1
            else:
                attempts += code not in (0, NO_PROGRAM)
            if code == NO_PROGRAM and shipped is None:
                with open(ORDER["program"], "rb") as file:
                    shipped = [ray.put(file.read())]  # in a list, so that only nodes without the program fetch it
            if code == 0:
                print(json.dumps({"tasks": tasks, "seconds": round(seconds, 3)}), flush=True)
            elif code == WRONG or attempts >= MOST_ATTEMPTS or deaths >= MOST_DEATHS:
                print(f"tasks {tasks}: {text.strip()}", file=sys.stderr)
                return WRONG if code == WRONG else 1
            else:
                todo.append((tasks, attempts, deaths))
    return 0


if __name__ == "__main__":
    if "--with-parent" in sys.argv:
        threading.Thread(target=end_with_parent, daemon=True).start()
    sys.exit(main())
