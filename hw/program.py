"""Programs: operators joined by name, with cycles and nesting, before anything is a neuron."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Union

from hw.operators import Input, Operator, Output, Shape

SEPARATOR = "."  # joins the names of nested programs and their nodes


@dataclass(frozen=True, eq=False)
class Program:
    """Operators and programs by name, and who hears whom; checked when built.

    A node that hears several others gets the sum of their outputs. In a cycle, what remembers is
    heard one step late, so that every cycle needs a node that does.

    Attributes:
        nodes: by name; a nested program has exactly one Input and one Output.
        edges: pairs of names, source and target.

    Raises:
        ValueError: naming the node or edge that is wrong.
    """

    nodes: Mapping[str, Union[Operator, "Program"]]
    edges: tuple[tuple[str, str], ...]

    def __post_init__(self):
        for edge in self.edges:
            for name in edge:
                if name not in self.nodes:
                    names = sorted(self.nodes)
                    raise ValueError(f"edge {edge[0]}->{edge[1]}: {name!r} is not one of {names}")
        if len(set(self.edges)) != len(self.edges):
            raise ValueError("an edge is given twice")
        for name, node in self.nodes.items():
            if isinstance(node, Program):
                for role in (Input, Output):
                    if len(node._named(role)) != 1:
                        told = role.__name__
                        raise ValueError(f"nested program {name!r} must have exactly one {told}")
        if not self._named(Input):
            raise ValueError("a program needs an Input")
        _ = self.shapes  # a program whose shapes do not meet must not be built

    @cached_property
    def flat(self) -> "Flat":
        """Operators alone, with the nodes of nested programs under joined names."""
        nodes, edges = {}, []
        ends = {name: (name, name) for name in self.nodes}  # where edges enter and leave
        for name, node in self.nodes.items():
            if isinstance(node, Program):
                inner = node.flat
                joined = lambda part, name=name: f"{name}{SEPARATOR}{part}"
                inside = {joined(k): v for k, v in inner.nodes.items()}
                edges += [(joined(a), joined(b)) for a, b in inner.edges]
                ends[name] = joined(node._named(Input)[0]), joined(node._named(Output)[0])
            else:
                inside = {name: node}
            if taken := set(inside) & set(nodes):
                raise ValueError(f"nested names collide: {sorted(taken)}")
            nodes |= inside
        edges += [(ends[a][1], ends[b][0]) for a, b in self.edges]
        return Flat(nodes, tuple(edges))

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Shape of every operator's output, by flat name."""
        return self.flat.shapes

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one pass on a dense machine."""
        flat = self.flat
        return sum(node.macs(flat.input_shape(name)) for name, node in flat.nodes.items())

    def _named(self, role: type) -> list[str]:
        return [name for name, node in self.nodes.items() if type(node) is role]


@dataclass(frozen=True, eq=False)
class Flat:
    """A program without nesting: operators by name, in an order in which they can be computed.

    Attributes:
        nodes: operators by name.
        edges: pairs of names.
    """

    nodes: Mapping[str, Operator]
    edges: tuple[tuple[str, str], ...]

    @cached_property
    def late(self) -> frozenset[tuple[str, str]]:
        """Edges of a cycle that carry the step before: all those from what remembers."""
        reach = self._reach
        return frozenset(
            (a, b) for a, b in self.edges if self.nodes[a].remembers and a in reach[b] | {b}
        )

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names, each after all that it hears in the same step.

        Raises:
            ValueError: naming the nodes of a cycle in which nothing remembers.
        """
        waits = {name: set() for name in self.nodes}
        for a, b in self.edges:
            if (a, b) not in self.late:
                waits[b].add(a)
        order: list[str] = []
        while waits:
            ready = [name for name, heard in waits.items() if not heard]
            if not ready:
                raise ValueError(f"nothing remembers in a cycle among {sorted(waits)}")
            order += ready
            waits = {name: heard - set(ready) for name, heard in waits.items() if heard}
        return tuple(order)

    def sources(self, name: str) -> tuple[str, ...]:
        """Whom a node hears, in the order of the edges."""
        return tuple(a for a, b in self.edges if b == name)

    def input_shape(self, name: str) -> Shape:
        """Shape of what a node hears; its own for an Input."""
        heard = self.sources(name)
        return self.shapes[heard[0]] if heard else self.nodes[name].shape

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Output shapes by name.

        Raises:
            ValueError: naming the node that cannot take what it hears, or hears nothing.
        """
        found: dict[str, Shape] = {}
        # an element-wise node that remembers has the shape of its parameters, which breaks cycles
        for name, node in self.nodes.items():
            if node.elementwise:
                found[name] = next(iter(node.arrays.values())).shape
        for name in self.order:
            node, heard = self.nodes[name], self.sources(name)
            shapes = {found[a] for a in heard if a in found}
            if not heard and type(node) is not Input:
                raise ValueError(f"{name!r} hears nothing")
            if len(shapes) > 1:
                raise ValueError(f"{name!r} hears shapes that do not add up: {sorted(shapes)}")
            shape = shapes.pop() if shapes else getattr(node, "shape", None)
            if shape is None:
                raise ValueError(f"{name!r}: the shape of what it hears is not known")
            try:
                found[name] = node.output_shape(shape)
            except ValueError as error:
                raise ValueError(f"{name!r}: {error}") from error
        for a, b in self.late:  # seen after their source
            try:
                self.nodes[b].output_shape(found[a])
            except ValueError as error:
                raise ValueError(f"{b!r}: {error}") from error
        return found

    @cached_property
    def _reach(self) -> dict[str, set[str]]:
        """Names that can be reached from each, over one edge or more."""
        after = {name: [b for a, b in self.edges if a == name] for name in self.nodes}
        reach = {}
        for name in self.nodes:
            seen, front = set(), list(after[name])
            while front:
                step = front.pop()
                if step not in seen:
                    seen.add(step)
                    front += after[step]
            reach[name] = seen
        return reach
