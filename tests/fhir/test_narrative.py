from __future__ import annotations

import pytest

from hie_server.fhir.narrative import is_narrative, narrative_fault

XMLNS = 'xmlns="http://www.w3.org/1999/xhtml"'


def div(content: str) -> str:
    return f"<div {XMLNS}>{content}</div>"


@pytest.mark.parametrize(
    "content",
    [
        "text",
        "<p>a<br/><b>b</b></p><!-- said -->",
        '<table class="grid"><tr><td colspan="2" style="color: red">x</td></tr></table>',
        '<a href="https://x.example/a?b=c">x</a><a href="#part">y</a><a name="part"/>',
        '<a href="Patient/1">x</a><a href="mailto:a@x.example">y</a>',
        '<img src="#pic" alt="x"/>',
        '<img src="data:image/png;base64,QQ==" alt="x"/>',
        '<p xml:lang="hi">नमस्ते &lt; &#160;</p>',
        "<![CDATA[a < b]]>",
    ],
)
def test_a_narrative(content: str) -> None:
    assert narrative_fault(div(content)) == "" and is_narrative(div(content))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("<script>alert(1)</script>", "script"),
        ("<p onclick='x()'>a</p>", "onclick"),
        ("<iframe src='http://x.example'/>", "iframe"),
        ("<form><input/></form>", "form"),
        ("<object data='a'/>", "object"),
        ("<style>p {}</style>", "style"),
        ("<link href='a'/>", "link"),
        ("<font>a</font>", "font"),
        ("<ins>a</ins>", "ins"),
        ("<svg xmlns='http://www.w3.org/2000/svg'>a</svg>", "svg"),
        ("<p xmlns=''>a</p>", "element p"),
        ("<p xmlns:x='http://x.example' x:y='1'>a</p>", "x.example"),
        ("<a href='javascript:alert(1)'>a</a>", "javascript"),
        ("<a href=' JaVaScRiPt:alert(1)'>a</a>", "JaVaScRiPt"),
        ("<a href='data:text/html,a'>a</a>", "data"),
        ("<img src='data:image/svg+xml,a'/>", "data"),
        ("<p style='width: expression(alert(1))'>a</p>", "style"),
        ("<p style='@import url(x)'>a</p>", "style"),
        ("<?php echo 1 ?>a", "processing instruction"),
        ("&nbsp;", "well-formed"),
        ("<p>a", "well-formed"),
        ("a & b", "well-formed"),
        ("", "txt-2"),
        (" \n<p> </p><!-- unseen -->", "txt-2"),
        ("<p>" * 300 + "a" + "</p>" * 300, "well-formed"),
    ],
)
def test_what_a_narrative_cannot_have(content: str, says: str) -> None:
    assert says in narrative_fault(div(content))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<div>a</div>", "root"),
        (f"<p {XMLNS}>a</p>", "root"),
        ("plain", "well-formed"),
        ("", "string"),
        (f'<!DOCTYPE div [<!ENTITY a "b">]><div {XMLNS}>&a;</div>', "DOCTYPE"),
        (f'<?xml version="1.0" encoding="UTF-8"?><div {XMLNS}>a</div>', "well-formed"),
    ],
)
def test_what_is_no_div(text: str, says: str) -> None:
    assert says in narrative_fault(text)


def test_the_content_is_never_repeated() -> None:
    assert "Asha" not in narrative_fault(div("<p>Asha Rao</q>"))
