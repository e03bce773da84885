"""Real emails with merge tags and images of every form put into them: after rewriting, nothing else has changed."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.template import InlineImage, Template
from images.rewriting import Limits, rewrite
from sandbox.rendering import fill
from tests.corpus import NPM, fetch_emails
from tests.images.samples import GIF, b64, png

pytestmark = pytest.mark.skipif(NPM is None, reason="npm is not on this machine")

PREFIX = "https://cdn.acme.test/i"
FIELDS = {
    "name": 'Ann & "Bob"',
    "vip": True,
    "items": [{"label": "<One>"}, {"label": "Two"}],
    "raw": "<b>raw</b>",
    "host": "acme.test",
    "user": {"first name": "Ann"},
}

# «n» marks a reference. Before and after it stands what must come through as it is.
BODY = """
<p {{#if vip}}style="color:red"{{/if}} title='{{name}}'>Hi {{name}}, {{{raw}}} {{! a "note" }}[[feed.x]]</p>
<p title={{user.[first name]}}>{{user.[first name]}}</p>
<IMG SRC=«0» alt="a > b"><img\tsrc = ' «1»'  alt='{{#ifEq name "}}"}}x{{/ifEq}}'/><img src="«2»" alt=cid:none>
<img srcset="«3» 1x,«4» 2x, https://x.test/{{host}}/a,b.png 3x" src="https://{{host}}/cid:no.png?a=1&b=2&copy=3">
<table background="«5»"><tr>{{#each items}}<td bgcolor=#fff background='«6»'>{{label}}</td>{{/each}}</tr></table>
<div style="background:url(«7») no-repeat, url( '«8»' );font-family:'a;b'">&copy; &nbsp;&zwnj;&#8203;<br></div>
<div style='background-image: URL(&quot;«9»&quot;); content:"url(cid:no)"'></div>
<img src="{{#if vip}}«10»{{else}}«11»{{/if}}"><a href="https://{{host}}/?u={{urlEncode "a b"}}&x=1">cid:no</a>
<!--[if gte mso 9]><v:rect xmlns:v="urn:schemas-microsoft-com:vml" fill="true"><v:fill type="frame" src="«12»"/>
<v:imagedata src="«13»" o:href='«14»'/></v:rect><v:image src=«15» /><![endif]-->
<!--[if !mso]><!-- --><img src="«16»"><!-- <![endif]--><![if !vml]><img src="«17»"><![endif]>
<!-- <img src="cid:no"> --><img src="«18»"><p title="<img src=cid:no>">5 < 6</P>
<img src="«19»"><img src="«20»">
"""
CSS = """
/* url(cid:no) " */ .hero { background: url("«21»") } .b{background:url( «22» )}
@media (max-width:600px){.c{background:URL('«23»')}} .d{content:"url(cid:no)"} .e{background:url(«24»)}
.f{background:-webkit-image-set("«25»" 1x, url(«26») 2x)}
.g{filter:progid:DXImageTransform.Microsoft.AlphaImageLoader(src='«27»', sizingMethod='scale')}
"""
WRITTEN = {
    0: "cid:logo", 1: "CID:logo", 2: "cid&#58;logo", 3: "cid:logo", 5: "cid:<a b>".replace("<a b>", "a%20b"),
    7: "cid:logo", 9: "cid:logo", 12: "cid:vml%40acme", 15: "cid:logo", 18: "&#99;&#105;d&colon;logo",
    19: f"data:image/gif;base64,{b64(GIF)[:30]}\r\n   {b64(GIF)[30:]}", 22: "c\\69 d:logo", 24: "cid\\:logo",
}  # fmt: skip
"""How a reference is written; the others take turns between a `cid:` and a `data:` URI."""
IMAGES = {"logo": png(1), "a b": png(2), "vml@acme": png(3), "cid": png(4)}


@dataclass(frozen=True)
class Case:
    """`given` and `expected` differ in the references only."""

    given: str
    expected: str


def url(data: bytes) -> str:
    return f"{PREFIX}/{hashlib.sha256(data).hexdigest()}.{'gif' if data == GIF else 'png'}"


def written(n: int) -> tuple[str, str]:
    """A reference, and the URL that takes its place."""
    if n not in WRITTEN:
        return ("cid:cid", url(png(4))) if n % 2 else (f"data:image/gif;base64,{b64(GIF)}", url(GIF))
    image = {5: png(2), 12: png(3), 19: GIF}.get(n, png(1))
    return WRITTEN[n], url(image)


def case_of(email: str) -> Case:
    """The email with everything put in: at its body's beginning, into its style sheet, in place of its own images."""
    marked = re.sub(r"(<body[^>]*>)", lambda body: body[1] + BODY, email, count=1, flags=re.IGNORECASE)
    marked = (
        marked.replace("</style>", CSS + "</style>", 1) if "</style>" in marked else f"<style>{CSS}</style>{marked}"
    )
    numbers = iter(range(100, 10_000))
    own = r"""(<img\b[^>«]*?\ssrc=["'])(https?://[^"'«{]+)"""
    marked = re.sub(own, lambda image: f"{image[1]}«{next(numbers)}»", marked, flags=re.IGNORECASE)
    given, expected = (
        re.sub("«([0-9]+)»", lambda mark, which=which: written(int(mark[1]))[which], marked) for which in (0, 1)
    )
    return Case(given, expected)


@pytest.fixture(scope="module")
async def emails(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("packages")
    return await fetch_emails(folder)


async def test_real_emails_change_in_their_references_and_nowhere_else(emails: dict[str, str]) -> None:
    assert len(emails) >= 12
    images = [
        InlineImage(content_id=f"<{name}>", media_type="image/png", data=b64(data)) for name, data in IMAGES.items()
    ]
    own_images = 0
    for name, email in emails.items():
        case = case_of(email)
        own_images += case.expected.count(PREFIX) - 28
        template = Template(
            template_id="t", name="T", subject="S", html=case.given, from_email="a@acme.test", inline_images=images
        )
        result = rewrite(template, PREFIX, Limits(image=10_000, template=100_000))
        assert result.template.html == case.expected, name
        assert result.warnings == [], name
        assert {asset.data for asset in result.assets} == {*IMAGES.values(), GIF}, name
        assert rendered(result.template.html) == rendered(case.expected), name
    assert own_images > 20  # the corpus has images of its own that were made into references


def rendered(html: str) -> str:
    """As the sandbox sends it. The corpus's own text has braces only where we put them."""
    return fill(fill(html, {"feed": {"x": "y"}}, brackets=True), FIELDS, as_html=True)
