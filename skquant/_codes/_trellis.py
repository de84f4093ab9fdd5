"""Trellises: lattices and trellis codes as machines that read a row coordinate by coordinate.

The codes here consist of integer sequences y whose residues modulo M obey a linear code: E8 (times
√2) has y mod 2 in the Hamming code, the Leech lattice (times √8) has y mod 8 tied to the Golay
code. A *trellis* lists what residues may follow those that came before, and forgets the rest of the
past: its states are the syndromes of the prefixes (J. K. Wolf, *Efficient maximum likelihood
decoding of linear block codes using a trellis*, 1978; for lattices, G. D. Forney, *Coset codes II*,
1988). Two things follow for all of them alike: the point closest to a row is the cheapest path, and
an entropy coder knows from the state which integers are possible.

A trellis code (G. Ungerboeck, *Channel coding with multilevel/phase signals*, 1982; as a quantizer,
M. W. Marcellin and T. R. Fischer, *Trellis coded quantization of memoryless and Gauss-Markov
sources*, 1990) takes y mod 4 from a convolutional code: its blocks never end, and its cells are
rounder than those of any lattice of few dimensions.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .._kernels._vectors import LANES
from .._kernels._viterbi import (
    MAX_MODULUS,
    BlockTrellis,
    quantize_blocks,
    quantize_convolutional,
)
from .._panels import aligned_empty
from .._value import Value

_ODD = 1 << 30  # marks the syndromes of the odd points of the Leech lattice


@dataclass(frozen=True, eq=False)
class TrellisCode(Value):
    """Integer sequences, and the machine that tells them from others.

    States are numbered from 0, where rows and blocks start, position by position.

    Parameters
    ----------
    name : str
        What the code is called as a choice of lattice.
    axes : float32 ndarray of shape (period,)
        Length of a unit along each coordinate of a block.
    first_state : ndarray of shape (period + 1,)
        Where the states of each position start; the last entry is the number of states.
    following : int32 ndarray of shape (n_states, modulus)
        The state after each residue, -1 where the residue is impossible.
    covolume : float
        Volume of a cell per coordinate, its n-th root.
    second_moment : float
        Normalised second moment of a cell, G.
    taps : tuple of int or None
        n_registers, feedback and forward of a convolutional code.
    """

    name: str
    axes: np.ndarray
    first_state: np.ndarray
    following: np.ndarray
    covolume: float
    second_moment: float
    taps: tuple | None = None

    @property
    def modulus(self):
        """M, the residues' modulus."""
        return self.following.shape[1]

    @property
    def patience(self):
        """Passes worth making to fill rows: paths without blocks seldom meet to be blended."""
        return 1 if self.taps is None else 5

    @property
    def period(self):
        """Coordinates of a block."""
        return len(self.axes)

    @property
    def squared_axes(self):
        """Squares of `axes`, which are whole numbers."""
        return np.rint(self.axes.astype(float) ** 2).astype(int).tolist()

    @cached_property
    def edges(self):
        """The trellis of a lattice, sorted by where edges lead, as the kernel takes it."""
        sources, residues, targets = [], [], []
        first_target = [0]
        for position in range(self.period):
            begin, end = self.first_state[position : position + 2]
            source, residue = np.nonzero(self.following[begin:end] >= 0)
            last = position == self.period - 1
            target = self.following[begin + source, residue] - (0 if last else end)
            order = np.lexsort((residue, source, target))
            sources.append(source[order])
            residues.append(residue[order])
            targets.append(target[order] + first_target[-1])
            first_target.append(first_target[-1] + target.max() + 1)
        edges = np.concatenate(sources) * MAX_MODULUS + np.concatenate(residues)
        first_edge = np.searchsorted(np.concatenate(targets), np.arange(first_target[-1] + 1))
        return BlockTrellis(
            modulus=self.modulus,
            axes=self.axes,
            width=int(np.diff(first_target).max()),
            first_target=np.array(first_target),
            first_edge=first_edge.astype(np.int32),
            edges=edges.astype(np.int32),
        )

    def quantize(self, panels, gains, shift=None):
        """Find the sequences closest to scaled rows.

        Parameters
        ----------
        panels : float32 ndarray of shape (n_panels, n_coordinates, LANES)
            Rows, one a lane.
        gains : float32 ndarray of shape (n_panels, LANES)
            What the rows are multiplied with first.
        shift : float32 ndarray of shape (n_coordinates,), default=None
            What is added then, in units of `axes`.

        Returns
        -------
        int32 ndarray of shape (n_panels, n_coordinates, LANES)
        """
        points = aligned_empty(panels.shape, np.int32)
        shift = np.zeros(panels.shape[1], np.float32) if shift is None else shift
        costs = aligned_empty(self.modulus * LANES, np.float32)
        if self.taps is None:
            width = self.edges.width * LANES
            metrics = aligned_empty(2 * width, np.float32)
            choices = aligned_empty(self.period * width + 3, np.uint8)
            quantize_blocks(self.edges, panels, gains, shift, points, costs, metrics, choices)
        else:
            n_states = len(self.following)
            units = aligned_empty(4 * LANES, np.int16)
            metrics = aligned_empty(2 * n_states * LANES, np.int16)
            decisions = aligned_empty(panels.shape[1] * n_states, np.int32)
            quantize_convolutional(
                *self.taps, panels, gains, shift, points, costs, units, metrics, decisions
            )
        return points


def _number_states(steps, one_parity=False):
    """Build the machine of a block code from what each residue adds to the syndrome.

    Parameters
    ----------
    steps : ndarray of shape (period, modulus)
        What is added, modulo 2 bit by bit; the syndrome of a whole block is zero.
    one_parity : bool
        Whether residues are all even or all odd, as `_ODD` in the syndrome says.

    Returns
    -------
    first_state, following : ndarray
        As `TrellisCode` has them.
    """
    period, modulus = steps.shape
    odd = np.arange(modulus) % 2 == 1

    def possible(states, position):
        if not one_parity or position == 0:
            return np.ones((len(states), modulus), bool)
        return ((states & _ODD) > 0)[:, None] == odd

    reached, leaving = [np.array([0])], [np.array([0])]
    for position in range(period):
        states = reached[-1]
        reached.append(np.unique((states[:, None] ^ steps[position])[possible(states, position)]))
    for position in reversed(range(period)):
        before = np.unique(leaving[0][:, None] ^ steps[position])
        allowed = possible(before, position) & np.isin(
            before[:, None] ^ steps[position], leaving[0]
        )
        leaving.insert(0, before[allowed.any(axis=1)])
    used = [np.intersect1d(a, b) for a, b in zip(reached, leaving, strict=True)]
    first_state = np.concatenate([[0], np.cumsum([len(states) for states in used[:-1]])])
    following = np.full((first_state[-1], modulus), -1, np.int32)
    for position, states in enumerate(used[:-1]):
        after = states[:, None] ^ steps[position]
        allowed = possible(states, position) & np.isin(after, used[position + 1])
        number = np.searchsorted(used[position + 1], after)
        number += first_state[position + 1] if position < period - 1 else 0
        rows = following[first_state[position] : first_state[position + 1]]
        rows[allowed] = number[allowed]
    return first_state, following


def _construction_a(name, check, second_moment, axes=None):
    """Build the lattice of the integers whose residues modulo 2 satisfy parity checks."""
    check = np.asarray(check)
    columns = (1 << np.arange(len(check))) @ check
    steps = np.column_stack([np.zeros_like(columns), columns])
    axes = np.ones(len(columns)) if axes is None else np.asarray(axes)
    covolume = (2.0 ** len(check) * np.prod(axes)) ** (1 / len(columns))
    first_state, following = _number_states(steps)
    return TrellisCode(
        name, axes.astype(np.float32), first_state, following, covolume, second_moment
    )


HAMMING = np.array(
    [
        [1, 1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0, 0, 1, 1, 0, 0, 1, 1],
        [0, 1, 0, 1, 0, 1, 0, 1],
    ]
)  # generates and checks the extended Hamming code, which is its own dual


def golay_code():
    """Give a generator of the Golay code, which is its own dual, by Turyn's construction.

    The words are (a + x, b + x, a + b + x) with a and b in the Hamming code and x in another
    version of it (F. J. MacWilliams and N. J. A. Sloane, *The Theory of Error-Correcting Codes*,
    chapter 18). The order of x's coordinates is one that needs the fewest states, 2686.

    Returns
    -------
    int ndarray of shape (12, 24)
    """
    other, zero = HAMMING[:, [0, 1, 2, 4, 3, 6, 7, 5]], np.zeros_like(HAMMING)
    first = np.hstack([HAMMING, zero, HAMMING])
    second = np.hstack([zero, HAMMING, HAMMING])
    return np.vstack([first, second, np.hstack([other, other, other])])


def _leech():
    """Build the Leech lattice times √8 (Conway and Sloane, *Sphere Packings*, chapter 4, § 11).

    Its points y have all coordinates of one parity m, the second bits of their coordinates in the
    Golay code, and a sum that is 4 m modulo 8. The words' weights being multiples of four, the sum
    asks for the third bits to sum up to m.
    """
    check = golay_code()
    columns, third_bit = (1 << np.arange(12)) @ check, 1 << 12
    residue = np.arange(8)
    steps = columns[:, None] * (residue >> 1 & 1) ^ third_bit * (residue >> 2)
    odd = (residue & 1) * _ODD
    steps[0] ^= odd ^ third_bit * (residue & 1)
    steps[-1] ^= odd
    first_state, following = _number_states(steps, one_parity=True)
    axes = np.ones(24, np.float32)
    return TrellisCode("Leech", axes, first_state, following, np.sqrt(8), 0.0657709)


def _convolutional(name, feedback, forward, second_moment):
    """Build a trellis code of rate 1/2 from its parity checks.

    With h⁰ and h¹ written as binary numbers, the even bits z⁰ and the odd bits z¹ of y mod 4
    satisfy Σ h⁰_i z⁰_{t-i} + h¹_i z¹_{t-i} = 0 modulo 2.
    """
    n_registers = feedback.bit_length() - 1
    taps = n_registers, feedback >> 1, forward >> 1
    state, residue = np.arange(2**n_registers)[:, None], np.arange(4)
    after = (state >> 1) ^ taps[1] * (residue & 1) ^ taps[2] * (residue >> 1)
    following = np.where(state & 1 == residue & 1, after, -1).astype(np.int32)
    first_state = np.array([0, len(following)])
    axes = np.ones(1, np.float32)
    return TrellisCode(name, axes, first_state, following, 2.0, second_moment, taps)


@lru_cache
def trellis_code(name):
    """Look a code up by its name.

    Parameters
    ----------
    name : {"Z", "A2", "D4", "E8", "Leech", "Trellis"}

    Returns
    -------
    TrellisCode
    """
    if name == "Z":
        return TrellisCode(
            "Z", np.ones(1, np.float32), np.array([0, 1]), np.zeros((1, 1), np.int32), 1.0, 1 / 12
        )
    if name == "A2":
        return _construction_a("A2", [[1, 1]], 5 / (36 * np.sqrt(3)), [1, np.sqrt(3)])
    if name == "D4":
        return _construction_a("D4", [[1, 1, 1, 1]], 13 / (120 * np.sqrt(2)))
    if name == "E8":
        return _construction_a("E8", HAMMING, 929 / 12960)
    if name == "Leech":
        return _leech()
    return _convolutional("Trellis", 0o753, 0o232, 0.06117)


TRELLIS_CODES = ("Z", "A2", "D4", "E8", "Leech", "Trellis")
