"""Narrative.div: well-formed XHTML that says something and can do nothing.

https://hl7.org/fhir/R4/narrative.html#rules (txt-1, txt-2)
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

XHTML = "http://www.w3.org/1999/xhtml"
# HTML 4.0 chapters 7-11 and 15 without what they deprecate, chapter 9 without its section 4
# (ins, del); anchors and images.
ELEMENTS = frozenset(
    "a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd dfn div"
    " dl dt em h1 h2 h3 h4 h5 h6 hr i img kbd li map ol p pre q samp small span strong sub sup"
    " table tbody td tfoot th thead tr tt ul var".split()
)
ATTRIBUTES = frozenset(
    "abbr accesskey align alt axis border cellpadding cellspacing char charoff charset cite class"
    " colspan coords dir frame headers height href hreflang id lang name nohref nowrap rel rev"
    " rowspan rules scope shape span src start style summary tabindex target title type usemap"
    " valign value width".split()
) | {"{http://www.w3.org/XML/1998/namespace}lang", "{http://www.w3.org/XML/1998/namespace}space"}
LINKS = ("cite", "href", "src")
SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]*):")
SCHEMES = frozenset("http https ftp mailto tel urn cid".split())
ACTIVE_STYLE = re.compile(r"expression\s*\(|javascript:|@import|behavior\s*:|\\", re.IGNORECASE)
_parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def is_narrative(value: Any) -> bool:
    return narrative_fault(value) == ""


def narrative_fault(value: Any) -> str:
    """What is wrong with a div's text, or ""; never a word of its content."""
    if type(value) is not str or not value:
        return "it has to be a string"
    if "<!DOCTYPE" in value or "<!ENTITY" in value:
        return "it has a DOCTYPE"
    try:
        root = etree.fromstring(value, _parser)
    except (etree.XMLSyntaxError, ValueError):
        return "it isn't well-formed XML (&nbsp; and the like aren't XML: use &#160;)"
    if root.tag != f"{{{XHTML}}}div":
        return f'its root has to be <div xmlns="{XHTML}">'
    faults = (fault for node in root.iter() if (fault := _node_fault(node)))
    return next(faults, "") or _content_fault(root)


def _node_fault(node: Any) -> str:
    if node.tag is etree.Comment:
        return ""
    if not isinstance(node.tag, str):
        return "it has a processing instruction or an entity"
    namespace, _, name = node.tag.rpartition("}")
    if namespace != "{" + XHTML or name not in ELEMENTS:
        return f"txt-1: the element {name[:40]} isn't allowed"
    faults = (fault for key in node.attrib if (fault := _attribute_fault(key, node.attrib[key])))
    return next(faults, "")


def _attribute_fault(key: str, value: str) -> str:
    if key not in ATTRIBUTES:
        return f"txt-1: the attribute {key[:40]} isn't allowed"
    if key == "style" and ACTIVE_STYLE.search(value):
        return "txt-1: a style that can run or load something isn't allowed"
    scheme = SCHEME.match(value) if key in LINKS else None
    if scheme and scheme[1].lower() not in SCHEMES:
        if key != "src" or not re.match(r"\s*data:\s*image/(?:png|jpeg|gif)[;,]", value):
            return f"txt-1: a link to {scheme[1][:40]}: isn't allowed"
    return ""


def _content_fault(root: Any) -> str:
    if any(text.strip() for text in root.itertext()) or root.find(f".//{{{XHTML}}}img") is not None:
        return ""
    return "txt-2: it has neither text nor an image"
