"""The plugin keeps the laws of the conformance kit, and a CommonMark parser finds no markup in names and values."""

from __future__ import annotations

from diffai_report_markdown import plugin
from markdown_it import MarkdownIt

from diffai_core.testing import PluginTests, ReporterTests

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
MARKUP = {"html_inline", "html_block", "link_open", "image", "em_open", "s_open", "blockquote_open", "hr", "code_block"}


class TestPlugin(PluginTests):
    plugin = plugin


class TestMarkdown(ReporterTests):
    plugin = plugin
    n_examples = 30

    def check_text(self, text, given_report):
        tokens = PARSER.parse(text)
        kinds = {token.type for token in tokens} | {child.type for token in tokens for child in (token.children or ())}
        assert not kinds & MARKUP
        assert all(line.isprintable() for line in text.split("\n"))


class TestInFull(TestMarkdown):
    options = {"full": True}  # noqa: RUF012 - a constant of the test class
    n_examples = 10
