"""What a job is about, in words: its kind, what it reads and makes, how long it takes, what to do when it failed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.jobs import KILLED
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.jobs import JobStatus

KINDS = ("train", "observe", "inspect-set", "compare", "trust", "report", "explain")  # that have a word of their own
SWITCHES = ("--json", "--resume", "--fine-tune", "--bundled", "--interactive", "--again", "--whole", "--recomputed")
RESUMED = "--resume"
CRASH = re.compile(r"^[\w.]+(Error|Exception|Interrupt|Warning)\b")
DOING = ("training", "observing", "comparing", "encoding")  # what a job reports itself to do, in words of its own


@dataclass(frozen=True)
class About:
    """A command line taken apart."""

    verb: str
    things: tuple[str, ...]  # what stands before and between the options: a system, a data set, checkpoints
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> str:
        """The data set, "" where none is named."""
        first = self.things[0] if self.things and self.verb in ("observe", "inspect-set") else ""
        return self.options.get("data", first)


def about(arguments: Sequence[str]) -> About:
    """The parts of `python -m fusion ARGUMENTS`.

    >>> about(["train", "late", "--seed", "3", "--json"])
    About(verb='train', things=('late',), options={'seed': '3'})
    """
    things: list[str] = []
    options: dict[str, str] = {}
    rest = list(arguments[1:])
    while rest:
        one = rest.pop(0)
        name, equals, value = one.partition("=")
        if not one.startswith("--"):
            things.append(one)
        elif equals:
            options[name[2:]] = value
        elif one not in SWITCHES and rest:
            options[one[2:]] = rest.pop(0)
    return About(arguments[0] if arguments else "", tuple(things), options)


def kind(job: JobStatus) -> str:
    """What a job does: training, an inspection of a data set, or other work."""
    verb = about(job.arguments).verb
    return t(f"runs.kind.{verb}") if verb in KINDS else t("runs.kind.other")


def made(job: JobStatus) -> str:
    """The checkpoint that a training makes or made, "" for other work."""
    told = about(job.arguments)
    if told.verb != "train":
        return ""
    known = (*job.notes.get("checkpoint", ()), *job.notes.get("run", ()), told.options.get("name", ""))
    usual = "-".join((*told.things[:1], *([Path(told.data).stem] if told.data else [])))
    return next((one for one in known if one), usual)


def read(job: JobStatus) -> str:
    """The checkpoint that a job other than training reads, "" where it isn't known."""
    told = about(job.arguments)
    if told.verb == "train":
        return ""
    return Path(told.options.get("checkpoint", "")).name or next(iter(job.notes.get("checkpoint", ())), "")


def title(job: JobStatus) -> str:
    """One line: what is made of what."""
    told = about(job.arguments)
    if told.verb == "train":
        return made(job)
    return " · ".join(Path(one).name or one for one in (*told.things, read(job)) if one) or told.verb


def doing(job: JobStatus) -> str:
    """What it does now: "encoding text", "training", or that it trains; "" before it said anything."""
    from fusion.views.speech import say

    first, _, rest = job.message.partition(" ")
    if first not in DOING and about(job.arguments).verb == "train" and job.message:
        first = "training"  # the name of a stage
    return t(f"runs.doing.{first}", name=say(rest)) if first in DOING else job.message


def when(seconds: float) -> str:
    """A moment in this machine's time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def length(seconds: float | None) -> str:
    """A length of time in words, rounded as an estimate deserves; a dash where it isn't known."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return t("work.seconds", count=max(0, round(seconds)))
    if seconds < 5400:
        return t("work.minutes", count=round(seconds / 60))
    return t("runs.hours", count=f"{seconds / 3600:.1f}")


def advice(job: JobStatus) -> str:
    """What to do about a job that failed: its own sentence says it, or its log does, or it ran out of something."""
    if job.message == KILLED:
        return t("runs.fix.killed")
    return t("runs.fix.broke") if CRASH.match(job.message) else t("runs.fix.said")


def again(job: JobStatus) -> list[str]:
    """The arguments that go on with a job: training from its last epoch, other work where its folder stands."""
    given = list(job.arguments)
    return [*given, RESUMED] if given[:1] == ["train"] and RESUMED not in given else given
