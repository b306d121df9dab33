"""Pages for a browser: one frame and one style for all, plain HTML without scripts, for phones and screen readers too.

Nothing in a page is trusted: names and reasons come from tags, machines and people. Text becomes HTML only in
`element`, which escapes it. The style sheet is named in the Content-Security-Policy by its hash, so that whatever else
were to get in could do nothing.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape

from drydock.catalogue.saying import one_line

BASE_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#4d5763;--paper:#fff;--card:#f4f6f8;--line:#c3cad2;--yes:#0b6b33;
--no:#a4161a;--warn:#8a4b00;--focus:#0a58ca}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebee;--soft:#aeb7c1;--paper:#14181c;--card:#1e242a;--line:#48525d;
--yes:#1d7f47;--no:#c62f34;--warn:#f0b25c;--focus:#8ab8ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
main{max-width:52rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0 1rem}
h2{font-size:1.2rem;margin:2rem 0 .5rem}
.note{border-left:.35rem solid var(--warn);background:var(--card);padding:.75rem 1rem;margin:1rem 0}
.note p{margin:0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1rem;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
code{font:.9rem ui-monospace,monospace;overflow-wrap:anywhere}
table{border-collapse:collapse;table-layout:fixed;width:100%;margin:.75rem 0 1.25rem}
caption{text-align:left;font-weight:600;padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.4rem .5rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
thead th{color:var(--soft);font-weight:600}tbody th{font-weight:400}
.number{text-align:right;width:3.4rem}.time{width:6rem}.number,.time{overflow-wrap:normal;white-space:nowrap}
.soft{color:var(--soft);font-size:.9rem}.late{color:var(--warn);font-weight:600}
:focus-visible{outline:3px solid var(--focus);outline-offset:2px}
@media(max-width:36rem){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6rem}
th,td{padding:.4rem .3rem}.number{width:2.9rem}.time{width:5.2rem}}
"""


class Html(str):
    """Text that is HTML already: whatever came from others is escaped in it."""

    __slots__ = ()


_VOID = frozenset({"meta", "rect", "line", "circle", "path", "use", "br"})
"""Elements without content. Those of SVG are closed at once."""


def element(name: str, *content: str, **attributes: str | int) -> Html:
    """An element. Text is escaped unless it is Html.

    In the name of an attribute `_` stands for `-`; one at the end, which a word of Python needs, for nothing.
    Characters that cannot be printed, such as those that turn the direction of writing, become spaces.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"' for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{name}{given}/>")
    return Html(f"<{name}{given}>{join(*content)}</{name}>")


def join(*content: str, by: str = "") -> Html:
    """One after another; text is escaped unless it is Html."""
    return Html(by.join(part if isinstance(part, Html) else _escaped(part) for part in content))


def _escaped(text: str) -> str:
    return escape(one_line(text))


def policy_of(style: str, *directives: str) -> str:
    """A Content-Security-Policy that lets in this one style sheet and nothing else, with further directives."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return "; ".join(["default-src 'none'", f"style-src 'sha256-{digest}'", *directives, "base-uri 'none'"])


def document(title: str, style: str, body: str, *, policy: str = "") -> str:
    """A whole page. A policy that no header can bring, such as that of a file, goes into the page itself."""
    metas = [element("meta", http_equiv="Content-Security-Policy", content=policy)] if policy else []
    head = join(
        Html('<meta charset="utf-8">'),
        *metas,
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="robots" content="noindex, nofollow">'),
        Html('<meta name="referrer" content="no-referrer">'),
        element("title", f"{title} - Drydock"),
        Html(f"<style>{style}</style>"),
        by="\n",
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n'
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
