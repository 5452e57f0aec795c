"""From what a user asks for to a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from smsr_plugin.compare.images import list_cases, load_case, ntire_cases
from smsr_plugin.compare.presets import PRESETS, noise, preset_images, preset_networks
from smsr_plugin.compare.resolve import resolve
from smsr_plugin.compare.run import Plan
from smsr_plugin.engines.runner import Schedule
from smsr_plugin.networks.find import NetworkError, parse_network

#: Rounds where neither the user nor a preset says how many.
ROUNDS = 5


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        networks: As `parse_network` takes them.
        images: As `list_cases` takes them.
        command: The arguments, paths without their folders.
        threads: Of each engine.
        scale: Of all networks.
        engine: Of `LIBRARIES`: runs dense networks.
        rounds: Timed runs on an image; 0 for quality alone, None for the usual number.
        preset: Of `PRESETS`; empty for none.
        engines: Patterns that select from a preset's engines.
        ntire: Whether the lq images of the table of `ntire` come first.
    """

    networks: Sequence[str]
    images: Sequence[str]
    command: Sequence[str]
    threads: int
    scale: int = 2
    engine: str = "pytorch"
    rounds: int | None = None
    preset: str = ""
    engines: Sequence[str] = ()
    ntire: bool = False


def make_plan(request: Request) -> Plan:
    """Find the images and the networks.

    Raises:
        ValueError, OSError: If one cannot be had, or the request contradicts itself.
    """
    arguments = [parse_network(text) for text in request.networks]
    scale, threads, preset = request.scale, request.threads, request.preset
    if preset:
        if request.ntire:
            raise NetworkError(f"--ntire is a table of its own, without the preset {preset}")
        images = preset_images(preset, request.images)
        networks = preset_networks(preset, arguments, scale, threads, request.engines)
        known = PRESETS[preset]
        return Plan(
            networks,
            images,
            noise if preset == "training" else partial(load_case, scale=scale),
            scale,
            _schedule(known.schedule, request.rounds),
            threads,
            request.command,
            fresh=known.fresh,
            details=known.details,
        )
    if request.engines:
        raise NetworkError("--engines selects from a preset; an engine is given by --engine")
    if not arguments or not (request.images or request.ntire):
        raise NetworkError("give a NETWORK and --images, or a --preset")
    # A process is asked for the most memory since it was loaded: larger images come later.
    images = [*(ntire_cases() if request.ntire else ()), *list_cases(request.images)]
    networks = resolve(arguments, scale, request.engine, threads)
    schedule = _schedule(Schedule(rounds=ROUNDS), request.rounds)
    load = partial(load_case, scale=scale)
    return Plan(networks, images, load, scale, schedule, threads, request.command)


def _schedule(usual: Schedule, rounds: int | None) -> Schedule:
    if rounds is None:
        return usual
    return replace(usual, rounds=rounds) if rounds else Schedule(0, 0, 0, 0)
