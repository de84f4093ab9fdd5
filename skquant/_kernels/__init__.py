"""Numba kernels: arrays in, arrays out. Nothing here imports scikit-learn.

Which kernel serves which call::

    compress, transform                 toarray, transform, products        kneighbors
    -------------------                 ----------------------------        ----------
    rows                                bytes                               queries
      | _rows.centre_rows                 |                                   | _rows.centre_rows
      | _rows.scale_rows                  |                                   | _rows.scale_rows
      | _hadamard.rotate                  |                                   | _hadamard.rotate
      | _nested.encode_blocks             | _nested.decode_blocks             |
      v                                   v                                   |   bytes
    bytes                               panel (coordinates x rows)            |     | _nested.
                                          | matrix product (BLAS), or         |     v  decode_blocks
                                          | _hadamard.rotate_back             +-> panel products (BLAS)
                                          v                                         | _top_k.
                                        result                                      v  update_top_k
                                                                              k nearest rows

A *panel* is some thousand rows, decoded to float32 with a row a column: small enough for the cache,
large enough for the matrix product, and all that is ever decoded at a time. `_dispatch` is the one
place that chooses an implementation; all others import from it.

Rules. Kernels are compiled lazily, with ``cache=True`` and without eager signatures, which would
refuse read-only arrays. A kernel and what it inlines stand in one file, because the cache of compiled
code does not see changes of callees elsewhere. They are ``nogil`` and single-threaded: threads are
made by `skquant._threads` over independent blocks of rows, so that no result depends on their number
and no threading layer of Numba, which forks and foreign threads can break, is ever started. Only
sums of whole rows are compiled with relaxed floating-point rules, never what decides a code word.
"""
