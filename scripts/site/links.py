"""Links of the pages: what leads out of docs/ in the repository has another address on the site. Names of files."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
JOINED = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")  # of the root, as pages of the site
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def titled(text: str) -> str:
    """`text` with the name of a file above the block that is to be saved as it: `<!-- file: NAME -->` shows none."""
    return re.sub(r"^<!-- file: (\S+) -->\n```(\w+)$", r'```\2 title="\1"', text, flags=re.MULTILINE)


def moved(text: str, page: str, repository: str) -> str:
    """`text` of the page at `page`, relative to docs/, with each link to a file outside docs/ made one of the site.

    What is no page of the site is shown at the address `repository`.
    """
    here = ROOT if page in JOINED else (ROOT / "docs" / page).parent
    up = "../" * len(Path(page).parent.parts)

    def to(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        target = (here / link).resolve()
        if "://" in link or not target.is_relative_to(ROOT):
            return match[0]
        if target.is_relative_to(ROOT / "docs"):
            return f"{before}{up}{target.relative_to(ROOT / 'docs').as_posix()}{after}"
        if target.parent == ROOT and target.name in JOINED:
            return f"{before}{up}{target.name}{after}"
        if target == ROOT / "README.md":
            return f"{before}{up}index.md{after}"
        return f"{before}{repository}/blob/main/{target.relative_to(ROOT).as_posix()}{after}"

    return LINK.sub(to, text)
