"""What MkDocs does not do by itself: pages of the repository's root join the site, and links to them follow."""

from typing import Any

from gallery import filled
from links import JOINED, ROOT, moved, titled
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """The files of docs/ and those of the root that are pages, too."""
    for name in JOINED:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """The text of a page with the links that suit the site, and the names of files to save."""
    return moved(titled(filled(markdown)), page.file.src_uri, config.repo_url)
