"""What is compared in searching: one file for each library, all behind the interface of `Peer`.

A file has `version` and ``contestants(n_features, bits, n_threads)``, which lists what the library
offers at so many bits for each entry of a row; 32 stands for the floats themselves. It is imported
in a process of its own, so a library that is missing, or crashes, is left out with its reason.
"""

LIBRARIES = (
    "blas",
    "skquant",
    "faiss",
    "turbovec",
    "rabitqlib",
    "scann",
    "hnswlib",
    "scikit_learn",
    "scikit_learn_intelex",
)
FLOAT_BITS = 32
