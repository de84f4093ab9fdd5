"""Products of compressed matrices, and how far off each entry is.

``_matmul`` chooses the way of a product; ``_decoded_rows`` are panels of rows in the coordinates of
the codes, and ``_integers`` rows as small integers. ``_pair_law`` says what two related
reconstructions have in common, and ``_standard_errors`` predicts the error of each entry from it.
"""
