"""A case as one ZIP file that can be handed over.

    report.html        for people: who, where, when, why we think so; opens anywhere
    clips/*.mp4        annotated footage: one per step, one of all cameras together
    crops/*.jpg        the stored pictures, byte for byte
    itinerary.json     steps, times, evidence
    ledger.csv .json   every decision about these tracks, by whom and why
    SHA256SUMS         for `sha256sum -c`
    manifest.json      every other file with its size and SHA-256; the last entry

Everything is made in a folder beside the target and appears at once, when it is complete; the
export's own SHA-256 goes into the audit trail.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from investigation.cases.contents import Contents, contents
from investigation.cases.report import Export, WrittenClip, write_case_report
from investigation.replay.clips import write_clip
from reid.errors import DataError, OutputError
from storage import audit
from storage.media import check_target, replacing_path
from storage.models import iso_text
from storage.queries import StoreReader
from storage.records import LedgerRow
from storage.runs import software_version
from storage.store import Store

FORMAT = "crosscam-case"
VERSION = 1
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
HIDDEN = (
    "case {number} holds what cameras saw that you may not see; somebody who may has to export it"
)
_CHUNK = 1 << 20
_PACKED = (".jpg", ".mp4")  # compressing them again would only cost time

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the export: its name in the ZIP, bytes, SHA-256 in hexadecimal."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported: the ZIP, its size and SHA-256, what is in it, what is missing, cameras."""

    path: Path
    bytes: int
    sha256: str
    files: tuple[FileEntry, ...]
    notes: tuple[str, ...]
    cameras: frozenset[str]

    def as_json(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "file": str(self.path),
            "bytes": self.bytes,
            "sha256": self.sha256,
            "files": [asdict(file) for file in self.files],
            "notes": list(self.notes),
        }


def export_case(
    reader: StoreReader,
    store: Store,
    number: int,
    out: Path,
    *,
    actor: str,
    reason: str,
    blur_others: bool = False,
    crops: int = 3,
    address: str | None = None,
    cameras: Collection[str] | None = None,
    progress: Progress | None = None,
    now: float | None = None,
) -> ExportReport:
    """Write a case as a ZIP file, with an audit row.

    Args:
        reader: the store.
        store: the same, for the audit row.
        number: of the case.
        out: the ZIP; an older file of that name is replaced once the new one is complete.
        actor: who exports it.
        reason: why.
        blur_others: make everybody but the case's people unrecognisable in the clips.
        crops: pictures per track, at most.
        address: where the request came from.
        cameras: those whose pictures may be handed over; None is all.
        progress: called with what is being made and the share (0..1) that is done.
        now: the moment of the export, UTC seconds; the present by default.

    Raises:
        ConfigError: if there is no such case.
        DataError: if it holds nothing, or by now something of another camera.
        OutputError: if the file cannot be written.
        StoreError: if the store cannot be read, or the audit row not written.
    """
    check_target(out, ".zip")
    tell = progress or (lambda what, share: None)
    made = time.time() if now is None else now
    found = contents(reader, number, crops=crops, blur_others=blur_others)
    if not found.items:
        raise DataError(f"case {number} holds nothing: add a track, an identity or a clip first")
    # What was found is what is exported: a case may have grown since somebody looked at it.
    if cameras is not None and not found.cameras <= set(cameras):
        raise DataError(HIDDEN.format(number=number))
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
    try:
        entries, notes = _make(reader, found, folder, tell, made, actor, reason, blur_others)
        with replacing_path(out) as temporary:
            _zip(folder, entries, temporary, made)
            size, digest = temporary.stat().st_size, sha256_of(temporary)
            details = {
                "file": out.name,
                "bytes": size,
                "sha256": digest,
                "files": len(entries),
                "others_blurred": blur_others,
            }
            subject = f"case {number}"
            entry = audit.Audit(actor, "export", subject, reason, details, address)
            audit.write(store, entry)  # before the file appears: no export goes unrecorded
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    tell("done", 1.0)
    return ExportReport(out, size, digest, tuple(entries), tuple(notes), found.cameras)


def sha256_of(path: Path) -> str:
    """A file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(
    reader: StoreReader,
    found: Contents,
    folder: Path,
    tell: Progress,
    made: float,
    actor: str,
    reason: str,
    blur: bool,
) -> tuple[list[FileEntry], list[str]]:
    """All files of the export below a folder; the manifest last."""
    notes = list(found.notes)
    clips = _write_clips(reader, found, folder, tell, notes)
    for row in found.pictures:
        name = f"crops/track-{row.track:08d}-frame-{row.frame:08d}.jpg"
        _place(folder, name, row.path.read_bytes())
    told = {**found.as_json(), "clips": [clip.as_json() for clip in clips], "notes": notes}
    _place(folder, "itinerary.json", _json(told))
    _place(folder, "ledger.json", _json([_ledger(row) for row in found.ledger]))
    _write_ledger(folder / "ledger.csv", found.ledger)
    hashed = _entries(folder)
    tell("report", 1.0)
    export = Export(
        made=made,
        actor=actor,
        reason=reason,
        software=software_version(),
        store=reader.url,
        blurred=blur,
        notes=tuple(notes),
        clips=tuple(clips),
        files=tuple((entry.path, entry.bytes, entry.sha256) for entry in hashed),
    )
    write_case_report(found, export, folder / "report.html")
    listed = _entries(folder)
    sums = "".join(f"{entry.sha256}  {entry.path}\n" for entry in listed)
    _place(folder, SUMS, sums.encode())
    listed = _entries(folder)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "case": found.case.as_json(),
        "made": iso_text(made),
        "by": actor,
        "reason": reason,
        "software": f"crosscam {export.software}",
        "others_blurred": blur,
        "files": [asdict(entry) for entry in listed],
    }
    _place(folder, MANIFEST, _json(manifest))
    path = folder / MANIFEST
    return [*listed, FileEntry(MANIFEST, path.stat().st_size, sha256_of(path))], notes


def _write_clips(
    reader: StoreReader, found: Contents, folder: Path, tell: Progress, notes: list[str]
) -> list[WrittenClip]:
    written = []
    for index, clip in enumerate(found.clips):
        share = index / len(found.clips)
        target = folder / clip.name
        target.parent.mkdir(exist_ok=True)
        tell(clip.title, share)
        try:
            report = write_clip(
                reader,
                clip.plan,
                target,
                lambda done, total, clip=clip, share=share: tell(  # type: ignore[misc]
                    clip.title, share + done / total / len(found.clips) if total else share
                ),
            )
        except OutputError:
            raise  # a full disk: without this clip the export would pass for complete
        except DataError as error:  # footage that cannot be read: the rest of the case stands
            notes.append(f"{clip.title}: {error}")
            continue
        written.append(WrittenClip(clip.name, clip.title, clip.item, clip.step, report))
    return written


def _entries(folder: Path) -> list[FileEntry]:
    """Every file below a folder, by name."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    sums = [SUMS] if (folder / SUMS).exists() else []
    return [
        FileEntry(name, (folder / name).stat().st_size, sha256_of(folder / name))
        for name in sorted({*files, *sums})
    ]


def _zip(folder: Path, entries: Sequence[FileEntry], target: Path, made: float) -> None:
    moment = datetime.fromtimestamp(made, UTC).timetuple()[:6]
    with zipfile.ZipFile(target, "w") as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.path, date_time=moment)
            info.external_attr = 0o644 << 16
            packed = entry.path.endswith(_PACKED)
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            info.file_size = entry.bytes  # tells whether it needs 64 bits
            with (folder / entry.path).open("rb") as source, archive.open(info, "w") as file:
                shutil.copyfileobj(source, file, _CHUNK)


def _place(folder: Path, name: str, content: bytes) -> None:
    target = folder / name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(content)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _ledger(row: LedgerRow) -> dict[str, Any]:
    return {**asdict(row), "written": iso_text(row.written), "time": iso_text(row.time)}


def _write_ledger(path: Path, rows: Sequence[LedgerRow]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(LedgerRow)])
        table.writeheader()
        table.writerows(_harmless(_ledger(row)) for row in rows)


def _harmless(row: dict[str, Any]) -> dict[str, Any]:
    """Text that a spreadsheet would take for a formula begins with an apostrophe."""
    return {
        key: f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
        for key, value in row.items()
    }
