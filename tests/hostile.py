"""Texts that, repeated, are the worst a reader of templates can be given: what opens and never ends."""

PREFIXES = ("", "{{a ", "{{{{raw}}}}")
"""What may stand before, for a reader of Handlebars: nothing, a tag that is open, a raw block."""

HANDLEBARS = ("{{", "{{a}}", "{{!--x--}}", "{{!}}", "[[", "{{a [[", "[", "(", '"', "../", "a.", "a=", "~")

HTML = (
    "{{",
    '{{"',
    "{{!--",
    '{{"}}',
    "[[",
    "<a ",
    '<a href="',
    "<!--",
    "<!--[if mso]>",
    "<",
    "<style>",
    "<style>url(",
    "&#",
    '<style>"cid:',
    '<p style="url(cid:',
    "<img src=cid:",
    '<img src="{{#a}}cid:',
    "</style",
    "\\",
    "<p a=&#",
    "cid:",
    "<style>image-set('cid:",
    '<style>image-set("cid:a" (',
    '<p style="alphaimageloader(src=cid:',
)
