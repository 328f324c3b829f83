"""The verb that says which fusion signals of a checkpoint deserve trust."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from fusion.commands.telling import progress, show
from fusion.words import t

if TYPE_CHECKING:
    import argparse

    from fusion.explain.additive import Split
    from fusion.explain.trust import Row
    from fusion.trusting import Trusted


def trust(options: argparse.Namespace) -> int:
    """Every signal of a checkpoint beside the effect of removal, and how far modalities interact."""
    from fusion import trusting

    checkpoint, dataset = trusting.opened(options.checkpoint, options.data)
    with progress("row", options.json, "measuring signals") as moved:
        made = trusting.measured(checkpoint, dataset, moved, again=options.again,
                                 table=options.table or 0, bundled=options.bundled)  # fmt: skip
    if options.json:
        show(asdict(made))
    else:
        print("\n".join(lines(made)))
    return 0


def lines(made: Trusted) -> list[str]:
    """A line a signal, a line a split, and the rules."""
    from fusion.explain.trust import rules

    told = [
        f"{made.n} rows{' to test' if made.split else ''} of {made.data}; other seeds: "
        f"{', '.join(made.beside) or 'none'}",
        f"{'signal':<24}{'modality':<11}{'n':>5}  {'rho':>6}  {'95 %':>15}  {'shuffled':>8}  {'seeds':>6}  verdict",
    ]
    told += [_row(one) for one in made.rows]
    told += [_split(one) for one in made.splits]
    if made.lacks:
        told.append(made.lacks)
    return [*told, *rules()]


def _row(one: Row) -> str:
    number = lambda value: "–" if value is None else f"{value:.2f}"  # noqa: E731
    between = "–" if one.low is None else f"{number(one.low)} to {number(one.high)}"
    better = "" if one.better is None else f"; hiding the most attended first beats chance in {one.better:.0%} of rows"
    why = f" ({t(f'trust.why.{one.why}')})" if one.why else ""
    return (
        f"{one.signal:<24}{one.modality:<11}{one.n:>5}  {number(one.rho):>6}  {between:>15}  "
        f"{number(one.shuffled):>8}  {number(one.stable):>6}  {t(f'trust.verdict.{one.verdict}')}{why}{better}"
    )


def _split(one: Split) -> str:
    rest = "+".join(one.rest)
    told = f"{one.modality} and {rest}, {one.n} rows: {one.share:.1%} of the variance is interaction"
    if one.figure and one.whole is not None and one.additive is not None:
        between = "" if one.low is None else f" ({one.low:.3f} to {one.high:.3f})"
        told += f"; {one.figure} {one.whole:.3f}, added up {one.additive:.3f}, difference {one.gain:.3f}{between}"
    flips = f"{one.flipped[one.modality]:.0%} of decisions change with another {one.modality}"
    return f"{told}; {flips}, {one.flipped['rest']:.0%} with another {rest}"
