"""What kernels of codes share: the bits of compressed rows, and small tables by lane."""

import numpy as np

from ._memory import load, load_words, store, store_words
from ._vectors import (
    LANES,
    inlined,
    least,
    splat,
    where,
)


@inlined
def put_bytes(pending, n_bytes, codes, row, byte, lanes):
    """Write the low bytes of each lane to its row, where all after them is zero yet.

    Give what is left.
    """
    if row + LANES <= codes.shape[0] and byte + 8 <= codes.shape[1]:
        store_words(codes, (row, byte), pending)
        return pending >> (8 * n_bytes)
    store(lanes, 0, pending)
    for j in range(least(LANES, codes.shape[0] - row)):
        word = lanes[j]
        for k in range(np.uintp(n_bytes)):
            codes[np.uintp(row + j), np.uintp(byte) + k] = np.uint8(word & np.uint64(255))
            word >>= np.uint64(8)
    return pending >> (8 * n_bytes)


@inlined
def get_bytes(codes, row, byte, lanes):
    """Read up to eight bytes of each row; beyond its end, and for lanes without row, they are 0."""
    if row + LANES <= codes.shape[0] and byte + 8 <= codes.shape[1]:
        return load_words(codes, (row, byte))
    for j in range(LANES):
        word = np.uint64(0)
        if row + j < codes.shape[0]:
            for k in range(byte, least(byte + 8, codes.shape[1])):
                word |= np.uint64(codes[row + j, k]) << np.uint64(8 * (k - byte))
        lanes[j] = word
    return load(lanes, 0)


@inlined
def look_up(table, index):
    """Take each lane's entry of an ascending table by its index, clipped to those there are."""
    value = where(index < 0, table[0], splat(table[0]))
    for k in range(1, table.shape[0]):
        value = where(index >= k, table[k], value)
    return value


@inlined
def split_group(a, b, c):
    """Take four words of six bits out of three bytes, in the low bits of each byte of lanes."""
    return a, b, c, (a & 0xC0C0 | b >> 2 & 0x3030 | c >> 4 & 0x0C0C) >> 2
