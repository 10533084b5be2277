"""Text of others in Markdown and LaTeX: what a suite or a record says is shown as it is and never takes effect."""

import re

# Characters that Markdown gives a meaning anywhere. Brackets that are no link, as in psnr [dB], and an underscore in
# a word have none.
MARKDOWN = re.compile(r"[\\`*<>|~$&]|\](?=[(\[:])|\[(?=\^)|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
FIRST = re.compile(r"^(?:[#+=:\[-]|\d+[.)](?!\S))")  # those that have one at the beginning of a line

TEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
TEX |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "↑": r"$\uparrow$"}
TEX |= {"↓": r"$\downarrow$", "×": r"$\times$", "η": r"$\eta$", "σ": r"$\sigma$"}


def one_line(text: object) -> str:
    """`text` on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def markdown(text: object) -> str:
    """`text` as one line of Markdown that shows it literally, in a table or out of one."""
    line = MARKDOWN.sub(r"\\\g<0>", one_line(text)).replace("\\<", "&lt;")
    return FIRST.sub(lambda mark: f"{mark[0][:-1]}\\{mark[0][-1]}", line)


def latex(text: object) -> str:
    """`text` as one line of LaTeX that shows it literally."""
    return "".join(TEX.get(c, c) for c in one_line(text))
