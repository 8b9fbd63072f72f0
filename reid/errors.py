"""Every exception that crosscam raises on purpose.

    CrosscamError                  root: catch this at the front door
    ├── ConfigError                a key, a value or a file of configuration
    ├── SourceError                one camera or video file (pipeline)
    ├── ModelError                 weights or model files that do not fit
    │   └── FingerprintMismatch    embeddings of two different models compared
    ├── DataError                  a data set or an image that cannot be used
    │   └── OutputError            a file that cannot be written
    ├── StoreError                 the SQL store or its media files
    └── AccountError               a name, password, link or token that cannot be used (web)

The tree lives in `reid` because that is the one room that every other room
may import. Each message names the camera, file or key, and the value.
"""

from __future__ import annotations


class CrosscamError(Exception):
    """Root of all errors that are meant for the person at the terminal."""


class ConfigError(CrosscamError):
    """A configuration file, key or value is wrong; the message names all three."""


class SourceError(CrosscamError):
    """A camera or video file cannot be opened or read; the message names the camera."""


class ModelError(CrosscamError):
    """A model file is missing, damaged or does not fit the configuration."""


class FingerprintMismatch(ModelError):  # noqa: N818 - says what happened, not that it did
    """Embeddings made by two different models were about to be compared."""


class DataError(CrosscamError):
    """An image, folder or data set cannot be used; the message names the path."""


class OutputError(DataError):
    """A file cannot be written, the disk being full for example; the message names the path."""


class StoreError(CrosscamError):
    """The store cannot be opened, migrated or written; the message names the URL or path."""


class AccountError(CrosscamError):
    """An account, group, password, link or token cannot be used; the message names it."""
