"""Environments of their own for peers: made on demand from a pinned list, made anew when the list has changed."""

import os
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).resolve().parent
FOLDER = Path(os.environ.get("BENCH_DIR") or PEERS.parent.parent / "var" / "bench")


def interpreter(name: str) -> str:
    """Return the Python of the environment `name`, made where it was missing or has changed; this one without a name."""
    if not name:
        return sys.executable
    wanted, folder = PEERS / f"{name}.txt", FOLDER / name
    stamp, python = folder / "installed.txt", folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        print(f"Installing {name} in {folder} ...", flush=True)
        subprocess.run([sys.executable, "-m", "uv", "venv", "-q", "--clear", "-p", sys.executable, folder], check=True)
        subprocess.run([sys.executable, "-m", "uv", "pip", "install", "-q", "-p", python, "-r", wanted], check=True)
        stamp.write_text(wanted.read_text())
    return str(python)
