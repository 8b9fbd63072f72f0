"""`crosscam rerun`: recorded footage through the pipeline again. Light to import."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from storage.arguments import add_media, add_store

if TYPE_CHECKING:
    from rich.console import Console

    from detectors import Detector
    from pipeline.compare_runs import Comparison
    from pipeline.config import CameraConfig, PipelineConfig
    from pipeline.rerun import Footage
    from pipeline.runner import Summary
    from reid.embedding import Embedder
    from storage.store import Store

EXAMPLES = """examples:
  crosscam rerun --store sqlite:///site.db                   the latest recorded run, as it was
  crosscam rerun --store sqlite:///site.db --run 3 --threshold 0.25
  crosscam rerun --weights qpm_new.safetensors --from 2026-01-31T14:00:00Z --to 2026-01-31T15:00:00Z
  crosscam replay --rerun ...                                (the same)

The cameras' own recordings take their place; results go into a run of their own that search, watch
list and reports leave out unless asked. Without --pipeline everything is as in the run that is
repeated, but for what is given here. Then it prints which identity links changed. The same
recordings and settings give the same result every time.
"""


def add_rerun_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `rerun` to the front door's parser."""
    parser = commands.add_parser(
        "rerun",
        help="recorded footage through the pipeline again, and what that changes",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_store(parser)
    add_media(parser, "folder of pictures and recordings, PostgreSQL")
    parser.add_argument("--run", type=int, metavar="N", help="whose recordings (default: latest)")
    parser.add_argument(
        "--cameras", type=Path, metavar="FILE", help="cams.yaml: zones, masks, places, max_fps"
    )
    parser.add_argument(
        "--pipeline", type=Path, metavar="FILE", help="pipeline.yaml, for all of it"
    )
    parser.add_argument("--weights", metavar="FILE", help="another model")
    parser.add_argument("--detector", metavar="NAME", help="another detector")
    parser.add_argument("--threshold", type=float, metavar="D", help="another matching threshold")
    parser.add_argument(
        "--camera", action="append", default=[], metavar="ID", help="only this camera; repeatable"
    )
    parser.add_argument("--from", dest="start", metavar="TIME", help="not before (ISO 8601, UTC)")
    parser.add_argument("--to", dest="end", metavar="TIME", help="not after")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit trail")
    parser.add_argument("--json", action="store_true", help="print what changed as JSON")
    parser.set_defaults(function=rerun)


def rerun(options: argparse.Namespace) -> int:
    """`crosscam rerun`."""
    import threading

    from rich.console import Console

    from pipeline.compare_runs import compare
    from pipeline.display import LiveDisplay, print_summary
    from pipeline.rerun import camera_configs, footage_of
    from pipeline.run_command import install_interrupt, start_logging
    from pipeline.runner import Runner
    from storage.queries import StoreReader
    from storage.store import Store

    console = Console(stderr=options.json)
    # The reader first: it does not make a store where there is none.
    with StoreReader.open(options.store, options.media) as reader:
        start, end = (_moment(options, name) for name in ("start", "end"))
        footage = footage_of(reader, options.run, options.camera, start, end)
        config = _config(options, footage)
        cameras = camera_configs(reader, footage, _given(options))
        start_logging(config.runtime.log_level, console)
        stop = threading.Event()
        install_interrupt(stop)
        with Store.open(options.store, options.media) as store:
            detector, embedder, config = _models(options, config, footage)
            with LiveDisplay(console) as display:
                runner = Runner(
                    cameras,
                    config,
                    detector,
                    embedder,
                    store,
                    stop=stop,
                    watch=display.update,
                    opener=footage.open,
                    rerun_of=footage.run.id,
                )
                _audit(store, options, footage)
                summary = runner.run()
            if not options.json:
                print_summary(console, summary, store.url, str(store.media))
        names = [camera.id for camera in cameras]
        changed = compare(reader, footage.run.id, summary.run, names, footage.start, footage.end)
    return _tell(console, options, changed, summary)


def _moment(options: argparse.Namespace, name: str) -> float | None:
    """A time as typed, in UTC seconds."""
    from datetime import UTC, datetime

    from reid.errors import ConfigError

    text = getattr(options, name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        flag = "--from" if name == "start" else "--to"
        raise ConfigError(
            f"{flag} is '{text}', which is no time; write 2026-01-31T14:10:00Z (UTC)"
        ) from None


def _config(options: argparse.Namespace, footage: Footage) -> PipelineConfig:
    """As in the run that is repeated or in --pipeline, with what else was asked for."""
    import math

    from pipeline.config import load_pipeline
    from pipeline.rerun import pipeline_config, quiet
    from reid.errors import ConfigError
    from storage.settings import StoreSettings

    store = StoreSettings(url=options.store, media=options.media)
    if options.pipeline is None:
        config = pipeline_config(footage, store)
    else:
        config = quiet(load_pipeline(options.pipeline), store)
    if options.threshold is not None:
        if not (math.isfinite(options.threshold) and 0 <= options.threshold <= 2):
            raise ConfigError(f"--threshold is {options.threshold:g}; allowed: 0 to 2")
        matching = config.matching.model_copy(update={"threshold": options.threshold})
        config = config.model_copy(update={"matching": matching})
    if options.detector:
        detector = config.detector.model_copy(update={"name": options.detector})
        config = config.model_copy(update={"detector": detector})
    if options.weights:
        embedding = config.embedding.model_copy(update={"weights": options.weights})
        config = config.model_copy(update={"embedding": embedding})
    return config


def _given(options: argparse.Namespace) -> tuple[CameraConfig, ...] | None:
    from pipeline.config import load_cameras

    if options.cameras is None:
        return None
    given = load_cameras(options.cameras).enabled
    return tuple(c for c in given if not options.camera or c.id in options.camera)


def _models(
    options: argparse.Namespace, config: PipelineConfig, footage: Footage
) -> tuple[Detector, Embedder, PipelineConfig]:
    """Detector, embedder and the configuration with the thresholds that belong to the model.

    A run's configuration holds its model's own thresholds: with another model they say nothing.
    """
    from detectors import build_detector
    from pipeline.run_command import resolve_matching
    from reid.embedding import Embedder

    detector = build_detector(config.detector)
    embedder = Embedder.from_settings(config.embedding)
    if options.pipeline is None and embedder.fingerprint != footage.run.config.get("model"):
        own = {"threshold": options.threshold, "possible": None, "gamma": None}
        matching = config.matching.model_copy(update=own)
        config = config.model_copy(update={"matching": matching})
    return detector, embedder, resolve_matching(config, embedder)


def _audit(store: Store, options: argparse.Namespace, footage: Footage) -> None:
    from storage.audit import Audit, person_at_terminal, write
    from storage.models import iso_text

    details = {
        "cameras": list(footage.rows),
        "from": iso_text(footage.start),
        "to": iso_text(footage.end),
        "weights": options.weights,
        "detector": options.detector,
        "threshold": options.threshold,
        "pipeline": None if options.pipeline is None else str(options.pipeline),
    }
    subject = f"run {footage.run.id}"
    write(store, Audit(person_at_terminal(), "rerun", subject, options.reason, details))


def _tell(
    console: Console, options: argparse.Namespace, changed: Comparison, summary: Summary
) -> int:
    if options.json:
        import json

        sys.stdout.write(json.dumps(changed.as_json(), indent=2) + "\n")
    else:
        say(console, changed)
        if options.start or options.end or options.camera or options.cameras:
            console.print(
                "Only a part was run again: a link may also be missing as the rest was not seen."
            )
    for name, why in summary.failed.items():
        console.print(f"[bold red]camera {name} failed:[/] {why}", highlight=False, soft_wrap=True)
    if summary.interrupted:
        return 130
    return 1 if summary.failed else 0


def say(console: Console, changed: Comparison) -> None:
    """What changed, for a person."""
    from storage.models import iso_text

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    line(
        f"run {changed.after} beside run {changed.before}: {changed.matched} tracks in both, "
        f"{len(changed.only_before)} only before, {len(changed.only_after)} only now"
    )
    line(
        f"links between tracks in both: {changed.unchanged} unchanged, {changed.added} added, "
        f"{changed.removed} removed"
    )
    for change in changed.changes:
        sides = " and ".join(
            f"track {p.before.id} ({p.before.camera} {iso_text(p.before.start)[11:21]})"
            for p in (change.first, change.second)
        )
        before, after = (
            [p.before.identity for p in (change.first, change.second)],
            [p.after.identity for p in (change.first, change.second)],
        )
        if change.linked:
            line(f"  added:   {sides}: identities {before[0]} and {before[1]}, now one: {after[0]}")
        else:
            line(f"  removed: {sides}: identity {before[0]}, now {after[0]} and {after[1]}")
    more = changed.added + changed.removed - len(changed.changes)
    if more:
        line(f"  and {more} more")
