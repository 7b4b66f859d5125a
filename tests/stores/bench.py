"""Uploads 1 GiB to a store on this machine, with manyframe and with rclone, in turns: bench.py MANYFRAME CEPH-DIR (root).

manyframe reads and compares every file with its digest besides; rclone does not.
"""

import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

import noise
import s3

HERE = pathlib.Path(__file__).parent
WORK = pathlib.Path("target/stores")
PORT, NUM_TURNS = 40316, 3
manyframe, ceph_files = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2])
# rclone refuses a bundle of certificates, which no plain connection needs.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
ENVIRONMENT |= {"AWS_ACCESS_KEY_ID": s3.KEY, "AWS_SECRET_ACCESS_KEY": s3.SECRET}


def timed(command, environment=ENVIRONMENT):
    """Seconds, CPU seconds and peak memory in MiB of a command."""
    done = subprocess.run(["/usr/bin/time", "-v", *map(str, command)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"^\t(.+?): ([\d.:]+)$", done.stderr, re.MULTILINE))
    wall = 0.0
    for part in found["Elapsed (wall clock) time (h:mm:ss or m:ss)"].split(":"):
        wall = wall * 60 + float(part)
    cpu = float(found["User time (seconds)"]) + float(found["System time (seconds)"])
    return wall, cpu, int(found["Maximum resident set size (kbytes)"]) / 1024


def make_dataset():
    """A dataset of 1 GiB: photographs of noise, in shards of 128 MiB."""
    noise.write(WORK / "bench", num_photos=16, num_records=1200)
    out = WORK / "bench-out"
    settings = ["--set", f"data={(WORK / 'bench').resolve()}", "--set", "output.max_shard_mib=128", "--set", "output.formats=[\"webdataset\"]"]
    command = [manyframe, "build", HERE / "pipeline.toml", "--output", out, "--quiet", *settings]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def main():
    dataset = make_dataset()
    num_bytes = sum(path.stat().st_size for path in dataset.rglob("*") if path.is_file())
    remote = {
        "RCLONE_CONFIG_CEPH_TYPE": "s3",
        "RCLONE_CONFIG_CEPH_PROVIDER": "Ceph",
        "RCLONE_CONFIG_CEPH_ENV_AUTH": "true",
        "RCLONE_CONFIG_CEPH_ENDPOINT": f"http://127.0.0.1:{PORT}",
    }
    results = {"manyframe": [], "rclone": []}
    subprocess.run([HERE / "ceph.sh", "up", ceph_files, str(PORT)], check=True)
    try:
        s3.make_bucket(PORT, "bench")
        for turn in range(NUM_TURNS):
            command = [manyframe, "upload", dataset, f"s3://bench/manyframe-{turn}", "--quiet", "--endpoint", f"http://127.0.0.1:{PORT}"]
            results["manyframe"].append(timed(command))
            command = ["rclone", "copy", dataset, f"ceph:bench/rclone-{turn}", "--transfers", "4"]
            results["rclone"].append(timed(command, ENVIRONMENT | remote))
            for name in results:
                subprocess.run(["rclone", "purge", f"ceph:bench/{name}-{turn}"], check=True, env=ENVIRONMENT | remote)
            time.sleep(1)
    finally:
        subprocess.run([HERE / "ceph.sh", "down", ceph_files], check=True)
    mib = num_bytes / (1 << 20)
    print(f"{mib:.0f} MiB, medians of {NUM_TURNS}")
    rates, memories = {}, {}
    for name, runs in results.items():
        wall, cpu, memory = (statistics.median(column) for column in zip(*runs, strict=True))
        rates[name], memories[name] = mib / wall, memory
        print(f"{name:10} {mib / wall:6.0f} MiB/s  {cpu:5.1f} CPU-s  {memory:4.0f} MiB of memory")
    print(f"manyframe reaches {100 * rates['manyframe'] / rates['rclone']:.0f} % of rclone's rate")
    shutil.rmtree(dataset)
    assert rates["manyframe"] >= 0.8 * rates["rclone"], "less than 80 % of rclone's rate"
    assert memories["manyframe"] < 200, "200 MiB of memory or more"


if __name__ == "__main__":
    main()
