"""Where references to images are found, and where they are not."""

import pytest

from images.references import Reference, find_references
from tests.hostile import HTML


def found(html: str) -> list[str]:
    """The stretches that would be replaced, as they are written."""
    source = html.encode()
    return [source[reference.start : reference.end].decode() for reference in find_references(source)]


def urls(html: str) -> list[str]:
    return [reference.url for reference in find_references(html.encode())]


@pytest.mark.parametrize(
    ("html", "written"),
    [
        ('<img src="cid:logo">', ["cid:logo"]),
        ("<img src='cid:logo'>", ["cid:logo"]),
        ("<IMG SRC=cid:logo>", ["cid:logo"]),
        ("<img src=cid:logo/>", ["cid:logo/"]),  # as browsers read it: a slash belongs to an unquoted value
        ("<img src=cid:logo />", ["cid:logo"]),
        ('<img\n  src\t=\n " cid:logo\n">', ["cid:logo"]),
        ('<img alt="a > b" src="CID:Logo">', ["CID:Logo"]),
        ('<input type=image src="cid:go">', ["cid:go"]),
        ('<td background="cid:bg">', ["cid:bg"]),
        ('<link rel="icon" href="cid:icon"><a href="cid:doc">x</a>', ["cid:icon", "cid:doc"]),
        ('<video poster="cid:still"></video><object data="cid:o"></object>', ["cid:still", "cid:o"]),
        ('<img srcset="cid:a 1x, cid:b 2x,https://x/y 3x">', ["cid:a", "cid:b"]),
        ('<img srcset="cid:a, cid:b">', ["cid:a", "cid:b"]),
        ('<img srcset="data:image/png;base64,AA,BB 1x, cid:b">', ["data:image/png;base64,AA,BB", "cid:b"]),
        ('<source srcset="https://x/(a,b).png (1,2), cid:b">', ["cid:b"]),
        ('<img src="data:image/png;base64,\n iVBO\n Rw0=">', ["data:image/png;base64,\n iVBO\n Rw0="]),
        ("<p style=\"background:URL( 'cid:x' ) no-repeat, url(cid:y)\">", ["cid:x", "cid:y"]),
        ('<p style="background:url(&quot;cid:x&quot;)">', ["cid:x"]),
        ("<p style='background:url(&#34;cid:x&#x22;)'>", ["cid:x"]),
        ('<style>a{b:url("cid:x")}c{d:url(cid:y)}</style><img src=cid:z>', ["cid:x", "cid:y", "cid:z"]),
        ("<style media=\"a>b\">a{b:url('cid:x')}", ["cid:x"]),
        ('<style>@media x{a{b:url(cid:x)}}\n/* " */ c{d:url(cid:y)}</STYLE >', ["cid:x", "cid:y"]),
        ('<!--[if gte mso 9]><v:fill type="frame" src="cid:vml" color="#fff"/><![endif]-->', ["cid:vml"]),
        ('<!--[if mso | IE]><v:image src="cid:vml" o:href="cid:oh"><![endif]-->', ["cid:vml", "cid:oh"]),
        ('<!--[IF MSO]><v:imagedata src="cid:vml" o:althref="cid:ah"/><![ENDIF]-->', ["cid:vml", "cid:ah"]),
        ("<!--[if !mso]><!--><img src=cid:seen><!--<![endif]-->", ["cid:seen"]),
        ("<!--[if !mso]><!-- --><img src=cid:seen><!-- <![endif]-->", ["cid:seen"]),
        ("<![if !mso]><img src=cid:seen><![endif]>", ["cid:seen"]),
        ('<!--[if mso]><style>a{b:url("cid:x")}</style><![endif]--><img src=cid:y>', ["cid:x", "cid:y"]),
        ('<svg><image xlink:href="cid:x"/></svg>', ["cid:x"]),
        ('<p title="don\'t" a=\'"\'><img src="cid:x">', ["cid:x"]),
        ("a < b <img src=cid:x> c <3", ["cid:x"]),
        ('<img src="cid:x', ["cid:x"]),
        ('<p style=\'background:image-set("cid:a" 1x, "cid:b" 2x)\'>', ["cid:a", "cid:b"]),
        ("<p style=\"a:-webkit-image-set(url(cid:a) 1x, url('cid:b') 2x)\">", ["cid:a", "cid:b"]),
        (
            "<style>a{b:image-set(linear-gradient(red, blue) 1x, /* \"cid:no\" */ 'cid:a' type('image/png') 2x)}"
            "c{d:url(cid:b);content:'cid:no'}</style>",
            ["cid:a", "cid:b"],
        ),
        ("<style>a{b:IMAGE-SET( 'cid:a' 1x )}c{d:\"image-set('cid:no')\"}", ["cid:a"]),
        ("<p style=\"b:image-set('cid:a' 1x\">", ["cid:a"]),  # the end closes what is open
        (
            "<p style=\"filter:progid:DXImageTransform.Microsoft.AlphaImageLoader(src='cid:a',sizingMethod='scale')\">",
            ["cid:a"],
        ),
        (
            "<style>a{filter:progid:DXImageTransform.Microsoft.AlphaImageLoader( enabled=true, src = cid:a )}</style>",
            ["cid:a"],
        ),
        ("<p style='filter:x.AlphaImageLoader(src=&quot;cid:a&quot;)'>", ["cid:a"]),
        ('<img alt="a"src="cid:x">', ["cid:x"]),  # browsers forgive the missing space
        ("<strong>a</strong><xml>b</xml><img src=cid:x>", ["cid:x"]),
    ],
)
def test_wherever_email_html_puts_them(html: str, written: list[str]) -> None:
    assert found(html) == written


@pytest.mark.parametrize(
    "html",
    [
        "<p>cid:logo url(cid:logo)</p>",
        '<p title="cid:x" alt="cid:x" data-src="cid:x">',
        '<p title="<img src=cid:x>">',
        "<!-- <img src=cid:x> -->",
        "<!-- --!><!-- <img src=cid:x> -->",
        "<title><img src=cid:x></title><textarea><img src=cid:x></textarea>",
        '<script>"<img src=cid:x>"</script>',
        '<style>/* url(cid:x) */ a{content:\'url(cid:x)\'} b{c:"\\"url(cid:x)"}</style>',
        "<style>a{b:image-set(/* 'cid:x' */ 'a.png' 1x);c:'cid:x';d:my-image('cid:x')}</style>",
        "<style><img src=cid:x></style>",
        '<img src="https://x/?u=cid:x"><img src="acid:x"><img src="/cid:x">',
        '<a href="mailto:a@b?body=cid:x">',
        '<p style="font-family:cid:x">',
    ],
)
def test_what_only_looks_like_one_is_left_alone(html: str) -> None:
    assert found(html) == []


@pytest.mark.parametrize(
    ("html", "url"),
    [
        ('<img src="cid&#58;logo">', "cid:logo"),
        ('<img src="cid&#x3a;logo">', "cid:logo"),
        ('<img src="&#99;&#105d;&#0100&colon;a&amp;b">', None),
        ('<img src="&#99;&#105;&#0100;&colon;a&amp;b">', "cid:a&b"),
        ("<img src=cid:a&ampb>", "cid:a&ampb"),
        ("<img src=cid:a&amp=b>", "cid:a&amp=b"),
        ('<img src="cid:h&eacute;&#233;&eacute">', "cid:hééé"),
        ("<p style='a:url(\"\\63 i\\64:lo\\\ngo\\29\")'>", "cid:logo)"),
        ("<p style='a:url(cid\\3a x\\ y)'>", "cid:x y"),
        ('<img src="cid:%C3%A9%20x">', "cid:%C3%A9%20x"),
        ('<img src="cid:é👋">', "cid:é👋"),
    ],
)
def test_however_it_is_written(html: str, url: str | None) -> None:
    assert urls(html) == ([url] if url else [])


@pytest.mark.parametrize(
    ("html", "written"),
    [
        ('<img src="{{#if vip}}cid:a{{else}}cid:b{{/if}}">', ["cid:a", "cid:b"]),
        ('<img src="{{~#if vip~}} cid:a {{~^~}} cid:b {{~/if~}}">', ["cid:a", "cid:b"]),
        ('<img src="{{! the logo }}cid:a">', ["cid:a"]),
        ('<img {{#if wide}}width="600"{{/if}}src="cid:a">', ["cid:a"]),
        ('<{{tag}} background="cid:a">', ["cid:a"]),
        ('<p class="{{#if (eq a ">")}}x{{/if}}" style="a:url({{#if b}}cid:a{{/if}})">', ["cid:a"]),
        ('<a href="{{urlEncode "a b"}}" title=">"><img src="cid:a">', ["cid:a"]),
        ('<p title={{a "}}"}}><img src="cid:a">', ["cid:a"]),
        ('<p title="{{{raw}}}" {{!-- "}} --}}><img src="cid:a">', ["cid:a"]),
        ('[[lookup "x"]]<p title="[[a]]"><img src="cid:a">', ["cid:a"]),
        ('{{! don\'t }}<img src="cid:a">{{b}}', ["cid:a"]),
        ('<img srcset="{{#if x}}cid:a 2x,{{/if}}cid:b 1x">', ["cid:a", "cid:b"]),
        ('<style>a{b:url("{{#if x}}cid:a{{else}}cid:b{{/if}}")}</style>', ["cid:a", "cid:b"]),
        ('<img src="{{base}}cid:no"><img src="{{{base}}}cid:no"><img src="[[base]]cid:no">', []),
        ('<a href="{{link "cid:no"}}">{{img src="cid:no"}}</a>', []),
        ("{{ never closed <img src=cid:a>", ["cid:a"]),
        ("[[ never closed <img src=cid:a>", ["cid:a"]),
    ],
)
def test_merge_tags_may_stand_anywhere(html: str, written: list[str]) -> None:
    assert found(html) == written


@pytest.mark.parametrize("html", ['<img src="cid:{{x}}">', '<img src="cid:a{{{x}}}">', '<p style="a:url(cid:[[x]])">'])
def test_a_reference_that_a_merge_tag_completes_is_dynamic(html: str) -> None:
    (reference,) = find_references(html.encode())
    assert reference.is_dynamic


def test_many_merge_tags_that_hold_markup() -> None:
    html = """{{#if (eq a "<b")}}'{{/if}} <p title="{{f '>'}}">""" * 2_000 + '<img src="cid:x">'
    assert found(html) == ["cid:x"]


def test_five_megabytes() -> None:
    row = '<tr><td style="color:red">{{name}}<img alt="{{f "x"}}" src="https://x.test/a.png"></td></tr>\n'
    source = (row * (5_000_000 // len(row)) + '<img src="cid:x">').encode()
    assert len(find_references(source)) == 1


def test_any_bytes_will_do() -> None:
    assert find_references(b'\xff\xfe\x00<img src="cid:\xc3"\xff>') == [Reference(13, 18, "cid:�")]


@pytest.mark.parametrize("unit", HTML)
def test_no_document_is_too_long_or_too_deep(unit: str) -> None:
    """That the time grows with the length and no faster is measured by `make bench-growth`."""
    find_references((unit * (160_000 // len(unit)) + '">').encode())
