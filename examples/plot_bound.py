"""
Products of two compressed matrices, and the bound
==================================================

Compress two matrices, each without looking at the other, and multiply what is left of them. How
large must the error be, and how large is it? For Gaussian matrices the first question has an exact
answer, with a phase transition in it; for any pair of matrices the second can be answered before
anything is compressed. See :doc:`/theory` for both.
"""

# %%
# The least possible error
# ------------------------
#
# Errors are in units of what one would make by knowing nothing of the product. With one side exact,
# the least is :math:`4^{-R}`. With both compressed to R bits per entry it is :math:`\Gamma(R)`.
# Below the critical rate, coding all coordinates (dotted) is worse than coding a share of them, the
# same on both sides, at the critical rate and leaving out the others: the bound is a straight line
# there.

import matplotlib.pyplot as plt
import numpy as np

from skquant import LatticeQuantizer
from skquant.theory import CRITICAL_RATE, distortion_rate, gamma, matmul_mse

rates = np.linspace(0, 3, 301)
everything = 1 - (1 - distortion_rate(rates)) ** 2
below = rates <= CRITICAL_RATE

figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
axes.plot(rates, gamma(rates), "k", label=r"both compressed, $\Gamma(R)$")
axes.plot(rates[below], everything[below], "k:", label="the same, all coordinates coded")
axes.plot(rates, distortion_rate(rates), "C0--", label="one side exact, $4^{-R}$")
axes.plot(CRITICAL_RATE, gamma(CRITICAL_RATE), "ko", ms=5)
axes.annotate(
    rf"$R^* = {CRITICAL_RATE:.3f}$",
    (CRITICAL_RATE, gamma(CRITICAL_RATE)),
    (CRITICAL_RATE + 0.1, gamma(CRITICAL_RATE) + 0.03),
)
axes.set(xlabel="bits per entry", ylabel="error of the product", title="The bound", ylim=(0, 1.02))
axes.legend()
axes.grid(alpha=0.3)
plt.show()

# %%
# The error to expect of given matrices
# -------------------------------------
#
# The norms of two matrices, that of their product, and the distortion of the code predict the
# squared error, averaged over rotations; here it is measured over eight of them. On the left the
# entries are independent, and the prediction for an ideal code is the bound itself. On the right
# all rows share a direction. Most of the error is bias then: reconstructions are shorter than the
# rows, so large products come out too small. More bits remove the bias first, and what is left is
# less than between unrelated rows, because a reconstruction does not err along its own row.

rng = np.random.default_rng(0)
n_rows, n = 64, 256
budgets = [1, 2, 3, 4, 5]

figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
for axes, common in zip(panels, (0.0, 0.5), strict=True):
    direction = rng.standard_normal(n)
    A, B = (
        np.sqrt(1 - common) * rng.standard_normal((n_rows, n)) + np.sqrt(common) * direction
        for _ in range(2)
    )
    product = A @ B.T
    norms = [np.linalg.norm(M) for M in (A, B, product)]
    unit = norms[0] ** 2 * norms[1] ** 2 / n

    bits, measured, predicted = [], [], []
    for budget in budgets:
        errors, predictions = [], []
        for seed in range(8):
            quantizer = LatticeQuantizer(budget, center=False, random_state=seed).fit(A)
            A_q, B_q = quantizer.compress(A), quantizer.compress(B)
            distortions = [
                np.sum((M - M_q.toarray()) ** 2) / np.sum(M**2) for M, M_q in ((A, A_q), (B, B_q))
            ]
            errors.append(np.sum((A_q @ B_q.T - product) ** 2) / unit)
            predictions.append(matmul_mse(*norms, n, *distortions) / unit)
        bits.append(A_q.bits_per_entry)
        measured.append(np.mean(errors))
        predicted.append(np.mean(predictions))
        ratio = predicted[-1] / measured[-1]
        print(f"{common = }, {bits[-1]:.2f} bits: predicted / measured = {ratio:.3f}")

    rates = np.linspace(CRITICAL_RATE, bits[-1], 100)
    ideal = distortion_rate(rates)
    axes.semilogy(bits, measured, "C1o", label="measured, E8")
    axes.semilogy(bits, predicted, "C1", label="predicted, E8")
    axes.semilogy(rates, matmul_mse(*norms, n, ideal, ideal) / unit, "C0--", label="ideal code")
    axes.semilogy(rates, gamma(rates), "k:", label=r"$\Gamma(R)$, independent entries")
    axes.set(xlabel="bits per entry", title=f"{common:.0%} of the energy in a common direction")
    axes.grid(alpha=0.3)
panels[0].set(ylabel="squared error of the product")
panels[0].legend()
plt.show()
