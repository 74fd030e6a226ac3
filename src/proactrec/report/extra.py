"""The sentence for those who have not installed the `report` extra."""

INSTALL = "reports need matplotlib and jinja2: pip install 'proactrec[report]'"
