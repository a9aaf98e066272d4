"""The on-disk format: flat, byte-stable HDF5 shards and the manifest that binds them."""

from __future__ import annotations
