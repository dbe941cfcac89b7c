"""Figures, as ratios in one run: what is claimed anywhere is measured here (`make bench`)."""
