"""The command line: python -m fusion {models,data,train,evaluate,inspect,report,stories,observe,adopt,doctor}.

Results go to standard output, everything else to standard error. Exit status 0, or 2 with one sentence for anything
that a user can put right.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads make a busy machine hundreds of times slower

import argparse
import sys
from collections.abc import Callable, Sequence

from fusion.types import FusionError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. -> exit status"""
    from fusion import commands

    parser = argparse.ArgumentParser(prog="python -m fusion", description=(__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, (sentence, add, _) in commands.VERBS.items():
        add(verbs.add_parser(verb, help=sentence, description=sentence))
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = commands.VERBS[options.verb][2]
    try:
        return run(options)
    except FusionError as error:
        print(str(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; what was saved before stays.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    from fusion import terminal

    sys.exit(terminal.told(main, sys.argv[1:]))
