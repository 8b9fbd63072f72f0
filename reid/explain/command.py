"""`crosscam explain`: what the model sees in an image and what a pair's distance is made of."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reid.explain.explanation import ImageEvidence, PairEvidence

MOST = 60  # rows of one picture

EXPLAIN_EXAMPLES = """examples:
  crosscam explain person.jpg --out seen.png
  crosscam explain a.jpg b.jpg --pair --out pair.png
  crosscam explain crops/*.jpg --json > numbers.json

Images are crops of one person each, head to feet: nobody is searched for in a
whole scene. The verdict's thresholds were calibrated on tracks of several
images; two single images say less. It says who looks alike, never who it is.
"""


def add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `explain` to the front door's parser."""
    parser = commands.add_parser(
        "explain",
        help="show what the model sees in person crops, or what makes two look alike",
        description="Draw what the model sees in person crops, or what makes two look alike.",
        epilog=EXPLAIN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="a person crop")
    parser.add_argument("--out", type=Path, metavar="FILE", help="picture: .png, .jpg, .pdf, .svg")
    parser.add_argument("--pair", action="store_true", help="compare two images, part by part")
    parser.add_argument("--json", action="store_true", help="print the numbers")
    parser.add_argument("--weights", default="default", help="default, or a file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.set_defaults(function=run_explain)


def run_explain(options: argparse.Namespace) -> int:
    """`crosscam explain`."""
    from reid.errors import ConfigError

    if options.out is None and not options.json:
        raise ConfigError("nothing to make: give --out FILE, --json, or both")
    if options.pair and len(options.images) != 2:
        raise ConfigError(f"--pair compares 2 images, not {len(options.images)}")
    if len(options.images) > MOST:
        raise ConfigError(f"{len(options.images)} images: a picture holds {MOST} at most")

    import numpy as np

    from reid.datasets import read_image
    from reid.explain.explanation import Explainer
    from reid.explain.page import check_out, save
    from reid.explain.picture import Shown, draw_images, draw_pair

    if options.out is not None:
        check_out(options.out)
    crops = [np.ascontiguousarray(read_image(path)[:, :, ::-1]) for path in options.images]
    for path, crop in zip(options.images, crops, strict=True):
        if crop.shape[1] > crop.shape[0]:
            sys.stderr.write(
                f"crosscam: warning: {path} is wider ({crop.shape[1]}) than tall "
                f"({crop.shape[0]}): is it a crop of one whole person?\n"
            )
    explainer = Explainer.from_weights(options.weights, options.device)
    shown = [
        Shown(path.name, crop, explainer.image(crop))
        for path, crop in zip(options.images, crops, strict=True)
    ]
    pair = explainer.pair(shown[0].evidence, shown[1].evidence) if options.pair else None
    if options.out is not None:
        save(
            draw_images(shown) if pair is None else draw_pair(shown[0], shown[1], pair), options.out
        )
    if options.json:
        numbers = {
            "model": explainer.fingerprint,
            "images": [
                {"path": str(path), **image_numbers(item.evidence)}
                for path, item in zip(options.images, shown, strict=True)
            ],
            "pair": None if pair is None else pair_numbers(pair),
        }
        sys.stdout.write(json.dumps(numbers, indent=2) + "\n")
    return 0


def image_numbers(evidence: ImageEvidence) -> dict[str, Any]:
    """The numbers of one image as JSON takes them; maps are lists of rows."""
    maps = {
        name: None if (values := getattr(evidence, name)) is None else values.tolist()
        for name in ("response_before", "response_after", "attention")
    }
    return {"quality": evidence.quality, "weights": evidence.weights, **maps}


def pair_numbers(pair: PairEvidence) -> dict[str, Any]:
    """The numbers of a pair as JSON takes them."""
    from dataclasses import asdict

    return asdict(pair)
