"""Ids in addresses and forms: what no database could hold is refused by its name."""

from __future__ import annotations

from typing import Annotated

from fastapi import Form, Path, Query
from pydantic import Field

BEYOND = 2**63

Id = Annotated[int, Field(ge=1, lt=BEYOND)]  # in a list of a form, or in JSON
InPath = Annotated[int, Path(ge=1, lt=BEYOND)]
InQuery = Annotated[int | None, Query(ge=1, lt=BEYOND)]
InForm = Annotated[int | None, Form(ge=1, lt=BEYOND)]
