"""The sciences: one folder each, with its operator, noise, reader, prior, metrics, figures, generator and suite.

Each joins the product by its `PLUGIN`, listed in `xhat.catalogue`.
"""
