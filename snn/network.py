"""Circuits: populations joined by projections, as data that a chip or a simulator can read."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Population:
    """A named group of like units.

    Attributes:
        name: unique within its circuit.
        size: number of units.
        signed: units emit spikes of both signs (+1 and -1) rather than +1 alone.
        external: units are driven from outside the chip and have no dynamics on it.
    """

    name: str
    size: int
    signed: bool = False
    external: bool = False

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"population {self.name!r}: size must be at least 1, got {self.size}")


@dataclass(frozen=True)
class Projection:
    """Synapses from one population to another, as an edge list.

    Attributes:
        source, target: names of populations.
        pre, post: indices of the joined units, shape (m,), int; each pair at most once.
        weights: efficacy of each synapse, shape (m,); a zero weight is still a synapse.
        plastic: the weights learn while the circuit runs.
    """

    source: str
    target: str
    pre: np.ndarray
    post: np.ndarray
    weights: np.ndarray
    plastic: bool = False

    def __post_init__(self):
        shapes = {np.shape(a) for a in (self.pre, self.post, self.weights)}
        if len(shapes) != 1 or len(shapes.pop()) != 1:
            raise ValueError(
                f"projection {self.source}->{self.target}: pre, post and weights must be vectors "
                f"of one length, got {np.shape(self.pre)}, {np.shape(self.post)}, "
                f"{np.shape(self.weights)}"
            )


def all_to_all(source: str, target: str, weights, *, plastic: bool = False) -> Projection:
    """Projection of a full weight matrix, shape (target size, source size)."""
    weights = np.asarray(weights)
    post, pre = np.indices(weights.shape)
    return Projection(source, target, pre.ravel(), post.ravel(), weights.ravel(), plastic)


def one_to_one(source: str, target: str, weights) -> Projection:
    """Projection of unit i to unit i, with weights of shape (size,)."""
    weights = np.asarray(weights)
    units = np.arange(weights.size)
    return Projection(source, target, units, units, weights)


@dataclass(frozen=True)
class Circuit:
    """Populations and the projections between them; checked when built."""

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]

    def __post_init__(self):
        sizes = {p.name: p.size for p in self.populations}
        if len(sizes) != len(self.populations):
            raise ValueError(
                f"population names must differ, got {[p.name for p in self.populations]}"
            )
        for p in self.projections:
            for role, name, units in (("source", p.source, p.pre), ("target", p.target, p.post)):
                if name not in sizes:
                    raise ValueError(f"projection {role} {name!r} is not one of {sorted(sizes)}")
                if units.size and not 0 <= units.min() <= units.max() < sizes[name]:
                    raise ValueError(
                        f"projection {p.source}->{p.target}: {role} index must lie in "
                        f"[0, {sizes[name]}), got [{units.min()}, {units.max()}]"
                    )
