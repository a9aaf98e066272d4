"""``croissant.json``: the manifest as Croissant 1.1 metadata (JSON-LD), for catalogues of data sets.

Shards are FileObjects with their sha256. There are no RecordSets: readers of Croissant cannot read HDF5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusionbench.core.io import readable_json
from fusionbench.core.text import without_html
from fusionbench.data.shards.manifest import Manifest

FILE = "croissant.json"
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant_bytes(manifest: Manifest, order: Sequence[str] | None = None) -> bytes:
    """What ``croissant.json`` holds, with the files of splits in this order."""
    return readable_json(croissant(manifest, order))


def order_of_splits(manifest: Manifest, content: bytes) -> list[str]:
    """The order in which a ``croissant.json`` lists the splits of a data set."""
    first = {name: f'"@id": "{split.shards[0].file}"'.encode() for name, split in manifest.splits.items()}
    return sorted(first, key=lambda name: content.find(first[name]))


def croissant(manifest: Manifest, order: Sequence[str] | None = None) -> dict[str, Any]:
    """The JSON-LD of a data set; without a date, since a data set is the same whenever it is made.

    ``order``: of the splits; by name unless it is given, as in a manifest that was written and read.
    """
    source = manifest.source
    files = []
    for name in order or sorted(manifest.splits):
        split = manifest.splits[name]
        for shard in (*split.shards, *([split.cutouts] if split.cutouts else [])):
            files.append(
                {
                    "@type": "cr:FileObject",
                    "@id": shard.file,
                    "name": shard.file,
                    "description": f"{shard.n} rows of {name}",
                    "contentUrl": shard.file,
                    "contentSize": f"{shard.on_disk[0]} B",
                    "encodingFormat": "application/x-hdf5",
                    "sha256": shard.on_disk[1],
                }
            )
    title, citation, homepage = map(without_html, (source.title, source.citation, source.homepage))
    derived = {"@id": homepage or title, "name": title}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": manifest.name,
        "description": f"{without_html(manifest.title)}. Made by fusionbench from {title}; identity {manifest.id}.",
        "version": manifest.version,
        "url": homepage or "https://schema.org/Dataset",
        "license": without_html(source.licence),
        "citeAs": f"{manifest.name} {manifest.version}, id {manifest.id}, derived from: {citation}",
        "prov:wasDerivedFrom": derived,
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "name": f"fusionbench recipe {manifest.recipe_sha256}"},
        "distribution": files,
    }
