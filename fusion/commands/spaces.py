"""The verb that compares spaces side by side: raw, centred, MCCA, KCCA and what a checkpoint learned."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from fusion.commands.telling import progress, say, show

if TYPE_CHECKING:
    import argparse

    from fusion.comparing import Compared
    from fusion.streams.side_by_side import Space


def spaces(options: argparse.Namespace) -> int:
    """Every space of a checkpoint or a data set, on its held-out rows."""
    from fusion import comparing

    checkpoint, dataset = comparing.named(options.what, options.data)
    with progress("sample", options.json, "gathering signals") as moved:
        made = comparing.compared(checkpoint, dataset, moved, say)
    if options.json:
        show(asdict(made))
    else:
        print("\n".join(lines(made)))
    return 0


def lines(made: Compared) -> list[str]:
    """A block a pair of views, a line a space; below it what was fitted, and why a space is not there."""
    pairs = dict.fromkeys(tuple(one["views"]) for space in made.spaces for one in space.pairs)
    told = []
    for a, b in pairs:
        told.append(f"{a} - {b}")
        told.append(
            f"  {'space':<18}{'n':>6}  {'R@1':>11}  {'R@10':>11}  {'gap':>5}  {'shared near':>11}  {'alignment':>9}  "
            f"{'uniformity':>13}"
        )
        for space in made.spaces:
            for one in space.pairs:
                if tuple(one["views"]) == (a, b):
                    told.append(_line(called(space), one))
    told += [f"{called(space)}: {why(space)}" for space in made.spaces if space.why]
    told += [f"{called(space)}: {facts(space)}" for space in made.spaces if space.facts and not space.why]
    return told


def called(space: Space) -> str:
    """The kind of a space, and its name where a checkpoint has several."""
    return f"{space.kind.replace('_', ', ')} {space.name}".strip()


def _line(name: str, one: dict) -> str:  # type: ignore[type-arg]  # figures as they are kept
    both = lambda key, digits: " / ".join(f"{value:.{digits}f}" for value in one[key])  # noqa: E731
    return (
        f"  {name:<18}{one['n']:>6}  {both('r1', 3):>11}  {both('r10', 3):>11}  {one['gap']:>5.2f}  "
        f"{one['neighbours']:>11.3f}  {one['alignment']:>9.2f}  {both('uniformity', 2):>13}"
    )


def why(space: Space) -> str:
    """Why a space has no figures."""
    if space.why == "widths":
        return "not compared, its views have different widths: " + ", ".join(
            f"{m} {width}" for m, width in space.facts["widths"].items()
        )
    if space.why == "rows":
        return (
            f"not fitted, {space.facts['rows']} rows to train on have every view, and it takes {space.facts['least']}"
        )
    return f"not fitted: {space.facts['reason']}"


def facts(space: Space) -> str:
    """What was fitted and chosen."""
    found = space.facts
    own = f", {found['kernel']} kernel by {found['method']} ({found['stored']})" if "kernel" in found else ""
    return f"{found['rows']} rows fitted, ridge c {found['c']:g}, {found['components']} components{own}"
