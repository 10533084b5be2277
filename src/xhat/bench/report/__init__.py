"""A run of `xhat bench` as one page, as Markdown, LaTeX and a picture."""
