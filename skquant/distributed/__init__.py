"""Compression and search on many machines, with Dask: ``python -m pip install "skquant[dask]"``.

The rows are those of a Dask array or data frame, in chunks that no machine has to hold all at once.
Each chunk is compressed where it is, and what the cluster keeps are the codes. A search sends the
queries to all of them and merges what they find in a tree. Chunks, the number of workers and their
loss change no bit of any result: it is that of `LatticeQuantizer` and `QuantizedNearestNeighbors`
on one machine of the same kind.

All is computed by Dask's current scheduler: that of a `dask.distributed.Client`, or threads of this
process where there is none.
"""

try:
    import dask.array  # noqa: F401
except ImportError as error:
    raise ImportError(
        'skquant.distributed needs Dask: python -m pip install "skquant[dask]".'
    ) from error

from ._search import DistributedNearestNeighbors
from ._shards import QuantizedShards, compress, fit

__all__ = ["DistributedNearestNeighbors", "QuantizedShards", "compress", "fit"]
