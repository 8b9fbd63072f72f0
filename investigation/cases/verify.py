"""Whether a case's ZIP is still what was exported. Nothing of it is unpacked to disk.

A ZIP from somebody else may be built to hurt: names that leave their folder, gigabytes packed
into kilobytes, entries that share their bytes. Only what the manifest lists is read, each file at
most as far as the manifest says, and its bytes go through a hash and away.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from investigation.cases.export import FORMAT, MANIFEST, VERSION, sha256_of
from reid.errors import DataError

MOST_ENTRIES = 100_000
LARGEST_MANIFEST = 64 << 20  # bytes, unpacked
LARGEST_FILE = 1 << 40
_CHUNK = 1 << 20
_LINK = 0o120000


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What the check found.

    Attributes:
        path: the ZIP.
        sha256: of the ZIP as a whole; the audit trail of the store it came from has the same.
        case: what the manifest says about the case.
        made: when the export was made, ISO 8601 UTC, as the manifest says.
        files: how many files were compared.
        problems: in words; empty if every file is as exported.
    """

    path: Path
    sha256: str
    case: dict[str, Any]
    made: str
    files: int
    problems: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """True if nothing was changed, added or lost."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "file": str(self.path),
            "sha256": self.sha256,
            "intact": self.intact,
            "case": self.case,
            "made": self.made,
            "files": self.files,
            "problems": list(self.problems),
        }


def verify_case(path: Path) -> VerifyReport:
    """Compare every file of an export with its manifest.

    A manifest that was rewritten together with a file does not show here; compare the ZIP's own
    SHA-256 with the one that the exporting store keeps in its audit trail.

    Raises:
        DataError: if the file is no ZIP, no case of a version that we know, or is built to hurt.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _entries(path, archive)
            manifest = _manifest(path, archive, entries)
            problems = _compare(archive, entries, manifest["files"])
        digest = sha256_of(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path} is no ZIP file that can be read: {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return VerifyReport(
        path=path,
        sha256=digest,
        case=manifest["case"],
        made=str(manifest.get("made", "")),
        files=len(manifest["files"]),
        problems=tuple(problems),
    )


def _entries(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The entries by name.

    Raises:
        DataError: if there are too many, one leaves the folder, or two share bytes or a name.
    """
    listed = archive.infolist()
    if len(listed) > MOST_ENTRIES:
        raise DataError(f"{path} has {len(listed)} entries; a case has {MOST_ENTRIES} at most")
    for info in listed:
        check_name(path, info.orig_filename)
        if info.is_dir() or (info.external_attr >> 16) & 0o170000 == _LINK:
            raise DataError(f"{path}: entry {info.filename!r} is a folder or a link, not a file")
        if info.flag_bits & 1:
            raise DataError(f"{path}: entry {info.filename!r} is encrypted")
    twice = [name for name, count in Counter(i.filename for i in listed).items() if count > 1]
    if twice:
        raise DataError(f"{path}: two entries are named {twice[0]!r}")
    packed = sum(info.compress_size for info in listed)
    if packed > path.stat().st_size:
        raise DataError(f"{path}: its entries share their bytes, as only a ZIP bomb's do")
    return {info.filename: info for info in listed}


def check_name(path: Path, name: str) -> None:
    """Refuse an entry's name that is anything but a plain path below the folder it is put in.

    Raises:
        DataError: naming it.
    """
    parts = PurePosixPath(name).parts
    plain = (
        name == "/".join(parts)
        and not name.startswith("/")
        and not any(part in ("..", ".", "") for part in parts)
        and not any(c in name for c in '\\:*?"<>|')
        and all(c.isprintable() for c in name)
    )
    if not parts or not plain:
        raise DataError(f"{path}: entry {name!r} would leave its folder, or is no plain file name")


def _manifest(
    path: Path, archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo]
) -> dict[str, Any]:
    if MANIFEST not in entries:
        raise DataError(f"{path} is no case: it has no {MANIFEST}")
    with archive.open(entries[MANIFEST]) as file:
        text = file.read(LARGEST_MANIFEST + 1)
    if len(text) > LARGEST_MANIFEST:
        raise DataError(f"{path}: {MANIFEST} is larger than {LARGEST_MANIFEST} bytes")
    try:
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            raise DataError(f"{path} is no case: its format is {manifest['format']!r}")
        if manifest["version"] != VERSION:
            raise DataError(
                f"{path} is a case of version {manifest['version']}; this program reads {VERSION}"
            )
        files = [
            {"path": str(f["path"]), "bytes": int(f["bytes"]), "sha256": str(f["sha256"])}
            for f in manifest["files"]
        ]
        case = dict(manifest["case"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: {MANIFEST} cannot be read: {error!r}") from error
    return {**manifest, "files": files, "case": case}


def _compare(
    archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], files: list[dict[str, Any]]
) -> list[str]:
    problems = []
    for file in files:
        name, size = file["path"], file["bytes"]
        if name not in entries:
            problems.append(f"{name} is missing")
        elif not 0 <= size <= LARGEST_FILE:
            problems.append(f"{name}: the manifest says {size} bytes")
        elif (wrong := _wrong(archive, entries[name], size, file["sha256"])) is not None:
            problems.append(f"{name} {wrong}")
    listed = {file["path"] for file in files} | {MANIFEST}
    problems += [f"{name} is not in the manifest" for name in entries if name not in listed]
    return problems


def _wrong(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int, sha256: str) -> str | None:
    """What is wrong with an entry, having read one byte more than it should have, at most."""
    digest = hashlib.sha256()
    left = size + 1
    try:
        with archive.open(info) as file:
            while left > 0 and (piece := file.read(min(_CHUNK, left))):
                digest.update(piece)
                left -= len(piece)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        return f"cannot be read: {error}"
    except Exception as error:  # noqa: BLE001 - zlib.error, lzma.LZMAError: each packer its own
        return f"cannot be unpacked: {error}"
    if left <= 0:
        return f"is longer than the {size} bytes it was exported with"
    if left > 1:
        return f"has {size + 1 - left} bytes, not the {size} it was exported with"
    return None if digest.hexdigest() == sha256 else "was changed: its SHA-256 is another"
