"""The weight of each neighbour in a vote or a mean."""

import numpy as np


def check_weights_suit_metric(weights, metric):
    """Refuse to weight by the inverse of something that is no distance.

    Parameters
    ----------
    weights : {"uniform", "distance"} or callable
        The estimator's parameter.
    metric : str
        The estimator's parameter.

    Raises
    ------
    ValueError
        If `weights` is "distance" and `metric` "inner_product".
    """
    if weights == "distance" and metric == "inner_product":
        raise ValueError(
            'weights="distance" cannot be used with metric="inner_product": negated products are '
            "no distances and have no meaningful inverse."
        )


def neighbor_weights(distances, weights):
    """Weigh each neighbour of each query.

    Parameters
    ----------
    distances : ndarray of shape (n_queries, n_neighbors)
        Distances as `kneighbors` gives them.
    weights : {"uniform", "distance"} or callable
        The estimator's parameter.

    Returns
    -------
    ndarray of shape (n_queries, n_neighbors), float
        The weights, at least one of each query not zero. By distance, the neighbours at distance
        zero have weight 1 and leave 0 to the others of their query.

    Raises
    ------
    ValueError
        If a callable returns another shape, or only zeros for a query.
    """
    if weights == "uniform":
        return np.ones(distances.shape)
    if weights == "distance":
        with np.errstate(divide="ignore", over="ignore"):
            weight = 1.0 / distances
        infinite = np.isinf(weight)
        at_zero = infinite.any(axis=1)
        weight[at_zero] = infinite[at_zero]
        return weight
    weight = np.asarray(weights(distances))
    if weight.shape != distances.shape:
        raise ValueError(
            f"weights must return an array of the shape of the distances, {distances.shape}, "
            f"but returned {weight.shape}."
        )
    if not weight.any(axis=1).all():
        raise ValueError(
            "All neighbors of some sample is getting zero weights. Please modify 'weights' to "
            "avoid this case if you are using a user-defined function."
        )
    return weight
