"""A distribution's root, and containers of images over it, without an engine.

The root is Debian's Python as the machine's own apt sources have it. A container is runc's, of the
bundle that umoci unpacks; where namespaces are refused, a process in a changed root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from filelock import FileLock

NOBODY = 65532
PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"
PACKAGES = (f"{PYTHON}-minimal", f"lib{PYTHON}-stdlib", "libstdc++6", "libgcc-s1", "zlib1g")

# Distroless images list their packages so: a file each.
LISTED = (
    'mkdir -p "$1/var/lib/dpkg/status.d"; for deb in "$1"/var/cache/apt/archives/*.deb; do '
    'dpkg-deb --field "$deb" > "$1/var/lib/dpkg/status.d/$(basename "$deb" .deb)"; done'
)


@pytest.fixture(scope="session")
def debian_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tar of a root with Python and little else, made once for all of a run's processes."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    archive = shared / "debian.tar"
    if subprocess.run(
        ["apt-cache", "show", PACKAGES[0]], capture_output=True, check=False
    ).returncode:
        pytest.skip(f"Debian has no {PACKAGES[0]} here: run the tests with its own Python")
    with FileLock(shared / "debian.lock"):
        if not archive.exists():
            part = shared / "debian.part.tar"
            subprocess.run(
                ["mmdebstrap", "--quiet", "--variant=extract", f"--extract-hook={LISTED}",
                 f"--include={','.join(PACKAGES)}", _suite(), str(part)],
                check=True,
            )  # fmt: skip
            part.rename(archive)
    return archive


def _suite() -> str:
    known = dict(
        line.partition("=")[::2] for line in Path("/etc/os-release").read_text().splitlines()
    )
    return known["VERSION_CODENAME"]


@contextmanager
def running(layout: Path, tag: str, config: dict[str, object], folder: Path) -> Iterator[Path]:
    """Run an image with a gateway configuration of the block's own; yields what it says."""
    bundle = unpacked(layout, tag, folder / "bundle")
    (folder / "gateway.json").write_text(json.dumps(config))
    spec = _spec(_read_spec(bundle), folder / "gateway.json")
    (bundle / "config.json").write_text(json.dumps(spec))
    if _has_namespaces(bundle, spec):
        name = f"onward-{uuid4().hex[:12]}"
        with _process(["runc", "run", "--bundle", str(bundle), name], folder / "said"):
            yield folder / "said"
    else:
        root = rooted(bundle)
        shutil.copy(folder / "gateway.json", root / "etc" / "onward" / "gateway.json")
        with serving_in(bundle, folder / "said"):
            yield folder / "said"
    shutil.rmtree(bundle)


def unpacked(layout: Path, tag: str, bundle: Path) -> Path:
    """Unpack an image to a bundle, as umoci does, and return it."""
    subprocess.run(
        ["umoci", "unpack", "--image", f"{layout}:{tag}", str(bundle)],
        check=True,
        capture_output=True,
    )
    return bundle


def rooted(bundle: Path) -> Path:
    """Make a bundle's root one that a process can change into, and return it.

    What a container mounts is there, and nobody's: its state, and a place for what is temporary.
    """
    root = bundle / "rootfs"
    for place in ("var/lib/onward", "tmp", "etc/onward/routes", "models"):
        (root / place).mkdir(parents=True, exist_ok=True)
    for place in ("var/lib/onward", "models"):
        os.chown(root / place, NOBODY, NOBODY)
    (root / "tmp").chmod(0o1777)
    return root


def run_in(bundle: Path, command: Sequence[str]) -> None:
    """Run a command to its end as nobody, with the bundle's root as its own."""
    words, environment = _rooted(bundle, command)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def serving_in(bundle: Path, said: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run what a bundle's image runs, as nobody, with the bundle's root as its own."""
    words, environment = _rooted(bundle, _read_spec(bundle)["process"]["args"])
    with _process(words, said, environment) as process:
        yield process


def _rooted(bundle: Path, command: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    environment = dict(line.partition("=")[::2] for line in _read_spec(bundle)["process"]["env"])
    changed = ["/usr/sbin/chroot", f"--userspec={NOBODY}:{NOBODY}", str(bundle / "rootfs")]
    return [*changed, *command], environment


@contextmanager
def _process(
    command: Sequence[str], said: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _read_spec(bundle: Path) -> dict:
    found: dict = json.loads((bundle / "config.json").read_text())
    return found


def _spec(spec: dict, config: Path) -> dict:
    """Give it this machine's network, a root that is read only, and state in memory."""
    spec["process"]["terminal"] = False
    spec["root"]["readonly"] = True
    kept = [n for n in spec["linux"]["namespaces"] if n["type"] != "network"]
    spec["linux"] = {**spec["linux"], "namespaces": kept}
    spec["linux"].pop("resources", None)
    spec["mounts"] = [m for m in spec["mounts"] if not m["destination"].startswith("/sys")]
    owner = [f"uid={NOBODY}", f"gid={NOBODY}", "mode=0700"]
    spec["mounts"] += [
        {"destination": "/etc/onward/gateway.json", "type": "bind", "source": str(config),
         "options": ["rbind", "ro"]},
        {"destination": "/var/lib/onward", "type": "tmpfs", "source": "tmpfs", "options": owner},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
    ]  # fmt: skip
    return spec


def _has_namespaces(bundle: Path, spec: dict) -> bool:
    tried = {**spec, "process": {**spec["process"], "args": [f"/usr/bin/{PYTHON}", "-c", "pass"]}}
    (bundle / "config.json").write_text(json.dumps(tried))
    command = ["runc", "run", "--bundle", str(bundle), f"onward-{uuid4().hex[:12]}"]
    done = subprocess.run(command, capture_output=True, check=False)
    (bundle / "config.json").write_text(json.dumps(spec))
    return done.returncode == 0
