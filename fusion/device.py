"""The only place that names an accelerator: which device to use, how to say it, one forward pass at a time on it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

_LOCKS: dict[str, threading.RLock] = {}
_GUARD = threading.Lock()
T = TypeVar("T")
R = TypeVar("R")


def best() -> tuple[torch.device, str]:
    """The device to use and why: FUSION_DEVICE when set, else the accelerator that torch finds, else the CPU."""
    asked = os.environ.get("FUSION_DEVICE")
    if asked:
        return torch.device(asked), f"FUSION_DEVICE={asked}"
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is not None:
        return found, "the accelerator that torch found"
    return torch.device("cpu"), "no accelerator found"


def describe() -> dict[str, str]:
    """The device in words: name, reason, memory (GB) where it has its own, threads."""
    device, reason = best()
    words = {"device": str(device), "reason": reason, "threads": str(torch.get_num_threads())}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        words |= {"name": properties.name, "memory_gb": f"{properties.total_memory / 2**30:.0f}"}
    return words


@contextmanager
def exclusive(key: str) -> Iterator[None]:
    """One holder at a time for a key: one forward pass a model, or one a device when that device is a GPU."""
    device, _ = best()
    name = key if device.type == "cpu" else str(device)
    with _GUARD:
        lock = _LOCKS.setdefault(name, threading.RLock())
    with lock:
        yield


def amp_dtype(device: torch.device) -> torch.dtype | None:
    """bfloat16 where it is fast (GPUs that have it), None elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return None


def halving(run: Callable[[list[T]], list[R]], items: list[T], size: int, notice: Callable[[str], None]) -> list[R]:
    """Run over items in groups of `size`, halving the group each time memory runs out.

    Returns one result an item, in order. `notice` gets one sentence for each step down. Raises the error of torch when
    a single item doesn't fit.
    """
    results: list[R] = []
    start = 0
    while start < len(items):
        try:
            results += run(items[start : start + size])
            start += size
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            empty = getattr(torch.accelerator, "empty_cache", None)
            if best()[0].type != "cpu" and empty is not None:
                empty()
            size = max(1, size // 2)
            notice(f"Out of memory: going on with groups of {size}, slower.")
    return results
