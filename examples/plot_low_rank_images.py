"""
Images as products of two small factors
=======================================

An image is a matrix, and its singular values fall fast. The LPLR paper compresses images to one bit
a pixel by two factors of few columns and few bits. Here are its method and the package's own at
equal bits, everything counted: the phantom of the paper, a photograph, and a colour photograph with
its channels side by side. The photographs come from scikit-image; where it is not installed, one of
scikit-learn takes their place. JPEG does better on photographs: the point is that nothing here
knows that the matrix is an image.
"""

# %%
# The images
# ----------
# The phantom is a sum of ten ellipses.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from skquant import LowRankLowPrecisionCompressor

ELLIPSES = [  # value, half axes, centre, angle in degrees
    (1.0, 0.69, 0.92, 0, 0, 0),
    (-0.8, 0.6624, 0.874, 0, -0.0184, 0),
    (-0.2, 0.11, 0.31, 0.22, 0, -18),
    (-0.2, 0.16, 0.41, -0.22, 0, 18),
    (0.1, 0.21, 0.25, 0, 0.35, 0),
    (0.1, 0.046, 0.046, 0, 0.1, 0),
    (0.1, 0.046, 0.046, 0, -0.1, 0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0),
    (0.1, 0.023, 0.023, 0, -0.605, 0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0),
]


def draw_phantom(size):
    """Draw the phantom of Shepp and Logan."""
    x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(1, -1, size))
    image = np.zeros((size, size), np.float32)
    for value, width, height, x0, y0, angle in ELLIPSES:
        cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        u, v = cosine * (x - x0) + sine * (y - y0), cosine * (y - y0) - sine * (x - x0)
        image[(u / width) ** 2 + (v / height) ** 2 <= 1] += value
    return image


images = {"phantom": draw_phantom(1000)}
try:
    from skimage import data

    images["camera"] = data.camera().astype(np.float32)
    astronaut = data.astronaut().astype(np.float32)
    images["astronaut"] = np.hstack([astronaut[..., channel] for channel in range(3)])
except ImportError:
    print("Photographs of scikit-image are missing: pip install scikit-image")
    images["china"] = load_sample_image("china.jpg").mean(axis=2, dtype=np.float32)

# %%
# One bit an entry
# ----------------
# ``"lplr"`` and ``"dsvd"`` are the paper's; ``coding="fixed"`` keeps every row
# readable by itself, ``coding="entropy"`` writes blocks of rows with variable bits.

SETTINGS = {
    "LPLR": {"method": "lplr"},
    "DSVD": {"method": "dsvd"},
    "fixed": {"method": "waterfill"},
    "entropy": {"method": "waterfill", "coding": "entropy"},
}
figure, axes = plt.subplots(
    len(images), 5, figsize=(13, 2.8 * len(images)), layout="constrained", squeeze=False
)
for row, (name, image) in zip(axes, images.items(), strict=True):
    limits = {"cmap": "gray", "vmin": image.min(), "vmax": image.max()}
    shown = slice(None), slice(None, len(image))  # the first channel of several
    row[0].imshow(image[shown], **limits)
    row[0].set_title(f"{name}, {image.shape[0]} x {image.shape[1]}")
    for ax, (setting, parameters) in zip(row[1:], SETTINGS.items(), strict=True):
        compressor = LowRankLowPrecisionCompressor(bit_budget=1, random_state=0, **parameters)
        matrix = compressor.fit(image).compress(image)
        ax.imshow(matrix.toarray()[shown], **limits)
        ax.set_title(
            f"{setting}: error {compressor.reconstruction_err_:.3f}\n"
            f"rank {matrix.rank}, {matrix.bits_per_entry:.3f} bits"
        )
for ax in axes.flat:
    ax.set_axis_off()
plt.show()
