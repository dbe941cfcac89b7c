"""Cutaway: a Transformer language model with its side removed, while it still runs."""
