"""What `smsr upscale` tells, for people and for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from smsr_plugin.names import listed, printable
from smsr_plugin.upscaling.batch import Outcome, State
from smsr_plugin.upscaling.inputs import Job

#: The summary names so many failed images, and how many more there are.
MOST_NAMES = 8


def describe(outcome: Outcome) -> str | None:
    """Return one line on an image that did not fail; who prints it makes its names printable."""
    job = outcome.job
    if outcome.state is State.SKIPPED:
        return f"{job.source}: skipped, {job.target} is there"
    if outcome.lq_size is None or outcome.size is None:
        return None
    sizes = " → ".join(f"{width}×{height}" for width, height in (outcome.lq_size, outcome.size))
    tiles = f", {outcome.tiles} tiles" if outcome.tiles != 1 else ""
    figures = f"density {outcome.density:.2f}, {outcome.seconds:.2f} s"
    return f"{job.source} → {job.target}  {sizes}{tiles}, {figures}"


def complaints(outcome: Outcome) -> Iterator[str]:
    """Yield a line for each thing that went wrong or was changed; see `describe`."""
    for note in outcome.notes:
        yield f"note: {outcome.job.source}: {note}"
    if outcome.state is State.FAILED:
        yield f"error: {outcome.job.source}: {outcome.error}"


def summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """Return how many images were done, skipped and failed in so long, and the failed by name."""
    counts = _counts(outcomes)
    text = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [f"{text or 'nothing done'} in {seconds:.1f} s"]
    failed = [printable(o.job.source) for o in outcomes if o.state is State.FAILED]
    if failed:
        lines.append(f"failed: {listed(failed, MOST_NAMES)}")
    return "\n".join(lines)


def report(outcomes: Sequence[Outcome], jobs: Sequence[Job]) -> dict[str, Any]:
    """Return what became of the images as plain values, fit for JSON.

    Sizes are width and height in pixels; what does not apply to an image is null.
    """
    images = []
    for outcome in outcomes:
        entry = asdict(outcome)
        job = entry.pop("job")
        paths = {key: None if path is None else str(path) for key, path in job.items()}
        images.append({**paths, **entry, "state": outcome.state.value})
    return {"images": images, **_counts(outcomes), "left": len(jobs) - len(outcomes)}


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    found = Counter(outcome.state for outcome in outcomes)
    return {state.value: found[state] for state in State}
