"""Codes: from the numbers of a row to its code words, and back.

``_nested`` codes a block by a nested lattice, ``_codebook`` by the shortest points of a lattice;
``_scales`` says which nesting ratio and scales a number of bits buys. ``_row_code`` spreads the
bits of a row over such blocks; ``_entropy`` codes the row as a whole, with the machines of
``_trellis`` under the model of ``_entropy_model``; ``_layered`` puts a coarse layer first, for a
scan. ``_hierarchical`` codes blocks in layers, for products by tables. ``_leech`` is the Leech
lattice as a trellis, and ``_e8_parameters`` what the integer kernels know of E8.
"""
