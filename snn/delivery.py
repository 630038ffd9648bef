"""How spikes reach their targets: four strategies that give the same sums at different cost."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Shaped

from snn.connectivity import Store
from snn.events import Words, indices, nth, running_count, unpack

Sums = Shaped[Array, " size"]


class EventLoop(eqx.Module):
    """Row by row over those who spiked: cost follows the spikes, and none can be lost.

    The strategy for CPUs. The number of rounds is dynamic, so it has no gradient, and under `vmap`
    it runs as long as the busiest member: map over trials with `jax.lax.map` instead.
    """

    rows: Store

    def __call__(self, words: Words, into: Sums) -> tuple[Sums, Int[Array, ""]]:
        """Add what the spikes `words` bring to `into`; 0 spikes are lost."""

        def add(into):
            counts = running_count(words)

            def one(k, into):
                targets, weights = self.rows.row(nth(words, counts, k))
                return into.at[targets].add(weights, mode="drop")

            return jax.lax.fori_loop(0, counts[-1], one, into)

        # most steps of a sparse network are silent: they skip even the counting
        return jax.lax.cond(jnp.any(words != 0), add, lambda into: into, into), jnp.int32(0)


class EventScatter(eqx.Module):
    """All spikes of a step in one scatter of fixed size: the strategy for GPUs.

    Spikes beyond the capacity are not delivered; they are counted, and a run that lost some is
    refused (`snn.simulate`).
    """

    rows: Store
    capacity: int = eqx.field(static=True)

    def __check_init__(self):
        if self.capacity < 1:
            raise ValueError(f"capacity must be at least 1 spike a step, got {self.capacity}")

    def __call__(self, words: Words, into: Sums) -> tuple[Sums, Int[Array, ""]]:
        """Add what the spikes `words` bring to `into`; how many spikes were lost."""
        who = indices(words, self.capacity, self.rows.sources)
        there = who < self.rows.sources
        targets, weights = jax.vmap(self.rows.row)(jnp.where(there, who, 0))
        targets = jnp.where(there[:, None], targets, self.rows.size)
        added = jnp.broadcast_to(weights, targets.shape)
        lost = jnp.maximum(running_count(words)[-1] - self.capacity, 0)
        return into.at[targets.ravel()].add(added.ravel(), mode="drop"), lost


class Dense(eqx.Module):
    """One product with the full matrix: for small or busy layers, and for large batches.

    Attributes:
        matrix: shape (sources, size).
    """

    matrix: Shaped[Array, "sources size"]

    def __call__(self, words: Words, into: Sums) -> tuple[Sums, Int[Array, ""]]:
        """Add what the spikes `words` bring to `into`; 0 spikes are lost."""
        spikes = unpack(words, self.matrix.shape[0]).astype(self.matrix.dtype)
        return into + spikes @ self.matrix, jnp.int32(0)


class FanIn(eqx.Module):
    """Every target gathers from its sources: no scatter, so deterministic on any device.

    Attributes:
        sources: shape (size, k); the number of sources where there is no synapse.
        weights: shape (size, k).
        count: number of sources.
    """

    sources: Int[Array, "size k"]
    weights: Shaped[Array, "size k"]
    count: int = eqx.field(static=True)

    def __call__(self, words: Words, into: Sums) -> tuple[Sums, Int[Array, ""]]:
        """Add what the spikes `words` bring to `into`; 0 spikes are lost."""
        spikes = jnp.append(unpack(words, self.count), False)
        heard = jnp.where(spikes[self.sources], self.weights, 0)
        return into + jnp.sum(heard, axis=1, dtype=into.dtype), jnp.int32(0)


Delivery = EventLoop | EventScatter | Dense | FanIn


def dense(rows: Store) -> Dense:
    """The full matrix of stored rows; synapses of one pair add up."""
    targets = rows.targets
    weights = jnp.broadcast_to(rows.weights, targets.shape)
    matrix = jnp.zeros((rows.sources, rows.size), weights.dtype)
    return Dense(matrix.at[jnp.arange(rows.sources)[:, None], targets].add(weights, mode="drop"))


def fan_in(rows: Store) -> FanIn:
    """The same synapses by postsynaptic neuron."""
    targets = np.asarray(rows.targets)
    real = targets < rows.size
    pre, post = np.nonzero(real)[0], targets[real]
    weights = np.broadcast_to(np.asarray(rows.weights), targets.shape)[real]
    order = np.argsort(post, kind="stable")
    count = np.bincount(post, minlength=rows.size)
    slot = np.arange(len(post)) - (np.cumsum(count) - count)[post[order]]
    shape = rows.size, max(1, int(count.max(initial=0)))
    by_target, heard = np.full(shape, rows.sources, np.int32), np.zeros(shape, weights.dtype)
    by_target[post[order], slot], heard[post[order], slot] = pre[order], weights[order]
    return FanIn(jnp.asarray(by_target), jnp.asarray(heard), rows.sources)


def shape_of(delivery: Delivery) -> tuple[int, int]:
    """Sources and targets of a store."""
    if isinstance(delivery, Dense):
        return delivery.matrix.shape
    if isinstance(delivery, FanIn):
        return delivery.count, delivery.sources.shape[0]
    return delivery.rows.sources, delivery.rows.size


def edges_of(delivery: Delivery) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources, flat targets and weights of every synapse of a store."""
    if isinstance(delivery, Dense):
        matrix = np.asarray(delivery.matrix)
        pre, post = np.indices(matrix.shape)
        return pre.ravel(), post.ravel(), matrix.ravel()
    if isinstance(delivery, FanIn):
        sources = np.asarray(delivery.sources)
        post, slot = np.nonzero(sources < delivery.count)
        return sources[post, slot], post, np.asarray(delivery.weights)[post, slot]
    targets = np.asarray(delivery.rows.targets)
    pre, slot = np.nonzero(targets < delivery.rows.size)
    weights = np.broadcast_to(np.asarray(delivery.rows.weights), targets.shape)
    return pre, targets[pre, slot], weights[pre, slot]


@dataclass(frozen=True)
class Costs:
    """What delivery costs, ns, on one core of an AVX-512 processor.

    Attributes:
        event, event_in_row: of `EventLoop`, a synapse reached and a row opened.
        scatter: of `EventScatter`, a synapse of a row, whether there is a spike for it or not.
        element, element_of_batch: of `Dense`, an entry of the matrix, alone and in batches of 128.
        gathered: of `FanIn`, a synapse.
        source: where the numbers were measured.
    """

    event: float = 3.2
    event_in_row: float = 200.0
    scatter: float = 6.0
    element: float = 0.106
    element_of_batch: float = 0.010
    gathered: float = 1.16
    source: str = "prototypes timed with jax 0.12, N = 4,000 to 20,000; event_in_row estimated"


@dataclass(frozen=True)
class Expected:
    """What a projection is expected to carry.

    Attributes:
        active: fraction of the sources that spikes in a step.
        batch: examples that run at once under `vmap`.
    """

    active: float
    batch: int = 1

    def __post_init__(self):
        if not 0 <= self.active <= 1:
            raise ValueError(f"active must lie in [0, 1], got {self.active}")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")


def estimates(rows: Store, expected: Expected, costs: Costs) -> dict[str, float]:
    """Nanoseconds a step and example by strategy, from the break-even table."""
    spikes, length = expected.active * rows.sources, rows.targets.shape[1]
    # under vmap a loop runs as long as its busiest member: mean plus three deviations
    busiest = spikes if expected.batch == 1 else spikes + 3 * spikes**0.5
    element = costs.element if expected.batch == 1 else costs.element_of_batch
    return {
        "event_loop": busiest * (costs.event_in_row + length * costs.event),
        "event_scatter": capacity_for(rows, expected) * length * costs.scatter,
        "dense": rows.sources * rows.size * element,
        "fan_in": rows.sources * length * costs.gathered,
    }


def capacity_for(rows: Store, expected: Expected) -> int:
    """Spikes a step that are exceeded once in a million steps by independent neurons."""
    mean = expected.active * rows.sources
    return min(rows.sources, int(mean + 5 * mean**0.5) + 8)


def choose(rows: Store, expected: Expected, costs: Costs | None = None) -> Delivery:
    """The strategy that should be cheapest here.

    Where accelerators are at work it is `EventScatter` or `Dense`: dynamic loops wait for the host.
    """
    ranked = estimates(rows, expected, costs or Costs())
    if jax.default_backend() != "cpu":
        ranked = {name: ranked[name] for name in ("event_scatter", "dense")}
    best = min(ranked, key=ranked.get)
    return {
        "event_loop": lambda: EventLoop(rows),
        "event_scatter": lambda: EventScatter(rows, capacity_for(rows, expected)),
        "dense": lambda: dense(rows),
        "fan_in": lambda: fan_in(rows),
    }[best]()
