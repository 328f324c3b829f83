"""Two checkpoints side by side, or one with a switch flipped: on one sample, and over a data set."""

from __future__ import annotations
