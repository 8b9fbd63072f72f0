"""Settings of the `detectors` room."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reid.settings import StrictModel


class DetectorSettings(StrictModel):
    """Which detector finds people, how it looks at a frame and what runs it."""

    name: str = Field(
        default="auto",
        min_length=1,
        title="Detector",
        description="`auto`; `ssdlite` (small, works offline); a name that Ultralytics knows "
        "(`yolo26n.pt`, downloaded once); or a path to Ultralytics weights (.pt) or to an RTMDet "
        "or YOLOX file (.onnx). `auto` takes the first of: Ultralytics weights in the models "
        "folder or downloadable, an .onnx file in the models folder, `ssdlite`; the log says which "
        "and why.",
    )
    models: str = Field(
        default="models",
        title="Models folder",
        description="Folder that holds model files: `auto` looks there, and so does a bare name. "
        "A relative path counts from the working directory.",
    )
    confidence: float = Field(
        default=0.1,
        ge=0,
        le=1,
        title="Confidence",
        description="Boxes below this confidence are dropped before tracking. Keep it low: the "
        "tracker uses unsure boxes to hold on to a person, never to begin a track.",
    )
    iou: float | None = Field(
        default=None,
        gt=0,
        le=1,
        title="Overlap",
        description="Of two boxes that overlap more than this (intersection over union) only the "
        "surer one stays. Empty: the detector's own value. Detectors without such a step "
        "(YOLO26) ignore it.",
    )
    imgsz: int = Field(
        default=640,
        ge=64,
        le=4096,
        multiple_of=32,
        title="Picture size",
        description="The longer side of the picture the detector sees, in pixels; the frame keeps "
        "its proportions. Models with a fixed input ignore it.",
    )
    tiles: str = Field(
        default="auto",
        pattern=r"^(auto|none|[1-8]x[1-8])$",
        title="Tiles",
        description="Look at overlapping tiles besides the full frame, which finds smaller people "
        "and costs one more run per tile: `none`, `auto` (only for `ssdlite`, whose input is "
        "tiny), or columns x rows such as `2x3`.",
    )
    batch: int = Field(
        default=8,
        ge=1,
        le=256,
        title="Batch",
        description="Pictures that go through the network together, at most (CUDA).",
    )
    device: str = Field(
        default="auto",
        title="Device",
        description="`auto`, `cpu`, `cuda` or `cuda:N`.",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
    )
    backend: Literal["auto", "torch", "openvino", "onnxruntime"] = Field(
        default="auto",
        title="Backend",
        description="What runs the network. `auto`: for .onnx files `onnxruntime`, else `openvino` "
        "on a CPU and `torch` on CUDA.",
    )
    precision: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        default="auto",
        title="Precision",
        description="`auto` takes bfloat16 on a CPU that has it in hardware, float16 on CUDA, "
        "else float32.",
    )
