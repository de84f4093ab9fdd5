"""The figures of `search.py`: recall, memory and speed of all libraries."""

import matplotlib.pyplot as plt
from search_tables import IN_SHORT, PRODUCT, TITLES, milliseconds, rate, true_bits

# Libraries have a colour, their methods a marker; skquant is drawn last.
STYLES = {
    "faiss flat": ("tab:blue", "*"),
    "faiss PQ fast scan": ("tab:blue", "s"),
    "faiss OPQ fast scan": ("tab:blue", "D"),
    "faiss RaBitQ fast scan": ("tab:blue", "^"),
    "faiss EDEN": ("tab:blue", "v"),
    "faiss SQ": ("tab:blue", "x"),
    "turbovec": ("tab:orange", "P"),
    "rabitqlib": ("tab:green", "^"),
    "ScaNN": ("tab:red", "d"),
    "hnswlib": ("tab:purple", "X"),
    "scikit-learn": ("tab:brown", "*"),
    "scikit-learn-intelex": ("tab:pink", "*"),
    "skquant": ("black", "o"),
}
PANELS = (
    ("bits per dimension, all row terms included", "recall of the 10 nearest"),
    ("recall of the 10 nearest", "queries a second, one call"),
    ("recall of the 10 nearest", "queries a second, one by one"),
)


def figures(results, folder):
    """Draw the data sets of the README, and all of them."""
    alone = {r["data"]: r for r in results if tuple(r["threads"]) == (1,)}
    folder.mkdir(exist_ok=True)
    plt.rcParams["svg.hashsalt"] = "skquant"  # the same bytes for the same numbers
    short = [alone[data] for data in IN_SHORT if data in alone]
    for name, drawn in {"search": short, "search_all": list(alone.values())}.items():
        if drawn:
            draw(drawn, folder / f"{name}.svg")


def draw(results, path):
    """Draw a row of panels for each data set."""
    figure, grid = plt.subplots(
        len(results), 3, figsize=(13, 3.4 * len(results)), squeeze=False, layout="constrained"
    )
    for axes, result in zip(grid, results, strict=True):
        for name, (color, marker) in STYLES.items():
            points = [point(result, c) for c in result["contestants"] if c["name"] == name]
            own = name == "skquant"
            style = {"color": color, "marker": marker, "label": name, "lw": 2.5 if own else 1}
            style["ls"] = "-" if own else ":"
            for panel, (x, y) in zip(axes, ((0, 1), (1, 2), (1, 3)), strict=True):
                drawn = [(p[x], p[y]) for p in points if None not in (p[x], p[y])]
                if drawn and not (x == 0 and drawn[0][0] > 16):
                    panel.plot(*zip(*drawn, strict=True), **style)
        rows, features = result["shape"]
        title = f"{TITLES[result['data']]}, {rows:,} x {features}"
        for panel, (x_label, y_label) in zip(axes, PANELS, strict=True):
            panel.set(title=title, xlabel=x_label, ylabel=y_label)
            panel.grid(alpha=0.3)
        for panel in axes[1:]:
            panel.set_yscale("log")
    handles, labels = grid[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=7, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def point(result, contestant):
    """Give bits, recall, queries a second in one call, and one by one."""
    if contestant["name"] == PRODUCT:
        return None, None, None, None
    alone = milliseconds(contestant)
    return (
        true_bits(result, contestant), contestant["recall"], rate(contestant),
        alone and 1000 / alone,
    )  # fmt: skip
