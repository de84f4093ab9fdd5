"""Numba kernels: arrays in, arrays out. Nothing here imports scikit-learn.

Which kernel serves which call::

    compress, transform        toarray, transform        products              kneighbors
    -------------------        ------------------        --------              ----------
    rows                       bytes                     bytes                 bytes
      | _rows.centre_rows        | decode: _e8,            | _e8.decode_e8_      | decode
      | _rows.scale_rows         |   _nested, _codebook,   |   shorts, or        v
      v                          |   _entropy              |   decode and      panels
    panels                       v                         |   _tiles.           | _tiles.round_rows
      | _hadamard.rotate       panels                      |   round_rows        v
      | encode: _nested,         | _hadamard.              v                   tiles, queries
      |   _codebook, _entropy    |   rotate_back         tiles                 | _tiles.
      v                          | _rows.gather_rows       | _tile_products.     |   search_tiles
    bytes                        v                         |   multiply_tiles    v
                               rows                        v                   k nearest rows
                                                         products

A learned rotation takes `_panel_products.multiply_panels` in place of ``rotate``.
For few vectors products go without tiles: ``_e8.multiply_e8_runs`` reads the blocks of a row one
after the other, ``multiply_...blocks`` the same block of many rows, ``_codebook.multiply_words``
and ``_layers.multiply_layers`` tables. A search for few queries leaves out rows by such products
before it decodes the others.

*Panels* hold 32 rows side by side each, (n_panels, n_coordinates, 32), and kernels work on as many
at once, in the vectors of `_vectors`, `_lanes`, `_memory` and `_registers`: one source for every
machine, without branches on data.
*Tiles* are panels rounded to bytes and 16-bit integers (`_dot`); where the machine has no fast
products of these, products take floats and BLAS, and search `_top_k.update_top_k` besides. Where it
has a matrix unit (`_amx`), `_tiles.search_tiles_by_amx` finds the same by that, and large products
take `_amx_products`. In inverted lists `_tiles.search_lists` takes the place of `search_tiles`, and
`_visits` plans and prepares what it needs. Query by query, `_coarse_scan` scans the coarse layer of
layered codes, in all rows or in lists, by tables of bytes (`_look_up`), and keeps the rows that
look best (`_least_scores`); `_coarse`, which encodes and decodes that layer, measures these. `_e8`
is the decoder of all E8 codes up to four bits an entry and `_e8_encoder` their encoder, in 16-bit
integers; `_nested` does every nested code, and `_layers` the hierarchical ones. `_isa` is the one
place that asks what the machine can do, and `_dispatch` the one that chooses by it; the rest of the
package imports from there.

Kernels are compiled at the first call, and what a user waits for is mostly Numba's own work on
functions and statements. What has no branches on values is therefore *traced* (`_traced`): Python
emits its instructions. Other parts of a kernel are `inlined`.

Rules. Kernels are compiled lazily, with ``cache=True`` and without eager signatures, which would
refuse read-only arrays. A kernel and what it inlines stand in one file, but for the vectors,
`_traced`, `_dot`, `_amx`, `_lattices`, `_least_scores`, `_look_up`, `_squares`, `_terms`,
`_trellis_quantizer` and `_words`, because the cache of compiled code does not see changes of
callees elsewhere: whoever changes these deletes the folder ``_kernels/__pycache__``. Helpers are
inlined by LLVM (`inlined`), not by Numba, which would count references to arrays in every loop;
LLVM's code shows whether a helper that takes arrays does (``NRT_incref``). Kernels are ``nogil``
and single-threaded: threads are made by `skquant._threads` over independent blocks of rows, so that
no result depends on their number and no threading layer of Numba, which forks and foreign threads
can break, is ever started. What C would call (``no_cfunc_wrapper``) is not compiled. Only sums of
whole rows are compiled with relaxed floating-point rules, never what decides a code word.
"""
