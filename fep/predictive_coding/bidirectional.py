"""Bidirectional predictive coding: each layer predicted from below and from above."""

from collections.abc import Callable

import equinox as eqx

from fep.predictive_coding.energies import Flat, Gaussian
from fep.predictive_coding.network import Edge, Node, PCNetwork, Value


class Minus(eqx.Module):
    """What a value sends to where it is compared: itself, negative."""

    def __call__(self, x: Value) -> Value:
        """The value, negative."""
        return -x


def bidirectional(
    upward: tuple[Callable, ...],
    downward: tuple[Callable, ...],
    *,
    variances: tuple[float, float] = (1.0, 1.0),
) -> PCNetwork:
    r"""Layers that each predict the next one, and each the one before.

    $F = \frac{1}{2 v_f} \sum_{l=1}^L \lVert z_l - f_l(z_{l-1}) \rVert^2 +
    \frac{1}{2 v_b} \sum_{l=0}^{L-1} \lVert z_l - g_{l+1}(z_{l+1}) \rVert^2$ plus constants. A node
    has one prediction, so the second sum is made of nodes "back l" that hear $g_{l+1}(z_{l+1})$ and
    $-z_l$ and are held at zero. The graph has no cycle: every solver settles it.

    Args:
        upward: $f_1 \dots f_L$, discriminative.
        downward: $g_1 \dots g_L$, generative; $g_l$ from layer l to layer l - 1.
        variances: $v_f, v_b$.

    Returns:
        A network with nodes "0" to "L" and "back 0" to "back L-1". Clamped are "0" and "L", then
        all "back" nodes, for which a sample gives zeros in the shape of their layers. Without "L"
        in `clamping` it classifies; without "0", which then needs a shape, it generates.

    Raises:
        ValueError: if there are not as many maps downward as upward.

    Source: Oliviers, Tang & Bogacz (2025), arXiv:2505.23415, "Bidirectional predictive coding".
    """
    if len(upward) != len(downward):
        raise ValueError(f"maps must pair, got {len(upward)} upward and {len(downward)} downward")
    forward, backward = (Gaussian(variance) for variance in variances)
    layers = range(len(upward))
    nodes = (Node("0", Flat()), *(Node(str(i + 1), forward) for i in layers))
    nodes += tuple(Node(f"back {i}", backward) for i in layers)
    edges = ()
    for i, (up, down) in enumerate(zip(upward, downward, strict=True)):
        edges += (Edge(str(i), str(i + 1), up), Edge(str(i + 1), f"back {i}", down))
        edges += (Edge(str(i), f"back {i}", Minus()),)
    return PCNetwork(nodes, edges, ("0", str(len(upward)), *(f"back {i}" for i in layers)))
