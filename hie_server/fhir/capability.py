"""The CapabilityStatement, made from what is served.

https://hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, Callable, Mapping

from hie_server.fhir.definitions import COMPARTMENTS, resource_types
from hie_server.fhir.index import parameters_for
from hie_server.fhir.parameters import Operation, operations

COMPARTMENT = "http://hl7.org/fhir/CompartmentDefinition/"
FHIR_VERSION = "4.0.1"
PUBLISHED = "2022-01-31"
INTERACTIONS = (
    "read", "vread", "update", "delete", "history-instance", "create", "search-type",
)
SYSTEM_INTERACTIONS = ("search-system",)
READ_ONLY = ("read", "search-type")
SPECIAL = {"_id": "token", "_lastUpdated": "date"}
SECURITY = "http://terminology.hl7.org/CodeSystem/restful-security-service"
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


def software_version() -> str:
    try:
        return version("hie_server")
    except PackageNotFoundError:
        return "source"


def statement(
    base: str, token_endpoint: str, only: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """`only`: the search parameters of the types that nobody writes by REST."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": PUBLISHED,
        "kind": "instance",
        "software": {"name": "hie_server", "version": software_version()},
        "implementation": {"description": "Health information exchange", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "security": _security(token_endpoint),
                "resource": [
                    _resource(kind, only.get(kind))
                    for kind in sorted(resource_types())
                ],
                "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
                "compartment": [f"{COMPARTMENT}{name.lower()}" for name in COMPARTMENTS],
                **_operations(lambda each: each.system),
            }
        ],
    }


def _security(token_endpoint: str) -> dict[str, Any]:
    return {
        "extension": [
            {"url": OAUTH_URIS, "extension": [{"url": "token", "valueUri": token_endpoint}]}
        ],
        "cors": False,
        "service": [{"coding": [{"system": SECURITY, "code": "SMART-on-FHIR"}]}],
    }


def _resource(kind: str, only: tuple[str, ...] | None) -> dict[str, Any]:
    parameters = {name: each.type for name, each in parameters_for(kind).items()}
    if only is not None:
        parameters = {name: parameters[name] for name in only}
    served = INTERACTIONS if only is None else READ_ONLY
    return {
        "type": kind,
        "interaction": [{"code": code} for code in served],
        "versioning": "versioned",
        "readHistory": only is None,
        "updateCreate": False,
        "searchParam": [
            {"name": name, "type": kind} for name, kind in sorted({**SPECIAL, **parameters}.items())
        ],
        **_operations(lambda each: not {kind, "*"}.isdisjoint((*each.type, *each.instance))),
    }


def _operations(served: Callable[[Operation], bool]) -> dict[str, Any]:
    """R4 allows no empty list."""
    told = [
        {"name": each.code, "definition": each.url}
        for each in operations().values()
        if served(each)
    ]
    return {"operation": told} if told else {}
