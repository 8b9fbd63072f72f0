"""`crosscam run`: the main job."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from storage.arguments import STORE_VARIABLE, store_url

if TYPE_CHECKING:
    import threading

    from rich.console import Console

    from detectors import Detector
    from pipeline.config import PipelineConfig
    from reid.embedding import Embedder

LOCK_PATIENCE = 300.0  # seconds that a run waits for a store that another program holds

EXAMPLES = """examples:
  crosscam run --cameras cams.yaml
  crosscam run --cameras cams.yaml --pipeline pipeline.yaml --store sqlite:///site.db
  crosscam run --cameras cams.yaml --serve       and the pages on http://127.0.0.1:8800
  run_pipeline.py --cameras cams.yaml            (the same as `crosscam run`)

Ctrl-C ends the run after the frames in work and keeps everything; twice ends it at once.
Exit code: 0 all cameras well; 1 a camera failed (the table says which and why); 2 a wrong
configuration, model or store; 130 stopped by Ctrl-C.
"""


def add_run_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `run` to the front door's parser."""
    parser = commands.add_parser(
        "run",
        help="watch cameras: detect, track, recognise, store",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cameras", type=Path, required=True, help="cams.yaml")
    parser.add_argument("--pipeline", type=Path, help="pipeline.yaml (default: built-in values)")
    parser.add_argument(
        "--store",
        help=f"store URL; overrides the one in pipeline.yaml (default: ${STORE_VARIABLE})",
    )
    parser.add_argument(
        "--serve", action="store_true", help="serve the pages too, on this machine, while it runs"
    )
    parser.add_argument(
        "--port", type=int, default=8800, metavar="N", help="of --serve (default: %(default)s)"
    )
    parser.set_defaults(function=run)


def run(options: argparse.Namespace) -> int:
    """`crosscam run`."""
    from rich.console import Console

    from pipeline.config import load_cameras, load_pipeline

    cameras = load_cameras(options.cameras)
    config = load_pipeline(options.pipeline)
    store = config.store.model_copy(update={"url": store_url(options.store, config.store.url)})
    config = config.model_copy(update={"store": store})
    console = Console()
    start_logging(config.runtime.log_level, console)

    import contextlib
    import threading

    stop = threading.Event()
    install_interrupt(stop)

    from pipeline.display import LiveDisplay, print_summary
    from pipeline.runner import Runner
    from pipeline.serving import Serving
    from storage.store import Store

    # The store first: a wrong path should be told before models are loaded.
    with contextlib.ExitStack() as open_things:
        opened = open_things.enter_context(
            Store.open(config.store.url, config.store.media, config.store, patience=LOCK_PATIENCE)
        )
        if options.serve:
            open_things.enter_context(Serving(options.main, config.store, options.port))
        detector, embedder, config = load_models(config)
        with LiveDisplay(console) as display:
            runner = Runner(
                cameras.enabled,
                config,
                detector,
                embedder,
                opened,
                stop=stop,
                watch=display.update,
            )
            summary = runner.run()
        print_summary(console, summary, opened.url, str(opened.media))
    if options.serve:
        console.print(f"to look further: crosscam serve --store {opened.url}", soft_wrap=True)
    for name, why in summary.failed.items():
        console.print(f"[bold red]camera {name} failed:[/] {why}", highlight=False, soft_wrap=True)
    if summary.interrupted:
        return 130
    return 1 if summary.failed else 0


def load_models(config: PipelineConfig) -> tuple[Detector, Embedder, PipelineConfig]:
    """Load detector and embedder; resolve the matching threshold that belongs to the model."""
    from detectors import build_detector
    from reid.embedding import Embedder
    from reid.hardware import resolve_device

    resolve_device(config.embedding.device, "embedding.device")  # before the detector is loaded
    detector = build_detector(config.detector)
    embedder = Embedder.from_settings(config.embedding)
    return detector, embedder, resolve_matching(config, embedder)


def resolve_matching(config: PipelineConfig, embedder: Embedder) -> PipelineConfig:
    """Fill `matching.threshold` and `matching.gamma` with the model's own where empty.

    Raises:
        ConfigError: if the model brings no calibrated threshold and none is configured.
    """
    from reid.errors import ConfigError

    matching = config.matching
    updates: dict[str, float] = {}
    if matching.gamma is None:
        updates["gamma"] = embedder.config.gamma
    calibrated = embedder.thresholds
    if matching.possible is None:
        updates["possible"] = calibrated[1] if calibrated else matching.threshold or 0.0
    if matching.threshold is None:
        if calibrated is None:
            raise ConfigError(
                f"matching.threshold: the weights {config.embedding.weights!r} bring no calibrated "
                "threshold; set one (0..2), or run `python -m reid.evaluation.calibrate` on "
                "held-out people"
            )
        updates["threshold"] = calibrated[0]
    return config.model_copy(update={"matching": matching.model_copy(update=updates)})


def install_interrupt(stop: threading.Event) -> None:
    """First Ctrl-C: end after the frames in work. Second: end at once."""
    import os
    import signal
    from types import FrameType

    def interrupt(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(130)  # committed rows stay; the next run marks this one interrupted
        stop.set()

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)


def start_logging(level: str, console: Console) -> None:
    """Log through rich, next to the live table."""
    import logging
    import warnings

    from rich.logging import RichHandler

    handler = RichHandler(console=console, show_path=False, show_time=False)
    logging.basicConfig(level=level.upper(), handlers=[handler], format="%(message)s", force=True)
    if level != "debug":  # what only their developers can use
        logging.getLogger("alembic").setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
