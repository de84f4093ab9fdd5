"""Numba kernels: arrays in, arrays out. Nothing here imports scikit-learn.

Which kernel serves which call::

    compress, transform        toarray, transform        products              kneighbors
    -------------------        ------------------        --------              ----------
    rows                       bytes                     bytes                 queries, bytes
      | _rows.centre_rows        | _nested.                | _nested.            | _rows, _hadamard
      | _rows.scale_rows         |   decode_blocks         |   decode_blocks     | _nested.
      v                          v                         v                     |   decode_blocks
    panels                     panels                    wide panel              v
      | _hadamard.rotate         | _hadamard.              | BLAS; for a few   wide panel
      | _nested.                 |   rotate_back           | vectors, without    | BLAS
      |   encode_blocks          | _rows.gather_rows       | panel, _nested.     | _top_k.
      v                          v                         |   multiply_blocks   |   update_top_k
    bytes                      rows                        v                     v
                                                         products              k nearest rows

*Panels* hold rows side by side, (n_panels, n_coordinates, width): 32 rows to a panel where
kernels follow each other, so that a row stays in the nearest cache, and some thousand in a *wide*
panel, which is all that is ever decoded at a time. Kernels work on 32 rows at once, in the
vectors of `_vectors`: one source for every machine, without branches on data. `_dispatch` is the
one place that chooses an implementation; all others import from it.

Rules. Kernels are compiled lazily, with ``cache=True`` and without eager signatures, which would
refuse read-only arrays. A kernel and what it inlines stand in one file, but for `_vectors`, because
the cache of compiled code does not see changes of callees elsewhere: whoever changes `_vectors`
deletes ``_kernels/__pycache__``. They are ``nogil`` and single-threaded:
threads are made by `skquant._threads` over independent blocks of rows, so that no result depends on
their number and no threading layer of Numba, which forks and foreign threads can break, is ever
started. Only sums of whole rows are compiled with relaxed floating-point rules, never what decides
a code word.
"""
