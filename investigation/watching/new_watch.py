"""From a search's query to a watch: what to look for, how long, and when to raise."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import cv2

from investigation.asking import parse_time
from investigation.search.queries import Query
from investigation.search.yardstick import Yardstick, thin
from reid.errors import ConfigError, FingerprintMismatch
from storage.watches.edit import NewWatch
from storage.watches.rows import NotifyTarget

_SPAN = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([mhd])")
_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86_400.0}
JPEG_QUALITY = 92


def expiry(text: str) -> float:
    """When a watch ends, as UTC seconds: `90m`, `12h`, `2d` from now, or a moment (ISO 8601).

    Raises:
        ConfigError: if it cannot be read or has passed.
    """
    span = _SPAN.fullmatch(text.strip().lower())
    now = time.time()
    moment = now + float(span[1]) * _SECONDS[span[2]] if span else _moment(text)
    if moment <= now:
        raise ConfigError(f"expires is '{text}', which has passed")
    return moment


def _moment(text: str) -> float:
    try:
        return parse_time(text, "expires")
    except ConfigError as error:
        raise ConfigError(f"{error}; or 90m, 12h, 2d from now") from None


def base_url(text: str) -> str:
    """The address of the pages, without a slash at its end.

    Raises:
        ConfigError: if it is no http address, or holds a password.
    """
    address = text.strip().rstrip("/")
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", address):
        raise ConfigError("the base URL must be http[s]://HOST[:PORT][/PATH], without a password")
    return address


def new_watch(
    query: Query,
    yardstick: Yardstick,
    *,
    name: str,
    actor: str,
    reason: str,
    expires: float,
    level: str = "strong",
    cameras: Sequence[str] = (),
    targets: tuple[NotifyTarget, ...] = (),
    attach_picture: bool = False,
    base_url: str | None = None,
) -> NewWatch:
    """A watch for whom a query shows; for `storage.watches.edit.add_watch`.

    Args:
        query: whom to look for (`SearchDesk.from_people`, `from_track`, `from_identity`).
        yardstick: of the model that made the query.
        name: for people.
        actor: who asks.
        reason: why.
        expires: UTC seconds.
        level: `strong` or `possible`.
        cameras: only these; none: all.
        targets: where alerts are sent (`investigation.watching.targets.read_targets`).
        attach_picture: whether the crop is sent as well.
        base_url: address of the pages, for links.

    Raises:
        ConfigError: if the model was never calibrated: then nothing can be strong or possible; or
            if nothing could be strong, and the watch would wait for that alone.
        DataError: if the parts to be trusted show nothing.
        FingerprintMismatch: if another model made the query.
    """
    if query.embedding.fingerprint != yardstick.fingerprint:
        raise FingerprintMismatch(
            f"{query.subject} was embedded by model {query.embedding.fingerprint}, the weights at "
            f"hand are {yardstick.fingerprint}: embeddings of different models cannot be compared"
        )
    if yardstick.thresholds is None:
        raise ConfigError(
            f"model {yardstick.fingerprint} was never calibrated, so no verdict can raise an "
            "alert; run `python -m reid.evaluation.calibrate`"
        )
    if level == "strong" and thin(query.weights):
        raise ConfigError(
            "nothing is strong where less than half of the parts are trusted: such a watch has to "
            "be of level possible"
        )
    if not yardstick.limit(level):
        raise ConfigError(
            f"nothing is strong with model {yardstick.fingerprint}: different people come too near "
            "by its measure; choose level possible"
        )
    query.probe()  # refuses a mask that leaves nothing
    photos = () if query.tracks else tuple(dict.fromkeys(p.name for p in query.pictures))
    return NewWatch(
        name=name,
        actor=actor,
        reason=reason,
        expires=expires,
        embedding=query.embedding,
        weights=query.weights,
        level=level,
        cameras=tuple(cameras) or None,
        targets=targets,
        attach_picture=attach_picture,
        base_url=base_url,
        picture=_jpeg(query),
        tracks=tuple(sorted(query.tracks)),
        identity=min(query.identities, default=None),
        photos=photos,
    )


def _jpeg(query: Query) -> bytes | None:
    if not query.pictures:
        return None
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    done, data = cv2.imencode(".jpg", query.pictures[0].image, quality)
    return data.tobytes() if done else None
