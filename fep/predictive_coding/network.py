"""Predictive-coding networks: value nodes, edges from cause to effect, clamps, one energy."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from fep.predictive_coding.energies import Flat, Gaussian, NodeEnergy

Vector = Float[Array, " _"]  # of any length
Value = Float[Array, "..."]  # of any shape
Values = dict[str, Value]  # by name of node


class Dense(eqx.Module):
    r"""The prediction $\hat z = W f(x) + b$ of one layer's values from the layer before it.

    Attributes:
        weight: W, shape (d_out, d_in).
        bias: b, shape (d_out,).
        activation: f, elementwise; the rate at which a value unit tells others of itself.
    """

    weight: Float[Array, "d_out d_in"]
    bias: Float[Array, " d_out"]
    activation: Callable = eqx.field(static=True)

    def __call__(self, x: Float[Array, " d_in"]) -> Float[Array, " d_out"]:
        """Predicted values, shape (d_out,)."""
        return self.weight @ self.activation(x) + self.bias


def identity(x: Value) -> Value:
    """The activation of a clamped input: itself."""
    return x


class Node(eqx.Module):
    r"""A value node z, predicted as $\mu = g(\sum_e f_e(z_e))$ from the causes of its edges e.

    Attributes:
        name: what edges and clamps call it.
        energy: what it pays for straying from its prediction.
        link: g, applied to the sum of what its causes send.
        shape: of its value; needed where no edge can tell: without causes it predicts zeros.
    """

    name: str = eqx.field(static=True)
    energy: NodeEnergy = Gaussian()
    link: Callable = eqx.field(static=True, default=identity)
    shape: tuple[int, ...] | None = eqx.field(static=True, default=None)


class Edge(eqx.Module):
    """What one node sends to another: a cause to its effect.

    Attributes:
        source: name of the cause.
        target: name of the effect.
        map: from the cause's value to its share of the prediction; any module or function.
    """

    source: str = eqx.field(static=True)
    target: str = eqx.field(static=True)
    map: Callable


class PCState(NamedTuple):
    """What inference carries: the values of the free nodes."""

    activities: tuple[Value, ...]  # in the order of the network's nodes


class PCNetwork(eqx.Module):
    r"""Value nodes and directed edges, any graph; some nodes clamped, the others free.

    With $\mu_n$ the prediction of node n from its causes the free energy of one sample is
    $F(z) = \sum_n F_n(z_n, \mu_n)$. The clamp set is the task: an input and a label to
    discriminate, a label and an image to generate, an image alone to explain, parts to recall.

    Attributes:
        nodes: in any order; `activities` keep it.
        edges: in any order, several between two nodes allowed, cycles allowed.
        clamped: names of the nodes that a sample gives, in the order it gives them. Which they
            are is known while tracing, so no gradient of a clamped node is ever formed.

    Raises:
        ValueError: if a name is unknown or used twice.

    Source: Salvatori et al. (2022), NeurIPS 35, "Learning on arbitrary graph topologies via
    predictive coding", for the graph; Bogacz (2017), J. Math. Psychol. 76, for the energy.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    clamped: tuple[str, ...] = eqx.field(static=True)

    def __check_init__(self):
        names = [node.name for node in self.nodes]
        if len(set(names)) < len(names) or len(set(self.clamped)) < len(self.clamped):
            raise ValueError(f"names must differ, got nodes {names}, clamped {self.clamped}")
        told = {*self.clamped, *(n for edge in self.edges for n in (edge.source, edge.target))}
        if unknown := sorted(told - set(names)):
            raise ValueError(f"edges and clamps must name nodes of {names}, got {unknown}")

    @property
    def layers(self) -> tuple[Callable, ...]:
        """The maps of a chain, in order from input to output."""
        names = [node.name for node in self.nodes]
        ends = [(edge.source, edge.target) for edge in self.edges]
        if ends != list(zip(names[:-1], names[1:], strict=True)):
            raise ValueError(f"only a chain has layers; these edges are {ends}")
        return tuple(edge.map for edge in self.edges)

    @property
    def free(self) -> tuple[Node, ...]:
        """The nodes that inference moves."""
        return tuple(node for node in self.nodes if node.name not in self.clamped)

    @property
    def cyclic(self) -> bool:
        """Whether a free node causes itself, directly or through other free nodes."""
        return len(_sorted(self)[1]) > 0

    @property
    def order(self) -> tuple[Node, ...]:
        """Nodes with causes before effects; those on cycles of free nodes last, as given."""
        return sum(_sorted(self), ())

    def into(self, name: str) -> tuple[Edge, ...]:
        """The edges that predict a node."""
        return tuple(edge for edge in self.edges if edge.target == name)

    def clamping(self, *names: str) -> "PCNetwork":
        """The same network with another task: these nodes given, all others free."""
        return replace(self, clamped=names)

    def clamp(self, *values: Value) -> "Clamped":
        """The network on one sample, given as values of its clamped nodes.

        Raises:
            ValueError: if there are not as many values as clamped nodes.
        """
        if len(values) != len(self.clamped):
            raise ValueError(f"a sample must give {self.clamped}, got {len(values)} values")
        given = dict(zip(self.clamped, values, strict=True))
        drives = {}
        for edge in self.edges:
            if edge.source in given:
                _add(drives, edge.target, edge.map(given[edge.source]))
        return Clamped(self, given, drives)

    def init(self, *values: Value) -> PCState:
        """Free values at their predictions, causes first: all their errors start at zero."""
        return self.clamp(*values).init()

    def energy(self, state: PCState, *values: Value) -> Float[Array, ""]:
        """Free energy in nats of the free values `state` on one sample."""
        return self.clamp(*values).energy(state)

    def predict(self, *causes: Value) -> Value:
        """Prediction of the last clamped effect when only the clamped nodes without cause are.

        The feed-forward pass of a discriminative network, ancestral generation otherwise.
        """
        roots = [name for name in self.clamped if not self.into(name)]
        effects = [name for name in self.clamped if self.into(name)]
        held = self.clamping(*roots).clamp(*causes)
        values = held.values_of(held.init())
        return held.prediction(held.network.node(effects[-1]), values)

    def node(self, name: str) -> Node:
        """The node of a name."""
        return next(node for node in self.nodes if node.name == name)


class Clamped(eqx.Module):
    """A network on one sample: its energy as a function of the free values alone.

    Attributes:
        network: the network.
        given: the clamped values.
        drives: what clamped nodes send to each of their effects, computed once.
    """

    network: PCNetwork
    given: Values
    drives: Values

    @property
    def effects(self) -> tuple[Node, ...]:
        """The clamped nodes that have causes: where the sample can surprise."""
        network = self.network
        return tuple(n for n in network.nodes if n.name in self.given and network.into(n.name))

    def values_of(self, state: PCState) -> Values:
        """Values of all nodes by name."""
        names = [node.name for node in self.network.free]
        return {**self.given, **dict(zip(names, state.activities, strict=True))}

    def prediction(self, node: Node, values: Values) -> Value:
        """What its causes predict of a node; causes without a value yet send nothing."""
        total = {node.name: self.drives[node.name]} if node.name in self.drives else {}
        for edge in self.network.into(node.name):
            if edge.source in values and edge.source not in self.given:
                _add(total, node.name, edge.map(values[edge.source]))
        if node.name not in total:
            if node.shape is None:
                raise ValueError(f"node {node.name!r} has no cause that tells its shape: give it")
            total[node.name] = jnp.zeros(node.shape)
        return node.link(total[node.name])

    @property
    def priced(self) -> tuple[Node, ...]:
        """The nodes whose energies make up the free energy: the free ones, then the effects."""
        return (*self.network.free, *self.effects)

    def predictions(self, state: PCState) -> tuple[Value, ...]:
        """What their causes predict of the nodes in `priced`."""
        values = self.values_of(state)
        return tuple(self.prediction(node, values) for node in self.priced)

    def init(self) -> PCState:
        """Free values at their predictions, causes first."""
        return self.decode(None)

    def decode(self, errors: PCState | None) -> PCState:
        r"""States from errors, $z_n = \mu_n + \varepsilon_n$, causes first; None for no errors.

        Source: Goemaere et al. (2025), arXiv:2505.20137, "ePC: error-based predictive coding".
        """
        values = self._descend(errors)
        return PCState(tuple(values[node.name] for node in self.network.free))

    def encode(self, state: PCState) -> PCState:
        """Errors from states: the inverse of `decode`."""
        values = self.values_of(state)
        free = self.network.free
        return PCState(tuple(values[n.name] - self.prediction(n, values) for n in free))

    def outputs(self, errors: PCState | None) -> tuple[Value, ...]:
        """Predictions of the clamped effects under these errors of the free nodes."""
        values = self._descend(errors)
        return tuple(self.prediction(node, values) for node in self.effects)

    def energy(self, state: PCState) -> Float[Array, ""]:
        """Free energy in nats of the free values."""
        return self.cost(state) + self.normaliser(state)

    def cost(self, state: PCState) -> Float[Array, ""]:
        """The part of the free energy that depends on the values, in nats."""
        values = self.values_of(state)
        pairs = zip(self.priced, self.predictions(state), strict=True)
        return sum(node.energy.cost(values[node.name], mu) for node, mu in pairs)

    def error_cost(self, errors: PCState) -> Float[Array, ""]:
        """The same as `cost`, in nats, of the free nodes' errors."""
        pairs = zip(self.network.free, errors.activities, strict=True)
        own = sum(node.energy.cost(e, jnp.zeros_like(e)) for node, e in pairs)
        return own + self.surprise(self.outputs(errors))

    def surprise(self, outputs: tuple[Value, ...]) -> Float[Array, ""]:
        """Cost in nats of the clamped effects under predictions of them."""
        pairs = zip(self.effects, outputs, strict=True)
        return sum(node.energy.cost(self.given[node.name], mu) for node, mu in pairs)

    def normaliser(self, state: PCState) -> Float[Array, ""]:
        """The part of the free energy that does not depend on the values, in nats."""
        values = self.values_of(state)
        return sum(node.energy.normaliser(values[node.name]) for node in self.priced)

    def _descend(self, errors: PCState | None) -> Values:
        names = [node.name for node in self.network.free]
        strays = dict(zip(names, errors.activities, strict=True)) if errors is not None else {}
        values = dict(self.given)
        for node in self.network.order:
            if node.name not in values:
                mu = self.prediction(node, values)
                values[node.name] = mu + strays[node.name] if strays else mu
        return values


def chain(layers: tuple[Callable, ...], *, output: NodeEnergy | None = None) -> PCNetwork:
    r"""Layers that each predict the next, both ends clamped, the middle free.

    Nodes are called "0" to "L"; with unit precisions the free energy is
    $F(z) = \sum_{l=1}^{L} \frac12 \lVert z_l - g_l(z_{l-1}) \rVert^2 + \frac{d_l}{2} \ln 2\pi$.

    Args:
        layers: $g_1 \dots g_L$, from one layer's values to the next's prediction.
        output: energy of the last node, a unit Gaussian if None.

    Source: Whittington & Bogacz (2017), Neural Comput. 29, with unit variances.
    """
    last = len(layers)
    nodes = (Node("0", Flat()), *(Node(str(i)) for i in range(1, last)))
    nodes += (Node(str(last), Gaussian() if output is None else output),)
    edges = tuple(Edge(str(i), str(i + 1), layer) for i, layer in enumerate(layers))
    return PCNetwork(nodes, edges, ("0", str(last)))


def multilayer(
    widths: tuple[int, ...],
    activation: Callable,
    *,
    key: PRNGKeyArray,
) -> PCNetwork:
    r"""A fully connected chain, $W_{ij} \sim N(0, 1/d_{in})$ and zero biases.

    The first layer reads its input as it is; the later ones read f(value).

    Args:
        widths: units a layer, input first; at least two.
        activation: f of every value layer but the input.
        key: random key of the weights.

    Raises:
        ValueError: if `widths` has fewer than two entries or one below 1.

    Source: LeCun et al. (1998), Efficient BackProp, sec. 4.6, for the variance.
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths must be at least two positive numbers, got {widths}")
    keys = jax.random.split(key, len(widths) - 1)
    layers = ()
    for i, (k, n_in, n_out) in enumerate(zip(keys, widths[:-1], widths[1:], strict=True)):
        weight = jax.random.normal(k, (n_out, n_in)) / n_in**0.5
        read = identity if i == 0 else activation
        layers += (Dense(weight, jnp.zeros(n_out), read),)
    return chain(layers)


def _add(totals: Values, name: str, message: Value) -> None:
    totals[name] = totals[name] + message if name in totals else message


def _sorted(network: PCNetwork) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Nodes with all causes before them, and the rest, which lie on or behind a cycle."""
    placed, waiting = (), network.nodes
    known = set(network.clamped)  # a clamped node has its value whatever causes it
    while ready := tuple(
        node
        for node in waiting
        if node.name in network.clamped
        or all(edge.source in known for edge in network.into(node.name))
    ):
        placed += ready
        known |= {node.name for node in ready}
        waiting = tuple(node for node in waiting if node.name not in known)
    return placed, waiting
