"""$versions: which FHIR versions are served here.

https://hl7.org/fhir/R4B/capabilitystatement-operation-versions.html
"""

from __future__ import annotations

from flask import Response

from hie_server.fhir.capability import FHIR_VERSION
from hie_server.fhir.parameters import parameters
from hie_server.fhir.resources import dump
from hie_server.web.calls import Call
from hie_server.web.replies import fhir_response


def versions(call: Call) -> Response:
    served = FHIR_VERSION.rpartition(".")[0]
    told = parameters([("version", "code", served), ("default", "code", served)])
    return fhir_response(dump(told))
