"""Which process is which, after a restart of the server or of the machine."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path


def born(pid: int) -> str:
    """When a process began, to tell it from a later one of the same id; "" when there is none, or it has ended."""
    if Path("/proc/self/stat").exists():
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"  # state, and ticks since the machine started
        return ""
    listed = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    state, _, began = subprocess.run(listed, capture_output=True, text=True, check=False).stdout.strip().partition(" ")
    return "" if state.startswith("Z") else began.strip()
