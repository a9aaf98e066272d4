"""Constrained strings and numbers for records from outside, for msgspec: no markup, no control characters, bounded."""

from __future__ import annotations

from typing import Annotated

import msgspec

# Letters of any script, digits and ordinary punctuation; no markup, no control characters, no line ends.
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=r"\A[\w .,:;+()'&/@×–-]*\Z")]
Link = Annotated[str, msgspec.Meta(max_length=300, pattern=r"\Ahttps://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+\Z")]
Note = Annotated[str, msgspec.Meta(max_length=2000)]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
# What a folder may be called on every system; it never names a path.
Plain = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9+_-]{0,63}\Z")]
# Names in recipes, suites and results differ: those of data sets are parts of commands and folders, rows of suites are
# called like models (``cvae+s``), and results come from anywhere.
RecipeName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
SuiteName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9+._-]{0,63}$")]
ResultName = Annotated[str, msgspec.Meta(max_length=200)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
