"""What can be reached: the least error of a product of compressed matrices, and that to expect.

`gamma` is the least possible error at a number of bits per entry, and `matmul_mse` the error to
expect of a given pair of matrices. Rates are bits per entry. Errors of products are in the unit
‖a‖²‖b‖²/n for vectors a and b of length n, which is the variance of ⟨a, b⟩ when one of them is
rotated at random: an error of 1 says that nothing is known. All functions broadcast arrays, and
give a float for scalars.

Source, unless a function names another: O. Ordentlich and Y. Polyanskiy, *Optimal Quantization
for Matrix Multiplication*, arXiv:2410.13780.
"""

from ._bounds import (
    distortion_rate,
    gamma,
    gaussian_matmul_lower_bound,
    space_filling_loss,
    switching_rate,
)
from ._products import matmul_bias_variance, matmul_mse

__all__ = [
    "CRITICAL_RATE",
    "distortion_rate",
    "gamma",
    "gaussian_matmul_lower_bound",
    "matmul_bias_variance",
    "matmul_mse",
    "space_filling_loss",
    "switching_rate",
]

#: The rate R* below which `gamma` is a straight line, in bits per entry.
#:
#: It is the positive root of R = log2(1 + 4 R ln 2)/2 (arXiv:2410.13780, section 1), and the
#: `switching_rate` of an ideal code.
CRITICAL_RATE = 0.9063235369515507
