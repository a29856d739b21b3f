"""The catalogue for others: entries in the form that catalogues exchange.

Takes `CatalogEntry` records; gives DCAT, the W3C's vocabulary for catalogues, as JSON-LD. Refuses
nothing: what an entry does not say is left out.
"""
