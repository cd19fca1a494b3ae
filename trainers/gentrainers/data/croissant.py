"""Describe a dataset in MLCommons Croissant, so that search engines and other tools can read what it is.

Times are left out on purpose: the description is part of the artifact, and equal data must give equal bytes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gentrainers.artifact import sha256_file

VERSION = "http://mlcommons.org/croissant/1.0"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
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
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
TYPES = {".npy": "application/x-npy", ".json": "application/json"}


def describe(folder: Path, name: str, license_: str | None, texts: Mapping[str, str]) -> dict[str, Any]:
    """Describe all data files below a folder. `texts` has `description` and the RAI fields."""
    files = [p for p in sorted(folder.rglob("*")) if p.suffix in TYPES]
    splits = sorted({p.parent.name for p in files if p.parent != folder})
    rai = {f"rai:{key}": value for key, value in texts.items() if key != "description"}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [VERSION, "http://mlcommons.org/croissant/RAI/1.0"],
        "name": name,
        "description": texts["description"],
        "license": license_ or "LicenseRef-unknown",
        "url": "https://genops.dev/",
        "version": "1.0.0",
        "distribution": [_file(p, folder) for p in files],
        "recordSet": [_splits(splits)],
        **rai,
    }


def _file(path: Path, folder: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": TYPES[path.suffix],
        "sha256": sha256_file(path).removeprefix("sha256:"),
    }


def _splits(names: Sequence[str]) -> dict[str, Any]:
    """List the splits in Croissant's own way: a record set of the type cr:Split."""
    field = {"@type": "cr:Field", "@id": "splits/name", "name": "splits/name", "dataType": ["sc:Text"]}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [field],
        "data": [{"splits/name": n} for n in names],
    }
