"""Uploads to real stores that are killed, raced and lied to, and builds from them and to them: run.py MANYFRAME CEPH-DIR TOOLS-DIR (root, for Ceph's daemons).

Each check says what it saw; the first that fails ends the run.
"""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import azure
import google
import noise
import s3
from proxy import Proxy

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / "target/stores"
PORT = 40316
NUM_KILLS = 20
manyframe = str(pathlib.Path(sys.argv[1]).resolve())
ceph_files, tools = map(pathlib.Path, sys.argv[2:4])
ENVIRONMENT = os.environ | {
    "AWS_ACCESS_KEY_ID": s3.KEY,
    "AWS_SECRET_ACCESS_KEY": s3.SECRET,
    "AZURE_STORAGE_ACCOUNT_NAME": azure.ACCOUNT,
    "AZURE_STORAGE_ACCOUNT_KEY": azure.KEY,
    "GOOGLE_BEARER_TOKEN": google.TOKEN,
}
SECRETS = (s3.SECRET, azure.KEY, google.TOKEN)


def say(text):
    print(f"  {text}", flush=True)


def command(*arguments, port=PORT):
    endpoint = [] if port is None else ["--endpoint", f"http://127.0.0.1:{port}"]
    return [manyframe, *map(str, arguments), *endpoint]


def run(*arguments, port=PORT, code=0, more=()):
    done = subprocess.run(command(*arguments, port=port) + list(more), env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code, f"{arguments} ended with {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}"
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr, "a credential is shown"
    return done.stdout + done.stderr


def at(endpoint):
    """The variables by which stores are found."""
    return {name: endpoint for name in ("AWS_ENDPOINT_URL", "AZURE_STORAGE_ENDPOINT", "GOOGLE_BASE_URL")}


def start(*arguments, port=PORT):
    return subprocess.Popen(
        command(*arguments, port=port), env=ENVIRONMENT, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ceph(action, *more):
    subprocess.run([HERE / "ceph.sh", action, ceph_files, *map(str, more)], check=True, env=os.environ)


def build(name, *more):
    out = WORK / name
    subprocess.run(
        [manyframe, "build", HERE / "pipeline.toml", "--output", out, "--quiet", *more], check=True, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    return out


def digests(directory, but=""):
    text = subprocess.run(
        f"find . -type f ! -name '{but}' -print0 | sort -z | xargs -0 sha256sum", shell=True, check=True, cwd=directory, capture_output=True, text=True
    ).stdout
    return text


def same_bytes(url, dataset, port=PORT):
    """The dataset at a URL is that of a directory, by every way to read it."""
    down = WORK / "down"
    shutil.rmtree(down, ignore_errors=True)
    run("download", url, down, "--quiet", port=port)
    assert digests(down) == digests(dataset), "the download differs"


def journal_of(dataset):
    """The parts that the store has taken: (path, index), by the journal."""
    taken = set()
    for journal in pathlib.Path(f"{dataset}.work").glob("upload-*.jsonl"):
        for line in journal.read_text().splitlines(keepends=True):
            if line.endswith("\n") and "index" in (entry := json.loads(line)):
                taken.add((entry["path"], entry["index"]))
    return taken


def wait_for_parts(dataset, number):
    for _ in range(1200):
        if len(journal_of(dataset)) >= number:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {number} parts of a file in a journal")


class Reader:
    """Polls a manifest; whenever there is one, every shard that it names must be there with its size."""

    def __init__(self, prefix):
        self.prefix, self.is_over, self.num_seen, self.faults, self.names = prefix, False, 0, [], set()
        self.thread = threading.Thread(target=self.poll)
        self.thread.start()

    def manifest(self):
        try:
            status, body, _ = s3.request(PORT, "GET", f"{self.prefix}/manifest.json")
        except OSError:
            return None
        return body if status == 200 else None

    def poll(self):
        while not self.is_over:
            time.sleep(0.01)
            text = self.manifest()
            if text is None:
                continue
            manifest = json.loads(text)
            found = []
            for shard in manifest["shards"]:
                try:
                    found.append((shard, s3.request(PORT, "HEAD", f"{self.prefix}/{shard['path']}")))
                except OSError:
                    break
            wrong = [shard["path"] for shard, (status, _, size) in found if status != 200 or size != shard["num_bytes"]]
            # What was read after another manifest came is no fault.
            if wrong and self.manifest() == text:
                self.faults.append(wrong)
            self.num_seen += 1
            self.names.add(len(manifest["shards"]))

    def end(self):
        self.is_over = True
        self.thread.join()
        assert not self.faults, f"a manifest without its shards: {self.faults[0]}"


def check_kills(dataset):
    print(f"an upload that is killed at {NUM_KILLS} random moments goes on", flush=True)
    url, proxy, choice = "s3://bucket/kills", Proxy(PORT), random.Random(3)
    reader, num_kept, num_killed = Reader("/bucket/kills"), 0, 0
    while True:
        taken, before = journal_of(dataset), len(proxy.parts)
        # Slow enough that the moments differ.
        upload = start("upload", dataset, url, "--limit-rate", "12M", "--quiet", port=proxy.port)
        if num_killed < NUM_KILLS:
            time.sleep(choice.uniform(0.3, 1.6))
            if upload.poll() is None:
                upload.send_signal(signal.SIGKILL)
                num_killed += 1
        output, _ = upload.communicate()
        for request in proxy.parts[before:]:
            path, number = re.match(r"/bucket/kills/(\S+?)\?.*partNumber=(\d+)", request).groups()
            assert (path, int(number) - 1) not in taken, f"{request} was sent again"
        num_kept = max(num_kept, len(taken))
        if upload.returncode == 0:
            break
        assert upload.returncode == -signal.SIGKILL, output
    reader.end()
    assert num_kept > 0, "no part outlived a kill"
    assert num_killed == NUM_KILLS, f"only {num_killed} kills: the upload was too fast"
    same_bytes(url, dataset)
    say(f"{num_killed} kills, up to {num_kept} parts kept, {len(proxy.parts)} sent in all; equal bytes")


def check_server_kill(dataset):
    print("a store that is killed and started again costs time only", flush=True)
    url = "s3://bucket/server"
    upload = start("upload", dataset, url, "--limit-rate", "40M", "--quiet")
    time.sleep(1.5)
    ceph("kill-gateway")
    time.sleep(2)
    assert upload.poll() is None, upload.communicate()[0]
    ceph("gateway")
    output, _ = upload.communicate()
    assert upload.returncode == 0, output
    same_bytes(url, dataset)
    say("the upload waited, and ended; equal bytes")


def check_race(first, second):
    print("of two uploads to one place one wins, and the other says so", flush=True)
    for turn in range(3):
        url = f"s3://bucket/race-{turn}"
        uploads = [start("upload", dataset, url, "--quiet") for dataset in (first, second)]
        outputs = [upload.communicate()[0] for upload in uploads]
        codes = [upload.returncode for upload in uploads]
        assert sorted(codes) == [0, 2], (codes, outputs)
        winner, loser = codes.index(0), codes.index(2)
        assert "another upload to" in outputs[loser], outputs[loser]
        same_bytes(url, (first, second)[winner])
    say("3 races; the loser: " + outputs[loser].strip().split(";")[0])


def check_alteration(dataset):
    print("a byte that is altered on the way is refused and named", flush=True)
    proxy = Proxy(PORT)
    proxy.num_altered = 1
    output = run("upload", dataset, "s3://bucket/altered", port=proxy.port)
    assert "the store refused a part; it is sent again" in output and "000" in output, output
    same_bytes("s3://bucket/altered", dataset)
    proxy.num_altered = 1_000_000
    output = run("upload", dataset, "s3://bucket/never", port=proxy.port, code=1)
    assert re.search(r'cannot write "s3://bucket/never/\S+"', output), output
    assert s3.request(PORT, "HEAD", "/bucket/never/manifest.json")[0] == 404
    say("once: " + next(line for line in output.splitlines() if "refused" in line)[:110])
    say("always: exit code 1, and no manifest")


def check_refusals(dataset):
    print("who is refused, and who asks for what is not there, is told so", flush=True)
    wrong = ENVIRONMENT | {"AWS_SECRET_ACCESS_KEY": "wrong"}

    def refused(environment, *arguments, expected):
        done = subprocess.run(command(*arguments), env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode in (1, 2) and re.search(expected, done.stderr), (arguments, done.returncode, done.stderr)
        assert s3.SECRET not in done.stderr, "a credential is shown"

    down = WORK / "down-refused"
    shutil.rmtree(down, ignore_errors=True)
    for arguments in (("upload", dataset, "s3://bucket/refused"), ("inspect", "s3://bucket/kills"), ("download", "s3://bucket/kills", down)):
        refused(wrong, *arguments, expected="are these credentials right")
    for arguments in (("upload", dataset, "s3://nowhere/refused"), ("inspect", "s3://nowhere/kills"), ("download", "s3://nowhere/kills", down)):
        refused(ENVIRONMENT, *arguments, expected="create the bucket first")
    assert not down.exists() and not listed("refused/")
    say("wrong credentials, and a bucket that does not exist")


def check_busy(dataset):
    print("a store that is busy for three quarters of a minute costs time only", flush=True)
    for answer in (b"503 Slow Down", b"429 Too Many Requests"):
        proxy = Proxy(PORT)
        url, started = f"s3://bucket/busy-{answer[:3].decode()}", time.time()
        upload = start("upload", dataset, url, "--limit-rate", "60M", port=proxy.port)
        time.sleep(1)
        assert upload.poll() is None, "the upload was too fast"
        proxy.busy_answer, proxy.busy_until = answer, time.time() + 45
        output, _ = upload.communicate()
        assert upload.returncode == 0 and proxy.num_refused > 0, output
        same_bytes(url, dataset)
        say(f"{answer.decode()}: {proxy.num_refused} requests refused, done after {time.time() - started:.0f} s")


def check_altered_download(dataset):
    print("a byte that is altered on the way here is noticed, and its file fetched again", flush=True)
    down, proxy = WORK / "down", Proxy(PORT)
    shutil.rmtree(down, ignore_errors=True)
    proxy.num_flipped = 1
    output = run("download", "s3://bucket/kills", down, port=proxy.port)
    assert proxy.num_flipped == 0 and "it is fetched again" in output, output
    assert digests(down) == digests(dataset), "the download differs"
    shutil.rmtree(down)
    proxy.num_flipped = 1_000_000
    output = run("download", "s3://bucket/kills", down, port=proxy.port, code=2)
    assert "is not the file that the manifest names" in output and not (down / "manifest.json").exists(), output
    say("once: the download is whole; always: exit code 2, and no manifest")


def check_change(dataset, changed):
    print("a change sends what is new; a reader that polls sees one dataset or the other", flush=True)
    url = "s3://bucket/change"
    run("upload", dataset, url)
    reader = Reader("/bucket/change")
    output = run("upload", changed, url, "--delete", "--limit-rate", "60M")
    time.sleep(0.5)
    reader.end()
    assert len(reader.names) == 2, f"the reader saw {reader.names}"
    assert "removed" in output, output
    same_bytes(url, changed)
    again = json.loads(run("upload", changed, url, "--json", "--quiet"))
    assert again["num_parts"] == 0, again
    # Under digests nothing is replaced: there is a manifest at any time.
    run("upload", dataset, "s3://bucket/content", "--names", "content")
    run("upload", changed, "s3://bucket/content", "--names", "content", "--delete")
    same_bytes("s3://bucket/content", changed)
    say(f"the reader found {reader.num_seen} manifests whole; the same under digests")


def check_names():
    print("names are taken as they are: spaces, percent signs, tildes", flush=True)
    name = "50% off/a%20b ~[1]"
    small = build("small", "--set", "source.noise.take=4")
    run("upload", small, f"s3://bucket/{name}")
    same_bytes(f"s3://bucket/{name}", small)
    run("verify", f"s3://bucket/{name}", "--quiet")
    assert f"{name}/manifest.json" in listed(""), listed("50%")
    say(f"s3://bucket/{name}")


def check_readers(dataset):
    print("commands that read a dataset take its URL", flush=True)
    url = "s3://bucket/change"
    assert "stores" in run("inspect", url)
    assert "Noise, number 7." in run("why", url, "7")
    assert "⟦Noise, number 7." in run("inspect", url, "7")
    run("verify", url, "--quiet")
    run("pack", url, "--set", "max_tokens=4096")
    run("verify", url, "--quiet")
    exported = WORK / "exported"
    shutil.rmtree(exported, ignore_errors=True)
    run("export", url, "--format", "llava_json", "--output", exported, "--quiet")
    assert len(json.loads((exported / "data.json").read_text())) == 130
    say("inspect, why, verify, pack, export")


def sources(directory):
    """The files of sources below a directory, by their names."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(files)}


def build_at(name, url, endpoint, *more, secret=None):
    """Starts a build whose sources are below a URL, with a cache of its own."""
    environment = ENVIRONMENT | at(endpoint) | {"MANYFRAME_CACHE": str(WORK / f"{name}.cache")} | ({"AWS_SECRET_ACCESS_KEY": secret} if secret else {})
    arguments = [manyframe, "build", HERE / "pipeline.toml", "--output", WORK / name, "--set", f"data={url}", "--threads", "2", *more]
    return subprocess.Popen(arguments, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def forget(*names):
    for name in names:
        for path in (name, f"{name}.work", f"{name}.cache"):
            shutil.rmtree(WORK / path, ignore_errors=True)


def end(build, code=0):
    output, _ = build.communicate()
    assert build.returncode == code, (build.returncode, output)
    for secret in SECRETS:
        assert secret not in output, "a credential is shown"
    return output


def same_build(name, dataset):
    """Two builds wrote the same bytes; only the account of a build says where its sources are."""
    assert digests(WORK / name, "build.json") == digests(dataset, "build.json"), f"{name} differs"


def check_sources():
    print("a build from S3 is the build from a disk: killed, with a store that goes away, and without access to it", flush=True)
    data, url, endpoint = WORK / "data", "s3://bucket/data", f"http://127.0.0.1:{PORT}"
    forget("disk", "there", "archive", "disk-archive", "refused")
    subprocess.run(["tar", "--sort=name", "-C", data / "photos", "-cf", data / "photos.tar", "."], check=True)
    for name, content in sources(data).items():
        s3.put(PORT, f"/bucket/data/{name}", content)
    disk, choice, num_killed = build("disk"), random.Random(5), 0
    # Without the cache of the last attempt, all of it is read again.
    for _ in range(6):
        shutil.rmtree(WORK / "there.cache", ignore_errors=True)
        attempt = build_at("there", url, endpoint)
        time.sleep(choice.uniform(0.05, 0.6))
        if attempt.poll() is None:
            attempt.send_signal(signal.SIGKILL)
            num_killed += 1
        attempt.communicate()
    end(build_at("there", url, endpoint))
    same_build("there", disk)
    forget("there")
    attempt = build_at("there", url, endpoint)
    time.sleep(0.2)
    ceph("kill-gateway")
    time.sleep(2)
    waited = attempt.poll() is None
    ceph("gateway")
    if end(attempt, 0 if waited else attempt.returncode) and not waited:
        assert attempt.returncode in (0, 1), attempt.returncode
        end(build_at("there", url, endpoint))
    same_build("there", disk)
    refused = end(build_at("refused", url, endpoint, secret="wrong"), 1)
    assert "403" in refused or "denied" in refused.lower(), refused
    assert not (WORK / "refused/manifest.json").exists()
    say(f"{num_killed} kills; the store was away while it {'waited' if waited else 'had ended'}; refused: " + refused.strip().splitlines()[-1][:110])

    print("a tar on S3 is read by ranges; an object that was replaced is noticed", flush=True)
    in_tar = ("--set", "source.noise.media=${data}/photos.tar")
    end(build_at("archive", url, endpoint, *in_tar))
    same_build("archive", build("disk-archive", *in_tar))
    end(build_at("there", url, endpoint))
    first = digests(WORK / "there", "build.json")
    kept = (data / "photos/1.jpg").read_bytes()
    changed = (data / "photos/2.jpg").read_bytes()
    (data / "photos/1.jpg").write_bytes(changed)
    s3.put(PORT, "/bucket/data/photos/1.jpg", changed)
    try:
        output = end(build_at("there", url, endpoint))
        assert "reused" in output and digests(WORK / "there", "build.json") != first, output
        same_build("there", build("disk"))
    finally:
        (data / "photos/1.jpg").write_bytes(kept)
        (data / "photos.tar").unlink()
    say(next(line for line in output.splitlines() if line.startswith("reused")))


def listed(prefix, query=""):
    """The names of objects below a prefix, which is left out."""
    text = s3.request(PORT, "GET", "/bucket", query=query)[1].decode()
    return re.findall(rf"<Key>{re.escape(prefix)}([^<]*)</Key>", text)


def unfinished(prefix):
    """The objects below a prefix of which the store has parts."""
    return listed(prefix, "uploads=")


def size_of(directory):
    """Bytes of the files below a directory that somebody writes to."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                pass
    return total


class LargestSize:
    """How large a directory becomes."""

    def __init__(self, directory):
        self.directory, self.num_bytes, self.is_over = directory, 0, False
        self.thread = threading.Thread(target=self.poll)
        self.thread.start()

    def poll(self):
        # What is written while it is added up may count twice: a size is one that two walks find.
        before = 0
        while not self.is_over:
            found = size_of(self.directory)
            self.num_bytes, before = max(self.num_bytes, min(before, found)), found
            time.sleep(0.005)

    def end(self):
        self.is_over = True
        self.thread.join()
        return self.num_bytes


def is_dataset_of_a_disk(url, prefix, *more):
    """The dataset at a URL has the bytes of one on a disk, and nothing else is left at the store."""
    build("disk", *more)
    down = WORK / "down"
    shutil.rmtree(down, ignore_errors=True)
    run("download", url, down, "--quiet")
    assert digests(down, "build.json") == digests(WORK / "disk", "build.json"), "the dataset at the URL differs"
    assert sorted(listed(f"{prefix}/")) == sorted(sources(WORK / "disk")), listed(f"{prefix}/")
    left = listed(f"{prefix}.work/")
    assert len(left) == 1 and left[0].startswith("media-"), left


def shards_sent(requests):
    """The shards that were sent whole, by their names: (method, path) of each request that wrote one."""
    whole = re.compile(r"/bucket/\S+\.work/(plan-\S+-\w+\.(?:tar|parquet))(\?uploadId=\S+)?$")
    found = (whole.match(path) for method, path in requests if method in ("PUT", "POST"))
    return [name[1] for name in found if name]


def check_kills_of_builds():
    print("a build to S3 sends a shard once, whenever it is killed, and keeps none here", flush=True)
    url, choice, proxy = "s3://bucket/sent", random.Random(11), Proxy(PORT)
    endpoint = f"http://127.0.0.1:{proxy.port}"
    # Four tasks are about at a time, each with a shard in two formats; two of them have a journal besides.
    shard_mib = 9
    most_mib = (4 * 2 + 2) * shard_mib
    small = ("--set", f"output.max_shard_mib={shard_mib}")
    forget("to-s3", "disk")
    num_killed, most = 0, LargestSize(WORK / "to-s3")
    while True:
        attempt = build_to(url, endpoint, *small)
        if num_killed < NUM_KILLS:
            time.sleep(choice.uniform(0.3, 1.5))
            if attempt.poll() is None:
                attempt.send_signal(signal.SIGKILL)
                num_killed += 1
        output, _ = attempt.communicate()
        if attempt.returncode == 0:
            break
        assert attempt.returncode == -signal.SIGKILL, output
    largest, sent = most.end(), shards_sent(proxy.writes)
    is_dataset_of_a_disk(url, "sent", *small)
    shards = [path for path in sources(WORK / "disk") if path.endswith((".tar", ".parquet")) and "/" in path]
    assert len(set(sent)) == len(shards), (len(set(sent)), len(shards))
    # A shard is sent again if the answer to its last request did not arrive before the kill.
    assert len(sent) <= len(shards) + num_killed, f"{len(sent)} requests ended a shard, of {len(shards)}"
    size = size_of(WORK / "disk")
    assert largest >> 20 <= most_mib < size >> 21, f"{largest >> 20} of {size >> 20} MiB were here, expected {most_mib}"
    say(f"{num_killed} kills; {len(shards)} shards of {size >> 20} MiB were sent by {len(sent)} requests; at most {largest >> 20} MiB were here")
    shutil.rmtree(WORK / "to-s3")
    fewer = (*small, "--set", "source.noise.take=90")
    output = end(build_to(url, endpoint, *fewer))
    assert "90 of 90 samples" in output, output
    is_dataset_of_a_disk(url, "sent", *fewer)
    say("without its work directory: " + next(line for line in output.splitlines() if line.startswith("reused")))


def check_output():
    print("a build to S3 that is killed at any moment goes on; a reader that polls sees whole datasets only", flush=True)
    url, endpoint, choice = "s3://bucket/built", f"http://127.0.0.1:{PORT}", random.Random(7)
    forget("to-s3", "disk")
    reader, num_killed = Reader("/bucket/built"), 0
    settings = [(), ("--set", "source.noise.take=90"), ("--set", "output.max_shard_mib=64"), ("--set", "source.noise.take=40")]
    # Each build is killed with its successor's settings in mind: what was begun is replaced.
    for more in settings * 3:
        attempt = build_to(url, endpoint, *more)
        time.sleep(choice.uniform(0.2, 2.5))
        if attempt.poll() is None:
            attempt.send_signal(signal.SIGKILL)
            num_killed += 1
        attempt.communicate()
    for more in settings[1:3]:
        output = end(build_to(url, endpoint, *more))
        assert f"dataset:  {url}\n" in output and "published: " in output, output
        is_dataset_of_a_disk(url, "built", *more)
        run("verify", url, "--quiet")
        assert "stores" in run("inspect", url)
    again = end(build_to(url, endpoint, *settings[2]))
    assert "nothing to do" in again, again
    reader.end()
    assert reader.num_seen > 0 and num_killed > 0
    # A kill between the answer of the store and the line of the journal leaves parts that nobody knows.
    left = unfinished("built")
    assert len(left) <= 1, f"parts of superseded builds are left: {left}"
    say(f"{num_killed} kills; the reader found {reader.num_seen} manifests whole; " + next(line for line in output.splitlines() if line.startswith("published")))


def build_to(url, endpoint, *more):
    """Starts a build that goes to a URL."""
    environment = ENVIRONMENT | at(endpoint)
    arguments = [manyframe, "build", HERE / "pipeline.toml", "--output", url, "--set", f"output.work={WORK / 'to-s3'}", "--threads", "2", *more]
    return subprocess.Popen(arguments, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def check_builds_at(box, endpoint, put):
    """A build from a bucket or container, and one to it, are the build from a disk."""
    name = box.split(":")[0]
    forget(name, "disk", "to-s3")
    for path, content in sources(WORK / "data").items():
        put(f"data/{path}", content)
    end(build_at(name, f"{box}/data", endpoint))
    same_build(name, build("disk"))
    end(build_to(f"{box}/built", endpoint))
    down = WORK / "down"
    shutil.rmtree(down, ignore_errors=True)
    run("download", f"{box}/built", down, "--quiet", port=None, more=["--endpoint", endpoint])
    assert digests(down, "build.json") == digests(WORK / "disk", "build.json"), "the dataset at the URL differs"
    say("a build from there and one to there are the build from a disk")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def check_azure(dataset):
    print("Azure, by Azurite", flush=True)
    port = free_port()
    blob = tools / "azurite/node_modules/.bin/azurite-blob"
    state = WORK / "azurite"
    shutil.rmtree(state, ignore_errors=True)
    arguments = ["--location", state, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent", "--skipApiVersionCheck"]
    server = subprocess.Popen([blob, *arguments], stdout=subprocess.DEVNULL)
    try:
        azure.wait_for(port)
        azure.make_container(port, "box")
        endpoint = ["--endpoint", f"http://127.0.0.1:{port}/{azure.ACCOUNT}"]
        url = "az://box/dataset"
        upload = subprocess.Popen(
            [manyframe, "upload", dataset, url, "--limit-rate", "20M", "--quiet", *endpoint], env=ENVIRONMENT, cwd=ROOT
        )
        wait_for_parts(dataset, 3)
        upload.kill()
        upload.wait()
        kept = len(journal_of(dataset))
        output = run("upload", dataset, url, port=None, more=endpoint)
        down = WORK / "down"
        shutil.rmtree(down, ignore_errors=True)
        run("download", url, down, "--quiet", port=None, more=endpoint)
        assert digests(down) == digests(dataset), "the download differs"
        again = json.loads(run("upload", dataset, url, "--json", "--quiet", port=None, more=endpoint))
        assert again["num_parts"] == 0, again
        assert kept >= 3 and "of an interrupted upload kept" in output, output
        check_builds_at("az://box", endpoint[1], lambda name, content: azure.put(port, f"/box/{name}", content))
        conformance(url.replace("dataset", "suite"), endpoint[1])
        say(f"killed with {kept} parts sent, gone on with; equal bytes; the suite of storages")
    finally:
        server.kill()
        server.wait()


def check_google(dataset):
    print("Google's interface, translated to Ceph's", flush=True)
    s3.make_bucket(PORT, "google")
    port, url = google.Google(PORT).port, "gs://google/dataset"
    upload = start("upload", dataset, url, "--limit-rate", "20M", "--quiet", port=port)
    wait_for_parts(dataset, 3)
    upload.kill()
    upload.communicate()
    kept = len(journal_of(dataset))
    output = run("upload", dataset, url, port=port)
    assert kept >= 3 and "of an interrupted upload kept" in output, output
    same_bytes(url, dataset, port=port)
    assert json.loads(run("upload", dataset, url, "--json", "--quiet", port=port))["num_parts"] == 0
    endpoint = f"http://127.0.0.1:{port}"
    check_builds_at("gs://google", endpoint, lambda name, content: s3.put(PORT, f"/google/{name}", content))
    conformance("gs://google/suite", endpoint)
    say(f"killed with {kept} parts sent, gone on with; the suite of storages")


def check_second_implementation(dataset):
    print("another implementation of S3, s3s: a kill, and a byte that is altered on the way", flush=True)
    port, state = free_port(), WORK / "s3s"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    keys = ["--access-key", s3.KEY, "--secret-key", s3.SECRET]
    program = [tools / "s3s/bin/s3s-fs", "--host", "127.0.0.1", "--port", str(port), *keys, state]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        azure.wait_for(port, "s3s")
        s3.make_bucket(port, "bucket")
        upload = start("upload", dataset, "s3://bucket/killed", "--limit-rate", "20M", "--quiet", port=port)
        wait_for_parts(dataset, 3)
        upload.kill()
        upload.communicate()
        kept = len(journal_of(dataset))
        output = run("upload", dataset, "s3://bucket/killed", port=port)
        assert kept >= 3 and "of an interrupted upload kept" in output, output
        same_bytes("s3://bucket/killed", dataset, port=port)
        assert json.loads(run("upload", dataset, "s3://bucket/killed", "--json", "--quiet", port=port))["num_parts"] == 0
        proxy = Proxy(port)
        proxy.num_altered = 1
        output = run("upload", dataset, "s3://bucket/altered", port=proxy.port)
        # It answers that it failed, not that the digest is another one, so that the client sends the part again by itself.
        assert proxy.num_altered == 0 and "500 Internal Server Error" in output, output
        same_bytes("s3://bucket/altered", dataset, port=port)
        say(f"killed with {kept} parts sent, gone on with; the altered part was refused and sent again; equal bytes")
    finally:
        server.kill()
        server.wait()


def conformance(url, endpoint):
    more = {"MANYFRAME_STORAGE": url} | at(endpoint)
    cargo = [os.environ.get("CARGO", "cargo"), "test", "--quiet", "--locked", "--package", "manyframe-storage", "--test", "conformance"]
    done = subprocess.run(cargo, env=ENVIRONMENT | more, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    noise.write(WORK / "data", num_photos=12, num_records=130)
    for name in ("out", "changed"):
        shutil.rmtree(WORK / f"{name}.work", ignore_errors=True)
    dataset = build("out")
    changed = build("changed", "--set", "source.noise.take=100", "--set", "output.max_shard_mib=64")
    ceph("up", PORT)
    try:
        s3.make_bucket(PORT, "bucket")
        check_kills(dataset)
        check_server_kill(dataset)
        check_race(dataset, changed)
        check_alteration(dataset)
        check_altered_download(dataset)
        check_busy(dataset)
        check_refusals(dataset)
        check_change(changed, dataset)
        check_readers(dataset)
        check_names()
        check_sources()
        check_kills_of_builds()
        check_output()
        print("the suite of storages on S3", flush=True)
        conformance("s3://bucket/suite", f"http://127.0.0.1:{PORT}")
        check_google(dataset)
        check_azure(dataset)
        check_second_implementation(dataset)
    finally:
        ceph("down")
    print("ok")


if __name__ == "__main__":
    main()
