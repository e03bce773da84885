"""What the tokens of an HTML document look like: tags, attributes, comments, elements whose content is no markup."""

import re

from images.merge_tags import BLOT

_WS = rb" \t\n\r\f"
_RAW = (b"style", b"script", b"title", b"textarea", b"xmp", b"iframe", b"noembed", b"noframes")
"""Elements whose content is text: a tag in it is none."""

LONGEST_NAME = 10  # and what ends it
_NAME_END = rb"(?=[" + _WS + rb"/>" + BLOT + rb"])"
_IS_RAW = rb"(?:" + rb"|".join(_RAW) + rb")" + _NAME_END

# Every repetition is possessive and every alternative begins differently, so nothing is read twice. `END` is where a
# token may break off: nowhere while skipping, at the end of the document for the one token that is looked at.


def _attributes(end: bytes) -> bytes:
    """What follows a tag's name, up to and with its `>`. A quote that opens a value must close it."""
    quoted = rb"\"[^\"]*+(?:\"|" + end + rb")|'[^']*+(?:'|" + end + rb")"
    bare = rb"[^" + _WS + rb">\"'][^" + _WS + rb">]*+"
    missing = rb"(?=>)|" + end
    value = rb"=[" + _WS + rb"]*+(?:" + quoted + rb"|" + bare + rb"|" + missing + rb")"
    return rb"(?:[^>=]++|" + value + rb")*+(?:>|" + end + rb")"


def _raw(name: bytes, end: bytes) -> bytes:
    return (
        rb"<"
        + name
        + _NAME_END
        + _attributes(end)
        + rb"(?:[^<]++|<(?!/"
        + name
        + _NAME_END
        + rb"))*+(?:</|"
        + end
        + rb")"
    )


def _tag(end: bytes) -> bytes:
    return rb"<(?!" + _IS_RAW + rb")[a-z" + BLOT + rb"]" + _attributes(end)


def _other(end: bytes) -> bytes:
    """Comments, declarations, end tags, and a `<` that begins nothing. The opening of a conditional comment stands for
    itself: what follows is markup to Outlook."""
    return (
        rb"<!--(?:-?>|[" + _WS + rb"]*+\[if[^a-z][^\]>]*+\][" + _WS + rb"]*+>"
        rb"|(?:[^-]++|-(?!-!?>))*+(?:--!?>|" + end + rb"))"
        rb"|<(?:!(?!--)|[?/])[^>]*+(?:>|" + end + rb")|<(?=[^a-z!/?" + BLOT + rb"])"
    )


_NEVER = rb"(?!)"
SKIPPED = re.compile(
    rb"(?:[^<]++|" + _tag(_NEVER) + rb"|" + _other(_NEVER) + rb"|" + rb"|".join(_raw(n, _NEVER) for n in _RAW) + rb")*+"
)
TAG = re.compile(_tag(rb"\Z"))
STYLE = re.compile(_raw(b"style", rb"\Z"))
START = re.compile(rb"<[a-z]++" + _attributes(rb"\Z"))
ANY = re.compile(rb"[^<]++|" + _other(rb"\Z") + rb"|" + rb"|".join(_raw(n, rb"\Z") for n in _RAW[1:]))
NAME = re.compile(rb"<[^" + _WS + rb"/>" + BLOT + rb"]*+")
ATTRIBUTE = re.compile(
    rb"([^" + _WS + rb"/>" + BLOT + rb"][^" + _WS + rb"/>=" + BLOT + rb"]*+)"
    rb"(?:[" + _WS + rb"]*+=[" + _WS + rb"]*+"
    rb"(?:\"([^\"]*+)\"?+|'([^']*+)'?+|([^" + _WS + rb">\"'][^" + _WS + rb">]*+)))?"
)


# What nearly all of nearly every email consists of, with as few choices as may be; upper case as well. (A run that ends
# at one certain byte is many times as fast as one that ends at any of several.)
_VALUE = rb"=(?:\"[^\"]*+\"|[" + _WS + rb"]*+(?:\"[^\"]*+\"|'[^']*+'|[^" + _WS + rb">\"'][^" + _WS + rb">]*+|(?=>)))"
_ORDINARY_NAME = rb"[a-zA-Z](?![tTcCiIeEmMfFoO][yYrRtTxXpPeEfF](?i:(?<=sty|scr|tit|tex|xmp|ifr|noe|nof)))"
"""How the name of a tag begins, unless its element's content may be text."""
_COMMENT = (
    rb"--(?:-?>|[" + _WS + rb"]*+\[[iI][fF][^a-zA-Z\]<>{][^\]<>{]*+\][" + _WS + rb"]*+>|(?:[^-<>{]++|-(?!-))*+-->)"
)
_PLAIN = (
    rb"[^<]*+(?:<(?:/[^>]*+>|" + _ORDINARY_NAME + rb"[^>=]*+(?:" + _VALUE + rb"[^>=]*+)*+>"
    rb"|[!?](?:(?!--)[^>]*+>|" + _COMMENT + rb"))[^<]*+)*+"
)
PLAIN = re.compile(_PLAIN)
_NAMED = rb"[^>=]*+(?<![" + _WS + rb"/\"'])"
TO_VALUE = re.compile(
    _PLAIN + rb"<" + _ORDINARY_NAME + rb"(?:" + _NAMED + _VALUE + rb")*+[^>=]*[" + _WS + rb"]([^" + _WS + rb"/>=\"'{}"
    + BLOT + rb"]++)[" + _WS + rb"]*+=[" + _WS + rb"]*+(?:(\")[^\"{]*+|(')[^'{]*+)"
)  # fmt: skip
"""Over what is plain, and in the tag after it into a value in quotes. Every equals sign there has a name before it."""
FROM_VALUE = re.compile(rb"[^>=]*+(?:" + _VALUE + rb"[^>=]*+)*+>")
