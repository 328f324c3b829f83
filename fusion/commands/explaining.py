"""The verb `explain`: why a number of one sample is what it is, and whether the answer follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusion.commands.entities import see_entity
from fusion.commands.links import see_link
from fusion.commands.running import see_pair
from fusion.commands.streams import see_stream
from fusion.commands.telling import aligns, checkpoint_for, reads, sample_of, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse

    from fusion.alignment.inspection import Aligner
    from fusion.alignment.observed import EntityObservation
    from fusion.checkpoints import Checkpoint
    from fusion.explain.asking import Case, Judged
    from fusion.explain.tabled import Tabled
    from fusion.inference import Observation, Pipeline
    from fusion.links.inspection import Predictor
    from fusion.links.observed import LinkObservation
    from fusion.streams.inspection import Reader
    from fusion.streams.observed import StreamObservation
    from fusion.types import Image

MOST = 12  # parts that are printed


def explain(options: argparse.Namespace) -> int:
    """One number of one sample, by one method or by all that apply."""
    from fusion.explain.asking import Case, case_line
    from fusion.explain.targets import known

    checkpoint = checkpoint_for(options.checkpoint, options.data or "gloss")
    case = _case(options, checkpoint)
    if isinstance(case, Case):
        if not known(case.model, case.output):
            raise FusionError(f'"{checkpoint.name}" answers nothing that could be explained; look at its map instead.')
        line = options.target or case_line(case)
    else:
        line = options.target or case.lines[0]
    whole = options.whole or case.whole_only
    names = [options.method]
    if options.method == "all":
        names = [one for one, why in case.applying(line, whole=whole).items() if not why]
    found = [case.judge(line, one, whole=whole, pairs=options.pairs) for one in names]
    if options.json:
        show([summary(one) for one in found])
    else:
        print("\n\n".join(_in_words(one) for one in found))
    return 0


def _case(options: argparse.Namespace, checkpoint: Checkpoint) -> Case | Tabled:
    kind = reads(checkpoint)
    if kind == "streams":
        return stream_case(options, *see_stream(options, checkpoint))
    if kind != "pairs" and options.edit:
        raise FusionError(f'"{checkpoint.name}" reads whole graphs, of which --edit changes nothing; leave it out.')
    if aligns(checkpoint):
        return entity_case(options, *see_entity(options, checkpoint))
    if kind == "triples":
        return link_case(options, *see_link(options, checkpoint))
    pipeline, seen, *_ = see_pair(options, checkpoint)
    return pair_case(options, pipeline, seen)


def stream_case(options: argparse.Namespace, reader: Reader, seen: StreamObservation) -> Case:
    """A sample of streams that was looked into; one of the data set keeps the features that it came with."""
    from fusion.explain.edits import SEEN

    if options.id is not None:
        return reader.case(options.id, seen.edits)
    return reader.case(seen.sample, [edit for edit in seen.edits if edit.how not in SEEN])


def entity_case(options: argparse.Namespace, aligner: Aligner, seen: EntityObservation) -> Tabled:
    """An entity that was looked into."""
    from fusion.alignment.explaining import case

    return case(aligner, seen, _picture(options))


def link_case(options: argparse.Namespace, predictor: Predictor, seen: LinkObservation) -> Tabled:
    """A question that was looked into."""
    from fusion.links.explaining import case

    return case(predictor, seen, _picture(options), options.text)


def pair_case(options: argparse.Namespace, pipeline: Pipeline, seen: Observation) -> Case:
    """A picture with its sentence, as they are after the edits that can be seen."""
    from fusion.explain import edits
    from fusion.explain.edits import SEEN

    made = edits.read(",".join(options.edit), ("text", "image"))
    return pipeline.case(seen.sample, [edit for edit in made if edit.how not in SEEN])


def _picture(options: argparse.Namespace) -> Image | None:
    return sample_of(None, options.image, "input").image() if options.image else None


def summary(one: Judged) -> dict[str, Any]:
    """An explanation with its test as plain values."""
    from fusion.explain.methods import shares, totals

    told, done = one.told, one.told.explanation
    own, chance, spread = one.trial.areas()
    parts = [
        {"part": name, "modality": m, "value": value}
        for name, m, value in zip(told.players.names, told.players.of, told.values.tolist(), strict=True)
        if m in told.judged
    ]
    return {
        "method": one.method, "target": done.target, "with_all": one.trial.span[1], "with_nothing": one.trial.span[0],
        "parts": parts, "totals": totals(told), "shares": shares(told), "gap": done.gap,
        "deletion_area": own, "random_area": chance, "random_spread": spread,
        "random_orders": len(one.trial.random), "random_beaten": one.trial.beaten(),
        "insertion_area": one.trial.areas("insertion")[0], "verdict": one.verdict, "rows": done.passes,
        "seconds": round(done.seconds, 3),
    }  # fmt: skip


def _in_words(one: Judged) -> str:
    found = summary(one)
    ranked = sorted(found["parts"], key=lambda part: -abs(part["value"]))[:MOST]
    verdicts = {"better": "better than chance", "none": "not told from chance", "worse": "worse than chance"}
    lines = [
        f"{found['method']}: {found['target']} is {found['with_all']:.3f}, {found['with_nothing']:.3f} from nothing",
        *(f"  {part['value']:+.4f}  {part['modality']}: {part['part']}" for part in ranked),
        "  shares  " + ", ".join(f"{m} {share:.0%}" for m, share in found["shares"].items()),
        f"  deletion area {found['deletion_area']:.3f}, ahead of {found['random_beaten']} of {found['random_orders']} "
        f"random orders ({found['random_area']:.3f}): {verdicts.get(one.verdict, 'cannot be told')}",
        f"  {found['rows']} rows, {found['seconds']} s"
        + ("" if found["gap"] is None else f", gap {found['gap']:.2%}"),
    ]  # fmt: skip
    return "\n".join(lines)
