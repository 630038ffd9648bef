"""A world on a graph: walk along its edges until a hidden object is found."""

import numpy as np

from experiments.environments.world import POMDP, World

ABSENT, PRESENT = range(2)  # outcomes of looking for the object


def graph_world(
    edges: np.ndarray, *, start: int = 0, preference: float = 2.0, horizon: int | None = None
) -> World:
    """A graph with an object on one of its nodes.

    Factors: own node, node of the object. Modalities: own node; whether the object is here. Action
    j goes to node j if an edge leads there; else nothing moves.

    Args:
        edges: adjacency, (nodes, nodes); entry [i, j] is true where an edge leads from i to j.
        start: first node.
        preference: log-preference for the object being here.
        horizon: steps until the task is cut short.

    Raises:
        ValueError: if the adjacency is not square.
    """
    edges = np.asarray(edges).astype(bool)
    if edges.ndim != 2 or edges.shape[0] != edges.shape[1]:
        raise ValueError(f"edges: expected a square matrix, got shape {edges.shape}")
    n = len(edges)
    node, action = np.indices((n, n))
    move = np.moveaxis(np.eye(n)[np.where(edges, action, node)], -1, 0)
    here = np.stack([1 - np.eye(n), np.eye(n)])
    pomdp = POMDP(
        A=(np.eye(n), here),
        B=(move, np.eye(n)[:, :, None]),
        C=(np.zeros(n), preference * np.eye(2)[PRESENT]),
        D=(np.eye(n)[start], np.full(n, 1 / n)),
        A_dependencies=((0,), (0, 1)),
    )
    return World(pomdp, {1: (0.0, 1.0)}, terminal={1: (False, True)}, horizon=horizon)
