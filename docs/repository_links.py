"""MkDocs hook: links that leave ``docs/`` become plain paths.

On a Git host such a link opens the file. The site holds only the pages, so the link would be broken there.
"""

import posixpath
import re
from typing import Any

_LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>\.\./[^)\s#]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replaces each link to a file outside ``docs/`` with its text and the file's path in the repository.

    Args:
        markdown: the page's source.
        page: MkDocs's page; only the location of its file matters.
    """
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def plain(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link["target"]))
        if path.startswith("docs/"):
            return link[0]
        return f"`{path}`" if link["text"].strip("`") == path else f"{link['text']} (`{path}`)"

    return _LINK.sub(plain, markdown)
