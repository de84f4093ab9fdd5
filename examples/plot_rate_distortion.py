"""
Distortion of every lattice against the bound
=============================================

How much error do how many bits leave? For independent Gaussian entries Shannon answered the
question for all codes: at R bits an entry, the mean squared error is at least :math:`4^{-R}` of the
variance. The bound can be neared only by quantizing many entries together, and lattices of more
dimensions come nearer to it.
"""

# %%
# The bits on the axis are ``bits_per_feature_``, all that is held for a row. Below one bit only a
# share of the coordinates is coded. The gap is how many bits fewer an ideal code of the same error
# would take.

import matplotlib.pyplot as plt
import numpy as np

from skquant import LatticeQuantizer

X = np.random.default_rng(0).standard_normal((200, 1024), dtype=np.float32)
budgets = [0.25, 0.5, 0.75, *np.arange(1, 6.25, 0.25)]

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
for lattice in ("Z", "A2", "D4", "E8"):
    quantizers = [
        LatticeQuantizer(bits, lattice=lattice, center=False, random_state=0).fit(X)
        for bits in budgets
    ]
    rates = np.array([quantizer.bits_per_feature_ for quantizer in quantizers])
    distortions = np.array(
        [np.sum((X - quantizer.transform(X)) ** 2) / np.sum(X**2) for quantizer in quantizers]
    )
    gaps = rates + 0.5 * np.log2(distortions)
    left.semilogy(rates, distortions, label=lattice)
    right.plot(rates, gaps, label=lattice)
    print(f"{lattice:3} mean gap from 1 to 6 bits: {gaps[rates > 1].mean():.3f} bits")

rates = np.linspace(0, 6, 100)
left.semilogy(rates, 4.0**-rates, "k--", label=r"bound, $4^{-R}$")
right.axhline(0, color="k", ls="--")
left.set(xlabel="bits per entry", ylabel="squared error / variance", title="Distortion")
right.set(xlabel="bits per entry", ylabel="bits", title="Gap to the bound", ylim=(-0.02, None))
left.legend()
for axes in (left, right):
    axes.grid(alpha=0.3)
plt.show()
