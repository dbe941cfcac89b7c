"""Arithmetic on weights as a file stores them."""
