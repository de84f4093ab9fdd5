"""Where displays draw."""


def get_axes(ax, display):
    """Give the axes to draw on, those of a new figure for None.

    Parameters
    ----------
    ax : matplotlib Axes or None
    display : object
        What draws, for the message.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{type(display).__name__} needs matplotlib: pip install 'skquant[examples]'."
        ) from error
    return plt.subplots()[1] if ax is None else ax


def finish(display, ax):
    """Draw the legend, if anything has a label, and keep the axes as attributes."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    display.ax_, display.figure_ = ax, ax.figure
    return display
