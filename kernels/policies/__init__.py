"""Policies: each file makes block plans the way one paper does. `catalogue.py` lists them."""
