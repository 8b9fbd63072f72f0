"""Search by example: Eq. 2 over the whole store, then Eq. 15, and every hit with its evidence."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors import Detector, build_detector
from detectors.settings import DetectorSettings
from investigation.filters import Filters
from investigation.search.gallery import StoreGallery
from investigation.search.hits import Hit
from investigation.search.judging import judged
from investigation.search.photos import Person, find_people
from investigation.search.queries import Query, from_identity, from_people, from_track
from investigation.search.ruled_out import ruled_out
from investigation.search.strangers import Site, SiteStrangers
from investigation.search.yardstick import Yardstick
from reid.errors import ConfigError, FingerprintMismatch
from reid.explain.explanation import Explainer, ImageEvidence
from reid.records import PartEmbeddings
from storage.audit import Audit
from storage.models import iso_text
from storage.queries import StoreReader

TOP = 20
MOST = 200  # hits of one search: more is no list that a person reads


class SearchDesk:
    """Answers "who looks like this?" from one store, with one model.

    Safe to share by threads. The model, the detector and the gallery are loaded when first needed
    and kept; each search first follows the store, so that what was written a moment ago is found.

    Args:
        reader: the store; must stay open.
        weights: `default` or a model file; has to be the model of the store's embeddings.
        detector: finds people in photos; a string is its name alone.
        device: of the model: `auto`, `cpu`, `cuda` or `cuda:N`.
        model: the same weights, already loaded; else they are loaded when first needed.
        reruns: also search runs that `replay --rerun` made.
    """

    def __init__(
        self,
        reader: StoreReader,
        weights: str = "default",
        detector: DetectorSettings | str | None = None,
        device: str = "auto",
        *,
        model: Explainer | None = None,
        reruns: bool = False,
    ) -> None:
        self.reader = reader
        self._weights, self._device, self._reruns = weights, device, reruns
        if isinstance(detector, str):
            detector = DetectorSettings(name=detector)
        self._settings = detector or DetectorSettings()
        self._lock = threading.RLock()  # of loading, and of the model, which runs one at a time
        self._looking = threading.Lock()  # of the detector
        self._explainer = model
        self._detector: Detector | None = None
        self._gallery: StoreGallery | None = None
        self._site: Site | None = None

    # ---- the model -----------------------------------------------------------------------------

    @property
    def model(self) -> Explainer:
        """The model at hand, loaded when first asked for.

        Raises:
            ModelError: if its file is missing or damaged.
        """
        with self._lock:
            if self._explainer is None:
                self._explainer = Explainer.from_weights(self._weights, self._device)
            return self._explainer

    @property
    def fingerprint(self) -> str:
        """Of the model at hand."""
        return self.model.fingerprint

    @property
    def yardstick(self) -> Yardstick:
        """What the distances of the model at hand mean."""
        model = self.model
        return Yardstick(model.fingerprint, model.config.gamma, model.thresholds, model.chance)

    @property
    def parts(self) -> int:
        """K of the model at hand."""
        return self.model.config.num_parts

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> PartEmbeddings:
        """Crops, each (h, w, 3) uint8 BGR of any size -> as many embeddings.

        Raises:
            DataError: if a crop is empty.
            ValueError: if there is none.
        """
        return PartEmbeddings.concatenate([self.explain(crop).embedding for crop in crops])

    def explain(self, crop: NDArray[np.uint8]) -> ImageEvidence:
        """What the model sees in a crop, (h, w, 3) uint8 BGR."""
        model = self.model
        with self._lock:  # it listens to its own layers: one image at a time
            return model.image(crop)

    # ---- queries -------------------------------------------------------------------------------

    def find_people(self, image: NDArray[np.uint8], name: str) -> list[Person]:
        """The persons in a photo (see `investigation.search.photos.find_people`).

        Raises:
            DataError: if nobody is found.
            ModelError: if the detector cannot be loaded.
        """
        with self._looking:
            if self._detector is None:
                self._detector = build_detector(self._settings)
            return find_people(image, self._detector, name)

    def from_people(self, people: Sequence[Person]) -> Query:
        """A query from one or several photos of one person (see `queries.from_people`)."""
        return from_people(people, self)

    def from_track(self, track: int) -> Query:
        """A query from a stored track (see `queries.from_track`)."""
        self._check_model()
        return from_track(self.reader, track, self.fingerprint)

    def from_identity(self, identity: int, cameras: Collection[str] | None = None) -> Query:
        """A query from an identity's tracks (see `queries.from_identity`)."""
        self._check_model()
        return from_identity(self.reader, identity, self.fingerprint, cameras)

    # ---- the search ----------------------------------------------------------------------------

    def search(self, query: Query, filters: Filters | None = None, top: int = TOP) -> list[Hit]:
        """The tracks that look most like the query, best first.

        Eq. 2 chooses among all that pass the filters, Eq. 15 puts in order the first n, which are
        the model's own number (`model.top_n`) or as many as are asked for. The query's own tracks
        are no hits, nor is what people ruled out (see `investigation.search.ruled_out`).

        Args:
            query: whom to search for.
            filters: which tracks may be found.
            top: how many, at most.

        Raises:
            ConfigError: if `top` is out of bounds.
            DataError: if the parts to be trusted show nothing.
            FingerprintMismatch: if the store's embeddings are another model's.
            StoreError: if the store cannot be read.
        """
        check_top(top)
        probe = query.probe()
        gallery = self._follow()
        if gallery is None:
            return []
        left_out = query.tracks | ruled_out(self.reader, query.tracks)
        found = gallery.search(probe, top, filters, left_out=left_out)[0]
        chosen = [match.track for match in found]
        return judged(
            self.reader,
            self.yardstick,
            query.embedding,
            query.weights,
            chosen,
            gallery.count(filters),
            self._strangers(len(gallery)),
        )

    def unsearched(self) -> tuple[str, ...]:
        """Fingerprints of other models whose embeddings the store may hold: not searched."""
        return tuple(
            m.fingerprint for m in self.reader.models() if m.fingerprint != self.fingerprint
        )

    def _strangers(self, size: int) -> SiteStrangers | None:
        """Those of the site, of a gallery of so many; None where the model's are not known."""
        if self.model.chance is None:
            return None
        with self._lock:
            if self._site is None:
                self._site = Site(self.reader, self.fingerprint, self.model.config.gamma)
            site = self._site
        return site.strangers(size)

    def _follow(self) -> StoreGallery | None:
        """The gallery, up to date; None while the store holds no embedding at all."""
        with self._lock:
            if self._gallery is None:
                if not self._check_model():
                    return None
                self._gallery = StoreGallery(self.reader, self.fingerprint, reruns=self._reruns)
            gallery = self._gallery
        gallery.refresh()
        return gallery

    def _check_model(self) -> bool:
        """Whether the store knows the model at hand; False for a store without any.

        Raises:
            FingerprintMismatch: if it knows only others.
        """
        there = [m.fingerprint for m in self.reader.models()]
        if there and self.fingerprint not in there:
            raise FingerprintMismatch(
                f"store {self.reader.url} holds embeddings of model {', '.join(there)}; the "
                f"weights '{self._weights}' are model {self.fingerprint}: embeddings of different "
                "models cannot be compared. Name the store's own weights, or run its footage again"
            )
        return bool(there)


def check_top(top: int) -> None:
    """Raise `ConfigError` if a search cannot be asked for this many hits."""
    if not 1 <= top <= MOST:
        raise ConfigError(f"top is {top}; allowed: 1 to {MOST} hits")


def audit_of(
    query: Query,
    filters: Filters | None,
    top: int,
    hits: Sequence[Hit],
    *,
    actor: str,
    reason: str,
    address: str | None = None,
) -> Audit:
    """The audit row of a search: who asked for whom, where and why, and how much was found."""
    return Audit(
        actor=actor,
        action="search",
        subject=query.subject,
        reason=reason,
        details={
            **described(filters),
            "weights": None if query.weights is None else list(query.weights),
            "top": top,
            "hits": len(hits),
            "tracks": [hit.track for hit in hits],
        },
        address=address,
    )


def described(filters: Filters | None) -> Mapping[str, Any]:
    """Filters for JSON; without those that are not set."""
    if filters is None:
        return {}
    values = {
        "cameras": filters.cameras and sorted(filters.cameras),
        "places": filters.places and sorted(filters.places),
        "from": None if filters.start is None else iso_text(filters.start),
        "to": None if filters.end is None else iso_text(filters.end),
        "runs": filters.runs and sorted(filters.runs),
    }
    return {name: value for name, value in values.items() if value is not None}
