"""Who is joined to whom: rules that draw edges, and stores of edges by presynaptic neuron."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped, UInt32

Indices = Int[np.ndarray, " edges"]


class Edges(NamedTuple):
    """Synapses as pairs; a pair may come more than once, and so does its effect."""

    pre: Indices
    post: Indices
    sources: int  # neurons that pre counts
    targets: int  # neurons that post counts


def all_to_all(sources: int, targets: int) -> Edges:
    """Every pair once."""
    pre, post = np.indices((sources, targets), np.int32)
    return Edges(pre.ravel(), post.ravel(), sources, targets)


def one_to_one(size: int) -> Edges:
    """Neuron i to neuron i."""
    units = np.arange(size, dtype=np.int32)
    return Edges(units, units, size, size)


def fixed_in_degree(sources: int, targets: int, degree: int, *, key: PRNGKeyArray) -> Edges:
    """Every target hears `degree` sources, drawn with replacement (NEST's fixed_indegree)."""
    pre = generator(key).integers(0, sources, targets * degree, np.int32)
    post = np.repeat(np.arange(targets, dtype=np.int32), degree)
    return Edges(pre, post, sources, targets)


def fixed_out_degree(sources: int, targets: int, degree: int, *, key: PRNGKeyArray) -> Edges:
    """Every source reaches `degree` targets, drawn with replacement (NEST's fixed_outdegree)."""
    post = generator(key).integers(0, targets, sources * degree, np.int32)
    pre = np.repeat(np.arange(sources, dtype=np.int32), degree)
    return Edges(pre, post, sources, targets)


def total_number(sources: int, targets: int, number: int, *, key: PRNGKeyArray) -> Edges:
    """So many pairs, each end drawn with replacement (NEST's fixed_total_number)."""
    draw = generator(key).integers
    return Edges(
        draw(0, sources, number, np.int32), draw(0, targets, number, np.int32), sources, targets
    )


def bernoulli(sources: int, targets: int, probability: float, *, key: PRNGKeyArray) -> Edges:
    """Each pair with this probability, none twice: the gaps between them are geometric."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in [0, 1], got {probability}")
    random, pairs = generator(key), sources * targets
    if probability == 0 or probability == 1:
        return all_to_all(sources, targets if probability else 0)._replace(targets=targets)
    chunks, last = [], -1
    while last < pairs:
        expected = (pairs - last) * probability
        gaps = random.geometric(probability, int(expected + 4 * expected**0.5) + 16)
        chunks.append(last + np.cumsum(gaps))
        last = int(chunks[-1][-1])
    at = np.concatenate(chunks)
    pre, post = np.divmod(at[at < pairs], targets)
    return Edges(pre.astype(np.int32), post.astype(np.int32), sources, targets)


def by_distance(
    before: Float[np.ndarray, "sources dims"],
    after: Float[np.ndarray, "targets dims"],
    profile: Callable[[np.ndarray], np.ndarray],
    *,
    key: PRNGKeyArray,
) -> Edges:
    """Each pair with the probability that `profile` gives for its distance (in their unit).

    Memory follows the number of sources times targets a row: rows are drawn one at a time.
    """
    random, pre, post = generator(key), [], []
    for i, place in enumerate(before):
        distance = np.sqrt(np.sum((after - place) ** 2, axis=1))
        hit = np.nonzero(random.random(len(after)) < profile(distance))[0]
        pre.append(np.full(len(hit), i))
        post.append(hit)
    return Edges(
        np.concatenate(pre).astype(np.int32),
        np.concatenate(post).astype(np.int32),
        len(before),
        len(after),
    )


class Convolved(NamedTuple):
    """Edges of a convolution, and the kernel's weight on each."""

    edges: Edges
    weights: Float[np.ndarray, " edges"]


def convolution(
    kernel: Float[np.ndarray, "out in height width"],
    image: tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
) -> Convolved:
    r"""Every target hears a patch of the image, each patch with the same weights.

    $a_{o y x} = \sum_{i,r,c} k_{o i r c}\, s_{i,\; \mathrm{stride}\, y + r - p,\;
    \mathrm{stride}\, x + c - p}$ with nothing outside the image: a cross-correlation, as in NIR's
    Conv2d. Neurons count channel by channel, in each row by row.

    Args:
        kernel: k.
        image: height and width of each input channel.
        stride: of the patches, in both directions.
        padding: p, rows and columns of nothing on each side.

    Raises:
        ValueError: naming a stride, padding or kernel that leaves no patch.
    """
    channels, inputs, *extent = kernel.shape
    if stride < 1 or padding < 0:
        raise ValueError(f"stride must be at least 1 and padding 0, got {stride} and {padding}")
    patches = [(n + 2 * padding - k) // stride + 1 for n, k in zip(image, extent, strict=True)]
    if min(*patches, *extent) < 1:
        raise ValueError(f"no kernel of {extent} fits an image of {image}, padded by {padding}")
    shape = channels, inputs, *extent, *patches
    out, into, row, column, y, x = np.indices(shape, np.int32).reshape(6, -1)
    y_in, x_in = stride * y + row - padding, stride * x + column - padding
    inside = (y_in >= 0) & (y_in < image[0]) & (x_in >= 0) & (x_in < image[1])
    pre = (into * image[0] + y_in) * image[1] + x_in
    post = (out * patches[0] + y) * patches[1] + x
    sizes = inputs * image[0] * image[1], channels * patches[0] * patches[1]
    weights = np.broadcast_to(kernel[..., None, None], shape).ravel()
    return Convolved(Edges(pre[inside], post[inside], *sizes), weights[inside])


def without_autapses(edges: Edges) -> Edges:
    """The same edges less those from a neuron to itself, within one population."""
    other = edges.pre != edges.post
    return edges._replace(pre=edges.pre[other], post=edges.post[other])


def generator(key: PRNGKeyArray) -> np.random.Generator:
    """NumPy's generator seeded with a key: edges are drawn on the host, in the millions."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())


class Rows(eqx.Module):
    """Synapses by presynaptic neuron: row i lists whom it reaches, padded to the longest row.

    Attributes:
        targets: shape (sources, k), sorted within a row; `size` where there is no synapse.
        weights: shape (sources, k), or (sources, 1) for one weight a presynaptic neuron.
        delays: in steps, shape (sources, k), or None where a projection shares one.
        size: number of entries that targets count: neurons, times receptors where there are some.
    """

    targets: Int[Array, "sources k"]
    weights: Shaped[Array, "sources _"]
    delays: Int[Array, "sources k"] | None
    size: int = eqx.field(static=True)

    @property
    def sources(self) -> int:
        """Number of presynaptic neurons."""
        return self.targets.shape[0]

    def row(self, i: Int[Array, ""]) -> tuple[Int[Array, " k"], Shaped[Array, " _"]]:
        """Targets and weights of one presynaptic neuron."""
        return self.targets[i], self.weights[i]


def rows(
    edges: Edges,
    weights: float | Shaped[np.ndarray, " _"],
    delays: Int[np.ndarray, " edges"] | None = None,
) -> Rows:
    """Store edges by presynaptic neuron.

    Args:
        edges: the synapses, in any order.
        weights: one for all; one a presynaptic neuron, shape (sources,); or one an edge. Where the
            shapes agree, weights are of edges.
        delays: one an edge, in steps, at least 1.
    """
    count = np.bincount(edges.pre, minlength=edges.sources)
    longest = max(1, int(count.max(initial=0)))
    order = np.lexsort((edges.post, edges.pre))
    pre, start = edges.pre[order], np.cumsum(count) - count
    slot = np.arange(len(pre)) - start[pre]

    def table(values, empty):
        filled = np.full((edges.sources, longest), empty, np.asarray(values).dtype)
        filled[pre, slot] = values[order]
        return jnp.asarray(filled)

    weights = np.asarray(weights)
    weights = weights.astype(np.int32 if weights.dtype.kind in "iu" else np.float32)
    if weights.shape == edges.pre.shape:
        by_row = table(weights, 0)
    elif weights.shape in ((), (edges.sources,)):
        by_row = jnp.asarray(np.broadcast_to(weights, edges.sources)[:, None])
    else:
        raise ValueError(
            f"weights must be one number, one a source ({edges.sources}) or one an edge "
            f"({len(pre)}), got shape {weights.shape}"
        )
    if delays is not None:
        if delays.shape != edges.pre.shape or (delays.size and delays.min() < 1):
            raise ValueError(
                f"delays must be at least 1 step, one an edge ({len(pre)}), got shape "
                f"{delays.shape}, from {delays.min(initial=1)}"
            )
        delays = table(delays.astype(np.int32), 1)
    return Rows(table(edges.post.astype(np.int32), edges.targets), by_row, delays, edges.targets)


class RowsInTime(eqx.Module):
    """Rows whose synapses have delays, aimed at slots of time: slot x size + target.

    Attributes:
        rows: with delays.
        sent: step in which the spikes were fired.
        slots: of time, at least the longest delay.
    """

    rows: Rows
    sent: Int[Array, ""]
    slots: int = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Number of slots of time and target."""
        return self.slots * self.rows.size

    @property
    def sources(self) -> int:
        """Number of presynaptic neurons."""
        return self.rows.sources

    def row(self, i: Int[Array, ""]) -> tuple[Int[Array, " k"], Shaped[Array, " _"]]:
        """Slots and weights of one presynaptic neuron's spike."""
        targets, weights = self.rows.row(i)
        slots = (self.sent + self.rows.delays[i]) % self.slots * self.rows.size + targets
        return jnp.where(targets < self.rows.size, slots, self.size), weights


class ProceduralRows(eqx.Module):
    """Rows that are drawn again whenever they are needed: a network without stored synapses.

    Row i has `degree` targets, drawn with replacement from a hash of (seed, i, slot) in 32-bit
    integers alone: the same bits on every backend.

    Attributes:
        weights: one a presynaptic neuron, shape (sources, 1).
        degree: targets a row.
        size: number of neurons that targets count.
        seed: of the hash.

    Source: the hash is lowbias32 of Wellons (2018), "Prospecting for hash functions";
    procedural connectivity after Knight & Nowotny (2021), Nat. Comput. Sci. 1:136.
    """

    weights: Float[Array, "sources 1"]
    degree: int = eqx.field(static=True)
    size: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)
    delays: None = None

    @property
    def sources(self) -> int:
        """Number of presynaptic neurons."""
        return self.weights.shape[0]

    @property
    def targets(self) -> Int[Array, "sources k"]:
        """All rows at once, as `Rows` stores them."""
        return jax.vmap(lambda i: self.row(i)[0])(jnp.arange(self.sources))

    def row(self, i: Int[Array, ""]) -> tuple[Int[Array, " k"], Float[Array, " 1"]]:
        """Targets and weights of one presynaptic neuron."""
        slots = jnp.arange(self.degree, dtype=jnp.uint32)
        start = mix(i.astype(jnp.uint32) + mix(jnp.uint32(self.seed)))
        drawn = mix(slots ^ start) + start
        return (mix(drawn) % jnp.uint32(self.size)).astype(jnp.int32), self.weights[i]


def mix(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """A bijection of 32-bit integers in which every input bit moves every output bit."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


Store = Rows | RowsInTime | ProceduralRows
