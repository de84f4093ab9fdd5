"""Numba kernels: arrays in, arrays out. Nothing here imports scikit-learn.

Which kernel serves which call::

    compress, transform         toarray, transform, products      kneighbors
    -------------------         ----------------------------      ----------
    rows                        bytes                             queries     bytes
      | _rows.centre_rows         | _nested.decode_blocks           |           |
      | _rows.scale_rows          v                                 | _rows,    | _nested.
      | _hadamard.rotate        panel (coordinates x rows)          | _hadamard |  decode_blocks
      | _nested.encode_blocks     | matrix product (BLAS), or       v           v
      v                           | _hadamard.rotate_back          panel products (BLAS)
    bytes                         v                                 | _top_k.update_top_k
                                result                              v
                                                                  k nearest rows

A *panel* is some thousand rows, decoded to float32 with a row a column: small enough for the cache,
large enough for the matrix product, and all that is ever decoded at a time. `_dispatch` is the one
place that chooses an implementation; all others import from it.

Rules. Kernels are compiled lazily, with ``cache=True`` and without eager signatures, which would
refuse read-only arrays. A kernel and what it inlines stand in one file, because the cache of
compiled code does not see changes of callees elsewhere. They are ``nogil`` and single-threaded:
threads are made by `skquant._threads` over independent blocks of rows, so that no result depends on
their number and no threading layer of Numba, which forks and foreign threads can break, is ever
started. Only sums of whole rows are compiled with relaxed floating-point rules, never what decides
a code word.
"""
