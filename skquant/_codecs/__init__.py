"""Codecs: a fitted scheme as one value.

``_codec`` walks a row down, through the centre, the rotation (``_rotation``), the amplitude and
the code, to code words and row terms (``_row_terms``), and up again. ``_fit`` fits one: ``_drawn``
with a random rotation, ``_learned`` along principal axes (``_principal_axes``); ``_coarse_layer``
gives it a layer for a scan. ``_file`` writes one as a dictionary and arrays, and reads it with
every value checked.
"""
