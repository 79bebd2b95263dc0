"""Reads a page back: well-formed, self-contained, and with no markup but its own."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "input", "br", "hr", "img", "link"}
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "a",
        "header",
        "h1",
        "h2",
        "h3",
        "p",
        "code",
        "nav",
        "ul",
        "li",
    ),
    *("main", "section", "article", "figure", "figcaption", "details", "summary", "div", "table", "caption", "thead"),
    *("tbody", "tr", "th", "td", "form", "label", "input", "button", "output", "span", "strong", "pre", "script"),
    *("svg", "g", "rect", "text", "desc", "path", "polyline", "circle"),
}


@dataclass
class Node:
    tag: str
    attributes: dict[str, str | None]
    children: list = field(default_factory=list)

    def all(self, tag):
        for child in self.children:
            if isinstance(child, Node):
                if child.tag == tag:
                    yield child
                yield from child.all(tag)

    def one(self, tag, **attributes):
        (found,) = [node for node in self.all(tag) if attributes.items() <= node.attributes.items()]
        return found

    @property
    def text(self):
        return "".join(child if isinstance(child, str) else child.text for child in self.children)


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.stack = [self.root]

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), f"<{tag}> has an attribute twice"
        node = Node(tag, dict(attrs))
        self.stack[-1].children.append(node)
        if tag not in VOID:
            self.stack.append(node)

    def handle_startendtag(self, tag, attrs):
        assert any(node.tag == "svg" for node in self.stack), f"<{tag}/> outside a drawing"
        self.stack[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack[-1].tag == tag, f"</{tag}> closes <{self.stack[-1].tag}>"
        self.stack.pop()

    def handle_data(self, data):
        self.stack[-1].children.append(data)

    def handle_decl(self, decl):
        assert decl == "DOCTYPE html"
        assert self.root.children == []

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    unknown_decl = handle_pi = handle_comment


def read(page):
    """Return the root of a page; fail where it is not well-formed."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert len(reader.stack) == 1, f"<{reader.stack[-1].tag}> is never closed"
    return reader.root


def check(page):
    """Fail where a page is malformed, holds markup that is not its own, or needs anything from outside."""
    root = read(page)
    nodes = list(_walk(root))
    assert {node.tag for node in nodes} <= TAGS
    names = {name for node in nodes for name in node.attributes}
    assert not [name for name in names if name.startswith("on") or name in {"src", "srcset", "style", "xlink:href"}]
    ids = Counter(node.attributes["id"] for node in nodes if "id" in node.attributes)
    assert not [name for name, count in ids.items() if count > 1]
    for node in nodes:
        for name in ("href", "for", "aria-labelledby"):
            target = node.attributes.get(name) or ""
            assert all(word.removeprefix("#") in ids for word in target.split()), f"{name}={target} leads nowhere"
        if "href" in node.attributes:
            assert node.attributes["href"].startswith("#")
        if node.tag == "th":
            assert node.attributes.get("scope") in {"row", "col"}
        if node.tag == "svg":
            assert node.attributes["role"] in {"img", "group"}
            assert node.one("desc").text
    policy = root.one("html").one("head").one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(root.one(tag).text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"url\(|@import|https?:", root.one("style").text + root.one("script").text)
    return root


def _walk(node):
    for child in node.children:
        if isinstance(child, Node):
            yield child
            yield from _walk(child)
